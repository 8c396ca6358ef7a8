/** Apps in memory that remember what was done to them. */
import type { Apps } from '../ports.ts';

export interface MemoryApps extends Apps {
  state: 'running' | 'standing' | 'stopped';
  readonly seen: string[];
  healthWord: 'starting' | 'healthy' | 'unhealthy';
}

export function memoryApps(): MemoryApps {
  const apps: MemoryApps = {
    state: 'running',
    seen: [],
    healthWord: 'healthy',
    running: async () => (apps.state === 'running' ? ['shop'] : []),
    stopped: async () => (apps.state === 'stopped' ? ['shop'] : []),
    quiesce: async (stacks) => {
      apps.seen.push('quiesce');
      if (apps.state === 'running' && stacks.includes('shop')) apps.state = 'standing';
      return { is: 'done' };
    },
    unquiesce: async (stacks) => {
      apps.seen.push('unquiesce');
      if (apps.state === 'standing' && (stacks === 'all' || stacks.includes('shop'))) apps.state = 'running';
      return { is: 'done' };
    },
    start: async () => {
      apps.seen.push('start');
      apps.state = 'running';
      return { is: 'done' };
    },
    stop: async () => {
      apps.state = 'stopped';
      return { is: 'done' };
    },
    health: async () => apps.healthWord,
  };
  return apps;
}
