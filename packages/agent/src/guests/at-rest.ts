/**
 * Work on a guest that has to stand still for it: brought down if it runs, and up again afterwards or when the work is
 * taken back. Whether it ran is journaled before anything happens.
 */
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import type { Acting } from './needs.ts';
import { bringDown, powerOn, probeDown, probePowerOn, stayUp } from './power.ts';
import { recordOf } from './registered.ts';
import { afterCall, readOwn, whenIdle } from './settle.ts';

export interface RestState {
  /** Whether it ran when the work began. */
  readonly ran: boolean;
  /** The node's clock in seconds before the first call. */
  readonly since: number;
}

type Resting = Acting & {
  readonly params: { readonly guest: GuestRef };
  readonly state: Readonly<Partial<RestState>>;
};

/** Intent of a first step: is it ours, and does it run? */
export async function noteRest(ctx: Omit<Resting, 'state'>, signal: AbortSignal): Promise<Outcome<RestState>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const own = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (own.is !== 'done') return own;
  const time = await ctx.needs.node.time(signal);
  if (time.is !== 'done') return time;
  const status = await ctx.needs.reader.status(found.value.vmid, signal);
  if (status.is !== 'done') return status;
  return done({ ran: status.value.status === 'running', since: Math.floor(time.value) - 1 });
}

export async function comeToRest(ctx: Resting, signal: AbortSignal): Promise<Outcome<object>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const own = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (own.is !== 'done') return own;
  const down = await bringDown(ctx, found.value.vmid, signal);
  return down.is === 'done' ? done({}) : down;
}

export async function probeRest(ctx: Resting, signal: AbortSignal): Promise<Probed<object>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const probed = await probeDown(ctx, found.value.vmid, ctx.state.since ?? 0, signal);
  return probed.is === 'done' ? done({}) : probed;
}

/** Takes a rest back: what ran runs again. */
export function riseAgain(ctx: Resting, signal: AbortSignal): Promise<Outcome<void>> {
  const { ran, since } = ctx.state;
  if (ran !== true) return Promise.resolve(done(undefined));
  return ifStillOurs(ctx, signal, async ({ vmid }) => {
    for (const type of ['vzshutdown', 'vzstop', 'vzstart']) {
      const idle = await whenIdle(ctx, { vmid, type, sinceSeconds: since ?? 0 }, signal);
      if (idle.is !== 'done') return idle;
    }
    return powerOn(ctx, vmid, signal);
  });
}

/** A step forward: up again, where `wanted`. */
export async function rise(
  ctx: Omit<Resting, 'state'>,
  wanted: boolean,
  signal: AbortSignal,
): Promise<Outcome<object>> {
  if (!wanted) return done({});
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const own = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (own.is !== 'done') return own;
  const started = await powerOn(ctx, found.value.vmid, signal);
  return started.is === 'done' ? done({}) : started;
}

export async function probeRise(
  ctx: Omit<Resting, 'state'>,
  wanted: boolean,
  sinceSeconds: number,
  signal: AbortSignal,
): Promise<Probed<object>> {
  if (!wanted) return done({});
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const probed = await probePowerOn(ctx, found.value.vmid, sinceSeconds, signal);
  return probed.is === 'done' ? done({}) : probed;
}

/** It stays up, where it should run at all. Reads only. */
export async function seenUp(
  ctx: Omit<Resting, 'state'>,
  wanted: boolean,
  signal: AbortSignal,
): Promise<Outcome<object>> {
  if (!wanted) return done({});
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const stayed = await stayUp(ctx, found.value.vmid, signal);
  return stayed.is === 'done' ? done({}) : stayed;
}

/** For undo: where the guest is gone, or another one is in its place, there is nothing to take back. */
export async function ifStillOurs(
  ctx: Omit<Resting, 'state'>,
  signal: AbortSignal,
  takeBack: (record: GuestRecord) => Promise<Outcome<unknown>>,
): Promise<Outcome<void>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return done(undefined);
  const own = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (own.is === 'refused' && afterCall(own).is === 'refused') return done(undefined);
  if (own.is !== 'done') return own;
  const taken = await takeBack(found.value);
  return taken.is === 'done' ? done(undefined) : taken;
}
