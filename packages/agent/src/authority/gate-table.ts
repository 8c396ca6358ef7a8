/**
 * The gate's table, whole: every field of desired state, every job, every local route, and for every effect the one
 * row that decides it. Rows of later pieces refuse. Whoever adds an effect is stopped by the compiler until it has a
 * row, and whoever changes a row is stopped by the test that repeats the table.
 */
import type {
  BuiltEffect,
  Effect,
  EffectKind,
  GuestEffect,
  JobEffect,
  LaterEffect,
  ProtectionEffect,
  RouteEffect,
} from './effects.ts';
import type { GateRow } from './gate-row.ts';
import { desiredStateRows } from './rows-desired-state.ts';
import { jobRows } from './rows-jobs.ts';
import { localRouteRows } from './rows-local-routes.ts';

export const gateTable = { ...desiredStateRows, ...jobRows, ...localRouteRows } as const satisfies Record<
  string,
  GateRow
>;
export type RowId = keyof typeof gateTable;

const guestEffectRows = {
  'guest-provision': 'guest-present',
  'guest-remove': 'guest-removal',
  'guest-start': 'power-running',
  'guest-stop': 'power-stopped',
  'guest-onboot-on': 'power-running',
  'guest-onboot-off': 'power-stopped',
  'cpu-up': 'capacity-up',
  'cpu-down': 'capacity-down',
  'memory-up': 'capacity-up',
  'memory-down': 'capacity-down',
  'swap-up': 'capacity-up',
  'swap-down': 'capacity-down',
  'volume-add': 'volume-new',
  'volume-grow': 'volume-grow',
  'volume-shrink': 'volume-shrink',
  'volume-remove': 'volume-remove',
  'volume-move': 'volume-move',
  'mount-change': 'mount-options',
  'backup-flag-on': 'backup-stronger',
  'backup-flag-off': 'backup-weaker',
  'network-change': 'network',
  'nameserver-change': 'network',
  'hostname-change': 'hostname',
  'label-change': 'display',
  'startup-change': 'start-settings',
  'timezone-change': 'start-settings',
  // Our own mark, written back or renewed. Where it is missing, identity stops it: an unsigned repair would turn
  // "likely ours" into "ours" and with it open every destructive door.
  'marker-repair': 'marker',
} as const satisfies Record<GuestEffect['kind'], RowId>;

const jobEffectRows = {
  'guest-decommission': 'job-decommission',
  'guest-lift-quarantine': 'job-cancel',
  'guest-adopt': 'job-adopt',
  'guest-re-register': 'job-adopt',
  'hold-set': 'hold',
  'hold-clear': 'hold',
  'saga-resume': 'job-saga',
  'saga-abandon': 'job-saga',
  'trust-change': 'job-trust-change',
  'floor-change': 'job-floor-lower',
  'break-glass-open': 'job-break-glass-open',
  'break-glass-close': 'job-break-glass-close',
  'target-attach': 'target-new',
  'target-detach': 'job-target-detach',
  'target-wipe': 'job-target-wipe',
  'target-re-point': 'job-target-detach',
  'tunnel-change': 'job-tunnel-change',
  'backup-force': 'job-backup-force',
  'backup-delete': 'job-backup-delete',
  'backup-unprotect': 'job-backup-delete',
  'restore-overwrite': 'job-restore-overwrite',
  'restore-in-place': 'job-restore-in-place',
  'restore-copy': 'job-restore-copy',
  'guest-rollback': 'job-rollback',
  'restore-undo': 'job-saga',
  'restore-finish': 'job-saga',
} as const satisfies Record<JobEffect['kind'], RowId>;

const routeEffectRows = {
  'snapshot-take': 'route-snapshot',
  'self-rollback': 'route-rollback',
  'backup-on-demand': 'route-backup',
} as const satisfies Record<RouteEffect['kind'], RowId>;

const protectionEffectRows = {
  'backup-run': 'schedule',
  'backup-prune': 'retention',
  'marker-renew': 'marker',
  'restore-test': 'restore-test',
  'scratch-sweep': 'scratch-leftover',
  'guest-recover': 'guest-lost',
  'checkpoint-drop': 'checkpoint-over',
  'controller-update': 'controller-known',
  'claim-issue': 'controller-claim',
  'claim-drop': 'controller-claim',
  'guest-remount': 'stale-mount',
  ...routeEffectRows,
} as const satisfies Record<ProtectionEffect['kind'], RowId>;

const laterEffectRows = {
  'backup-options-change': 'backup-weaker',
  'bulk-backup-drop': 'bulk-unprotected',
  'saga-undo': 'job-saga',
  'saga-finish': 'job-saga',
  'target-change': 'target-new',
  'target-class-change': 'target-class',
  'target-role-change': 'target-role',
  'target-decommission': 'target-role',
  'target-creds-rotate': 'target-creds',
  'schedule-change': 'schedule',
  'retention-change': 'retention',
  'restore-test-change': 'restore-test',
  'reporting-change': 'reporting',
  'update-window-change': 'update-window',
  'hub-re-point': 'job-hub-re-point',
  downgrade: 'job-downgrade',
  'controller-image-change': 'controller-image',
  'controller-config-provision': 'controller-config-new',
  'controller-config-change': 'controller-config-change',
  'claim-redeem': 'route-redeem',
  'manifest-store': 'route-manifest',
  'consent-record': 'route-consent',
  'quiesce-set': 'route-supervisor',
  'controller-report': 'route-supervisor',
} as const satisfies Record<LaterEffect['kind'], RowId>;

export const effectRows: Readonly<Record<EffectKind, RowId>> = {
  ...guestEffectRows,
  ...jobEffectRows,
  ...protectionEffectRows,
  ...laterEffectRows,
};

export function rowOf(kind: EffectKind): GateRow {
  return gateTable[effectRows[kind]];
}

/** Whether desired state can ask for it. */
export function isGuestEffect(effect: Effect): effect is GuestEffect {
  return Object.hasOwn(guestEffectRows, effect.kind);
}

/** Whether this release can carry it out at all, whatever the gate says. */
export function isBuilt(effect: Effect): effect is BuiltEffect {
  return isGuestEffect(effect) || isJobEffect(effect) || isProtectionEffect(effect);
}

export function isJobEffect(effect: Effect): effect is JobEffect {
  return Object.hasOwn(jobEffectRows, effect.kind);
}

/** What goes on by itself to protect a guest, and what a guest asks for itself. */
export function isProtectionEffect(effect: Effect): effect is ProtectionEffect {
  return Object.hasOwn(protectionEffectRows, effect.kind);
}

/** Only a guest itself can ask for it. */
export function isRouteEffect(effect: Effect): effect is RouteEffect {
  return Object.hasOwn(routeEffectRows, effect.kind);
}
