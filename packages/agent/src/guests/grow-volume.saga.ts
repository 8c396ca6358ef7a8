/** A volume becomes larger. Never undone: there is no way to make it smaller. */
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { GuestNeeds } from './needs.ts';
import type { GuestView } from './pve-config.ts';
import { guestRef, keepRecord, recordOf } from './registered.ts';
import { laneOf } from './vmid-claims.ts';
import { patientAttempts } from './settle.ts';
import { growDisk, probeGrowth } from './resize.ts';
import type { Growth } from './resize.ts';

const params = z.strictObject({
  guest: guestRef,
  key: z.string().regex(/^(?:rootfs|mp\d{1,3})$/),
  toGiB: z.number().int().min(1),
});

export interface GrowVolumeParams {
  readonly guest: GuestRef;
  /** Config key, `rootfs` or `mp0` … */
  readonly key: string;
  readonly toGiB: number;
}

export interface GrowVolumeState {
  /** The node's clock in seconds before the call. */
  readonly since: number;
  readonly sizeGiB: number;
  readonly digest: string;
}

type Context = StepContext<GrowVolumeParams, GrowVolumeState, GuestNeeds>;

export const growVolume: SagaDefinition<GrowVolumeParams, GrowVolumeState, GuestNeeds> = {
  name: 'grow-volume',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'grow', intend: noteTime, run: grow, probe: probeGrow },
    { name: 'record', readOnly: true, run: record },
  ],
};

export async function noteTime(
  ctx: Pick<Context, 'needs'>,
  signal: AbortSignal,
): Promise<Outcome<{ readonly since: number }>> {
  const time = await ctx.needs.node.time(signal);
  return time.is === 'done' ? done({ since: Math.floor(time.value) - 1 }) : time;
}

function growthFor(ctx: Context): Outcome<Growth> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  return done({ vmid: found.value.vmid, marker: found.value, key: ctx.params.key, toGiB: ctx.params.toGiB });
}

async function grow(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<GrowVolumeState>>> {
  const growth = growthFor(ctx);
  if (growth.is !== 'done') return growth;
  const grown = await growDisk(ctx, growth.value, signal);
  return grown.is === 'done' ? done(sizeIn(ctx, grown.value)) : grown;
}

async function probeGrow(ctx: Context, signal: AbortSignal): Promise<Probed<Partial<GrowVolumeState>>> {
  const growth = growthFor(ctx);
  if (growth.is !== 'done') return growth;
  const probed = await probeGrowth(ctx, growth.value, ctx.state.since ?? 0, signal);
  return probed.is === 'done' ? done(sizeIn(ctx, probed.value)) : probed;
}

const sizeIn = (ctx: Context, view: GuestView): Partial<GrowVolumeState> => ({
  digest: view.digest,
  sizeGiB: view.disks.find((disk) => disk.key === ctx.params.key)?.sizeGiB ?? ctx.params.toGiB,
});

async function record(ctx: Context): Promise<Outcome<Partial<GrowVolumeState>>> {
  const { digest, sizeGiB } = ctx.state;
  if (digest === undefined || sizeGiB === undefined)
    throw new Error('cannot record a larger volume: its journal holds no outcome');
  const kept = keepRecord(ctx, ctx.params.guest.uid, (known) => ({
    ...known,
    configDigest: digest,
    volumes: known.volumes.map((volume) => (volume.key === ctx.params.key ? { ...volume, sizeGiB } : volume)),
  }));
  return kept.is === 'done' ? done({}) : kept;
}
