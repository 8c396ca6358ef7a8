// One guest of a vzdump job. PVE: VZDump.pm exec_backup_task, VZDump/LXC.pm.
import { die, perlText, type Task } from '../../core.ts';
import { compressionOf, tarBytes, type Compression } from '../disk/disk.ts';
import { archiveBase, localStamp, pbsName, suffixOf } from '../naming.ts';
import { asText } from '../params.ts';
import { showPolicy } from '../prune.ts';
import type { Storage } from '../room.ts';
import { tarAmount, vzdumpSize } from './tar-words.ts';
import { fillTemplate, retentionOf, type Mode, type VzdumpOrder } from './vzdump-order.ts';
import { archiveMembers, type MountedTree } from './vzdump-tree.ts';

interface Run {
  readonly room: Storage;
  readonly task: Task;
  readonly order: VzdumpOrder;
  readonly vmid: number;
  /** Lines of the `.log` file beside the archive, from `Starting Backup` on. */
  readonly logged: string[];
  readonly unprivileged: boolean;
  /** `vzdump-lxc-100-…` or the PBS snapshot. */
  readonly base: string;
  readonly startedAt: number;
  /** What the end must take back, in whatever state the run is. */
  readonly undo: {
    unlock: boolean;
    restart: boolean;
    resume: boolean;
    section: boolean;
    snapshots: string[];
    leftovers: string[];
  };
  downSince: number | undefined;
}

/** Answers whether it worked; the reason is in the log. */
export async function backupGuest(room: Storage, task: Task, order: VzdumpOrder, vmid: number): Promise<boolean> {
  const startedAt = room.pve.clock.now();
  const isPbs = room.type(order.storage) === 'pbs';
  const run: Run = {
    room,
    task,
    order,
    vmid,
    logged: [],
    unprivileged: room.pve.guests.exists(vmid) && room.pve.guests.config(vmid).active.get('unprivileged') === '1',
    base: isPbs ? pbsName(vmid, startedAt) : archiveBase(vmid, startedAt, room.localOffset),
    startedAt,
    undo: { unlock: false, restart: false, resume: false, section: false, snapshots: [], leftovers: [] },
    downSince: undefined,
  };
  // Found once: the storage may be gone when the log is written, the open file is not.
  const logPath = isPbs ? undefined : room.diskPath(order.storage, `dump/${run.base}.log`);
  let failure: unknown;
  try {
    await attempt(run);
  } catch (error) {
    failure = error;
  }
  await cleanUp(run);
  const now = room.pve.clock.now();
  if (failure === undefined) {
    note(run, 'INFO', `Finished Backup of VM ${vmid} (${duration(now - startedAt)})`);
    note(run, 'INFO', `Backup finished at ${localStamp(now, room.localOffset)}`);
  } else {
    note(run, 'ERROR', `Backup of VM ${vmid} failed - ${perlText(failure).trimEnd()}`);
    note(run, 'INFO', `Failed at ${localStamp(now, room.localOffset)}`);
  }
  if (run.logged.length > 2 && logPath !== undefined) room.disk.writeText(logPath, `${run.logged.join('\n')}\n`);
  return failure === undefined;
}

function note(run: Run, level: 'INFO' | 'ERROR' | 'WARN', line: string): void {
  if (level === 'WARN') run.task.warn(line);
  else run.task.log(`${level}: ${line}`);
  run.logged.push(`${localStamp(run.room.pve.clock.now(), run.room.localOffset)} ${level}: ${line}`);
}

/** Logs and lets a kill or an abort land. */
async function info(run: Run, line: string): Promise<void> {
  note(run, 'INFO', line);
  await run.task.io(async () => undefined);
}

async function attempt(run: Run): Promise<void> {
  const { room, order, vmid, undo, task } = run;
  const { guests } = room.pve;
  if (!guests.exists(vmid)) die(`unable to find VM '${vmid}'`);
  checkLimits(run);
  await info(run, `Starting Backup of VM ${vmid} (lxc)`);
  await info(run, `Backup started at ${localStamp(run.startedAt, room.localOffset)}`);
  const running = guests.isRunning(vmid);
  await info(run, `status = ${running ? 'running' : 'stopped'}`);
  const lock = guests.config(vmid).active.get('lock');
  if (lock !== undefined) die(`CT is locked (${lock})`);
  guests.setLock(vmid, 'backup');
  undo.unlock = true;

  const mode = await settleMode(run, running ? order.mode : 'stop');
  const volumes = guests.backupVolumes(vmid).included;
  if (mode === 'stop' && running) {
    await info(run, 'stopping virtual guest');
    run.downSince = room.pve.clock.now();
    undo.restart = true;
    await task.io(() => guests.stop(vmid));
  }
  if (mode === 'suspend') await copyAside(run, volumes);
  if (mode === 'snapshot') await snapshotVolumes(run, volumes);
  await writeArchive(run, mode, volumes);
  await finishArchive(run);
}

