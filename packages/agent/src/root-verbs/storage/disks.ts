/**
 * Disks and mounts as root sees them. Reads only. What a file system is, is read from its
 * superblock: what udev remembers may be of the disk that was there before.
 */
import { z } from 'zod';
import type { HostCommand } from '../../ports/host-command.ts';
import type { BlockDevices } from './block-devices.ts';

export interface DiskTools {
  readonly lsblk: HostCommand;
  readonly blkid: HostCommand;
  readonly findmnt: HostCommand;
}

/** A block device that has a file system of its own. */
export interface FoundDisk {
  /** As the kernel names it now, e.g. `/dev/sdb1`. */
  readonly device: string;
  readonly uuid: string;
  readonly fileSystem: string;
  readonly label: string;
  readonly sizeBytes: number;
  /** Of the disk that it is a part of; empty where that has none. */
  readonly serial: string;
  readonly model: string;
  /** `usb`, `sata`, `nvme`, …; empty where nobody knows. */
  readonly bus: string;
  /** Where it is mounted, in this process's view. */
  readonly mounts: readonly string[];
}

export type DiskAnswer =
  | { readonly is: 'disk'; readonly disk: FoundDisk }
  /** No disk has it, or several have. */
  | { readonly is: 'none' | 'several'; readonly text: string }
  | { readonly is: 'unclear'; readonly text: string };

interface Listed {
  readonly path: string;
  readonly fstype?: string | null | undefined;
  readonly uuid?: string | null | undefined;
  readonly label?: string | null | undefined;
  readonly size?: number | null | undefined;
  readonly serial?: string | null | undefined;
  readonly model?: string | null | undefined;
  readonly tran?: string | null | undefined;
  readonly type?: string | null | undefined;
  readonly mountpoints?: readonly (string | null)[] | undefined;
  readonly children?: readonly Listed[] | undefined;
}
const word = z.string().nullish();
const listed: z.ZodType<Listed> = z.lazy(() =>
  z.object({
    path: z.string().regex(/^\/dev\/[A-Za-z0-9_./-]+$/),
    fstype: word,
    uuid: word,
    label: word,
    size: z.number().nullish(),
    serial: word,
    model: word,
    tran: word,
    type: word,
    mountpoints: z.array(z.string().nullable()).optional(),
    children: z.array(listed).optional(),
  }),
);
const lsblkAnswer = z.object({ blockdevices: z.array(listed) });

const lsblkArgs = [
  '--json',
  '--paths',
  '--bytes',
  '--output',
  'PATH,FSTYPE,UUID,LABEL,SIZE,SERIAL,MODEL,TRAN,TYPE,MOUNTPOINTS',
];

/**
 * Every block device with a file system on it, as read from its superblock; `uuid`: those with this one only. Throws what
 * the tools throw.
 */
export async function listDisks({ lsblk, blkid }: DiskTools, uuid?: string): Promise<readonly FoundDisk[]> {
  const found = new Map<string, Omit<FoundDisk, 'uuid' | 'fileSystem'>>();
  const known = new Set<string>();
  // A device below several others is listed below each.
  for (const { listed: one, own } of eachOf(await devicesIn(lsblk))) {
    // What udev has not looked at may be anything; what it knows to be another one is not read.
    if (one.uuid && one.uuid === uuid) known.add(one.path);
    if ((one.size ?? 0) > 0 && (one.uuid ? uuid === undefined || one.uuid === uuid : one.children === undefined))
      found.set(one.path, {
        ...own,
        device: one.path,
        label: one.label ?? '',
        sizeBytes: one.size ?? 0,
        mounts: (one.mountpoints ?? []).filter((path) => path !== null),
      });
  }
  const disks: FoundDisk[] = [];
  for (const one of found.values()) {
    const read = await superblock(blkid, one.device);
    if (read.uuid === '' && known.has(one.device))
      throw new Error(`${one.device} has the UUID ${uuid}, and does not show it when it is read`);
    if (read.uuid !== '' && read.fileSystem !== '' && (uuid === undefined || read.uuid === uuid))
      disks.push({ ...one, ...read });
  }
  return disks;
}

async function devicesIn(lsblk: HostCommand): Promise<readonly Listed[]> {
  const { code, stdout, stderr } = await lsblk(lsblkArgs);
  if (code !== 0) throw new Error(`lsblk ended with ${code}: ${stderr.trim()}`);
  return lsblkAnswer.parse(JSON.parse(stdout)).blockdevices;
}

type Own = Pick<FoundDisk, 'serial' | 'model' | 'bus'>;

/** Each device, with what it or the disk that it is a part of says of itself. */
function* eachOf(
  devices: readonly Listed[],
  above: Own = { serial: '', model: '', bus: '' },
): Generator<{ readonly listed: Listed; readonly own: Own }> {
  for (const listed of devices) {
    const own = {
      serial: listed.serial?.trim() || above.serial,
      model: listed.model?.trim() || above.model,
      bus: listed.tran?.trim() || above.bus,
    };
    yield { listed, own };
    yield* eachOf(listed.children ?? [], own);
  }
}

export interface DeviceUse {
  /** The disk that the device is, or is a part of. */
  readonly whole: string;
  /** Everything on that disk, the device among it. */
  readonly parts: readonly string[];
  /** Why nothing on it may be overwritten, for people; empty: nothing is known. */
  readonly uses: readonly string[];
}

/** What belongs to several disks at once, or hides what is in it. As blkid calls them. */
const members = /^(?:LVM2_member|linux_raid_member|zfs_member|crypto_LUKS|bcache|ceph_bluestore|drbd|.*_raid_member)$/;

