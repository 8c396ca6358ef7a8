// Names of volumes and archives, as Proxmox reads and writes them. Everything here is pure.

/** Offset of the node's local time from UTC in minutes, at an instant. Archive names are in local time. */
export type LocalOffset = (atMs: number) => number;

/** A node that keeps its clock in UTC. */
export const utc: LocalOffset = () => 0;

const pad = (value: number, width = 2) => String(value).padStart(width, '0');

function localParts(atMs: number, offset: LocalOffset) {
  const local = new Date(atMs + offset(atMs) * 60_000);
  return {
    date: [pad(local.getUTCFullYear(), 4), pad(local.getUTCMonth() + 1), pad(local.getUTCDate())],
    time: [pad(local.getUTCHours()), pad(local.getUTCMinutes()), pad(local.getUTCSeconds())],
  };
}

/** `2026-11-23 23:14:24` in local time: how vzdump logs an instant. */
export function localStamp(atMs: number, offset: LocalOffset): string {
  const { date, time } = localParts(atMs, offset);
  return `${date.join('-')} ${time.join(':')}`;
}

/** `vzdump-lxc-100-2026_11_23-23_14_24`, without the extension. PVE: VZDump.pm. */
export function archiveBase(vmid: number, atMs: number, offset: LocalOffset): string {
  const { date, time } = localParts(atMs, offset);
  return `vzdump-lxc-${vmid}-${date.join('_')}-${time.join('_')}`;
}

/** The `compress` parameter of vzdump and the suffix that it gives the archive. */
export const suffixOf = { '0': '.tar', '1': '.tar.lzo', lzo: '.tar.lzo', gzip: '.tar.gz', zstd: '.tar.zst' } as const;
export type Compress = keyof typeof suffixOf;

export interface ArchiveName {
  readonly format: string;
  /** Absent for a renamed archive: Proxmox then neither prunes it nor knows an owner. */
  readonly vmid?: number;
  readonly subtype?: 'lxc' | 'qemu';
  /** Unix seconds, read back from the local time in the name. */
  readonly ctime?: number;
}

const archivePattern = /^[^/]+?\.(tgz|(?:tar|vma)(?:\.(?:zst|gz|lzo|bz2))?)$/;
const standardPattern = /^vzdump-(lxc|openvz|qemu)-([1-9]\d{2,8})-(\d{4})_(\d{2})_(\d{2})-(\d{2})_(\d{2})_(\d{2})\./;

/** What the file name of a backup says; undefined when it is not the name of a backup. PVE: Storage.pm archive_info. */
export function parseArchiveName(file: string, offset: LocalOffset): ArchiveName | undefined {
  const format = archivePattern.exec(file)?.[1];
  if (format === undefined) return undefined;
  const standard = standardPattern.exec(file);
  if (standard === null) return { format };
  const [, type, vmid, ...fields] = standard;
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = fields.map(Number);
  const asUtc = Date.UTC(year, month - 1, day, hour, minute, second);
  const guess = asUtc - offset(asUtc) * 60_000;
  const atMs = asUtc - offset(guess) * 60_000;
  return { format, vmid: Number(vmid), subtype: type === 'qemu' ? 'qemu' : 'lxc', ctime: Math.floor(atMs / 1000) };
}

/** A PBS snapshot `ct/{vmid}/{RFC 3339 UTC}`. */
export function parsePbsName(name: string): ArchiveName | undefined {
  const match = /^(ct|vm)\/([1-9]\d{2,8})\/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/.exec(name);
  if (match === null) return undefined;
  const at = Date.parse(match[3] ?? '');
  if (Number.isNaN(at)) return undefined;
  return {
    format: match[1] === 'vm' ? 'pbs-vm' : 'pbs-ct',
    vmid: Number(match[2]),
    subtype: match[1] === 'vm' ? 'qemu' : 'lxc',
    ctime: at / 1000,
  };
}

export function pbsName(vmid: number, atMs: number): string {
  return `ct/${vmid}/${new Date(atMs).toISOString().replace(/\.\d{3}Z$/, 'Z')}`;
}

export interface VolumeId {
  readonly storage: string;
  /** Everything behind the first colon. */
  readonly name: string;
}

/** `store:anything`; undefined when it has no storage part. PVE: Storage.pm parse_volume_id. */
export function splitVolid(volid: string): VolumeId | undefined {
  const match = /^([a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]):(.+)$/s.exec(volid);
  return match === null ? undefined : { storage: match[1] ?? '', name: match[2] ?? '' };
}

/** A container disk: its owner, number and form. */
export interface DiskName {
  readonly vmid: number;
  readonly format: 'raw' | 'subvol';
  /** Path below the storage, as it stands in the volume id. */
  readonly name: string;
}

/** How a storage type lays out container disks. */
export type Layout = 'directory' | 'lvm' | 'zfs';

/**
 * `100/vm-100-disk-0.raw`, `100/subvol-100-disk-1.subvol` (directories), `vm-100-disk-0` (LVM), `subvol-100-disk-0`
 * (ZFS). Undefined when the text has another form. PVE: parse_volname of the plugins.
 */
export function parseDiskName(layout: Layout, name: string): DiskName | undefined {
  const forms = {
    directory: /^(?<dir>\d+)\/(?:vm-(?<raw>\d+)-[^/\s]+\.raw|subvol-(?<subvol>\d+)-[^/\s]+\.subvol)$/,
    lvm: /^vm-(?<raw>\d+)-[^/\s@]+$/,
    zfs: /^(?:vm-(?<raw>\d+)|subvol-(?<subvol>\d+))-[^/\s@]+$/,
  } satisfies Record<Layout, RegExp>;
  const groups = forms[layout].exec(name)?.groups;
  if (groups === undefined) return undefined;
  const vmid = groups['raw'] ?? groups['subvol'];
  if (vmid === undefined || (layout === 'directory' && groups['dir'] !== vmid)) return undefined;
  return { vmid: Number(vmid), format: groups['raw'] === undefined ? 'subvol' : 'raw', name };
}

/** The name of a new container disk: the lowest number that no disk of this guest has. PVE: get_next_vm_diskname. */
export function nextDiskName(layout: Layout, vmid: number, format: 'raw' | 'subvol', taken: readonly string[]): string {
  const numbers = new Set<number>();
  for (const name of taken) {
    const [, owner, number] = /(?:vm|subvol)-(\d+)-disk-(\d+)(?:\.|$)/.exec(name) ?? [];
    if (Number(owner) === vmid) numbers.add(Number(number));
  }
  let n = 0;
  while (numbers.has(n)) n += 1;
  const stem = `${format === 'raw' ? 'vm' : 'subvol'}-${vmid}-disk-${n}`;
  return layout === 'directory' ? `${vmid}/${stem}.${format}` : stem;
}