/** PVE checks these before it names the guest in the log. */
function checkLimits(run: Run): void {
  const { room, order, vmid, task } = run;
  const mine = room.archives.list(order.storage).filter((one) => one.vmid === vmid && one.subtype !== 'qemu');
  const protectedCount = mine.filter((one) => one.protected).length;
  if (order.protected) {
    const most = room.archives.protectedLimit(task.who, order.storage);
    if (most > -1 && protectedCount >= most) {
      die(`The number of protected backups per guest is limited to ${most} on storage '${order.storage}'`);
    }
  }
  const { limit } = retentionOf(order);
  if (limit !== undefined && !order.protected && mine.length - protectedCount >= limit) {
    die(
      `There is a max backup limit of ${limit} enforced by the target storage or the vzdump parameters.` +
        ' Either increase the limit or delete old backups.',
    );
  }
}

/** Logs the volumes and the mode that really happens: a snapshot needs every included volume to be capable of it. */
async function settleMode(run: Run, wanted: Mode): Promise<Mode> {
  const { room, order, vmid } = run;
  const { included } = room.pve.guests.backupVolumes(vmid);
  let mode = wanted;
  if (mode === 'snapshot') {
    await describeVolumes(run);
    if (![...included.values()].every((volid) => room.hasFeature(volid, 'snapshot', true))) {
      await info(run, 'mode failure - some volumes do not support snapshots');
      await info(run, "trying 'suspend' mode instead");
      mode = 'suspend';
    }
  }
  await info(run, `backup mode: ${mode}`);
  if (order.bwlimitKiB !== undefined) await info(run, `bandwidth limit: ${order.bwlimitKiB} KiB/s`);
  await info(run, `ionice priority: ${order.ionice}`);
  if (mode !== 'snapshot') await describeVolumes(run);
  for (const volid of included.values()) {
    const storage = room.parse(volid)?.storage;
    if (storage !== undefined) room.activate(storage);
  }
  return mode;
}

async function describeVolumes(run: Run): Promise<void> {
  const { room, vmid } = run;
  const { active } = room.pve.guests.config(vmid);
  const { included, excluded } = room.pve.guests.backupVolumes(vmid);
  await info(run, `CT Name: ${active.get('hostname') ?? `CT${vmid}`}`);
  const keyAt = new Map<string, string>([['/', 'rootfs']]);
  for (const [key, value] of active) {
    const at = /^mp\d+$/.test(key) ? /(?:^|,)mp=([^,]+)/.exec(value)?.[1] : undefined;
    if (at !== undefined) keyAt.set(at, key);
  }
  const lines = [
    ...[...included.keys()].map((at) => ({ at, line: `including mount point ${keyAt.get(at)} ('${at}') in backup` })),
    ...excluded.map(({ path, why }) => ({
      at: path,
      line: `excluding ${volumeKind(active.get(keyAt.get(path) ?? ''))} mount point ${keyAt.get(path)} ('${path}') from backup (${why})`,
    })),
  ];
  const order = [...keyAt.keys()];
  for (const { line } of lines.sort((a, b) => order.indexOf(a.at) - order.indexOf(b.at))) await info(run, line);
}

function volumeKind(value: string | undefined): 'bind' | 'device' | 'volume' {
  if (value?.startsWith('/dev/')) return 'device';
  return value?.startsWith('/') ? 'bind' : 'volume';
}

