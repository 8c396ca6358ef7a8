/**
 * A guest goes back to one of its snapshots. Everything written to the volumes of the snapshot since is lost; a warrant
 * says that whoever asked answers for each of them.
 *
 *   assess    the guest is ours and free; the snapshot is the one that was meant, whole, and holds nothing else
 *   trace     a tag that only this saga gives: the snapshot's config will not have it [R33]
 *   rollback  from its intent on only forward is left; Proxmox stops the guest hard
 *   mark      a new incarnation, so that the token that came back is worth nothing; tags and later volumes again
 *   register  the registry knows it so
 *   claim     a way to a new token, in the place of what the old environment brought back [R26]
 *   start, up, record   it runs again, if it ran
 */
import { volumeId } from '@felhom/protocol';
import type { Vmid, VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestVolume } from '../authority/guest-record.ts';
import { claimStep } from '../controllers/index.ts';
import type { ClaimState } from '../controllers/index.ts';
import { probeRise, rise, seenUp } from '../guests/at-rest.ts';
import { noteTime } from '../guests/grow-volume.saga.ts';
import { mintMarker } from '../guests/mint.ts';
import { formatDescription, formatTags, freeMountKey } from '../guests/pve-config.ts';
import type { GuestView, RawChange } from '../guests/pve-config.ts';
import { guestRef, keepRecord } from '../guests/registered.ts';
import { patientAttempts, probeConfig, readOwn, writeConfig } from '../guests/settle.ts';
import type { ConfigWrite, Marker } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, Step, StepContext } from '../kernel/saga.ts';
import { checkpointName } from './checkpoint-store.ts';
import type { RollBackNeeds } from './needs.ts';
import { assessRollBack } from './roll-back-assess.ts';
import { barRollBack, probeRollBack, runRollBack } from './roll-back-step.ts';
import { leaveTrace, noteTrace, probeTrace, wipeTrace } from './roll-back-trace.ts';
import type { Trace } from './roll-back-trace.ts';

const params = z.strictObject({
  guest: guestRef,
  checkpoint: checkpointName,
  signed: z.strictObject({ takenAt: z.number().int().min(0), volumes: z.array(volumeId).max(1024) }).optional(),
});

export interface RollBackParams {
  readonly guest: GuestRef;
  readonly checkpoint: string;
  /** What people signed for, which has to be what is there. Without it the guest asks, for its own checkpoints only. */
  readonly signed?: { readonly takenAt: number; readonly volumes: readonly VolumeId[] } | undefined;
}

/** A volume that the guest got after the snapshot: untouched by the rollback, but no longer mounted after it. */
export interface LaterVolume {
  readonly key: string;
  readonly volid: VolumeId;
  readonly line: string;
}

export interface RollBackState extends Trace, ClaimState {
  readonly vmid: Vmid;
  readonly ran: boolean;
  readonly tags: readonly string[];
  readonly later: readonly LaterVolume[];
  /** The node's clock in seconds before the call. */
  readonly since: number;
  /** What the marker becomes; decided before anything is done. */
  readonly next: Marker;
  readonly digest: string;
  readonly volumes: readonly GuestVolume[];
  readonly risingSince: number;
}

export type RollBackContext = StepContext<RollBackParams, RollBackState, RollBackNeeds>;
export type Partly = Partial<RollBackState>;

export const rollBack: SagaDefinition<RollBackParams, RollBackState, RollBackNeeds> = {
  name: 'rollback',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'assess', readOnly: true, run: assessRollBack },
    { name: 'trace', intend: noteTrace, run: leaveTrace, probe: probeTrace, undo: wipeTrace },
    {
      name: 'rollback',
      pivot: 'at-intent',
      intend: noteTime,
      run: runRollBack,
      probe: probeRollBack,
      barrier: barRollBack,
    },
    { name: 'mark', intend: noteMark, run: mark, probe: probeMark },
    { name: 'register', readOnly: true, run: register },
    claim(),
    {
      name: 'start',
      intend: noteStart,
      run: (ctx, signal) => rise(raised(ctx), ctx.state.ran === true, signal),
      probe: (ctx, signal) => probeRise(raised(ctx), ctx.state.ran === true, ctx.state.risingSince ?? 0, signal),
    },
    { name: 'up', readOnly: true, run: (ctx, signal) => seenUp(raised(ctx), ctx.state.ran === true, signal) },
    { name: 'record', readOnly: true, run: record },
  ],
};

function inState<K extends keyof RollBackState>(ctx: RollBackContext, key: K): RollBackState[K] {
  const value = ctx.state[key];
  if (value === undefined) throw new Error(`cannot go on with a rollback: its journal holds no ${key}`);
  return value;
}

/** The guest as it is on record from `register` on. */
function raised(ctx: RollBackContext): RollBackContext {
  const { guest } = ctx.params;
  return { ...ctx, params: { ...ctx.params, guest: { ...guest, incarnation: inState(ctx, 'next').incarnation } } };
}

// -------------------------------------------------------------------------------------------------------- mark

