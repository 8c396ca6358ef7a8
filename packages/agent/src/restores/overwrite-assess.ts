/** The first look of a restore over a guest: everything that can be known to fail before anything is touched. Reads only. */
import { reason } from '@felhom/protocol';
import type { Digest, VolumeId } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { want } from '../bring-up/index.ts';
import type { RestorePlan } from '../bring-up/index.ts';
import { recordOf } from '../guests/registered.ts';
import { readOwn } from '../guests/settle.ts';
import { viewOf } from '../guests/pve-config.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, StepContext } from '../kernel/saga.ts';
import type { GuestConfigView, StorageRow } from '../ports/proxmox.ts';
import { assessBackup } from './assess-backup.ts';
import type { SoundBackup } from './assess-backup.ts';
import { carryPlan } from './carry-plan.ts';
import type { CarryItem } from './carry-plan.ts';
import type { RestoreNeeds } from './needs.ts';
import { placeOf } from './place.ts';
import type { PlaceBefore } from './restore-store.ts';
import { asidePlan, callValues, lossOfView } from './restore-values.ts';
import type { AsidePlan } from './restore-values.ts';

export interface OverwriteOrder {
  readonly guest: GuestRef;
  readonly backup: { readonly archive: VolumeId; readonly sha256: Digest };
  readonly bulk: readonly VolumeId[];
  readonly loss: readonly VolumeId[];
}

export interface OverwriteAssessed {
  readonly oldRecord: GuestRecord;
  readonly before: PlaceBefore;
  readonly items: readonly CarryItem[];
  readonly plan: AsidePlan;
  readonly pveVersion: string;
  readonly nodeSeconds: number;
}

type Reading = Pick<StepContext<unknown, object, RestoreNeeds>, 'needs' | 'progress'>;

export interface Assessed extends OverwriteAssessed {
  readonly storages: readonly StorageRow[];
  readonly backup: SoundBackup;
}

export async function assessOverwrite(
  ctx: Reading,
  order: OverwriteOrder,
  signal: AbortSignal,
): Promise<Outcome<Assessed>> {
  const { needs } = ctx;
  const { guest } = order;
  const cannot = `cannot restore guest ${guest.name}`;
  const found = recordOf(ctx, guest);
  if (found.is !== 'done') return found;
  const record = found.value;
  if (needs.restores.undoableOf(guest.uid).length > 0)
    return refused(
      reason(
        'restore.refused',
        `${cannot}: an earlier restore of it can still be undone; undo or finish that one first`,
      ),
    );
  const own = await readOwn(ctx, record.vmid, record, signal);
  if (own.is !== 'done') return own;
  if (own.value.lock !== undefined)
    return refused(reason('pve.guest-locked', `${cannot}: guest ${record.vmid} is locked (${own.value.lock})`));
  const read = await needs.reader.config(record.vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is !== 'present')
    return unknown(reason('gate.not-seen', `${cannot}: the config of guest ${record.vmid} cannot be read now`));
  const live = read.value.config;
  const waiting = await needs.reader.pending(record.vmid, signal);
  if (waiting.is !== 'done') return waiting;
  // A spent claim stays pending in `env` until a restart, and the restored guest gets an `env` of its own.
  const kept = waiting.value
    .filter((row) => row.pending !== undefined || row.delete)
    .map((row) => row.key)
    .filter((key) => key !== 'env');
  if (kept.length > 0)
    return refused(
      reason('restore.refused', `${cannot}: ${kept.join(', ')} wait for its next start; restart it first`),
    );
  const volumes = await sameVolumes(ctx, order, record, live, signal);
  if (volumes.is !== 'done') return volumes;
  const [storages, snapshots, status, time] = await Promise.all([
    needs.stores.list(signal),
    needs.snapshots.list(record.vmid, signal),
    needs.reader.status(record.vmid, signal),
    needs.node.time(signal),
  ]);
  if (storages.is !== 'done') return storages;
  if (snapshots.is !== 'done') return snapshots;
  if (status.is !== 'done') return status;
  if (time.is !== 'done') return time;
  const view = viewOf(live);
  const names = snapshots.value.map((row) => row.name);
  const carried = carryPlan(guest.name, { view, storages: storages.value, snapshots: names });
  if (carried.is === 'refused') return refused(carried.why);
  const backup = await assessBackup(ctx, guest, order.backup, signal);
  if (backup.is !== 'done') return backup;
  const aside = asidePlan(guest.name, live, backup.value.archivedConfig);
  if (aside.is === 'refused') return refused(aside.why);
  return done({
    oldRecord: record,
    before: placeOf(view, status.value.status === 'running'),
    items: carried.items,
    plan: aside.plan,
    pveVersion: backup.value.pveVersion,
    nodeSeconds: Math.floor(time.value) - 1,
    storages: storages.value,
    backup: backup.value,
  });
}

/** What was signed for, to be carried and to be lost, is what is there: a volume more would be lost unsigned. */
async function sameVolumes(
  ctx: Reading,
  order: OverwriteOrder,
  record: GuestRecord,
  live: GuestConfigView,
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const cannot = `cannot restore guest ${order.guest.name}`;
  const listed = await ctx.needs.helper.volumesOf(record.vmid, signal);
  if (listed.is !== 'done') return listed;
  const view = viewOf(live);
  const named = view.disks.map(({ volid }) => volid);
  const loose = [...view.unused, ...listed.value].filter((volid) => !named.includes(volid));
  if (loose.length > 0)
    return refused(
      reason(
        'restore.refused',
        `${cannot}: ${[...new Set(loose)].join(', ')} is not mounted; attach or remove it first`,
      ),
    );
  const loss = lossOfView(live);
  const bulk = named.filter((volid) => !loss.includes(volid));
  const differing = [
    ...new Set(loss).symmetricDifference(new Set(order.loss)),
    ...new Set(bulk).symmetricDifference(new Set(order.bulk)),
    ...new Set(named).symmetricDifference(new Set(record.volumes.map(({ volid }) => volid))),
  ];
  if (differing.length === 0) return done(undefined);
  return refused(
    reason('job.changed', `${cannot}: ${[...new Set(differing)].sort().join(', ')} is not as it was signed for`),
  );
}

/** The backup as a second guest beside the one that is, or in the place where that one was. */
export async function restoreAside(ctx: {
  readonly params: OverwriteOrder;
  readonly state: Partial<Pick<OverwriteAssessed, 'plan' | 'pveVersion'>>;
}): Promise<Outcome<RestorePlan>> {
  const { guest, backup } = ctx.params;
  const plan = want(ctx, 'plan');
  const [first] = plan.room;
  if (first === undefined) throw new Error('cannot restore: the guest has no root file system');
  return done({
    words: { goal: `restore guest ${guest.name}`, guest: `guest ${guest.name}`, source: 'backup' },
    archive: backup.archive,
    storage: first.storage,
    range: 'guests',
    uid: guest.uid,
    incarnation: guest.incarnation + 1,
    scenario: 'restore-aside',
    pveVersion: want(ctx, 'pveVersion'),
    values: (marker) => callValues(plan, marker),
  });
}
