/**
 * A guest's Proxmox config as the agent understands it, and back. Pure. Raw Proxmox keys are spelled here and in the
 * two audits of archives; the rest of these rooms talks about networks, disks and sizes.
 */
import type { DesiredGuest, DesiredNetwork, DesiredVolume, GuestUid, StorageId, VolumeId } from '@felhom/protocol';
import type { GuestConfigView } from '../ports/proxmox.ts';
import { markerLine } from '../authority/guest-record.ts';
import { parseMarker } from '../authority/identity.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { formatProperties, parseFlag, parseProperties, parseSizeGiB } from './property-string.ts';
import type { Properties } from './property-string.ts';

export interface MarkerView {
  readonly uid: GuestUid;
  readonly incarnation: number;
  readonly marker: string;
}

export interface NetView {
  /** Config key, `net0` … */
  readonly key: string;
  /** Interface name inside the guest. */
  readonly name: string;
  readonly bridge: string | undefined;
  readonly mac: string | undefined;
  readonly vlan: number | undefined;
  /** `dhcp`, `manual`, an address with prefix, or absent. */
  readonly ip: string | undefined;
  readonly gateway: string | undefined;
  readonly firewall: boolean;
  readonly linkDown: boolean;
  readonly raw: Properties;
}

export interface DiskView {
  /** `rootfs`, `mp0` … */
  readonly key: string;
  readonly volid: VolumeId;
  readonly storage: StorageId;
  readonly sizeGiB: number | undefined;
  /** Mount path; `/` for rootfs. */
  readonly path: string;
  readonly backup: boolean;
  readonly raw: Properties;
}

export interface GuestView {
  readonly digest: string;
  readonly lock: string | undefined;
  readonly hostname: string | undefined;
  /** Absent means all of the node's. */
  readonly cores: number | undefined;
  readonly memoryMiB: number;
  readonly swapMiB: number;
  readonly onboot: boolean;
  readonly protection: boolean;
  /** Lower case, sorted, without repetition: Proxmox keeps them as a set. */
  readonly tags: readonly string[];
  readonly marker: MarkerView | undefined;
  readonly label: string;
  readonly startupOrder: number | undefined;
  readonly timezone: string | undefined;
  readonly nameservers: readonly string[];
  readonly networks: readonly NetView[];
  readonly disks: readonly DiskView[];
  readonly unused: readonly VolumeId[];
  /** All keys as they stand in the config, for removing by name what the audit of an archive found. */
  readonly rawKeys: readonly string[];
}

/** PVE: LXC/Config.pm defaults of memory and swap. */
const absentMemoryMiB = 512;

export function viewOf(config: GuestConfigView): GuestView {
  const { values } = config;
  const description = parseDescription(values['description'] ?? '');
  const keys = Object.keys(values).toSorted(byKey);
  const order = parseProperties(values['startup'] ?? '', 'order').get('order');
  return {
    digest: config.digest,
    lock: config.lock,
    hostname: values['hostname'],
    cores: values['cores'] === undefined ? undefined : Number(values['cores']),
    memoryMiB: Number(values['memory'] ?? absentMemoryMiB),
    swapMiB: Number(values['swap'] ?? absentMemoryMiB),
    onboot: parseFlag(values['onboot'], false),
    protection: parseFlag(values['protection'], false),
    tags: parseTags(values['tags'] ?? ''),
    marker: description.marker,
    label: description.label,
    startupOrder: order === undefined || order === 'any' ? undefined : Number(order),
    timezone: values['timezone'],
    nameservers: (values['nameserver'] ?? '').split(/[\s,;]+/).filter((address) => address !== ''),
    networks: keys.filter((key) => netKey.test(key)).map((key) => parseNet(key, values[key] ?? '')),
    disks: keys.filter((key) => diskKey.test(key)).map((key) => parseDisk(key, values[key] ?? '')),
    unused: keys.filter((key) => /^unused\d+$/.test(key)).map((key) => (values[key] ?? '') as VolumeId),
    rawKeys: keys,
  };
}

