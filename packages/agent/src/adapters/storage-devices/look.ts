/** Mounts from `/proc/self/mountinfo`, disks from udev's database and sysfs. All three answer from memory. */
import { readFile, readdir, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import type { SeenDevices, SeenDisk } from '../../ports/storage-devices.ts';

/** Where the kernel and udev keep what they know; other places in tests. */
export interface DevicePlaces {
  readonly mountinfo: string;
  /** udev's database: one file `b<major>:<minor>` per block device, readable by all. */
  readonly udevData: string;
  /** `<major>:<minor>` of each block device that the kernel has now. */
  readonly sysBlock: string;
}

export const devicePlaces: DevicePlaces = {
  mountinfo: '/proc/self/mountinfo',
  udevData: '/run/udev/data',
  sysBlock: '/sys/dev/block',
};

interface MountLine {
  readonly device: string;
  readonly path: string;
  readonly readOnly: boolean;
  readonly fileSystem: string;
  readonly source: string;
}

interface DiskAt {
  /** `<major>:<minor>` */
  readonly number: string;
  /** Below `/dev`: what else it is called. */
  readonly links: readonly string[];
  readonly disk: SeenDisk;
}

export async function look(paths: readonly string[], places: DevicePlaces = devicePlaces): Promise<SeenDevices> {
  const [text, found] = await Promise.all([readFile(places.mountinfo, 'utf8'), disksIn(places)]);
  // Of two mounts at one path the later one lies on top.
  const top = new Map(parseMountinfo(text).map((line) => [line.path, line]));
  return {
    mounts: paths.flatMap((path) => {
      const line = top.get(path);
      if (line === undefined) return [];
      const { fileSystem, source, readOnly } = line;
      return [{ path, fileSystem, source, readOnly, disk: diskUnder(line, found) }];
    }),
    disks: found.map(({ disk }) => disk),
  };
}

/** Linux, proc(5): `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue`. */
export function parseMountinfo(text: string): readonly MountLine[] {
  return text.split('\n').flatMap((line): MountLine[] => {
    const [front, back] = line.split(' - ');
    const [, , device, , path, options] = front?.split(' ') ?? [];
    const [fileSystem, source, superOptions] = back?.split(' ') ?? [];
    if (device === undefined || path === undefined || options === undefined || fileSystem === undefined) return [];
    // A file system that met an error turns itself read-only: that stands in its own options.
    const readOnly = [options, superOptions ?? ''].some((list) => list.split(',').includes('ro'));
    return [{ device, path: unescaped(path), readOnly, fileSystem, source: unescaped(source ?? '') }];
  });
}

/** The kernel writes blanks and backslashes as `\040`. */
const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

function diskUnder({ device, source }: MountLine, found: readonly DiskAt[]): SeenDisk | undefined {
  // btrfs has a device number of its own, so there the source tells.
  const name = source.startsWith('/dev/') ? source.slice('/dev/'.length) : undefined;
  return found.find(
    ({ number, disk, links }) =>
      number === device ||
      (device.startsWith('0:') && name !== undefined && (disk.device === name || links.includes(name))),
  )?.disk;
}

async function disksIn({ udevData, sysBlock }: DevicePlaces): Promise<readonly DiskAt[]> {
  const entries = await readdir(udevData).catch(ifAbsent([]));
  const numbers = entries.filter((entry) => /^b\d+:\d+$/.test(entry)).map((entry) => entry.slice(1));
  const found = await Promise.all(
    numbers.map(async (number): Promise<DiskAt | undefined> => {
      // The kernel first: udev forgets a device that was pulled a moment later than the kernel does.
      const place = await readlink(`${sysBlock}/${number}`).catch(ifAbsent(undefined));
      const text = await readFile(`${udevData}/b${number}`, 'utf8').catch(ifAbsent(undefined));
      if (place === undefined || text === undefined) return undefined;
      const { properties, links } = parseUdev(text);
      const uuid = properties.get('ID_FS_UUID');
      const fileSystem = properties.get('ID_FS_TYPE');
      if (uuid === undefined || fileSystem === undefined || properties.get('ID_FS_USAGE') === 'crypto')
        return undefined;
      const serials = serialKeys.flatMap((key) => properties.get(key) ?? []);
      const appearance = `${number} ${await sequenceOf(`${sysBlock}/${number}`)}`;
      return { number, links, disk: { device: basename(place), uuid, fileSystem, serials, appearance } };
    }),
  );
  return found.filter((each) => each !== undefined).toSorted((a, b) => (a.disk.device < b.disk.device ? -1 : 1));
}

const serialKeys = ['ID_SERIAL_SHORT', 'ID_SCSI_SERIAL', 'SCSI_IDENT_SERIAL', 'ID_SERIAL'];

/** `S:disk/by-uuid/…` are links below `/dev`, `E:KEY=value` what its rules found. */
export function parseUdev(text: string): {
  readonly properties: ReadonlyMap<string, string>;
  readonly links: readonly string[];
} {
  const lines = text.split('\n');
  return {
    properties: new Map(
      lines.flatMap((line): [string, string][] => {
        const [, key, value] = /^E:([^=]+)=(.*)$/.exec(line) ?? [];
        return key === undefined || value === undefined ? [] : [[key, value]];
      }),
    ),
    links: lines.filter((line) => line.startsWith('S:')).map((line) => line.slice(2)),
  };
}

/** Linux 5.15: `diskseq` goes up with every disk that appears, and a partition's is its disk's. */
async function sequenceOf(place: string): Promise<string> {
  for (const file of [`${place}/diskseq`, `${place}/../diskseq`]) {
    const text = await readFile(file, 'utf8').catch(ifAbsent(undefined));
    if (text !== undefined) return text.trim();
  }
  return '0';
}

/** Whatever is read here may be gone between two reads. */
const ifAbsent =
  <T>(value: T) =>
  (error: unknown): T => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO' || code === 'EACCES') return value;
    throw error;
  };
