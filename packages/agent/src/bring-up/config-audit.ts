/**
 * The barrier before the first start [R7]: the config that a restore really produced, key by key, against what the
 * call passed and what an image may carry. Anything else means: never started, undone. Pure and total.
 */
import type { Vmid } from '@felhom/protocol';
import type { GuestConfigView } from '../ports/proxmox.ts';
import { classOfArchiveKey, problemOfKept, whyRefused } from './archive-keys.ts';
import { diskKey, isVolumeId, netKey, parseDisk, parseNet, storageOf } from '../guests/pve-config.ts';
import { parseFlag, parseProperties, parseSizeGiB } from '../guests/property-string.ts';
import type { Properties } from '../guests/property-string.ts';

export interface RestoreExpectation {
  readonly vmid: Vmid;
  /** Raw values as the restore call passed them. */
  readonly values: Readonly<Record<string, string>>;
}

export interface ConfigAudit {
  /** Empty: it may be started once `strips` are gone. Texts name keys, never values, which may hold secrets. */
  readonly violations: readonly { readonly key: string; readonly text: string }[];
  /** Harmless leftovers of the archive, to be removed or replaced before the first start. */
  readonly strips: readonly string[];
}

type Comparison = (restored: string, passed: string, vmid: Vmid) => boolean;

const asText: Comparison = (restored, passed) => restored === passed;
const asNumber: Comparison = (restored, passed) => Number(restored) === Number(passed);
const asFlag: Comparison = (restored, passed) => parseFlag(restored, false) === parseFlag(passed, false);
/** PVE answers descriptions with a trailing newline. */
const asDescription: Comparison = (restored, passed) => restored.trimEnd() === passed.trimEnd();

/** Proxmox adds the MAC it drew and the only type there is; everything else must be as passed. */
const asNetwork: Comparison = (restored, passed) => {
  const [is, want] = [new Map(parseNet('net0', restored).raw), parseNet('net0', passed).raw];
  if (!want.has('hwaddr')) {
    if (!/^(?:[0-9A-F]{2}:){5}[0-9A-F]{2}$/i.test(is.get('hwaddr') ?? '')) return false;
    is.delete('hwaddr');
  }
  if (is.get('type') === 'veth') is.delete('type');
  return is.size === want.size && [...want].every(([key, value]) => sameProperty(key, is.get(key), value));
};

/** A MAC in another case is the same MAC. */
const sameProperty = (key: string, is: string | undefined, asked: string): boolean =>
  key === 'hwaddr' ? is?.toUpperCase() === asked.toUpperCase() : is === asked;

/** `store:8` was asked for; a volume of this guest on that storage came, with the options asked for and no others. */
const asNewVolume: Comparison = (restored, passed, vmid) => {
  const disk = parseDisk('mp0', restored);
  const asked = parseProperties(passed, 'volume');
  const [storage, size] = (asked.get('volume') ?? '').split(':');
  return (
    isVolumeId(disk.volid) &&
    storageOf(disk.volid) === storage &&
    ownerOf(disk.volid) === vmid &&
    disk.sizeGiB === parseSizeGiB(`${size}G`) &&
    sameOptions(disk.raw, asked)
  );
};

/** Besides the volume and its size. A `backup=0` may be shown or not. */
function sameOptions(is: Properties, asked: Properties): boolean {
  const options = (properties: Properties) =>
    [...properties]
      .filter(([key]) => key !== 'volume' && key !== 'size')
      .filter(([key, value]) => key !== 'backup' || parseFlag(value, false))
      .map(([key, value]) => `${key}=${value}`)
      .toSorted()
      .join(',');
  return options(is) === options(asked);
}

/** The VMID in a volume's name, which is its owner to Proxmox: `vm-101-disk-0`, `subvol-101-disk-0`, `basevol-…`. */
export function ownerOf(volid: string): number | undefined {
  const match = /(?:^|[/:])(?:vm|subvol|base|basevol)-(\d+)-[^/]*$/.exec(volid);
  return match === null ? undefined : Number(match[1]);
}

const comparisons: Readonly<Record<string, Comparison>> = {
  cores: asNumber,
  memory: asNumber,
  swap: asNumber,
  onboot: asFlag,
  protection: asFlag,
  description: asDescription,
};

const comparisonOf = (key: string): Comparison =>
  netKey.test(key) ? asNetwork : diskKey.test(key) ? asNewVolume : asText;

/** Keys that a restored guest must show, or the archive's value may have been left standing. */
const mustBeThere = ['unprivileged', 'rootfs', 'hostname', 'description'] as const;

export function auditConfig(restored: GuestConfigView, expected: RestoreExpectation): ConfigAudit {
  const violations: { key: string; text: string }[] = [];
  const strips: string[] = [];
  const violate = (key: string, text: string): void => void violations.push({ key, text });
  if (restored.lock !== undefined) violate('lock', `the guest is locked (${restored.lock})`);
  for (const [key, value] of Object.entries(restored.values)) {
    const passed = Object.hasOwn(expected.values, key) ? expected.values[key] : undefined;
    const kind = classOfArchiveKey(key);
    if (passed !== undefined) {
      const same = comparisons[key] ?? comparisonOf(key);
      if (!same(value, passed, expected.vmid)) violate(key, `${key} is not what the restore call passed`);
    } else if (kind === 'strip') strips.push(key);
    else if (kind === 'keep') {
      const problem = problemOfKept(key, value);
      if (problem !== undefined) violate(key, problem);
    } else if (kind === 'call') violate(key, `${key} was not passed, so it is the archive's`);
    else violate(key, whyRefused(key));
  }
  for (const key of mustBeThere)
    if (!Object.hasOwn(restored.values, key)) violate(key, `${key} is missing from the restored config`);
  for (const key of Object.keys(expected.values))
    if ((netKey.test(key) || diskKey.test(key)) && !Object.hasOwn(restored.values, key))
      violate(key, `${key} was passed and did not arrive`);
  return { violations, strips };
}