export const netKey = /^net\d+$/;
export const diskKey = /^(?:rootfs|mp\d+)$/;

/** rootfs before mp0, net2 before net10. */
function byKey(a: string, b: string): number {
  return rankOfKey(a) - rankOfKey(b) || (a < b ? -1 : a > b ? 1 : 0);
}

const rankOfKey = (key: string): number => (key === 'rootfs' ? -1 : Number(/\d+$/.exec(key)?.[0] ?? 0));

export function parseNet(key: string, text: string): NetView {
  const raw = parseProperties(text);
  const vlan = raw.get('tag');
  return {
    key,
    name: raw.get('name') ?? '',
    bridge: raw.get('bridge'),
    mac: raw.get('hwaddr')?.toUpperCase(),
    vlan: vlan === undefined ? undefined : Number(vlan),
    ip: raw.get('ip'),
    gateway: raw.get('gw'),
    firewall: parseFlag(raw.get('firewall'), false),
    linkDown: parseFlag(raw.get('link_down'), false),
    raw,
  };
}

/**
 * Without a MAC Proxmox draws a new random one on every write, also of the same content, so it is echoed wherever the
 * guest already has one.
 */
export function formatNet(
  network: DesiredNetwork,
  options: { readonly mac: string | undefined; readonly linkDown: boolean },
): string {
  const parts = new Map<string, string>([
    ['name', network.name],
    ['bridge', network.bridge],
  ]);
  if (options.mac !== undefined) parts.set('hwaddr', options.mac);
  if (network.ipv4 === 'dhcp') parts.set('ip', 'dhcp');
  else {
    if (network.ipv4.gateway !== undefined) parts.set('gw', network.ipv4.gateway);
    parts.set('ip', network.ipv4.address);
  }
  if (network.firewall) parts.set('firewall', '1');
  if (network.vlan !== undefined) parts.set('tag', String(network.vlan));
  if (options.linkDown) parts.set('link_down', '1');
  return formatProperties(parts);
}

/**
 * A present line with another network on it: MAC, rate, MTU and whatever else somebody put there stay. The link is up,
 * because that is what is asked for.
 */
export function formatNetOnto(net: NetView, network: DesiredNetwork): string {
  const parts = new Map(net.raw);
  const put = (key: string, value: string | undefined): void =>
    void (value === undefined ? parts.delete(key) : parts.set(key, value));
  put('name', network.name);
  put('bridge', network.bridge);
  put('tag', network.vlan === undefined ? undefined : String(network.vlan));
  put('ip', network.ipv4 === 'dhcp' ? 'dhcp' : network.ipv4.address);
  put('gw', network.ipv4 === 'dhcp' ? undefined : network.ipv4.gateway);
  put('firewall', network.firewall ? '1' : undefined);
  put('link_down', undefined);
  return formatProperties(parts);
}

/** The same interface with its link down or up. */
export function formatWithLink(net: NetView, link: 'up' | 'down'): string {
  const parts = new Map(net.raw);
  if (link === 'down') parts.set('link_down', '1');
  else parts.delete('link_down');
  return formatProperties(parts);
}

/** `eth3` lives under `net3`: one stable place per name, whatever order desired state lists them in. */
export function keyOfNetwork(network: Pick<DesiredNetwork, 'name'>): string {
  return `net${network.name.slice('eth'.length)}`;
}

/** A network that exists only to override one of the archive: link down, no address, removed before the first start. */
export function formatNetPlaceholder(key: string, bridge: string): string {
  return `name=eth${key.slice('net'.length)},bridge=${bridge},link_down=1`;
}

