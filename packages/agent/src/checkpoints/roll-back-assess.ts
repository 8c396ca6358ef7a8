/** Whether a guest may go back to a snapshot, and what it loses by it: asked before anything is done, and again at the call. */
import { reason } from '@felhom/protocol';
import type { Reason, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { rollbackWarrantFor, volumesInConfig } from '../authority/provenance.ts';
import type { RollbackWarrant } from '../authority/warrant.ts';
import { formatProperties } from '../guests/property-string.ts';
import { isVolumeId } from '../guests/pve-config.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { recordOf } from '../guests/registered.ts';
import { readOwn } from '../guests/settle.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { SnapshotRow } from '../ports/proxmox.ts';
import type { Checkpoint } from './checkpoint-store.ts';
import type { Partly, RollBackContext, RollBackParams } from './roll-back.saga.ts';
import { foundIn } from '../guests/snapshot-work.ts';

export interface Way {
  readonly record: GuestRecord;
  readonly view: GuestView;
  /** Volumes that the snapshot holds. */
  readonly held: readonly VolumeId[];
  readonly warrant: RollbackWarrant;
}

export async function assessRollBack(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const way = await findWay(ctx, signal);
  if (way.is !== 'done') return way;
  const { record, view, held } = way.value;
  const status = await ctx.needs.reader.status(record.vmid, signal);
  if (status.is !== 'done') return status;
  const later = view.disks
    .filter(({ volid }) => isVolumeId(volid) && !held.includes(volid))
    .map(({ key, volid, raw }) => ({ key, volid, line: formatProperties(raw, 'volume') }));
  return done({ vmid: record.vmid, ran: status.value.status === 'running', tags: view.tags, later });
}

/** Everything that has to be true for the call, read now. Changes nothing. */
export async function findWay(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<Way>> {
  const { guest, checkpoint, signed } = ctx.params;
  const found = recordOf(ctx, guest);
  if (found.is !== 'done') return found;
  const record = found.value;
  const { vmid } = record;
  const read = await readOwn(ctx, vmid, record, signal);
  if (read.is !== 'done') return read;
  const view = read.value;
  if (view.lock !== undefined)
    return refused(reason('pve.guest-locked', `${cannot(ctx.params)}: it is locked (${view.lock})`));
  const kept = ctx.needs.checkpoints.find(guest.uid, checkpoint);
  const not = signed === undefined ? whyNotItsOwn(ctx.params, kept) : undefined;
  if (not !== undefined) return refused(not);
  const rows = await ctx.needs.snapshots.list(vmid, signal);
  if (rows.is !== 'done') return rows;
  const wantedMs = signed === undefined ? kept?.takenAt : signed.takenAt * 1000;
  const standing = foundIn(rows.value, checkpoint);
  if (standing.is === 'absent')
    return refused(reason('pve.snapshot-absent', `${cannot(ctx.params)}: there is no such snapshot any more`));
  if (standing.is === 'unfinished' || standing.takenAtMs !== wantedMs)
    return refused(
      reason('job.changed', `${cannot(ctx.params)}: what has that name is unfinished, or was taken at another time`),
    );
  const config = await ctx.needs.snapshots.config(vmid, checkpoint, signal);
  if (config.is !== 'done') return config;
  const held = volumesInConfig(config.value).config;
  if (signed !== undefined && !sameVolumes(held, signed.volumes))
    return refused(reason('job.changed', `${cannot(ctx.params)}: it does not hold exactly the volumes of the job`));
  const newer = await whyNotNewest(ctx, rows.value, held, signal);
  if (newer.is !== 'done') return newer;
  const mayRevert = signed?.volumes ?? view.disks.filter(({ backup }) => backup).map(({ volid }) => volid);
  const { marker } = view;
  const decision = rollbackWarrantFor(
    record,
    { name: checkpoint, volumes: held },
    {
      vmid,
      marker:
        marker === undefined
          ? { is: 'missing' }
          : { is: 'present', uid: marker.uid, incarnation: marker.incarnation, n: marker.marker },
    },
    mayRevert,
  );
  return decision.is === 'warranted' ? done({ record, view, held, warrant: decision.warrant }) : refused(decision.why);
}

const cannot = ({ guest, checkpoint }: RollBackParams): string =>
  `cannot roll guest ${guest.name} back to ${checkpoint}`;

/** A guest names its own checkpoints only: no snapshot of a person, none of the agent's, none of an earlier life. */
function whyNotItsOwn(asked: RollBackParams, kept: Checkpoint | undefined): Reason | undefined {
  if (kept === undefined || kept.purpose !== 'deploy' || kept.incarnation !== asked.guest.incarnation)
    return reason('checkpoint.not-on-record', `${cannot(asked)}: it is no checkpoint that the guest took for itself`);
  if (kept.by === 'backup')
    return reason(
      'checkpoint.needs-restore',
      `${cannot(asked)}: it is a backup, and going back to it overwrites the guest; have the restore of backup ${asked.checkpoint.slice(1)} signed`,
    );
  return undefined;
}

function sameVolumes(a: readonly VolumeId[], b: readonly VolumeId[]): boolean {
  return new Set(a).symmetricDifference(new Set(b)).size === 0;
}

/** ZFS goes back to its newest snapshot only, and finding that out from a failed task would park the saga. */
async function whyNotNewest(
  ctx: RollBackContext,
  rows: readonly SnapshotRow[],
  held: readonly VolumeId[],
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const own = rows.find(({ name }) => name === ctx.params.checkpoint);
  const newer = rows.filter(({ takenAt }) => (takenAt ?? 0) > (own?.takenAt ?? 0)).map(({ name }) => name);
  if (newer.length === 0) return done(undefined);
  const stores = await ctx.needs.stores.list(signal);
  if (stores.is !== 'done') return stores;
  const zfs = new Set(stores.value.filter(({ type }) => type === 'zfspool').map(({ storage }) => `${storage}:`));
  if (!held.some((volid) => zfs.has(volid.slice(0, volid.indexOf(':') + 1)))) return done(undefined);
  return refused(reason('checkpoint.not-newest', `${cannot(ctx.params)}: ${newer.join(', ')} is newer`));
}
