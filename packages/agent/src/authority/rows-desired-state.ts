/** What desired state may ask for, field by field. */
import { rowsOf } from './gate-row.ts';
import type { GateRow } from './gate-row.ts';

const { unsigned, ranged, signed, findingOnly, neverFromHub, refusedDocument, notInSchema } = rowsOf('desired-state');
/** Reversible settings of the guest's config that no volume depends on. */
const settings = { unproven: 'if-only-volumes-differ' } as const;

export const desiredStateRows = {
  'guest-present': ranged(1, 'a guest that is new', {
    blast: 'create',
    limits: 'number of guests, golden, storages, bridges, host budget, space',
  }),
  /** Lost by the conditions of the recovery room; nothing is overwritten by bringing it back beside what is left. */
  'guest-lost': unsigned(1, 'a guest that is gone comes back from its newest proven backup', {
    reaches: 'record',
    unproven: 'goes-on',
    limits: 'lost by all conditions, twice; once a day per guest; never into its old VMID',
  }),
  'guest-absent': findingOnly(2, 'a guest absent; guests null, empty or unreadable'),
  'guest-removal': signed(2, 'removal of a guest', ['destroy'], { signers: 2, binds: ['loss set'] }),
  'guest-reappears': ranged(3, 'a removed name that comes back: a new uid, never the old guest', {
    blast: 'create',
    limits: 'as for a new guest; a name that still has a guest is refused',
  }),
  'power-running': unsigned(4, 'power running, start at boot', {
    unproven: 'goes-on',
    limits: "not under hold, not within 10 minutes of a person's stop",
  }),
  'stale-mount': unsigned(4, 'a restart in place of a guest whose disk was pulled and is back', {
    limits: 'power running, all its disks attached and steady, three restarts an hour',
  }),
  'power-stopped': signed(5, 'power stopped, no start at boot', ['divert'], {
    beforeServed: 'ranged',
    blast: 'power',
    ...settings,
  }),
  'capacity-up': ranged(6, 'cpu, memory, swap up', { blast: 'capacity', ...settings, limits: 'sums over all guests' }),
  'capacity-down': signed(7, 'cpu, memory, swap down', ['divert'], {
    beforeServed: 'ranged',
    blast: 'capacity',
    binds: ['new value'],
    ...settings,
  }),
  'volume-grow': ranged(8, 'root or volume grow', {
    beyondRange: 'sign',
    classes: ['divert'],
    blast: 'volumes',
    limits: 'sum of virtual sizes per storage, growth per guest and day',
  }),
  'volume-shrink': signed(9, 'volume shrink', ['destroy'], { blast: 'volumes', binds: ['volume id', 'new size'] }),
  'volume-remove': signed(9, 'volume removed', ['destroy'], { blast: 'volumes', binds: ['volume id'] }),
  'volume-move': signed(9, 'volume moved or placed elsewhere', ['disclose'], {
    blast: 'volumes',
    binds: ['volume id', 'storage'],
  }),
  'volume-new': ranged(10, 'a new volume on an approved storage', {
    blast: 'volumes',
    limits: 'storages, space; the path lies under a mount root and over or under no other mount',
  }),
  'mount-options': signed(11, 'mount path, ro, acl, idmap, options of an existing volume', ['divert'], {
    beforeServed: 'ranged',
    blast: 'connection',
    binds: ['volume', 'old and new path'],
  }),
  'backup-weaker': signed(12, 'backup flag off, excludes, mode, notes template', ['destroy'], {
    blast: 'protection',
    binds: ['volume id'],
  }),
  'backup-stronger': unsigned(12, 'backup flag on', { blast: 'protection' }),
  network: signed(13, 'bridge, vlan, ip, gateway, dns, mac, firewall, rate, link', ['disclose', 'divert'], {
    beforeServed: 'ranged',
    blast: 'connection',
    binds: ['old and new value'],
    ...settings,
  }),
  hostname: signed(14, 'host name', ['divert'], {
    beforeServed: 'ranged',
    blast: 'connection',
    binds: ['old and new value'],
    ...settings,
  }),
  /** Written back or renewed by the agent itself; never where it is missing, see identity. */
  marker: unsigned(14, 'our own mark in the notes'),
  display: unsigned(14, 'tags, label', { blast: 'display' }),
  'root-equivalent': notInSchema(15, 'env, entrypoint, features, devices, hook script'),
  'start-settings': ranged(15, 'time zone, start order', { blast: 'display', ...settings }),
  'target-new': signed(
    16,
    'target: new or changed address, export, repository, fingerprint, namespace; encryption off; removable; local path',
    ['disclose'],
    { binds: ['target identity'] },
  ),
  'target-class': signed(17, 'target class, once it is set', ['divert'], { availableSince: 'backups' }),
  'target-role': signed(18, 'target role, decommissioned, detach, wipe', ['destroy'], { availableSince: 'backups' }),
  'target-creds': unsigned(19, 'credentials rotated, same identity', {
    availableSince: 'backups',
    limits: 'the target proves the same id',
  }),
  schedule: ranged(20, 'schedule, jitter, time zone, windows', {
    underHold: 'goes-on',
    unproven: 'goes-on',
    limits: 'interval neither too long nor too short, window of two hours or more',
  }),
  retention: ranged(21, 'retention', {
    reaches: 'record',
    unproven: 'goes-on',
    limits: 'above the floor, below the space plan; never the newest proven, protected or unverified one',
  }),
  'checkpoint-over': unsigned(21, 'a checkpoint that has run out'),
  'bulk-unprotected': signed(22, 'bulk backup decision from a target to none', ['destroy'], {
    availableSince: 'backups',
    binds: ['volume id', "the customer's acknowledgement"],
  }),
  'restore-test': ranged(23, 'restore-test cadence, caps, thresholds', {
    reaches: 'record',
    underHold: 'goes-on',
    unproven: 'goes-on',
  }),
  'scratch-leftover': unsigned(23, 'what a restore-test left', {
    reaches: 'record',
    underHold: 'goes-on',
    unproven: 'goes-on',
    limits: 'on record as scratch, in the scratch range, exactly its own volumes',
  }),
  'controller-image': signed(24, 'controller image', ['deploy'], {
    availableSince: 'backups',
    binds: ['digest in a signed release manifest', 'role', 'version not lower'],
  }),
  'controller-known': ranged(24, 'controller image that the newest signed release of its role names', {
    limits: 'digest in a signed release manifest that is in force; version not lower',
  }),
  'controller-claim': unsigned(24, 'a new claim for the controller of a restored guest', {
    limits: 'single use, ten minutes, bound to uid and incarnation',
  }),
  'controller-config-new': unsigned(25, 'controller config at provision', { availableSince: 'backups' }),
  'controller-config-change': signed(25, 'controller config: hub channel, repository, tunnel changed', ['disclose'], {
    availableSince: 'backups',
    binds: ['old and new value'],
  }),
  reporting: ranged(26, 'poll interval, report level, metered, bandwidth', { availableSince: 'host' }),
  'update-window': ranged(27, 'update window, ring', {
    availableSince: 'shipping',
    limits: 'two hours a week or more',
  }),
  'host-ranges': neverFromHub(28, 'blast radius, VMID ranges, pools, bridges, policy file'),
  hold: signed(29, 'hold set or cleared', ['divert'], {
    binds: ['host, or uid and incarnation'],
    reaches: 'record',
    underHold: 'goes-on',
    limits: 'never stops backups',
  }),
  lineage: findingOnly(30, 'an older generation or another lineage'),
  consent: neverFromHub(31, 'consent'),
  'unknown-field': refusedDocument(32, 'unknown field, extra field, other version'),
} as const satisfies Record<string, GateRow>;