/** How a network compares: MAC and key order are not part of it. Also the text people see. */
export function describeNet(
  net: Pick<NetView, 'bridge' | 'vlan' | 'ip' | 'gateway' | 'firewall' | 'linkDown'>,
): string {
  const parts = [`bridge ${net.bridge ?? 'none'}`];
  if (net.vlan !== undefined) parts.push(`vlan ${net.vlan}`);
  parts.push(net.ip ?? 'no address');
  if (net.gateway !== undefined) parts.push(`via ${net.gateway}`);
  parts.push(net.firewall ? 'firewall on' : 'firewall off');
  if (net.linkDown) parts.push('link down');
  return parts.join(', ');
}

export function describeDesiredNet(network: DesiredNetwork): string {
  return describeNet({
    bridge: network.bridge,
    vlan: network.vlan,
    ip: network.ipv4 === 'dhcp' ? 'dhcp' : network.ipv4.address,
    gateway: network.ipv4 === 'dhcp' ? undefined : network.ipv4.gateway,
    firewall: network.firewall,
    linkDown: false,
  });
}

export function parseDisk(key: string, text: string): DiskView {
  const raw = parseProperties(text, 'volume');
  const volid = (raw.get('volume') ?? '') as VolumeId;
  return {
    key,
    volid,
    storage: storageOf(volid),
    sizeGiB: parseSizeGiB(raw.get('size')),
    path: key === 'rootfs' ? '/' : (raw.get('mp') ?? ''),
    // PVE: an mp without `backup` is left out of backups; rootfs never is.
    backup: key === 'rootfs' || parseFlag(raw.get('backup'), false),
    raw,
  };
}

export function storageOf(volid: VolumeId): StorageId {
  return volid.slice(0, Math.max(0, volid.indexOf(':'))) as StorageId;
}

/** Whether the text names a volume of a storage, and neither a host path nor a device. */
export function isVolumeId(text: string): boolean {
  return /^[a-zA-Z][a-zA-Z0-9._-]*:[^/\s]\S*$/.test(text);
}

/** Value that allocates a new volume. */
export function formatNewVolume(volume: DesiredVolume): string {
  return `${volume.storage}:${volume.sizeGiB},mp=${volume.path},backup=${volume.backup ? 1 : 0}`;
}

/** The same disk, with backups switched on. */
export function formatWithBackup(disk: DiskView): string {
  return formatProperties(new Map(disk.raw).set('backup', '1'), 'volume');
}

/** The same disk, left out of backups from now on. */
export function formatWithoutBackup(disk: DiskView): string {
  return formatProperties(new Map(disk.raw).set('backup', '0'), 'volume');
}

/** The same disk at another place inside the guest. */
export function formatAtPath(disk: DiskView, path: string): string {
  return formatProperties(new Map(disk.raw).set('mp', path), 'volume');
}

/** The first `mpN` that neither the config nor its unused entries occupy. */
export function freeMountKey(taken: Iterable<string>): string {
  const keys = new Set(taken);
  for (let n = 0; ; n++) if (!keys.has(`mp${n}`)) return `mp${n}`;
}

export function parseTags(text: string): readonly string[] {
  const tags = text
    .split(/[;,\s]+/)
    .map((tag) => tag.toLowerCase())
    .filter((tag) => tag !== '');
  return [...new Set(tags)].toSorted();
}

export function formatTags(tags: readonly string[]): string {
  return parseTags(tags.join(';')).join(';');
}

/**
 * Proxmox answers with a trailing newline that nobody wrote. Which line is the marker, and that two are none, is the
 * authority's to say.
 */
export function parseDescription(text: string): { readonly marker: MarkerView | undefined; readonly label: string } {
  const found = parseMarker(text);
  const lines = text.split('\n').map((line) => line.trimEnd());
  if (found.is === 'missing') return { marker: undefined, label: lines.join('\n').trim() };
  const label = lines.filter((line) => !line.trim().startsWith('felhom:')).join('\n');
  return {
    marker: { uid: found.uid as GuestUid, incarnation: found.incarnation, marker: found.n },
    label: label.trim(),
  };
}

