/**
 * What an edit of desired state asks for, field by field, and what the host's gate will make of it. A preview for
 * people: the gate on the host decides, over what it observes there. Pure.
 */
import type {
  BackupPlan,
  BackupTier,
  DesiredGuest,
  DesiredNetwork,
  DesiredState,
  DesiredVolume,
} from '@felhom/protocol';

/**
 *   unsigned  happens by itself
 *   ranged    happens by itself inside the ranges that root set on the host
 *   signed    reported as blocked until somebody signs it
 *   finding   changes nothing; the host reports the difference
 */
export type Verdict = 'unsigned' | 'ranged' | 'signed' | 'finding';

/** Stands in the place of a guest for what is the host's: no guest can be called so. */
export const planOfHost = 'backup plan of the host';

export interface DesiredChange {
  readonly guest: string;
  readonly kind: 'add' | 'remove' | 'change';
  /** Empty for a whole guest, else e.g. `memoryMiB` or `volumes.data.path`. */
  readonly field: string;
  readonly from: string;
  readonly to: string;
  readonly verdict: Verdict;
}

export type DesiredContent = Pick<DesiredState, 'guests' | 'backups'>;

/** Guests, then the backup plan of the host. */
export function diffContent(before: DesiredContent, after: DesiredContent): DesiredChange[] {
  return [...diffDesired(before.guests, after.guests), ...diffBackups(before.backups, after.backups)];
}

/** Clamped by the host to its floors and ranges, so nothing of it needs a signature and nothing of it undercuts them. */
function diffBackups(before: BackupPlan, after: BackupPlan): DesiredChange[] {
  const grace = { graceMinutes: { show: (plan: BackupPlan) => String(plan.graceMinutes), judge: always('ranged') } };
  return [
    ...diffFields(planOfHost, '', grace, before, after),
    ...diffList(planOfHost, 'tiers', tierFields, before.tiers, after.tiers, 'ranged', 'ranged'),
  ];
}

/** Changes in the order of guests by name. Equal documents have none, whatever the order of their lists. */
export function diffDesired(before: readonly DesiredGuest[], after: readonly DesiredGuest[]): DesiredChange[] {
  const old = new Map(before.map((guest) => [String(guest.name), guest]));
  const next = new Map(after.map((guest) => [String(guest.name), guest]));
  return [...new Set([...old.keys(), ...next.keys()])].sort().flatMap((name) => {
    const from = old.get(name);
    const to = next.get(name);
    if (from === undefined)
      return to === undefined ? [] : [whole(name, 'add', '', describeGuest(to), 'ranged' as const)];
    return to === undefined ? [whole(name, 'remove', describeGuest(from), '', 'signed')] : diffGuest(from, to);
  });
}

const whole = (guest: string, kind: 'add' | 'remove', from: string, to: string, verdict: Verdict): DesiredChange => ({
  guest,
  kind,
  field: '',
  from,
  to,
  verdict,
});

function describeGuest(guest: DesiredGuest): string {
  const volumes = guest.volumes.map((volume) => `${volume.path} ${volume.sizeGiB} GiB`);
  return [
    guest.golden,
    `${guest.cores} cores`,
    `${guest.memoryMiB} MiB`,
    `rootfs ${guest.rootfs.sizeGiB} GiB on ${guest.rootfs.storage}`,
    ...volumes,
  ].join(', ');
}

type Judge = (from: string, to: string) => Verdict;
const up: Judge = (from, to) => (Number(to) > Number(from) ? 'ranged' : 'signed');
const always =
  (verdict: Verdict): Judge =>
  () =>
    verdict;

interface Field<T> {
  readonly show: (value: T) => string;
  readonly judge: Judge;
}

/** One row per field of the schema: a field that is added there does not compile until it has a verdict here. */
const guestFields: {
  readonly [K in Exclude<keyof DesiredGuest, 'name' | 'volumes' | 'networks' | 'rootfs'>]-?: Field<DesiredGuest>;
} = {
  // The image matters once, when the guest is made.
  golden: { show: (g) => g.golden, judge: always('finding') },
  hostname: { show: (g) => g.hostname, judge: always('signed') },
  cores: { show: (g) => String(g.cores), judge: up },
  memoryMiB: { show: (g) => String(g.memoryMiB), judge: up },
  swapMiB: { show: (g) => String(g.swapMiB), judge: up },
  nameservers: { show: (g) => g.nameservers.join(' '), judge: always('signed') },
  power: { show: (g) => g.power, judge: (_, to) => (to === 'running' ? 'unsigned' : 'signed') },
  startup: { show: (g) => (g.startup === undefined ? '' : `order ${g.startup.order}`), judge: always('ranged') },
  timezone: { show: (g) => g.timezone ?? '', judge: always('ranged') },
  tags: { show: (g) => [...g.tags].sort().join(' '), judge: always('unsigned') },
  label: { show: (g) => g.label, judge: always('unsigned') },
  controller: { show: (g) => controllerWords(g.controller), judge: always('ranged') },
  backup: { show: (g) => backupWords(g.backup), judge: always('ranged') },
};
function controllerWords(controller: DesiredGuest['controller']): string {
  if (controller === undefined) return '';
  const config = Object.entries(controller.config).sort(([a], [b]) => (a < b ? -1 : 1));
  return [controller.role, ...config.map(([key, value]) => `${key}=${value}`)].join(' ');
}

