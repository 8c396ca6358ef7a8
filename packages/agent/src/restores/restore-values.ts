/**
 * The restore call of a guest that comes back beside itself: everything that is a setting comes from the guest as it is
 * today, everything that is content from the backup [R30]. Pure.
 */
import { reason } from '@felhom/protocol';
import type { Reason, StorageId, VolumeId } from '@felhom/protocol';
import { parseArchivedConfig } from '../bring-up/index.ts';
import type { Marker } from '../guests/settle.ts';
import { formatProperties } from '../guests/property-string.ts';
import {
  diskKey,
  formatDescription,
  formatNetPlaceholder,
  formatTags,
  netKey,
  parseDisk,
  parseNet,
  storageOf,
  viewOf,
} from '../guests/pve-config.ts';
import type { DiskView, GuestView, NetView, RawChange } from '../guests/pve-config.ts';
import type { GuestConfigView } from '../ports/proxmox.ts';
import { bulkOf } from './carry-plan.ts';

/** What the image decides: Proxmox takes it from the archive, and the audit looks at it. */
const ofTheImage = new Set(['arch', 'ostype', 'unprivileged', 'features']);
/** Passed in the call by rules of their own. */
const inTheCall = new Set([
  'hostname',
  'cores',
  'memory',
  'swap',
  'description',
  'onboot',
  'protection',
  'env',
  'tags',
]);
/** Passed in the call as they are. */
const asTheyAre = [
  'startup',
  'timezone',
  'nameserver',
  'searchdomain',
  'cpulimit',
  'cpuunits',
  'cmode',
  'console',
  'tty',
] as const;

/** Plain JSON: journaled before the call. */
export interface AsidePlan {
  /** Raw values of the call, all but the description, which holds the marker. */
  readonly values: Readonly<Record<string, string>>;
  readonly label: string;
  /** Written afterwards: in the call Proxmox checks them without looking at the pool. */
  readonly tags: readonly string[];
  /** Networks of the archive that the guest does not have any more. */
  readonly surplusNetworks: readonly string[];
  /** GiB per storage. */
  readonly room: readonly { readonly storage: StorageId; readonly sizeGiB: number }[];
}

export type AsideVerdict =
  { readonly is: 'possible'; readonly plan: AsidePlan } | { readonly is: 'refused'; readonly why: Reason };

export function asidePlan(name: string, live: GuestConfigView, archivedConfig: string): AsideVerdict {
  const no = (text: string): AsideVerdict => ({
    is: 'refused',
    why: reason('restore.refused', `cannot restore guest ${name} beside itself: ${text}`),
  });
  const view = viewOf(live);
  const archived = parseArchivedConfig(archivedConfig);
  const odd = Object.keys(live.values).filter(
    (key) =>
      !ofTheImage.has(key) &&
      !inTheCall.has(key) &&
      !(asTheyAre as readonly string[]).includes(key) &&
      !netKey.test(key) &&
      !diskKey.test(key),
  );
  if (odd.length > 0)
    return no(`its config has ${odd.join(', ')}, which the restored guest would not have; take it out first`);
  const kept = view.disks.filter((disk) => disk.backup);
  const inBackup = [...archived].filter(([key]) => diskKey.test(key)).map(([key, value]) => parseDisk(key, value));
  const problem = unlike(kept, inBackup);
  if (problem !== undefined) return no(problem);
  if (live.values['cores'] === undefined && archived.has('cores'))
    return no('it has all cores of the node and its backup does not; give it a number of cores first');
  const values: Record<string, string> = {
    hostname: live.values['hostname'] ?? name,
    ...(live.values['cores'] === undefined ? {} : { cores: live.values['cores'] }),
    memory: String(view.memoryMiB),
    swap: String(view.swapMiB),
    onboot: '0',
    protection: '0',
  };
  const room: { storage: StorageId; sizeGiB: number }[] = [];
  for (const disk of kept) {
    const sizeGiB = Math.max(disk.sizeGiB ?? 0, inBackup.find(({ key }) => key === disk.key)?.sizeGiB ?? 0);
    room.push({ storage: storageOf(disk.volid), sizeGiB });
    values[disk.key] = asNew(disk, sizeGiB);
  }
  for (const net of view.networks) values[net.key] = shut(net);
  const surplusNetworks = [...archived.keys()].filter(
    (key) => netKey.test(key) && !view.networks.some((net) => net.key === key),
  );
  const bridge = view.networks[0]?.bridge ?? parseNet('net0', archived.get(surplusNetworks[0] ?? '') ?? '').bridge;
  for (const key of surplusNetworks) values[key] = formatNetPlaceholder(key, bridge ?? '');
  for (const key of asTheyAre) {
    const value = live.values[key];
    if (value !== undefined) values[key] = value;
  }
  return { is: 'possible', plan: { values, label: view.label, tags: view.tags, surplusNetworks, room } };
}

/**
 * Volumes are told by their place: a mount of the backup that the guest has no volume for would be unpacked into its
 * root file system, and one that the backup does not hold would come back empty.
 */
function unlike(kept: readonly DiskView[], inBackup: readonly DiskView[]): string | undefined {
  for (const disk of kept) {
    const same = inBackup.find(({ key }) => key === disk.key);
    if (same === undefined || !same.backup || same.path !== disk.path)
      return `its backup does not hold ${disk.path} (${disk.key}), which would come back empty; restore as a copy`;
  }
  const surplus = inBackup.find((disk) => disk.backup && !kept.some(({ key }) => key === disk.key));
  return surplus === undefined
    ? undefined
    : `its backup holds ${surplus.path}, for which it has no volume any more; restore as a copy`;
}

function asNew(disk: DiskView, sizeGiB: number): string {
  const raw = new Map(disk.raw);
  raw.delete('size');
  return formatProperties(raw.set('volume', `${disk.storage}:${sizeGiB}`), 'volume');
}

/** With its MAC, which nobody hears as long as the link is down. `type` has one value and Proxmox adds it itself. */
function shut(net: NetView): string {
  const raw = new Map(net.raw);
  raw.delete('type');
  return formatProperties(raw.set('link_down', '1'));
}

export const callValues = (plan: AsidePlan, marker: Marker): Readonly<Record<string, string>> => ({
  ...plan.values,
  description: formatDescription(marker, plan.label),
});

/** What the restored config still lacks or has too much; the archive's own settings are nobody's any more. */
export function missingAfter(plan: AsidePlan, strips: readonly string[], view: GuestView): RawChange {
  const tags = formatTags(plan.tags);
  const set = tags !== '' && formatTags(view.tags) !== tags ? { tags } : {};
  const surplus = [...strips, ...plan.surplusNetworks].filter(
    (key) => view.rawKeys.includes(key) && (key !== 'tags' || tags === ''),
  );
  return { set, delete: [...new Set(surplus)] };
}

/** Everything that a restore frees in the end, of a guest as it is: its volumes without its bulk. */
export const lossOfView = (live: GuestConfigView): readonly VolumeId[] => {
  const view = viewOf(live);
  const bulk = new Set(bulkOf(view).map(({ volid }) => volid));
  return view.disks.map(({ volid }) => volid).filter((volid) => !bulk.has(volid));
};