/** Suspend mode: two rsync passes beside the archive, the second with the guest frozen. */
async function copyAside(run: Run, volumes: ReadonlyMap<string, string>): Promise<void> {
  const { room, order, vmid, task, undo } = run;
  const pid = asText(room.pve.guests.row(vmid)['pid']) ?? `${10_000 + vmid}`;
  const aside = `${room.path(`${order.storage}:backup/${run.base}`)}.tmp`;
  const marker = room.diskPath(order.storage, `dump/${run.base}.tmp/etc/vzdump/pct.conf`);
  room.disk.writeText(marker, room.pve.guests.serialize(vmid));
  undo.leftovers.push(marker);
  const volids = [...volumes.values()];
  const bytes = volids.reduce(
    (sum, volid) => sum + (room.disk.volume(room.volumeDiskPath(volid))?.contentBytes ?? 0),
    0,
  );
  await info(run, `starting first sync /proc/${pid}/root/ to ${aside}`);
  await task.work(room.pve.pace.backupMs);
  if (bytes > room.freeBytes(order.storage)) {
    note(run, 'INFO', `rsync: [receiver] write failed on "${aside}": No space left on device (28)`);
    die(
      `command 'rsync --stats -h -X -A --numeric-ids -aH --delete --no-whole-file --sparse --one-file-system --relative /proc/${pid}/root//./ ${aside}' failed: exit code 11`,
    );
  }
  await info(
    run,
    `first sync finished - transferred ${rsyncSize(bytes)} in ${Math.floor(room.pve.pace.backupMs / 1000)}s`,
  );
  await info(run, 'suspending guest');
  run.downSince = room.pve.clock.now();
  undo.resume = true;
  await info(run, `starting final sync /proc/${pid}/root/ to ${aside}`);
  await info(run, 'final sync finished - transferred 0 bytes in 0s');
  await info(run, 'resuming guest');
  undo.resume = false;
  await onlineAgain(run);
}

function rsyncSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, 'K'] : bytes < 1e9 ? [bytes / 1e6, 'M'] : [bytes / 1e9, 'G'];
  return `${value.toFixed(2)}${unit} bytes`;
}

async function snapshotVolumes(run: Run, volumes: ReadonlyMap<string, string>): Promise<void> {
  const { room, undo, task, vmid } = run;
  const { guests } = room.pve;
  const stale = [...volumes.values()].filter((volid) => room.hasSnapshot(volid, 'vzdump'));
  if (stale.length > 0 || guests.config(vmid).snapshots.has('vzdump')) {
    await info(run, 'found old vzdump snapshot (force removal)');
    for (const volid of stale) await task.io(() => room.deleteSnapshot(volid, 'vzdump'));
    guests.setBackupSnapshot(vmid, undefined);
  }
  await info(run, "create storage snapshot 'vzdump'");
  guests.setBackupSnapshot(vmid, 'prepare');
  undo.section = true;
  for (const volid of volumes.values()) {
    undo.snapshots.push(volid);
    await task.io(() => room.snapshot(volid, 'vzdump'));
  }
  guests.setBackupSnapshot(vmid, 'taken');
}

async function writeArchive(run: Run, mode: Mode, volumes: ReadonlyMap<string, string>): Promise<void> {
  const { room, order, vmid, task, undo } = run;
  const { disk, pve } = room;
  const isPbs = room.type(order.storage) === 'pbs';
  const file = isPbs ? run.base : `${run.base}${suffixOf[order.compress]}`;
  const target = room.archives.diskPath(order.storage, file);
  const partial = isPbs ? `${target}.dat` : target.replace(/\.[^.]+$/, '.dat');
  const shown = isPbs ? file : room.path(`${order.storage}:backup/${file}`);
  note(run, 'INFO', `creating ${isPbs ? 'Proxmox Backup Server' : 'vzdump'} archive '${shown}'`);
  const fail = (how: string): never =>
    die(`command '${tarCommand(run, shown.replace(/\.[^.]+$/, '.dat'))}' failed: ${how}`);
  if (suffixOf[order.compress].endsWith('.lzo')) fail('exit code 127');
  disk.writeText(partial, '');
  undo.leftovers.push(partial);
  const began = pve.clock.now();
  try {
    await task.io(async () => undefined);
    const trees: MountedTree[] = [];
    for (const [at, volid] of volumes) {
      const path = room.volumeDiskPath(volid) + (mode === 'snapshot' ? '@vzdump' : '');
      trees.push({ at, members: await task.io(() => disk.readTree(path)) });
    }
    const config = pve.guests.serialize(vmid);
    const members = archiveMembers(config, pve.guests.firewall(vmid), trees, order.excludePaths);
    const bytes = tarBytes(members);
    const limitedMs = order.bwlimitKiB === undefined ? 0 : (bytes / (order.bwlimitKiB * 1024)) * 1000;
    await task.work(Math.max(pve.pace.backupMs, limitedMs));
    const { active, avail: free } = room.status(order.storage);
    const gone = !active;
    const compression = compressionOf(isPbs ? target : file);
    const written = await task.io(() => disk.writeArchive(partial, members, compression, free));
    if (written.is === 'no-space') {
      note(run, 'INFO', writeErrors[compression](gone ? 'Input/output error' : 'No space left on device'));
      fail(`exit code ${compression === 'zstd' ? 70 : 2}`);
    }
    disk.moveFile(partial, target);
    room.archives.seal(order.storage, target);
    await info(run, `Total bytes written: ${tarAmount(bytes, pve.clock.now() - began)}`);
    if (written.is === 'written' && !isPbs) await info(run, `archive file size: ${vzdumpSize(written.sizeBytes)}`);
  } catch (error) {
    if (error instanceof Error && error.message === 'interrupted by signal') return fail('interrupted by signal');
    throw error;
  }
}

