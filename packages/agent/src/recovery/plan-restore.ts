/**
 * What comes back of a lost guest, from the config inside its backup, its record and what is left of it. Pure. The config
 * is a preview that may lie [R7]: it only decides what is asked for, and the audit compares what came with that.
 */
import type { DesiredGuest, DesiredVolume, StorageId, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { admitSpace } from '../bring-up/admission-space.ts';
import { classOfArchiveKey } from '../bring-up/archive-keys.ts';
import type { IdentityRow } from '../bring-up/identity-policy.ts';
import { identityPolicy, parseArchivedConfig } from '../bring-up/index.ts';
import { formatProperties, parseFlag } from '../guests/property-string.ts';
import { formatWithLink, freeMountKey, netKey, parseDescription, parseDisk, parseNet } from '../guests/pve-config.ts';
import type { DiskView } from '../guests/pve-config.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { StorageRow } from '../ports/proxmox.ts';

/** Plain JSON: it is journaled. */
export interface ComingBack {
  /** Of the restore call, all but the description. */
  readonly values: Readonly<Record<string, string>>;
  readonly label: string;
  /** Cannot be passed in the call: Proxmox checks tags without looking at the pool. */
  readonly tags: string;
  readonly storage: StorageId;
  /** Networks whose link was up. */
  readonly up: readonly string[];
  /** Config key of what the call restores → what desired state calls it. */
  readonly names: Readonly<Record<string, string>>;
  /** Bulk that survived: its old volume at its old place. `value` is the raw config value. */
  readonly attach: readonly AttachedBulk[];
  /** Bulk that is gone too: allocated anew, empty. */
  readonly empty: readonly DesiredVolume[];
  /** The same for people, with what could not even be allocated. */
  readonly emptied: readonly string[];
  readonly notes: readonly string[];
  readonly runs: boolean;
}

export interface AttachedBulk {
  readonly key: string;
  readonly name: string;
  readonly volid: VolumeId;
  readonly sizeGiB: number;
  readonly value: string;
}

export interface LeftOver {
  readonly archivedConfig: string;
  readonly record: GuestRecord;
  readonly desired: DesiredGuest | undefined;
  /** Root's listing: what survived. */
  readonly surviving: readonly VolumeId[];
  readonly storages: readonly StorageRow[];
  readonly allocatedBytes: ReadonlyMap<StorageId, number>;
  readonly policy: Pick<HostPolicy, 'storages' | 'limits'>;
}

export type RestoreDecision =
  | { readonly is: 'comes-back'; readonly back: ComingBack }
  | { readonly is: 'survived'; readonly volumes: readonly VolumeId[] }
  | { readonly is: 'no-room'; readonly why: string };

const gib = 1024 ** 3;
const identity: IdentityRow = identityPolicy['guest-loss'];

export function planRestore(left: LeftOver): RestoreDecision {
  const archived = parseArchivedConfig(left.archivedConfig);
  const disks = [...archived]
    .filter(([key]) => /^(?:rootfs|mp\d+)$/.test(key))
    .map(([key, value]) => parseDisk(key, value));
  const restored = disks.filter((disk) => disk.backup);
  const recordOf = (disk: DiskView) => recordOfDisk(disk, left);
  const covered = new Set(restored.flatMap((disk) => recordOf(disk)?.volid ?? []));
  const survived = left.surviving.filter((volid) => covered.has(volid));
  if (survived.length > 0) return { is: 'survived', volumes: survived };

  const placed = place(restored, recordOf, left);
  if (placed.is === 'no-room') return placed;
  const values = { ...settings(archived), ...placed.values };
  const up: string[] = [];
  for (const [key, value] of archived) {
    if (!netKey.test(key)) continue;
    const net = parseNet(key, value);
    if (!net.linkDown) up.push(key);
    const raw = new Map(parseNet(key, formatWithLink(net, 'down')).raw);
    // Proxmox knows one type and writes it itself.
    raw.delete('type');
    if (identity.mac === 'fresh') raw.delete('hwaddr');
    values[key] = formatProperties(raw);
  }
  const bulk = bulkComingBack(disks, covered, left, Object.keys(placed.values));
  const named = restored.map((disk) => [disk.key, recordOf(disk)?.name ?? nameAt(disk.path, left) ?? disk.key]);
  return {
    is: 'comes-back',
    back: {
      values,
      label: labelIn(left.archivedConfig),
      tags: archived.get('tags') ?? '',
      storage: placed.storage,
      up,
      names: Object.fromEntries(named) as Record<string, string>,
      ...bulk,
      notes: [...placed.notes, ...bulk.notes],
      runs: left.desired === undefined ? parseFlag(archived.get('onboot'), false) : left.desired.power === 'running',
    },
  };
}

/** As the guest had them. Whatever desired state wants otherwise by now, the next passes bring about. */
function settings(archived: ReadonlyMap<string, string>): Record<string, string> {
  const values: Record<string, string> = {
    hostname: archived.get('hostname') ?? '',
    memory: archived.get('memory') ?? '512',
    swap: archived.get('swap') ?? '512',
    // Last of all, after it was seen healthy: until then no reboot starts it.
    onboot: '0',
    protection: '0',
  };
  const cores = archived.get('cores');
  if (cores !== undefined) values['cores'] = cores;
  for (const [key, value] of archived) if (key !== 'tags' && classOfArchiveKey(key) === 'strip') values[key] = value;
  return values;
}

type Placed =
  | {
      readonly is: 'placed';
      readonly values: Readonly<Record<string, string>>;
      readonly storage: StorageId;
      readonly notes: readonly string[];
    }
  | { readonly is: 'no-room'; readonly why: string };

/** On the storage where it was; where that is gone or full, on the first one that takes it. Sizes never shrink. */
function place(
  disks: readonly DiskView[],
  recordOf: (disk: DiskView) => GuestRecord['volumes'][number] | undefined,
  { storages, allocatedBytes, policy }: LeftOver,
): Placed {
  const values: Record<string, string> = {};
  const notes: string[] = [];
  const demand = new Map<StorageId, number>();
  let root: StorageId | undefined;
  for (const disk of disks) {
    const sizeGiB = Math.max(Math.ceil(disk.sizeGiB ?? 1), recordOf(disk)?.sizeGiB ?? 0);
    const takes = (storage: StorageId) => {
      const bytes = (demand.get(storage) ?? 0) + sizeGiB * gib;
      return admitSpace([{ storage, bytes }], storages, allocatedBytes, policy.limits);
    };
    const candidates = [disk.storage, ...policy.storages.filter((storage) => storage !== disk.storage)];
    const storage = candidates.find((candidate) => takes(candidate).is === 'enough');
    if (storage === undefined) {
      const first = takes(disk.storage);
      return {
        is: 'no-room',
        why: `no storage takes ${disk.key} (${sizeGiB} GiB); ${disk.storage}: ${first.is === 'refused' ? first.text : ''}`,
      };
    }
    demand.set(storage, (demand.get(storage) ?? 0) + sizeGiB * gib);
    if (storage !== disk.storage) notes.push(`${disk.path} lies on ${storage} now, ${disk.storage} does not take it`);
    if (disk.key === 'rootfs') root = storage;
    const options = new Map([...disk.raw].filter(([key]) => key !== 'volume' && key !== 'size'));
    values[disk.key] = formatProperties(new Map([['volume', `${storage}:${sizeGiB}`], ...options]), 'volume');
  }
  if (root === undefined) return { is: 'no-room', why: 'the backup has no root file system' };
  return { is: 'placed', values, storage: root, notes };
}

/** Every volume on record that the backup does not hold. */
function bulkComingBack(
  disks: readonly DiskView[],
  covered: ReadonlySet<VolumeId>,
  left: LeftOver,
  taken: readonly string[],
): Pick<ComingBack, 'attach' | 'empty' | 'emptied' | 'notes'> {
  const attach: AttachedBulk[] = [];
  const empty: DesiredVolume[] = [];
  const emptied: string[] = [];
  const notes: string[] = [];
  const keys = [...taken];
  for (const volume of left.record.volumes) {
    if (volume.key === 'rootfs' || covered.has(volume.volid)) continue;
    const archivedDisk = disks.find((disk) => !disk.backup && recordOfDisk(disk, left)?.volid === volume.volid);
    const wanted = left.desired?.volumes.find(({ name }) => name === volume.name);
    const path = archivedDisk?.path ?? wanted?.path;
    const isThere = left.surviving.includes(volume.volid);
    if (path === undefined) {
      // A volume that joined after the backup and that desired state does not name: nobody knows where it was mounted.
      if (isThere) notes.push(`${volume.name} (${volume.volid}) is there and not attached: its place is not known`);
      else emptied.push(`${volume.name}: gone, and not made anew because its place is not known`);
      continue;
    }
    if (isThere) {
      const wish = archivedDisk?.key ?? volume.key;
      const key = keys.includes(wish) ? freeMountKey(keys) : wish;
      keys.push(key);
      const options = [...(archivedDisk?.raw ?? new Map([['mp', path]]))].filter(
        ([option]) => option !== 'volume' && option !== 'size',
      );
      const value = formatProperties(new Map([['volume', volume.volid], ...options]), 'volume');
      attach.push({ key, name: volume.name, volid: volume.volid, sizeGiB: volume.sizeGiB, value });
      continue;
    }
    const storage = wanted?.storage ?? storageOfVolume(volume.volid);
    const sizeGiB = Math.max(wanted?.sizeGiB ?? 0, Math.ceil(volume.sizeGiB));
    const room = admitSpace(
      [{ storage, bytes: sizeGiB * gib }],
      left.storages,
      left.allocatedBytes,
      left.policy.limits,
    );
    if (room.is === 'enough') {
      emptied.push(`${path} (${volume.name}): gone, came back empty`);
      empty.push({ name: volume.name, path, storage, sizeGiB, backup: wanted?.backup ?? false });
    } else emptied.push(`${path} (${volume.name}): gone, and not made anew: ${room.text}`);
  }
  return { attach, empty, emptied, notes };
}

/** By its volume; in a backup of an earlier incarnation by its place, as desired state names it, or by its key. */
function recordOfDisk(disk: DiskView, { record, desired }: LeftOver): GuestRecord['volumes'][number] | undefined {
  const same = record.volumes.find(({ volid }) => volid === disk.volid);
  if (same !== undefined || disk.key === 'rootfs') return same ?? record.volumes.find(({ key }) => key === 'rootfs');
  const name = desired?.volumes.find(({ path }) => path === disk.path)?.name;
  if (name !== undefined) return record.volumes.find((volume) => volume.name === name);
  return record.volumes.find(({ key }) => key === disk.key);
}

const nameAt = (path: string, { desired }: LeftOver): string | undefined =>
  desired?.volumes.find((volume) => volume.path === path)?.name;

const storageOfVolume = (volid: VolumeId): StorageId => parseDisk('mp0', volid).storage;

/** PVE keeps a description as comment lines in front, percent-encoded. */
function labelIn(config: string): string {
  const lines: string[] = [];
  for (const line of config.split('\n')) {
    if (line.startsWith('[')) break;
    if (line.startsWith('#')) lines.push(decoded(line.slice(1)));
  }
  return parseDescription(lines.join('\n')).label.slice(0, 200);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
