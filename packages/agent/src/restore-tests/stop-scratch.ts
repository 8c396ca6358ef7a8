/** Stopping a scratch guest that is about to be destroyed, or that an earlier try has destroyed already. */
import type { Vmid } from '@felhom/protocol';
import type { Acting } from '../guests/needs.ts';
import { powerOff } from '../guests/power.ts';
import type { Marker } from '../guests/settle.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';

/**
 * A destroy takes the VMID out of the pool, and until it is put back the token may not read it [R5]: what has no guest
 * has nothing to stop. `sinceSeconds`: of the node, no task of ours on it is older.
 */
export async function stopScratch(
  ctx: Acting,
  vmid: Vmid,
  marker: Marker,
  sinceSeconds: number,
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const free = await ctx.needs.reader.isVmidFree(vmid, signal);
  if (free.is !== 'done') return free;
  return free.value ? done(undefined) : powerOff(ctx, vmid, marker, sinceSeconds, signal);
}
