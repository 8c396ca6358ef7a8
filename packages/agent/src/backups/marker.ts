/**
 * The marker of a guest, minted anew after a backup of it was seen, ours or anybody's: every archive then holds a stale
 * one, and a guest that was restored from it behind our back is no longer taken for ours [R20].
 *
 * The description is written first and the registry after it. A crash in between is settled by the probe: the guest
 * shows either marker, and both are known from the intent on.
 */
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { mintMarker } from '../guests/mint.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { settingsToRaw } from '../guests/pve-config.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { keepRecord, recordOf } from '../guests/registered.ts';
import { probeConfig, writeConfig } from '../guests/settle.ts';
import type { ConfigWrite } from '../guests/settle.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, StepContext } from '../kernel/saga.ts';

export interface MarkerState {
  readonly nextMarker: string;
}

type MarkerContext = StepContext<{ readonly guest: GuestRef }, MarkerState, GuestNeeds>;
type Partly = Partial<MarkerState>;

export function noteMarker(ctx: MarkerContext): Promise<Outcome<Partly>> {
  return Promise.resolve(done({ nextMarker: mintMarker(ctx.random) }));
}

/** Never refused: a backup that is proven stays so, and a guest that is no longer ours is not marked any more. */
export async function writeMarker(ctx: MarkerContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const renewal = renewalOf(ctx);
  if (renewal === undefined) return done({});
  const written = await writeConfig(ctx, renewal.write, signal);
  if (written.is === 'done') return settle(ctx, renewal.next, written.value);
  return written.is === 'refused' && isGone(written.why.code) ? done({}) : unknown(written.why);
}

export async function probeMarker(ctx: MarkerContext, signal: AbortSignal): Promise<Probed<Partly>> {
  const renewal = renewalOf(ctx);
  if (renewal === undefined) return done({});
  const probed = await probeConfig(ctx, renewal.write, signal);
  if (probed.is === 'done') return settle(ctx, renewal.next, probed.value);
  if (probed.is === 'refused') return isGone(probed.why.code) ? done({}) : unknown(probed.why);
  return probed;
}

/** `undefined`: nothing is left to do. */
function renewalOf(ctx: MarkerContext): { readonly write: ConfigWrite; readonly next: GuestRecord } | undefined {
  const found = recordOf(ctx, ctx.params.guest);
  const { nextMarker } = ctx.state;
  if (nextMarker === undefined) throw new Error('cannot renew a marker: its journal holds none');
  if (found.is !== 'done' || found.value.marker === nextMarker) return undefined;
  const next: GuestRecord = { ...found.value, marker: nextMarker };
  return {
    next,
    write: {
      vmid: next.vmid,
      marker: found.value,
      nextMarker: next,
      what: 'the marker',
      markerMayBeMissing: true,
      // Where a person took it away, putting it back is an effect of its own.
      missing: (view) =>
        view.marker === undefined ? { set: {}, delete: [] } : settingsToRaw(view, next, { repairMarker: true }),
    },
  };
}

function settle(ctx: MarkerContext, next: GuestRecord, view: GuestView): Outcome<Partly> {
  if (view.marker === undefined) return done({});
  // Of a guest that left the record meanwhile there is nothing to keep.
  keepRecord(ctx, next.uid, (known) => ({ ...known, marker: next.marker, configDigest: view.digest }));
  return done({});
}

const isGone = (code: string): boolean => code === 'guest.not-ours' || code === 'pve.guest-absent';
