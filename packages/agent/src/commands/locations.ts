import { join } from 'node:path';
import type { AgentConfig } from '../config.ts';

/** Where things are when nobody says otherwise. */
export const defaultConfigFile = '/etc/felhom/agent.yaml';
export const defaultAdminSocket = '/run/felhom/agent.sock';

/** Beside the journal: what the operator pinned lives as long as what it speaks for. */
export function hostKeyDirectory(config: Pick<AgentConfig, 'stateDirectory'>): string {
  return join(config.stateDirectory, 'host-key');
}
