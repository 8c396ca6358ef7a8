/**
 * The step of a saga that hands bulk volumes over, and back when it is undone. No pivot lies on it: the whole restore has
 * to be able to unwind, so its undo first waits until no hand-over can land any more, finishes whatever is half-done,
 * and then hands back. It ends when each volume was seen where it came from [R1].
 */
import { done } from '../kernel/saga.ts';
import type { Outcome, Step, StepContext } from '../kernel/saga.ts';
import { carryTo, probeCarry, settleCalls } from './carry-over.ts';
import type { Carried, Carry, Place } from './carry-over.ts';
import type { CarryItem } from './carry-plan.ts';
import type { RestoreNeeds } from './needs.ts';

export interface CarryState {
  readonly homeRest: Carry['homeRest'];
  readonly awayRest: Carry['awayRest'];
  readonly carrySince: number;
  readonly carried: readonly Carried[];
}

export interface CarrySides {
  readonly items: readonly CarryItem[];
  readonly home: Place;
  readonly away: Place;
}

export interface CarryStep<P, S extends CarryState> {
  readonly sides: (ctx: StepContext<P, S, RestoreNeeds>) => CarrySides;
  readonly guard: (ctx: StepContext<P, S, RestoreNeeds>) => Outcome<void>;
  /** They are home again, perhaps under other names. */
  readonly home: (ctx: StepContext<P, S, RestoreNeeds>, volumes: readonly Carried[]) => Outcome<void>;
}

export function carryStep<P, S extends CarryState>(name: string, step: CarryStep<P, S>): Step<P, S, RestoreNeeds> {
  type Ctx = StepContext<P, S, RestoreNeeds>;
  const carryOf = (ctx: Ctx): Carry | undefined => {
    const { homeRest, awayRest, carrySince } = ctx.state;
    if (homeRest === undefined || awayRest === undefined || carrySince === undefined) return undefined;
    return { ...step.sides(ctx), homeRest, awayRest, since: carrySince };
  };
  const needed = (ctx: Ctx): Carry => {
    const carry = carryOf(ctx);
    if (carry === undefined) throw new Error('cannot carry volumes over: the journal holds no listing of before');
    return carry;
  };
  const arrived = (carried: readonly Carried[]): Partial<S> => ({ carried }) as unknown as Partial<S>;
  return {
    name,
    intend: async (ctx, signal) => {
      const { items, home, away } = step.sides(ctx);
      const time = await ctx.needs.node.time(signal);
      if (time.is !== 'done') return time;
      const [atHome, atAway] = await Promise.all([
        ctx.needs.helper.volumesOf(home.vmid, signal),
        ctx.needs.helper.volumesOf(away.vmid, signal),
      ]);
      if (atHome.is !== 'done') return atHome;
      if (atAway.is !== 'done') return atAway;
      const carried = new Set(items.map(({ volid }) => volid));
      const noted: Omit<CarryState, 'carried'> = {
        homeRest: atHome.value.filter((volid) => !carried.has(volid)),
        awayRest: atAway.value,
        carrySince: Math.floor(time.value) - 1,
      };
      return done(noted as unknown as Partial<S>);
    },
    run: async (ctx, signal) => {
      const late = step.guard(ctx);
      if (late.is !== 'done') return late;
      const moved = await carryTo(ctx, needed(ctx), 'away', signal);
      return moved.is === 'done' ? done(arrived(moved.value)) : moved;
    },
    probe: async (ctx, signal) => {
      const probed = await probeCarry(ctx, needed(ctx), 'away', signal);
      return probed.is === 'done' ? done(arrived(probed.value)) : probed;
    },
    undo: async (ctx, signal) => {
      const carry = carryOf(ctx);
      if (carry === undefined || carry.items.length === 0) return done(undefined);
      const settled = await settleCalls(ctx, carry, signal);
      if (settled.is !== 'done') return settled;
      const back = await carryTo(ctx, carry, 'home', signal);
      return back.is === 'done' ? step.home(ctx, back.value) : back;
    },
  };
}