function noteMark(ctx: RollBackContext): Promise<Outcome<Partly>> {
  const { uid, incarnation } = ctx.params.guest;
  return Promise.resolve(done({ next: { uid, incarnation: incarnation + 1, marker: mintMarker(ctx.random) } }));
}

async function mark(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const written = await writeConfig(ctx, markWrite(ctx, { tags: true }), signal);
  // Where the node allows its own tags only, those of the snapshot stay.
  if (written.is === 'refused' && written.why.code === 'pve.forbidden') {
    const without = await writeConfig(ctx, markWrite(ctx, { tags: false }), signal);
    return without.is === 'done' ? done(asRecorded(ctx, without.value)) : without;
  }
  return written.is === 'done' ? done(asRecorded(ctx, written.value)) : written;
}

async function probeMark(ctx: RollBackContext, signal: AbortSignal): Promise<Probed<Partly>> {
  const probed = await probeConfig(ctx, markWrite(ctx, { tags: true }), signal);
  return probed.is === 'done' ? done(asRecorded(ctx, probed.value)) : probed;
}

function markWrite(ctx: RollBackContext, with_: { readonly tags: boolean }): ConfigWrite {
  const next = inState(ctx, 'next');
  const tags = inState(ctx, 'tags');
  const later = inState(ctx, 'later');
  return {
    vmid: inState(ctx, 'vmid'),
    marker: ctx.needs.registry.byUid(ctx.params.guest.uid) ?? next,
    nextMarker: next,
    what: 'what a rollback changed',
    missing: (view) => {
      const back = reattached(view, later);
      const set: Record<string, string> = { ...back.set };
      const remove: string[] = [];
      if (view.marker?.marker !== next.marker) set['description'] = formatDescription(next, view.label);
      if (with_.tags && formatTags(tags) !== formatTags(view.tags))
        if (tags.length === 0) remove.push('tags');
        else set['tags'] = formatTags(tags);
      return { set, delete: remove };
    },
  };
}

/** Proxmox keeps them as `unusedN`; they go where they were, or where there is room. Their unused entry is left alone. */
export function reattached(view: Pick<GuestView, 'disks' | 'unused' | 'rawKeys'>, later: readonly LaterVolume[]) {
  const taken = new Set(view.rawKeys);
  const set: Record<string, string> = {};
  for (const { key, volid, line } of later) {
    if (view.disks.some((disk) => disk.volid === volid) || !view.unused.includes(volid)) continue;
    const free = taken.has(key) ? freeMountKey(taken) : key;
    taken.add(free);
    set[free] = line;
  }
  return { set, delete: [] } satisfies RawChange;
}

function asRecorded(ctx: RollBackContext, view: GuestView): Partly {
  const known = ctx.needs.registry.byUid(ctx.params.guest.uid)?.volumes ?? [];
  const volumes = view.disks.map(({ key, volid, sizeGiB }): GuestVolume => {
    const before = known.find((volume) => volume.volid === volid);
    return {
      key,
      name: before?.name ?? key,
      volid,
      sizeGiB: sizeGiB ?? before?.sizeGiB ?? 0,
      // Some storages make a volume anew to put it back.
      ctime: undefined,
      carriedOver: before?.carriedOver ?? false,
    };
  });
  return { digest: view.digest, volumes };
}

// ----------------------------------------------------------------------------------------- register, claim, start

async function register(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { guest } = ctx.params;
  const next = inState(ctx, 'next');
  const own = await readOwn(ctx, inState(ctx, 'vmid'), next, signal);
  if (own.is !== 'done') return unknown(own.why);
  const volumes = inState(ctx, 'volumes').map((volume) => ({ ...volume, ctime: undefined }));
  const kept = keepRecord(ctx, guest.uid, (known) => ({
    ...known,
    incarnation: next.incarnation,
    marker: next.marker,
    configDigest: inState(ctx, 'digest'),
    volumes,
  }));
  if (kept.is !== 'done') return kept;
  ctx.needs.checkpoints.carryOver({ ...guest, incarnation: next.incarnation });
  return done({});
}

/** Its secret reaches the guest at a start only, so one that stays down gets none. */
function claim(): Step<RollBackParams, RollBackState, RollBackNeeds> {
  return claimStep<RollBackParams, RollBackState, RollBackNeeds>((ctx) =>
    ctx.state.ran === true
      ? {
          vmid: inState(ctx, 'vmid'),
          marker: inState(ctx, 'next'),
          name: ctx.params.guest.name,
          identity: 'obeyed',
        }
      : undefined,
  );
}

async function noteStart(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const noted = await noteTime(ctx, signal);
  return noted.is === 'done' ? done({ risingSince: noted.value.since }) : noted;
}

function record(ctx: RollBackContext): Promise<Outcome<Partly>> {
  const { claimDigest } = ctx.state;
  if (claimDigest === undefined) return Promise.resolve(done({}));
  const kept = keepRecord(ctx, ctx.params.guest.uid, (known) => ({ ...known, configDigest: claimDigest }));
  return Promise.resolve(kept.is === 'done' ? done({}) : kept);
}
