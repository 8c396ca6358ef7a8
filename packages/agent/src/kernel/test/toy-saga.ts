/**
 * A saga with a step of every sort, over the toy world:
 * look (read only) → place (intends a nonce, has a handle) → paint (no handle) → light (pivot) → ring (forward only)
 */
import type { Reason } from '@felhom/protocol';
import type { Outcome, Probed, SagaDefinition, Step, StepContext } from '../saga.ts';
import { done, refused, unknown } from '../saga.ts';
import type { ToyWorld } from './toy-world.ts';
import { takes } from './toy-world.ts';

export interface ToyParams {
  readonly colour: string;
  readonly lane: string;
}
export interface ToyState {
  readonly free: number;
  readonly nonce: string;
}
export interface ToyNeeds {
  /** Throws once the power is off: a dead agent reaches nothing. */
  world(): ToyWorld;
}
type Context = StepContext<ToyParams, ToyState, ToyNeeds>;
type ToyStep = Step<ToyParams, ToyState, ToyNeeds>;

export const because = (text: string): Reason => ({ code: 'toy', text, retry: 'later' });

/** Every call may be refused, carried out, or carried out without an answer. */
function call<T>(ctx: Context, name: string, effect: (world: ToyWorld) => T): Outcome<T> {
  const world = ctx.needs.world();
  if (takes(world.refusals, name)) return refused(because(`${name} refused`));
  const value = effect(world);
  world.effects.push(name);
  return takes(world.lostAnswers, name) ? unknown(because(`${name}: answer lost`)) : done(value);
}

const thing = (ctx: Context) => ctx.needs.world().things.get(ctx.state.nonce ?? '');
const seen = (isThere: boolean | undefined): Probed<object> =>
  isThere === true ? { is: 'done', value: {} } : { is: 'never-happened' };

const look: ToyStep = {
  name: 'look',
  readOnly: true,
  run: async (ctx) => call(ctx, 'look', (world) => ({ free: 10 - world.things.size })),
};

const place: ToyStep = {
  name: 'place',
  intend: async (ctx) => done({ nonce: `${ctx.sagaId}-${ctx.random.bytes(2).join('.')}` }),
  run: async (ctx, signal) => {
    const nonce = ctx.state.nonce ?? '';
    const placed = call(ctx, 'place', (world) => {
      if (world.things.has(nonce)) throw new Error(`${nonce} is already there`);
      world.things.set(nonce, { colour: undefined, lit: false });
    });
    if (placed.is !== 'done') return placed;
    ctx.recordHandle(`task-${nonce}`);
    await ctx.clock.sleep(1000, signal);
    return done({});
  },
  probe: async (ctx) => seen(thing(ctx) !== undefined),
  undo: async (ctx, signal) => {
    if (thing(ctx) === undefined) return done(undefined);
    const removed = call(ctx, 'remove', (world) => world.things.delete(ctx.state.nonce ?? ''));
    if (removed.is !== 'done') return removed;
    ctx.recordHandle(`undo-${ctx.state.nonce}`);
    await ctx.clock.sleep(1000, signal);
    return done(undefined);
  },
};

const paint: ToyStep = {
  name: 'paint',
  run: async (ctx) =>
    call(ctx, 'paint', () => {
      const found = thing(ctx);
      if (found !== undefined) found.colour = ctx.params.colour;
      return {};
    }),
  probe: async (ctx) => seen(thing(ctx)?.colour === ctx.params.colour),
  undo: async (ctx) =>
    call(ctx, 'strip', () => {
      const found = thing(ctx);
      if (found !== undefined) found.colour = undefined;
    }),
};

const light: ToyStep = {
  name: 'light',
  pivot: 'at-outcome',
  run: async (ctx) =>
    call(ctx, 'light', () => {
      const found = thing(ctx);
      if (found !== undefined) found.lit = true;
      return {};
    }),
  probe: async (ctx) => seen(thing(ctx)?.lit),
  undo: async (ctx) =>
    call(ctx, 'darken', () => {
      const found = thing(ctx);
      if (found !== undefined) found.lit = false;
    }),
};

const ring: ToyStep = {
  name: 'ring',
  run: async (ctx) =>
    call(ctx, 'ring', (world) => {
      world.bells.push(ctx.sagaId);
      return {};
    }),
  probe: async (ctx) => seen(ctx.needs.world().bells.includes(ctx.sagaId)),
};

export const toySaga: SagaDefinition<ToyParams, ToyState, ToyNeeds> = {
  name: 'toy',
  version: 1,
  parseParams: (raw) => {
    if (typeof raw !== 'object' || raw === null || !('colour' in raw)) throw new TypeError('no colour');
    return raw as ToyParams;
  },
  lanes: ({ lane }) => [lane],
  steps: [look, place, paint, light, ring],
  attemptCap: 8,
};
