/** The Debian 13 that is booted: made once, never written to again. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { mustRun } from '../vm/run-program.ts';

export const project = resolve(import.meta.dirname, '../..');
/** Ignored by Git. */
const cache = join(project, '.cache/systemd');

const packages = [
  'systemd',
  'systemd-sysv',
  'dbus',
  'util-linux',
  'iproute2',
  'procps',
  'e2fsprogs',
  'nftables',
  // What the agent's package depends on.
  'libatomic1',
  'openssh-client',
];
const options = [
  '--variant=minbase',
  '--mode=root',
  '--format=directory',
  '--aptopt=APT::Install-Recommends "false"',
  ...['man', 'doc', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
  `--include=${packages.join(',')}`,
];

/** The folder of its root. Throws where Debian cannot be reached. */
export async function ensureDebian(say: (line: string) => void): Promise<string> {
  const digest = createHash('sha256').update(options.join('\n')).digest('hex').slice(0, 12);
  const made = join(cache, `root-${digest}`);
  if (existsSync(made)) return made;
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cache)) rmSync(join(cache, name), { recursive: true });
  say('building a Debian 13 (once, about a minute) ...');
  const draft = join(cache, 'draft');
  await mustRun('mmdebstrap', [...options, 'trixie', draft], { timeoutMs: 900_000 });
  // mmdebstrap takes these from the machine it runs on.
  for (const name of ['etc/hostname', 'etc/resolv.conf']) rmSync(join(draft, name), { force: true });
  renameSync(draft, made);
  return made;
}

/**
 * The project as a host has it: all of it root's, writable by nobody else, or root's program refuses to run. A checkout of
 * another user is copied for that.
 */
export async function ownedProject(): Promise<string> {
  const own = [project, join(project, 'packages'), join(project, 'node_modules')].every((path) => {
    const { uid, mode } = statSync(path);
    return uid === 0 && (mode & 0o022) === 0;
  });
  if (own) return project;
  const copy = join(cache, 'project');
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  const parts = ['packages', 'packaging', 'node_modules', 'package.json'].map((name) => join(project, name));
  await mustRun('cp', ['-r', '--preserve=links,timestamps', '--reflink=auto', ...parts, copy]);
  await mustRun('chown', ['-R', 'root:root', copy]);
  await mustRun('chmod', ['-R', 'go-w', copy]);
  return copy;
}
