/** What the VM needs from this machine. Installs from Debian what is missing, where it is root's machine to change. */
import { spawnSync } from 'node:child_process';

export type Requirements = { readonly is: 'there' } | { readonly is: 'missing'; readonly why: string };

/** Program -> Debian package that brings it. */
const programs: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  mmdebstrap: 'mmdebstrap',
  mke2fs: 'e2fsprogs',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  setpriv: 'util-linux',
  tar: 'tar',
};

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Never throws for what the machine lacks; says what it installs in one line. */
export function ensureRequirements(say: (line: string) => void): Requirements {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return {
      is: 'missing',
      why: `the VM is one for Linux on x86-64, and this is ${process.platform} on ${process.arch}`,
    };
  if (process.getuid?.() !== 0) return { is: 'missing', why: 'only root can build a Debian image; run it as root' };
  const lacking = missingPackages();
  if (lacking.length === 0) return { is: 'there' };
  if (!has('apt-get'))
    return { is: 'missing', why: `${lacking.join(', ')} are not installed, and there is no apt-get` };
  say(`installing ${lacking.join(', ')} ...`);
  // Old lists may do where fresh ones cannot be had.
  apt('-qq', 'update');
  apt('-qq', '-y', '--no-install-recommends', 'install', ...lacking);
  const still = missingPackages();
  return still.length === 0 ? { is: 'there' } : { is: 'missing', why: `apt-get cannot install ${still.join(', ')}` };
}

function missingPackages(): string[] {
  const lacking = Object.entries(programs)
    .filter(([program]) => !has(program))
    .map(([, debianPackage]) => debianPackage);
  if (spawnSync('test', ['-r', keyring]).status !== 0) lacking.push('debian-archive-keyring');
  return [...new Set(lacking)];
}

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

function apt(...args: string[]): void {
  spawnSync('apt-get', args, { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
}