/** A label as it can be written: no line of it may be taken for a marker, which would hide the real one. */
export function writableLabel(label: string): string {
  const lines = label.split(/\r?\n/).map((line) => line.trimEnd().replace(/^\s*(?=felhom:)/, '> '));
  return lines.join('\n').trim();
}

export function formatDescription(record: Pick<GuestRecord, 'uid' | 'incarnation' | 'marker'>, label: string): string {
  const line = markerLine(record);
  const text = writableLabel(label);
  return text === '' ? line : `${line}\n${text}`;
}

/** What one write of a config changes, in words of desired state. */
export interface SettingsChange {
  readonly cores?: number;
  readonly memoryMiB?: number;
  readonly swapMiB?: number;
  readonly onboot?: boolean;
  readonly hostname?: string;
  readonly tags?: readonly string[];
  readonly label?: string;
  readonly startupOrder?: number | null;
  readonly timezone?: string | null;
  /** Config key of a mount whose backups are switched on. */
  readonly backupOn?: string;
  readonly repairMarker?: true;
}

export interface RawChange {
  readonly set: Readonly<Record<string, string>>;
  readonly delete: readonly string[];
}

/** The writes that a change needs on this guest as it is; empty when it is so already. */
export function settingsToRaw(
  view: GuestView,
  record: Pick<GuestRecord, 'uid' | 'incarnation' | 'marker'>,
  change: SettingsChange,
): RawChange {
  const set: Record<string, string> = {};
  const remove: string[] = [];
  if (change.cores !== undefined && change.cores !== view.cores) set['cores'] = String(change.cores);
  if (change.memoryMiB !== undefined && change.memoryMiB !== view.memoryMiB) set['memory'] = String(change.memoryMiB);
  if (change.swapMiB !== undefined && change.swapMiB !== view.swapMiB) set['swap'] = String(change.swapMiB);
  if (change.onboot !== undefined && change.onboot !== view.onboot) set['onboot'] = change.onboot ? '1' : '0';
  if (change.hostname !== undefined && change.hostname !== view.hostname) set['hostname'] = change.hostname;
  if (change.tags !== undefined && formatTags(change.tags) !== formatTags(view.tags))
    if (change.tags.length === 0) remove.push('tags');
    else set['tags'] = formatTags(change.tags);
  const label = writableLabel(change.label ?? view.label);
  const markerWrong = view.marker === undefined || markerLine(view.marker) !== markerLine(record);
  if (label !== view.label || (change.repairMarker === true && markerWrong))
    set['description'] = formatDescription(record, label);
  if (change.startupOrder !== undefined && change.startupOrder !== (view.startupOrder ?? null))
    if (change.startupOrder === null) remove.push('startup');
    else set['startup'] = `order=${change.startupOrder}`;
  if (change.timezone !== undefined && change.timezone !== (view.timezone ?? null))
    if (change.timezone === null) remove.push('timezone');
    else set['timezone'] = change.timezone;
  const disk = view.disks.find((candidate) => candidate.key === change.backupOn);
  if (disk !== undefined && !disk.backup) set[disk.key] = formatWithBackup(disk);
  return { set, delete: remove };
}

/** A write that changes nothing: what the guest is already. */
export const harmlessWrite = (view: GuestView): RawChange => ({
  set: { onboot: view.onboot ? '1' : '0' },
  delete: [],
});

export const changesNothing = (change: RawChange): boolean =>
  Object.keys(change.set).length === 0 && change.delete.length === 0;

/** Everything of a desired guest that is one plain setting. */
export function settingsOf(desired: DesiredGuest): SettingsChange {
  return {
    cores: desired.cores,
    memoryMiB: desired.memoryMiB,
    swapMiB: desired.swapMiB,
    hostname: desired.hostname,
    tags: desired.tags,
    label: desired.label,
    startupOrder: desired.startup?.order ?? null,
    timezone: desired.timezone ?? null,
  };
}
