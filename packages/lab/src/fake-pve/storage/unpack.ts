// Reading archives back. PVE: Storage.pm extract_vzdump_config, LXC/Create.pm restore_archive.
import { die, type Task } from '../core.ts';
import { ArchiveDamaged, compressionOf, tarBytes, textOf, treePath, type Member } from './disk/disk.ts';
import { splitVolid } from './naming.ts';
import type { Storage } from './room.ts';
import { tarAmount } from './vzdump/tar-words.ts';
import { emptyImageBytes } from './types.ts';

export interface UnpackOptions {
  /** KiB/s, as given to the restore call. */
  readonly bwlimitKiB?: number;
  /** Absent means yes: extraction runs in the user namespace and leaves `./dev/*` out. */
  readonly unprivileged?: boolean;
}

export interface Unpacked {
  readonly config: string;
  readonly firewall?: string;
}

const configName = './etc/vzdump/pct.conf';

/** Disk path of an archive or template; throws when it is not there or its storage is not. */
function archivePath(storage: Storage, volid: string): string {
  const id = splitVolid(volid);
  if (id !== undefined) storage.activate(id.storage);
  const path = storage.archives.volidPath(volid);
  if (path === undefined || storage.disk.file(path) === undefined) return die(`volume '${volid}' does not exist`);
  return path;
}

/** The first member that is named exactly so. What a restore merges is another matter: see `unpackArchive`. */
export async function readArchivedConfig(storage: Storage, volid: string): Promise<string> {
  const path = archivePath(storage, volid);
  try {
    for await (const member of storage.disk.readArchive(path)) {
      if (member.name === configName) return textOf(member);
    }
  } catch (error) {
    if (!(error instanceof ArchiveDamaged)) throw error;
  }
  return die('ERROR: archive contains no configuration file');
}

/**
 * Unpacks over the given mounts (mount path → volume id, `/` first) as `tar --skip-old-files` does: of two members with
 * one place in the tree the first stays, also when only the second is named as `extractconfig` expects.
 * Half of the files are there while the time of a restore passes, so that a kill leaves a torn tree.
 */
export async function unpackArchive(
  storage: Storage,
  task: Task,
  volid: string,
  mounts: ReadonlyMap<string, string>,
  options: UnpackOptions,
): Promise<Unpacked> {
  const path = archivePath(storage, volid);
  const root = mounts.get('/') ?? die('cannot unpack: no root filesystem was given');
  const vmid = storage.volume(root)?.vmid ?? die(`volume '${root}' does not exist`);
  const fail = (how: string): never => die(`command '${restoreCommand(path, vmid, options)}' failed: ${how}`);
  const interrupted = () => fail('received interrupt');

  task.log(`extracting archive '${storage.path(volid)}'`);
  const startedAt = storage.pve.clock.now();
  const { members, damage } = await onInterrupt(
    task.io(() => collect(storage, path)),
    interrupted,
  );
  const kept = options.unprivileged === false ? members : members.filter((member) => !isDevice(member));
  const plan = placeMembers(storage, kept, mounts);
  const half = Math.ceil(plan.length / 2);
  const bytes = tarBytes(kept);
  const limitMs = options.bwlimitKiB === undefined ? 0 : (bytes / (options.bwlimitKiB * 1024)) * 1000;
  const write = (part: readonly Placed[]) => task.io(() => writeAll(storage, part));
  await onInterrupt(write(plan.slice(0, half)), interrupted);
  await onInterrupt(task.work(Math.max(storage.pve.pace.restoreMs, limitMs)), interrupted);
  await onInterrupt(write(plan.slice(half)), interrupted);

  const full = plan.filter((one) => one.fate === 'no-space');
  const unmapped = options.unprivileged === false ? [] : kept.filter(({ uid, gid }) => Math.max(uid, gid) > 65_535);
  for (const { name, uid, gid } of unmapped) {
    task.log(
      `tar: ${name.replace(/(.)\/$/, '$1')}: Cannot change ownership to uid ${uid}, gid ${gid}: Invalid argument`,
    );
  }
  for (const { member } of full) task.log(`tar: ${member.name}: Cannot write: No space left on device`);
  for (const line of damage) task.log(line);
  if (damage.length === 0) task.log(`Total bytes read: ${tarAmount(bytes, storage.pve.clock.now() - startedAt)}`);
  const failed = full.length > 0 || unmapped.length > 0;
  if (failed) task.log('tar: Exiting with failure status due to previous errors');
  if (damage.length > 0 || failed) return fail('exit code 2');
  return takeConfig(storage, task, root);
}

interface Placed {
  readonly member: Member;
  readonly volid: string;
  readonly name: string;
  /** `no-space`: the volume is full and tar says so. `lost`: the device below a sparse image is, and nobody says so. */
  readonly fate: 'written' | 'no-space' | 'lost';
}