/** What the last program of the pipe says when it cannot write. */
const writeErrors = {
  none: (why: string) => `tar: -: Cannot write: ${why}`,
  gzip: (why: string) => `gzip: stdout: ${why}`,
  zstd: (why: string) => `zstd: error 70 : Write error : cannot write block : ${why} `,
} satisfies Record<Compression, (why: string) => string>;

/** Notes, protection and retention; only a failed note is forgiven. */
async function finishArchive(run: Run): Promise<void> {
  const { room, order, vmid, task } = run;
  const isPbs = room.type(order.storage) === 'pbs';
  const volid = `${order.storage}:backup/${run.base}${isPbs ? '' : suffixOf[order.compress]}`;
  if (order.notesTemplate !== undefined && order.notesTemplate !== '') {
    await info(run, 'adding notes to backup');
    const guestname = room.pve.guests.config(vmid).active.get('hostname') ?? `CT${vmid}`;
    room.archives.setNotes(volid, fillTemplate(order.notesTemplate, { guestname, node: room.pve.name, vmid }));
  }
  if (order.protected) {
    await info(run, 'marking backup as protected');
    room.archives.setProtected(task.who, volid, true);
  }
  const { retention } = order;
  if (retention === undefined || !retentionOf(order).prunes) return;
  await info(run, `prune older backups with retention: ${showPolicy(retention)}`);
  const log = (line: string) => note(run, 'INFO', line);
  const count = room.archives.prune(order.storage, retention, log, vmid, 'lxc');
  await info(run, `pruned ${count} backup(s)${count > 0 ? ' not covered by keep-retention policy' : ''}`);
}

/** Runs after success, failure and abort alike; only a killed worker leaves its traces. */
async function cleanUp(run: Run): Promise<void> {
  const { room, vmid, undo, task } = run;
  const { guests } = room.pve;
  if (undo.unlock) guests.setLock(vmid, undefined);
  if (undo.snapshots.length > 0) {
    note(run, 'INFO', "cleanup temporary 'vzdump' snapshot");
    for (const volid of undo.snapshots) await task.io(() => room.deleteSnapshot(volid, 'vzdump'));
  }
  if (undo.section && guests.exists(vmid)) guests.setBackupSnapshot(vmid, undefined);
  if (undo.resume) {
    note(run, 'INFO', 'resume vm');
    await onlineAgain(run);
  } else if (undo.restart && !guests.isRunning(vmid)) {
    note(run, 'INFO', 'restarting vm');
    try {
      await task.io(() => guests.start(vmid));
      await onlineAgain(run);
    } catch (error) {
      note(run, 'ERROR', perlText(error));
    }
  }
  for (const path of undo.leftovers) room.disk.removeFile(path);
}

async function onlineAgain(run: Run): Promise<void> {
  const seconds = Math.floor((run.room.pve.clock.now() - (run.downSince ?? 0)) / 1000);
  await info(run, `guest is online again after ${seconds < 1 ? '<1' : seconds} seconds`);
}

function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}

function tarCommand(run: Run, partial: string): string {
  const { order } = run;
  const aside = run.room.path(`${order.storage}:backup/${run.base}`);
  const namespace = run.unprivileged ? 'lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- ' : '';
  const excludes = order.excludePaths.map((path) => ` '--exclude=${path.startsWith('/') ? '.' : ''}${path}'`).join('');
  const tar =
    "tar cpf - --totals --one-file-system -p --sparse --numeric-owner --acls --xattrs '--xattrs-include=user.*'" +
    " '--xattrs-include=security.capability' '--warning=no-file-ignored' '--warning=no-xattr-write' --one-file-system" +
    ` '--warning=no-file-ignored' '--directory=${aside}.tmp' ./etc/vzdump/pct.conf ./etc/vzdump/pct.fw` +
    ` '--directory=/mnt/vzsnap0' --no-anchored '--exclude=lost+found' --anchored${excludes} ./`;
  const limit = order.bwlimitKiB === undefined ? '' : ` | cstream -t ${order.bwlimitKiB * 1024}`;
  const compressors = {
    '0': '',
    '1': ' | lzop',
    lzo: ' | lzop',
    gzip: ' | gzip --rsyncable',
    zstd: ` | zstd '--threads=${order.zstdThreads}'`,
  };
  return `set -o pipefail && ${namespace}${tar}${limit}${compressors[order.compress]} >${partial}`;
}
