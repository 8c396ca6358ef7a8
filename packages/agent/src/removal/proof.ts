/**
 * What has to be true directly before a guest is destroyed, read anew each time: it is wholly the guest on record, it
 * stands still, it is out of service if it ever served, nobody else uses a volume of it, and what would be freed is
 * exactly what was signed. Reads only.
 */
import { reason } from '@felhom/protocol';
import type { Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { identify } from '../authority/identity.ts';
import { removalWarrantFor, volumesInConfig } from '../authority/provenance.ts';
import type { SeenBeforeDestroy } from '../authority/provenance.ts';
import type { DestroyGuestWarrant } from '../authority/warrant.ts';
import type { Acting } from '../guests/needs.ts';
import { viewOf } from '../guests/pve-config.ts';
import { readOwn, upidParts } from '../guests/settle.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';

type Reading = Pick<Acting, 'needs'>;

/** The warrant to destroy it, or why not. Without a proof it is no warrant: minted from these reads and no others. */
export async function proveRemovable(
  ctx: Reading,
  record: GuestRecord,
  lossSet: readonly VolumeId[],
  signal: AbortSignal,
): Promise<Outcome<DestroyGuestWarrant>> {
  const still = await standsStill(ctx, record, signal);
  if (still.is !== 'done') return still;
  const used = await usedElsewhere(ctx, record.vmid, lossSet, signal);
  if (used.is !== 'done') return used;
  const seen = await look(ctx, record, signal);
  if (seen.is !== 'done') return seen;
  const decision = removalWarrantFor(record, seen.value, lossSet);
  return decision.is === 'warranted' ? done(decision.warrant) : refused(decision.why);
}

async function standsStill(ctx: Reading, record: GuestRecord, signal: AbortSignal): Promise<Outcome<void>> {
  const cannot = `cannot destroy guest ${record.name} (${record.vmid})`;
  const view = await readOwn(ctx, record.vmid, record, signal);
  if (view.is !== 'done') return view;
  if (view.value.lock !== undefined)
    return refused(reason('pve.guest-locked', `${cannot}: it is locked (${view.value.lock})`));
  const status = await ctx.needs.reader.status(record.vmid, signal);
  if (status.is !== 'done') return status;
  if (status.value.status !== 'stopped')
    return refused(reason('pve.guest-running', `${cannot}: it runs; somebody uses it, or started it`));
  // Whoever took it out of quarantine by hand did so for a reason. Protection is taken off by this saga itself.
  const open = view.value.networks.filter((net) => !net.linkDown).map((net) => net.key);
  if (record.servedAt !== undefined && (view.value.onboot || open.length > 0))
    return refused(
      reason(
        'job.changed',
        `${cannot}: it is not in quarantine any more (${open.join(', ') || 'it starts with the node'})`,
      ),
    );
  return takenOver(
    ctx,
    record,
    view.value.disks.flatMap(({ volid }) => (volid.startsWith('/') ? [] : [volid])),
    signal,
  );
}

const takeovers = new Set(['vzcreate', 'vzrestore', 'vzdestroy']);

/** Whether somebody else made, restored or destroyed at this VMID since the guest was made. */
async function takenOver(
  ctx: Reading,
  record: GuestRecord,
  volumes: readonly VolumeId[],
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const sinceSeconds = Math.floor(record.createdAt / 1000);
  const tasks = await ctx.needs.tasks.find({ vmid: record.vmid, sinceSeconds }, signal);
  if (tasks.is !== 'done') return tasks;
  const foreignTasks = tasks.value
    .filter(({ upid, startTime }) => {
      const { type, id, user } = upidParts(upid);
      const isHere = takeovers.has(type) && id === String(record.vmid);
      return isHere && user !== ctx.needs.tokenId && startTime > sinceSeconds;
    })
    .map(({ upid }) => upid);
  // The marker was compared a moment ago, and the warrant compares it once more.
  const { uid, incarnation, marker: n, vmid } = record;
  const marker = { is: 'present', uid, incarnation, n } as const;
  const identity = identify(record, { is: 'present', vmid, marker, volumes, ctimes: new Map(), foreignTasks });
  if (identity.is === 'ours') return done(undefined);
  return refused(
    reason(
      identity.is === 'foreign' ? 'gate.foreign' : 'gate.unproven',
      `cannot destroy guest ${record.name} (${vmid}): what is there is not wholly the guest on record (${identity.why})`,
    ),
  );
}

/**
 * A volume that another guest only has attached is owned by this one, and goes with it [R4]. The lists of the token hold
 * the guests of its pool; what it cannot read keeps everything as it is.
 */
async function usedElsewhere(
  ctx: Reading,
  vmid: Vmid,
  lossSet: readonly VolumeId[],
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const rows = await ctx.needs.reader.list(signal);
  if (rows.is !== 'done') return rows;
  const others = new Set([
    ...rows.value.map((row) => row.vmid),
    ...ctx.needs.registry.all().map((guest) => guest.vmid),
  ]);
  others.delete(vmid);
  const lost = new Set<string>(lossSet);
  for (const other of others)
    for (const current of [true, false]) {
      const read = await ctx.needs.reader.config(other, { current }, signal);
      if (read.is !== 'done') return read;
      if (read.value.is === 'absent') continue;
      if (read.value.is === 'forbidden')
        return refused(
          reason(
            'gate.not-seen',
            `cannot destroy guest ${vmid}: guest ${other} may not be read, and it may use a volume of it`,
          ),
        );
      const { config, unused } = volumesInConfig(read.value.config.values);
      const shared = [...config, ...unused].filter((volid) => lost.has(volid) || isOwnedBy(volid, vmid));
      if (shared.length > 0)
        return refused(
          reason('guest.still-referenced', `cannot destroy guest ${vmid}: guest ${other} uses ${shared.join(', ')}`),
        );
    }
  return done(undefined);
}

/** `vm-9000-disk-1`, `subvol-9000-disk-1`: the owner stands in the name (PVE: Storage/Plugin.pm parse_name_dir). */
const isOwnedBy = (volid: VolumeId, vmid: Vmid): boolean =>
  new RegExp(`[:/](?:vm|subvol|base|basevol)-${vmid}-`).test(volid);

async function look(ctx: Reading, record: GuestRecord, signal: AbortSignal): Promise<Outcome<SeenBeforeDestroy>> {
  const { vmid } = record;
  const listed = await ctx.needs.helper.volumesOf(vmid, signal);
  if (listed.is !== 'done') return listed;
  const pending = await ctx.needs.reader.pending(vmid, signal);
  if (pending.is !== 'done') return pending;
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is !== 'present')
    return unknown(reason('gate.not-seen', `cannot destroy guest ${vmid}: its config cannot be read now`));
  const { config, unused } = volumesInConfig(read.value.config.values);
  const waiting = volumesInConfig(Object.fromEntries(pending.value.map((row) => [row.key, row.pending ?? ''])));
  const { marker } = viewOf(read.value.config);
  return done({
    vmid,
    marker:
      marker === undefined
        ? { is: 'missing' }
        : { is: 'present', uid: marker.uid, incarnation: marker.incarnation, n: marker.marker },
    config,
    pending: [...waiting.config, ...waiting.unused],
    unused,
    listed: listed.value,
  });
}