const isDevice = (member: Member) => treePath(member.name)?.startsWith('dev/') === true;

async function collect(storage: Storage, path: string): Promise<{ members: Member[]; damage: readonly string[] }> {
  const members: Member[] = [];
  try {
    for await (const member of storage.disk.readArchive(path)) members.push(member);
    return { members, damage: [] };
  } catch (error) {
    if (error instanceof ArchiveDamaged) return { members, damage: error.lines };
    throw error;
  }
}

/** Decides for every member which volume it lands on and whether there is room. */
function placeMembers(storage: Storage, members: readonly Member[], mounts: ReadonlyMap<string, string>): Placed[] {
  const points = [...mounts]
    .map(([path, volid]) => ({ at: treePath(path) ?? '', volid }))
    .sort((a, b) => b.at.length - a.at.length);
  const roomIn = new Map(points.map(({ volid }) => [volid, contentRoom(storage, volid)]));
  const roomOn = new Map<string, number>();
  return members.flatMap((member) => {
    const key = treePath(member.name);
    const point = points.find(({ at }) => at === '' || key === at || key?.startsWith(`${at}/`));
    // What lies below a bind mount would go to the host; there is none here.
    if (key === undefined || point === undefined || storage.volume(point.volid) === undefined) return [];
    const { volid } = point;
    const on = storage.parse(volid)?.storage ?? '';
    const left = (roomIn.get(volid) ?? 0) - member.content.length;
    const leftOn = (roomOn.get(on) ?? storage.freeBytes(on)) - member.content.length;
    roomIn.set(volid, left);
    roomOn.set(on, leftOn);
    const image = storage.volume(volid)?.format === 'raw';
    // The configuration is read back at once, from the page cache: what is lost is lost when it is written out.
    const short = leftOn < 0 && member.content.length > 0 && !key.startsWith('etc/vzdump/');
    const fate = left < 0 || (short && !image) ? 'no-space' : short ? 'lost' : 'written';
    const name = `./${key.slice(point.at.length).replace(/^\//, '')}`;
    return [{ member, volid, name, fate }];
  });
}

/** Bytes of files that fit into a volume; a plain directory has no limit of its own. */
function contentRoom(storage: Storage, volid: string): number {
  const volume = storage.volume(volid);
  if (volume === undefined || volume.sizeBytes === 0) return Number.POSITIVE_INFINITY;
  if (volume.format === 'subvol') return volume.sizeBytes;
  return volume.sizeBytes - Math.min(emptyImageBytes(volume.sizeBytes), volume.sizeBytes / 10);
}

async function writeAll(storage: Storage, plan: readonly Placed[]): Promise<void> {
  for (const [volid, placed] of Map.groupBy(plan, (one) => one.volid)) {
    const members = placed
      .filter(({ fate }) => fate !== 'no-space')
      .map(({ member, name, fate }) => ({
        ...member,
        name,
        ...(fate === 'lost' ? { content: new Uint8Array() } : {}),
      }));
    await storage.disk.writeTree(storage.volumeDiskPath(volid), members, { skipExisting: true });
  }
}

/** What lies in the tree afterwards is what counts; it is taken out of the guest's filesystem. */
async function takeConfig(storage: Storage, task: Task, root: string): Promise<Unpacked> {
  const path = storage.volumeDiskPath(root);
  const tree = await task.io(() => storage.disk.readTree(path));
  const text = (key: string) => {
    const member = tree.find((one) => treePath(one.name) === key);
    return member?.type === 'file' ? textOf(member) : undefined;
  };
  const config = text('etc/vzdump/pct.conf') ?? '';
  const firewall = text('etc/vzdump/pct.fw');
  await task.io(() => storage.disk.removeEntry(path, 'etc/vzdump'));
  return firewall === undefined || firewall === '' ? { config } : { config, firewall };
}

/** An abort during extraction reaches the log as a failure of the tar command, not as its own error. */
async function onInterrupt<T>(work: Promise<T>, interrupted: () => never): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Error && error.message === 'interrupted by signal') return interrupted();
    throw error;
  }
}

function restoreCommand(path: string, vmid: number, options: UnpackOptions): string {
  const flags = { none: '', gzip: ' -z', zstd: ' --zstd' }[compressionOf(path)];
  const namespace = 'lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- ';
  const tar =
    `tar xpf -${flags} --totals --one-file-system -p --sparse --numeric-owner --acls --xattrs` +
    " '--xattrs-include=user.*' '--xattrs-include=security.capability' '--warning=no-file-ignored'" +
    ` '--warning=no-xattr-write' -C /var/lib/lxc/${vmid}/rootfs --skip-old-files --anchored --exclude './dev/*'`;
  const run = options.unprivileged === false ? tar : namespace + tar;
  const limit = options.bwlimitKiB;
  return limit === undefined ? run : `set -o pipefail && cstream -t ${limit * 1024} | ${run}`;
}
