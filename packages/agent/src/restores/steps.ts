/** Steps that the sagas of this room share: a config write with its way back, and power with its way back. */
import type { GuestRef } from '../authority/effects.ts';
import { claimStep } from '../controllers/index.ts';
import type { ClaimState } from '../controllers/index.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome, Step, StepContext } from '../kernel/saga.ts';
import type { Acting } from '../guests/needs.ts';
import { keepRecord } from '../guests/registered.ts';
import { bringDown, powerOff, powerOn, probeDown, probePowerOn, stayUp } from '../guests/power.ts';
import { afterCall, probeConfig, readOwn, whenIdle, writeConfig } from '../guests/settle.ts';
import type { ConfigWrite } from '../guests/settle.ts';
import type { GuestView } from '../guests/pve-config.ts';
import type { RestoreNeeds } from './needs.ts';
import { noStartAtBoot, startAtBoot } from './place.ts';
import type { Standing } from './place.ts';
import type { PlaceBefore } from './restore-store.ts';

type Ctx<P, S extends object> = StepContext<P, S, RestoreNeeds>;

export interface WriteStep<P, S extends object> {
  readonly to: (ctx: Ctx<P, S>) => ConfigWrite;
  /** What takes it back; absent: nothing does. */
  readonly back?: (ctx: Ctx<P, S>) => ConfigWrite | undefined;
  /** Asked before it is written: why it is too late for that. */
  readonly guard?: (ctx: Ctx<P, S>) => Outcome<void>;
  readonly keep?: (view: GuestView) => Partial<S>;
  /** After it was taken back. */
  readonly afterBack?: (ctx: Ctx<P, S>, view: GuestView, signal: AbortSignal) => Promise<Outcome<void>>;
}

export function writeStep<P, S extends object>(name: string, write: WriteStep<P, S>): Step<P, S, RestoreNeeds> {
  const kept = (view: GuestView): Partial<S> => write.keep?.(view) ?? {};
  const { back } = write;
  return {
    name,
    run: async (ctx, signal) => {
      const late = write.guard?.(ctx);
      if (late !== undefined && late.is !== 'done') return late;
      const written = await writeConfig(ctx, write.to(ctx), signal);
      return written.is === 'done' ? done(kept(written.value)) : written;
    },
    probe: async (ctx, signal) => {
      const probed = await probeConfig(ctx, write.to(ctx), signal);
      return probed.is === 'done' ? done(kept(probed.value)) : probed;
    },
    ...(back === undefined
      ? {}
      : {
          undo: async (ctx, signal) => {
            const change = back(ctx);
            if (change === undefined) return done(undefined);
            return ifOurs(ctx, { vmid: change.vmid, marker: change.marker }, signal, async () => {
              const written = await writeConfig(ctx, change, signal);
              if (written.is !== 'done') return written;
              return write.afterBack?.(ctx, written.value, signal) ?? done(undefined);
            });
          },
        }),
  };
}

/** Out of the node's own hands: it does not start with it. Taken back, it is as before and runs again if it did. */
export const shelveStep = <P extends { readonly guest: GuestRef }, S extends object>(shelve: {
  readonly of: (ctx: Ctx<P, S>) => Standing;
  readonly before: (ctx: Ctx<P, S>) => PlaceBefore;
  /** The node's clock in seconds before anything was done. */
  readonly from: (ctx: Ctx<P, S>) => number;
}): Step<P, S, RestoreNeeds> =>
  writeStep<P, S>('shelve', {
    to: (ctx) => noStartAtBoot(shelve.of(ctx)),
    back: (ctx) => startAtBoot(shelve.before(ctx))(shelve.of(ctx)),
    // Last of all ways back. A node that rebooted meanwhile has not started it, because it was shelved.
    afterBack: async (ctx, view, signal) => {
      const kept = keepRecord(ctx, ctx.params.guest.uid, (record) => ({ ...record, configDigest: view.digest }));
      if (kept.is !== 'done') return kept;
      return shelve.before(ctx).running ? upAgain(ctx, shelve.of(ctx), shelve.from(ctx), signal) : done(undefined);
    },
  });

/**
 * What a guest with a controller finds its host with. The token that came back in the archive died with the old
 * incarnation [R26], and `env` is read at the start. `of`: `undefined` for a guest that is not started.
 */
export const claimFor = <P extends { readonly guest: GuestRef }, S extends ClaimState>(
  of: (ctx: Ctx<P, S>) => Standing | undefined,
): Step<P, S, RestoreNeeds> =>
  claimStep<P, S, RestoreNeeds>((ctx) => {
    const { name } = ctx.params.guest;
    const standing = of(ctx);
    return standing === undefined || ctx.needs.desiredOf(name)?.controller === undefined
      ? undefined
      : { ...standing, name };
  });

/** Where the guest is gone, or another one is in its place, there is nothing to take back. */
async function ifOurs(
  ctx: Acting,
  { vmid, marker }: Standing,
  signal: AbortSignal,
  takeBack: () => Promise<Outcome<void>>,
): Promise<Outcome<void>> {
  const own = await readOwn(ctx, vmid, marker, signal);
  if (own.is === 'refused' && afterCall(own).is === 'refused') return done(undefined);
  return own.is === 'done' ? takeBack() : own;
}

