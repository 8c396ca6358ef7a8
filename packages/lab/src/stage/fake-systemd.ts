/** As much of systemd as break-glass asks for: units that run or do not, and a timer that fires once. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface FakeSystemd {
  readonly systemctl: (
    args: readonly string[],
  ) => Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>;
  readonly close: () => void;
}

export interface FakeSystemdOptions {
  readonly unitDirectory: string;
  /** The time of a started timer is over. */
  readonly onElapsed: () => void;
}

export function createFakeSystemd({ unitDirectory, onElapsed }: FakeSystemdOptions): FakeSystemd {
  const active = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  const start = (unit: string): void => {
    active.add(unit);
    if (!unit.endsWith('.timer')) return;
    const seconds = Number(/^OnActiveSec=(\d+)s$/m.exec(readFileSync(join(unitDirectory, unit), 'utf8'))?.[1]);
    clearTimeout(timer);
    timer = setTimeout(onElapsed, seconds * 1000);
    timer.unref();
  };
  const stop = (unit: string): void => {
    active.delete(unit);
    if (unit.endsWith('.timer')) clearTimeout(timer);
  };

  return {
    systemctl: async (args) => {
      const [verb = '', ...units] = args;
      switch (verb) {
        case 'start':
          for (const unit of units) start(unit);
          break;
        case 'stop':
          for (const unit of units) stop(unit);
          break;
        case 'is-active': {
          const states = units.map((unit) => (active.has(unit) ? 'active' : 'inactive'));
          return { code: states.includes('active') ? 0 : 3, stdout: `${states.join('\n')}\n`, stderr: '' };
        }
        case 'daemon-reload':
        case 'reset-failed':
          break;
        default:
          return { code: 1, stdout: '', stderr: `the stand-in for systemctl does not know ${verb}` };
      }
      return { code: 0, stdout: '', stderr: '' };
    },
    close: () => {
      clearTimeout(timer);
      active.clear();
    },
  };
}
