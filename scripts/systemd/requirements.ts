/** What the systemd tests need of this machine. Installs from Debian what is missing, where it is root's to change. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export type Requirements = { readonly is: 'there' } | { readonly is: 'missing'; readonly why: string };

/** Program → the package of Debian that brings it. */
const programs = {
  mmdebstrap: 'mmdebstrap',
  'systemd-nspawn': 'systemd-container',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
} as const;
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Never throws for what the machine lacks. */
export function ensureRequirements(say: (line: string) => void): Requirements {
  const missing = (why: string): Requirements => ({ is: 'missing', why });
  if (process.platform !== 'linux') return missing(`this is ${process.platform}, and systemd is of Linux`);
  if (process.getuid?.() !== 0) return missing('only root can boot a container; run it as root');
  if (unifiedCgroups() === undefined) return missing('control groups of version 2 are mounted nowhere');
  const lacking = missingPackages();
  if (lacking.length === 0) return { is: 'there' };
  if (!has('apt-get')) return missing(`${lacking.join(', ')} are not installed, and there is no apt-get`);
  say(`installing ${lacking.join(', ')} ...`);
  // Old lists may do where fresh ones cannot be had.
  apt('-qq', 'update');
  apt('-qq', '-y', '--no-install-recommends', 'install', ...lacking);
  const still = missingPackages();
  return still.length === 0 ? { is: 'there' } : missing(`apt-get cannot install ${still.join(', ')}`);
}

/** Beside the controllers of version 1, or alone. */
export const unifiedCgroups = (): string | undefined =>
  ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find(
    (path) => existsSync(`${path}/cgroup.procs`) && existsSync(`${path}/cgroup.controllers`),
  );

function missingPackages(): string[] {
  const lacking = Object.entries(programs).flatMap(([program, name]) => (has(program) ? [] : [name]));
  return [...new Set(existsSync(keyring) ? lacking : [...lacking, 'debian-archive-keyring'])];
}

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

function apt(...args: string[]): void {
  spawnSync('apt-get', args, { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
}
