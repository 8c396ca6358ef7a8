/**
 * The trace by which a rollback is known to have happened or not [R33]: taking a snapshot and going back to it leave the
 * same config otherwise. A tag, because tags come from the snapshot; where a tag policy forbids one, a start order, which
 * comes from it too.
 */
import type { GuestRecord } from '../authority/guest-record.ts';
import { ifStillOurs } from '../guests/at-rest.ts';
import { base32 } from '../guests/mint.ts';
import { formatTags } from '../guests/pve-config.ts';
import type { GuestView, RawChange } from '../guests/pve-config.ts';
import { keepRecord, recordOf } from '../guests/registered.ts';
import { probeConfig, readOwn, writeConfig } from '../guests/settle.ts';
import type { ConfigWrite } from '../guests/settle.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import { reason } from '@felhom/protocol';
import type { Partly, RollBackContext } from './roll-back.saga.ts';

export interface Trace {
  readonly tag: string;
  /** The order that stands for it, and the raw line that it replaces; `null`: there was none. */
  readonly order: number;
  readonly startupBefore: string | null;
}

/** Above every order that people give. */
const firstOrder = 1_000_000;

export async function noteTrace(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const read = await ctx.needs.reader.config(found.value.vmid, { current: false }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is !== 'present')
    return refused(reason('pve.guest-absent', `cannot roll guest ${ctx.params.guest.name} back: it is not seen`));
  const [high = 0, low = 0] = ctx.random.bytes(2);
  return done({
    tag: `op-${base32(ctx.random.bytes(5))}`,
    order: firstOrder + high * 256 + low,
    startupBefore: read.value.config.values['startup'] ?? null,
  });
}

export function traceStands({ tag, order }: Partial<Trace>, view: Pick<GuestView, 'tags' | 'startupOrder'>): boolean {
  return (tag !== undefined && view.tags.includes(tag)) || (order !== undefined && view.startupOrder === order);
}

const nothing: RawChange = { set: {}, delete: [] };

function traceWrite(ctx: RollBackContext, record: GuestRecord, by: 'tags' | 'startup'): ConfigWrite {
  const { state } = ctx;
  return {
    vmid: record.vmid,
    marker: record,
    what: 'the trace of a rollback',
    missing: (view) => {
      if (traceStands(state, view)) return nothing;
      return by === 'tags'
        ? { set: { tags: formatTags([...view.tags, state.tag ?? '']) }, delete: [] }
        : { set: { startup: `order=${state.order}` }, delete: [] };
    },
  };
}

export async function leaveTrace(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  let written = await writeConfig(ctx, traceWrite(ctx, found.value, 'tags'), signal);
  if (written.is === 'refused' && written.why.code === 'pve.forbidden')
    written = await writeConfig(ctx, traceWrite(ctx, found.value, 'startup'), signal);
  return written.is === 'done' ? done({}) : written;
}

export async function probeTrace(ctx: RollBackContext, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const probed = await probeConfig(ctx, traceWrite(ctx, found.value, 'tags'), signal);
  return probed.is === 'done' ? done({}) : probed;
}

/** Where the rollback is not begun after all. */
export function wipeTrace(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<void>> {
  const { tag, order, startupBefore } = ctx.state;
  if (tag === undefined) return Promise.resolve(done(undefined));
  return ifStillOurs(ctx, signal, async (record) => {
    const seen = await readOwn(ctx, record.vmid, record, signal);
    if (seen.is !== 'done') return seen;
    if (!traceStands(ctx.state, seen.value)) return done(undefined);
    const back: ConfigWrite = {
      vmid: record.vmid,
      marker: record,
      what: 'the trace of a rollback',
      missing: (view) => {
        const set: Record<string, string> = {};
        const remove: string[] = [];
        const kept = view.tags.filter((one) => one !== tag);
        if (kept.length < view.tags.length)
          if (kept.length === 0) remove.push('tags');
          else set['tags'] = formatTags(kept);
        if (view.startupOrder === order)
          if (typeof startupBefore === 'string') set['startup'] = startupBefore;
          else remove.push('startup');
        return { set, delete: remove };
      },
    };
    const wiped = await writeConfig(ctx, back, signal);
    if (wiped.is !== 'done') return wiped;
    return keepRecord(ctx, record.uid, (known) => ({ ...known, configDigest: wiped.value.digest }));
  });
}
