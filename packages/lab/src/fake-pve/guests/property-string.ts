// Property strings (`name=eth0,bridge=vmbr0`) and the sizes inside them.
// Format errors of parameters are caught by the schema before a handler runs; what is parsed here is well-formed or
// comes from a config file, so parsing is lenient and printing is exact: Proxmox reprints what it stores.
import type { FakeRandom } from '../core.ts';
import { PveError } from '../core.ts';

const GIB = 1024 ** 3;

/** `store:SIZE`, an order to allocate SIZE GiB, as opposed to an existing volume. PVE: LXC.pm NEW_DISK_RE. */
export function newDiskOf(volume: string): { storage: string; gib: number } | undefined {
  const match = /^([^:\s]+):(\d+(?:\.\d+)?)$/.exec(volume);
  return match ? { storage: match[1] ?? '', gib: Number(match[2]) } : undefined;
}

export function parseProperties(text: string, defaultKey?: string): Map<string, string> {
  const properties = new Map<string, string>();
  for (const part of text.split(',')) {
    const equals = part.indexOf('=');
    if (equals > 0) properties.set(part.slice(0, equals), part.slice(equals + 1));
    else if (defaultKey !== undefined && part !== '') properties.set(defaultKey, part);
  }
  return properties;
}

/** The keys of `first` lead, the rest follows in alphabetical order; the default key is printed bare. */
export function printProperties(
  properties: ReadonlyMap<string, string>,
  first: readonly string[],
  defaultKey?: string,
): string {
  const rest = [...properties.keys()].filter((key) => !first.includes(key)).toSorted();
  return [...first.filter((key) => properties.has(key)), ...rest]
    .map((key) => (key === defaultKey ? (properties.get(key) ?? '') : `${key}=${properties.get(key) ?? ''}`))
    .join(',');
}

/** Bytes of `8G`, `512M`, `1.5T` or a bare number of bytes; `undefined` for anything else. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGT])?$/.exec(text);
  if (!match) return undefined;
  const power = match[2] === undefined ? 0 : 'KMGT'.indexOf(match[2]) + 1;
  return Math.floor(Number(match[1]) * 1024 ** power);
}

/** The largest unit that divides the size exactly, so 1.5 GiB is `1536M` and nothing is `0T`. PVE: format_size. */
export function formatSize(bytes: number): string {
  let size = Math.floor(bytes);
  for (const unit of ['', 'K', 'M', 'G']) {
    if (size % 1024 !== 0) return `${size}${unit}`;
    size /= 1024;
  }
  return `${size}T`;
}

// ------------------------------------------------------------------------------------------------- mount points

export type MountKind = 'volume' | 'bind' | 'device';

export interface MountPoint {
  readonly kind: MountKind;
  /** Volume id, `store:SIZE`, or a host path. */
  readonly volume: string;
  /** Path in the guest; `/` for rootfs. */
  readonly path: string;
  readonly sizeBytes: number | undefined;
  readonly backup: boolean;
  readonly options: ReadonlyMap<string, string>;
}

/** An absent value fails as in Proxmox: 500 "format error" with an `errors` object (PVE: parse_volume on resize). */
export function parseMountPoint(key: string, value: string | undefined): MountPoint {
  const options = parseProperties(value ?? '', 'volume');
  const volume = options.get('volume');
  const path = key === 'rootfs' ? '/' : options.get('mp');
  if (volume === undefined || path === undefined) {
    const missing = 'property is missing and it is not optional';
    throw new PveError(500, 'format error', {
      ...(volume === undefined ? { volume: missing } : {}),
      ...(path === undefined ? { mp: missing } : {}),
    });
  }
  const kind = volume.startsWith('/dev/') ? 'device' : volume.startsWith('/') ? 'bind' : 'volume';
  const size = options.get('size');
  return {
    kind,
    volume,
    path,
    sizeBytes: size === undefined ? undefined : parseSize(size),
    backup: key === 'rootfs' || isTrue(options.get('backup')),
    options,
  };
}

/** The same mount point on another volume; `undefined` keeps what is there. */
export function printMountPoint(
  mount: MountPoint,
  change: { volume?: string; sizeBytes?: number | undefined } = {},
): string {
  const options = new Map(mount.options);
  if (change.volume !== undefined) options.set('volume', change.volume);
  if (change.sizeBytes !== undefined) options.set('size', formatSize(change.sizeBytes));
  return printProperties(options, ['volume', 'mp'], 'volume');
}

export function gibToKiB(gib: number): number {
  return Math.floor(gib * 1024 * 1024);
}

export function bytesToGib(bytes: number): number {
  return bytes / GIB;
}

// ------------------------------------------------------------------------------------------------------ network

/** A random unicast address in the default prefix. PVE: random_ether_addr with datacenter.cfg's mac_prefix. */
export function randomMac(random: FakeRandom): string {
  const octet = (): string => random.int(256).toString(16).toUpperCase().padStart(2, '0');
  return `BC:24:11:${octet()}:${octet()}:${octet()}`;
}

/** How Proxmox reprints a network device: type and, where it is missing, a random MAC are added. */
export function normaliseNetwork(value: string, random: FakeRandom, options: { freshMac?: boolean } = {}): string {
  const net = parseProperties(value, 'name');
  net.set('type', 'veth');
  if (options.freshMac === true || !net.has('hwaddr')) net.set('hwaddr', randomMac(random));
  return printProperties(net, ['name']);
}

export function bridgeOf(value: string): string {
  return parseProperties(value).get('bridge') ?? '';
}

// ----------------------------------------------------------------------------------------------- features, tags

/** Flags that differ between two feature strings; `undefined` is "no features at all". */
export function changedFeatures(before: string | undefined, after: string | undefined): Set<string> {
  const old = parseFeatures(before);
  const wanted = parseFeatures(after);
  return new Set(
    [...old.keys(), ...wanted.keys()].filter((flag) => (old.get(flag) ?? '') !== (wanted.get(flag) ?? '')),
  );
}

/** `nesting=yes` is `nesting=1`. */
function parseFeatures(text: string | undefined): Map<string, string> {
  const flagOf = (name: string, value: string): string => (name === 'mount' ? value : isTrue(value) ? '1' : '0');
  return new Map([...parseProperties(text ?? '')].map(([name, value]) => [name, flagOf(name, value)]));
}

/** Lower case, sorted, unique, joined by `;`. PVE: GuestHelpers get_unique_tags under the default tag style. */
export function normaliseTags(value: string): string {
  const tags = value
    .toLowerCase()
    .split(/[,;\s]+/)
    .filter((tag) => tag !== '');
  return [...new Set(tags)].toSorted().join(';');
}

export function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 'on', 'yes', 'true'].includes(value.toLowerCase());
}