/** Who uses the disk that a device lies on. Throws what the tools throw, and where the device is on no disk or several. */
export async function useOf(lsblk: HostCommand, device: string): Promise<DeviceUse> {
  const nodesOf = (one: Listed): readonly Listed[] => [one, ...(one.children ?? []).flatMap(nodesOf)];
  const disks = (await devicesIn(lsblk)).filter((one) => nodesOf(one).some(({ path }) => path === device));
  const [disk] = disks;
  if (disk === undefined || disks.length > 1) throw new Error(`${device} lies on ${disks.length} disks`);
  const nodes = nodesOf(disk);
  const uses = nodes.flatMap(({ path, type, fstype, mountpoints = [], children = [] }) => [
    ...mountpoints.flatMap((at) =>
      at === null ? [] : [at === '[SWAP]' ? `${path} is swap` : `${path} is mounted at ${at}`],
    ),
    ...(['disk', 'part', 'loop'].includes(type ?? '') ? [] : [`${path} on it is of type ${type ?? 'unknown'}`]),
    ...(members.test(fstype ?? '') ? [`${path} is of ${fstype}`] : []),
    ...(fstype === 'swap' ? [`${path} is for swap`] : []),
    ...(path === device && children.length > 0
      ? [`${path} has parts: ${children.map((one) => one.path).join(', ')}`]
      : []),
  ]);
  return { whole: disk.path, parts: nodes.map(({ path }) => path), uses };
}

/**
 * The one device of this serial and size that was overwritten and has nothing on it any more: what is left of a disk at the
 * end of being wiped. No file system alone says nothing: a disk that a VM has raw shows none either. `undefined`: there is
 * none that can be told. Throws what the tools throw.
 */
export async function findBare(
  { lsblk, blkid }: Pick<DiskTools, 'lsblk' | 'blkid'>,
  blockDevices: Pick<BlockDevices, 'isOverwritten'>,
  { serial, sizeBytes }: Pick<FoundDisk, 'serial' | 'sizeBytes'>,
): Promise<FoundDisk | undefined> {
  const found: FoundDisk[] = [];
  for (const { listed: one, own } of eachOf(await devicesIn(lsblk)))
    if (own.serial === serial && one.size === sizeBytes && (one.children ?? []).length === 0)
      if ((await isBare(blkid, one.path)) && (await blockDevices.isOverwritten({ device: one.path, sizeBytes })))
        found.push({ ...own, device: one.path, uuid: '', fileSystem: '', label: '', sizeBytes, mounts: [] });
  return serial !== '' && found.length === 1 ? found[0] : undefined;
}

/** The one disk with this UUID. Never throws: what cannot be told is `unclear`. */
export async function findDisk(tools: DiskTools, uuid: string): Promise<DiskAnswer> {
  try {
    const found = await listDisks(tools, uuid);
    const [disk] = found;
    if (disk === undefined) return { is: 'none', text: `no disk here has the UUID ${uuid}` };
    if (found.length > 1)
      return {
        is: 'several',
        text: `several disks have the UUID ${uuid}: ${found.map((one) => one.device).join(', ')}`,
      };
    return { is: 'disk', disk };
  } catch (error) {
    return {
      is: 'unclear',
      text: `the disks cannot be told: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

/** `blkid --probe` reads the device, not its cache; it ends with 2 where nothing is found. */
export async function superblock(blkid: HostCommand, device: string): Promise<Pick<FoundDisk, 'uuid' | 'fileSystem'>> {
  const said = await probe(blkid, device);
  return { uuid: said.get('UUID') ?? '', fileSystem: said.get('TYPE') ?? '' };
}

/** Neither a file system nor a table of partitions. */
async function isBare(blkid: HostCommand, device: string): Promise<boolean> {
  const said = await probe(blkid, device);
  return !said.has('TYPE') && !said.has('PTTYPE');
}

async function probe(blkid: HostCommand, device: string): Promise<ReadonlyMap<string, string>> {
  const { code, stdout, stderr } = await blkid(['--probe', '--output', 'export', device]);
  if (code !== 0 && code !== 2) throw new Error(`blkid ended with ${code}: ${stderr.trim()}`);
  return new Map(
    stdout.split('\n').map((line): [string, string] => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

export interface FoundMount {
  /** A device, as the kernel names it. */
  readonly source: string;
  readonly fileSystem: string;
  readonly readOnly: boolean;
}

const findmntAnswer = z.object({
  filesystems: z.array(z.object({ source: z.string(), fstype: z.string(), options: z.string() })).min(1),
});

/** What is mounted at a path, oldest first. Throws what the tools throw. */
export async function mountsAt({ findmnt }: Pick<DiskTools, 'findmnt'>, path: string): Promise<readonly FoundMount[]> {
  const { code, stdout, stderr } = await findmnt([
    '--json',
    '--list',
    '--mountpoint',
    path,
    '--output',
    'SOURCE,FSTYPE,OPTIONS',
  ]);
  if (code === 1 && stdout.trim() === '') return [];
  if (code !== 0) throw new Error(`findmnt ended with ${code}: ${stderr.trim()}`);
  return findmntAnswer.parse(JSON.parse(stdout)).filesystems.map(({ source, fstype, options }) => ({
    // Of a part of a file system it says `/dev/sdb1[/part]`.
    source: source.replace(/\[.*\]$/, ''),
    fileSystem: fstype,
    readOnly: options.split(',').includes('ro'),
  }));
}