/** What a guest without a word of its own gets reads the same as that word. */
function backupWords(backup: DesiredGuest['backup']): string {
  const tiers = backup?.tiers === undefined ? 'every tier' : [...backup.tiers].sort().join(' ') || 'no tier';
  return backup?.appConsistent === false ? `${tiers}, apps not held still` : tiers;
}

const volumeFields: { readonly [K in Exclude<keyof DesiredVolume, 'name'>]-?: Field<DesiredVolume> } = {
  path: { show: (v) => v.path, judge: always('signed') },
  storage: { show: (v) => v.storage, judge: always('signed') },
  sizeGiB: { show: (v) => String(v.sizeGiB), judge: up },
  backup: { show: (v) => String(v.backup), judge: (_, to) => (to === 'true' ? 'unsigned' : 'signed') },
  // From a target to nobody is the one direction that takes a signature.
  ownBackup: {
    show: (v) => (v.ownBackup === undefined ? '' : v.ownBackup.is === 'none' ? 'none' : v.ownBackup.target),
    judge: (from, to) => (from !== '' && from !== 'none' && (to === '' || to === 'none') ? 'signed' : 'unsigned'),
  },
};
const tierFields: { readonly [K in Exclude<keyof BackupTier, 'name'>]-?: Field<BackupTier> } = {
  target: { show: (t) => t.target, judge: always('ranged') },
  schedule: { show: (t) => t.schedule, judge: always('ranged') },
  jitterMinutes: { show: (t) => String(t.jitterMinutes), judge: always('ranged') },
  window: { show: (t) => (t.window === undefined ? '' : `${t.window.from}-${t.window.to}`), judge: always('ranged') },
  keep: { show: (t) => keepWords(t.keep), judge: always('ranged') },
  restoreTestEveryDays: { show: (t) => String(t.restoreTestEveryDays), judge: always('ranged') },
};
const keepWords = (keep: BackupTier['keep']): string =>
  (
    [
      ['days', keep.days],
      ['weeks', keep.weeks],
      ['months', keep.months],
      ['on demand', keep.onDemand],
    ] as const
  )
    .flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`]))
    .join(', ');
const networkFields: { readonly [K in Exclude<keyof DesiredNetwork, 'name'>]-?: Field<DesiredNetwork> } = {
  bridge: { show: (n) => n.bridge, judge: always('signed') },
  vlan: { show: (n) => (n.vlan === undefined ? '' : String(n.vlan)), judge: always('signed') },
  ipv4: {
    show: (n) => (n.ipv4 === 'dhcp' ? 'dhcp' : [n.ipv4.address, n.ipv4.gateway].filter(Boolean).join(' via ')),
    judge: always('signed'),
  },
  firewall: { show: (n) => String(n.firewall), judge: always('signed') },
};
const rootfsFields: { readonly [K in keyof DesiredGuest['rootfs']]-?: Field<DesiredGuest['rootfs']> } = {
  storage: { show: (r) => r.storage, judge: always('signed') },
  sizeGiB: { show: (r) => String(r.sizeGiB), judge: up },
};

function diffGuest(from: DesiredGuest, to: DesiredGuest): DesiredChange[] {
  const guest = String(to.name);
  return [
    ...diffFields(guest, '', guestFields, from, to),
    ...diffFields(guest, 'rootfs.', rootfsFields, from.rootfs, to.rootfs),
    ...diffList(guest, 'volumes', volumeFields, from.volumes, to.volumes, 'ranged'),
    ...diffList(guest, 'networks', networkFields, from.networks, to.networks, 'signed'),
  ];
}

function diffFields<T>(guest: string, prefix: string, fields: Readonly<Record<string, Field<T>>>, from: T, to: T) {
  return Object.entries(fields).flatMap(([name, field]): DesiredChange[] => {
    const [a, b] = [field.show(from), field.show(to)];
    if (a === b) return [];
    return [{ guest, kind: 'change', field: prefix + name, from: a, to: b, verdict: field.judge(a, b) }];
  });
}

function diffList<T extends { readonly name: string }>(
  guest: string,
  list: string,
  fields: Readonly<Record<string, Field<T>>>,
  before: readonly T[],
  after: readonly T[],
  onAdd: Verdict,
  onRemove: Verdict = 'signed',
): DesiredChange[] {
  const old = new Map(before.map((item) => [item.name, item]));
  const next = new Map(after.map((item) => [item.name, item]));
  const describe = (item: T) =>
    Object.entries(fields)
      .map(([name, field]) => `${name} ${field.show(item)}`)
      .filter((text) => !text.endsWith(' '))
      .join(', ');
  return [...new Set([...old.keys(), ...next.keys()])].sort().flatMap((name): DesiredChange[] => {
    const [a, b] = [old.get(name), next.get(name)];
    const field = `${list}.${name}`;
    if (a !== undefined && b !== undefined) return diffFields(guest, `${field}.`, fields, a, b);
    if (b !== undefined) return [{ guest, kind: 'change', field, from: '', to: describe(b), verdict: onAdd }];
    return a === undefined ? [] : [{ guest, kind: 'change', field, from: describe(a), to: '', verdict: onRemove }];
  });
}