export interface PowerStep<P, S extends object> {
  /** `undefined`: it is not to be touched. */
  readonly of: (ctx: Ctx<P, S>) => Standing | undefined;
  readonly since: (ctx: Ctx<P, S>) => number;
  readonly guard?: (ctx: Ctx<P, S>) => Outcome<void>;
}

/** Brings a guest that is in service down; its way back brings it up again. */
export function downStep<P, S extends object>(
  name: string,
  power: PowerStep<P, S> & {
    readonly intend?: (ctx: Ctx<P, S>) => Partial<S>;
    readonly ran: (ctx: Ctx<P, S>) => boolean;
  },
): Step<P, S, RestoreNeeds> {
  const { intend } = power;
  return {
    name,
    ...(intend === undefined ? {} : { intend: (ctx) => Promise.resolve(done(intend(ctx))) }),
    run: async (ctx, signal) => {
      const standing = power.of(ctx);
      if (standing === undefined) return done({});
      const own = await readOwn(ctx, standing.vmid, standing.marker, signal);
      if (own.is !== 'done') return own;
      const down = await bringDown(ctx, standing.vmid, signal);
      return down.is === 'done' ? done({}) : down;
    },
    probe: async (ctx, signal) => {
      const standing = power.of(ctx);
      if (standing === undefined) return done({});
      const down = await probeDown(ctx, standing.vmid, power.since(ctx), signal);
      return down.is === 'done' ? done({}) : down;
    },
    undo: (ctx, signal) => {
      const standing = power.of(ctx);
      return standing === undefined || !power.ran(ctx)
        ? Promise.resolve(done(undefined))
        : upAgain(ctx, standing, power.since(ctx), signal);
    },
  };
}

/** What ran runs again, once nothing of ours works on its power any more. */
export function upAgain(
  ctx: Acting,
  standing: Standing,
  sinceSeconds: number,
  signal: AbortSignal,
): Promise<Outcome<void>> {
  return ifOurs(ctx, standing, signal, async () => {
    for (const type of ['vzshutdown', 'vzstop', 'vzstart']) {
      const idle = await whenIdle(ctx, { vmid: standing.vmid, type, sinceSeconds }, signal);
      if (idle.is !== 'done') return idle;
    }
    return powerOn(ctx, standing.vmid, signal);
  });
}

/** Starts a guest that nobody uses yet; its way back stops it. */
export function upStep<P, S extends object>(name: string, power: PowerStep<P, S>): Step<P, S, RestoreNeeds> {
  return {
    name,
    run: async (ctx, signal) => {
      const late = power.guard?.(ctx);
      if (late !== undefined && late.is !== 'done') return late;
      const standing = power.of(ctx);
      if (standing === undefined) return done({});
      const own = await readOwn(ctx, standing.vmid, standing.marker, signal);
      if (own.is !== 'done') return own;
      const up = await powerOn(ctx, standing.vmid, signal);
      return up.is === 'done' ? done({}) : up;
    },
    probe: async (ctx, signal) => {
      const standing = power.of(ctx);
      if (standing === undefined) return done({});
      const up = await probePowerOn(ctx, standing.vmid, power.since(ctx), signal);
      return up.is === 'done' ? done({}) : up;
    },
    undo: (ctx, signal) => {
      const standing = power.of(ctx);
      return standing === undefined
        ? Promise.resolve(done(undefined))
        : powerOff(ctx, standing.vmid, standing.marker, power.since(ctx), signal);
    },
  };
}

/**
 * Seen to stay up. With `pivot`, its outcome closes the way back: from here on the guest serves. With `again`, which is for
 * where no way leads back, one that is down, as after a reboot of the node, is started again.
 */
export function seenUp<P, S extends object>(
  name: string,
  power: Pick<PowerStep<P, S>, 'of' | 'guard'> & {
    readonly pivot?: true;
    readonly again?: true;
    readonly keep?: (ctx: Ctx<P, S>) => Partial<S>;
  },
): Step<P, S, RestoreNeeds> {
  const run: Step<P, S, RestoreNeeds>['run'] = async (ctx, signal) => {
    const late = power.guard?.(ctx);
    if (late !== undefined && late.is !== 'done') return late;
    const standing = power.of(ctx);
    const up = standing === undefined ? done(undefined) : await stayUp(ctx, standing.vmid, signal);
    return up.is === 'done' ? done(power.keep?.(ctx) ?? {}) : up;
  };
  if (power.again === true)
    return {
      name,
      run: async (ctx, signal) => {
        const standing = power.of(ctx);
        const on = standing === undefined ? done(undefined) : await powerOn(ctx, standing.vmid, signal);
        return on.is === 'done' ? run(ctx, signal) : on;
      },
      probe: run,
    };
  // Watching changes nothing, but its outcome may close the way back.
  return power.pivot === true ? { name, pivot: 'at-outcome', run, probe: run } : { name, readOnly: true, run };
}
