/**
 * Taking back a restore: looks at every VMID the saga may have used, touches only what is provably its own, and ends
 * when the VMID is free, no volume is left under it and it is in the pool again. Twice is the same as once.
 */
import type { Vmid, VolumeId } from '@felhom/protocol';
import { destroyWarrantFor } from '../authority/provenance.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import { markerOf, want } from './restore-state.ts';
import type { FrontContext } from './restore-state.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { reason } from '@felhom/protocol';
import { hiddenThere, lookAt, lookPastPool } from './restore-step.ts';
import { ownTasks, waitFor, whenIdle } from '../guests/settle.ts';

/** pveproxy gives up on a request after 30 s; afterwards its worker no longer begins. */
const lateLandingMs = 35_000;

/** Also the last step of a saga whose guest was never meant to stay; a running one must have been stopped before. */
export async function clearRestored(ctx: FrontContext, signal: AbortSignal): Promise<Outcome<void>> {
  const { vmid, candidates } = ctx.state;
  // Without candidates the intent never became durable, so no call was made.
  const places = vmid === undefined ? (candidates ?? []) : [vmid];
  for (const place of places) {
    const cleared = await clear(ctx, place, signal);
    if (cleared.is !== 'done') return cleared;
  }
  ctx.needs.claims.release(ctx.sagaId);
  return done(undefined);
}

async function clear(ctx: FrontContext, vmid: Vmid, signal: AbortSignal): Promise<Outcome<void>> {
  // A destroy of an earlier try of this undo: what it is about to remove is not worth looking at.
  const idle = await whenIdle(ctx, { vmid, type: 'vzdestroy', sinceSeconds: want(ctx, 'since') }, signal);
  if (idle.is !== 'done') return idle;
  const seen = await lookAt(ctx, vmid, signal);
  if (seen.is !== 'done') return seen;
  if (seen.value.is === 'ours' && !seen.value.unfinished) return destroy(ctx, vmid, seen.value.view, signal);
  const made = await ownTasks(ctx, { vmid, type: 'vzrestore', sinceSeconds: want(ctx, 'since') }, signal);
  if (made.is !== 'done') return made;
  const [task] = made.value;
  // What may not be read is ours to look after where the restore was known to have succeeded.
  const perhapsOurs = seen.value.is === 'ours' || (seen.value.is === 'hidden' && ctx.state.vmid !== undefined);
  if (!perhapsOurs && task === undefined) return done(undefined);
  if (task !== undefined) {
    const ended = await waitFor(ctx, task.upid, `waiting for the restore of ${vmid} to end`, signal);
    if (ended.is !== 'done') return ended;
  }
  const now = await lookPastPool(ctx, vmid, signal);
  if (now.is !== 'done') return now;
  if (now.value.is === 'hidden') return unknown(hiddenThere(vmid));
  if (now.value.is === 'ours' && !now.value.unfinished) return destroy(ctx, vmid, now.value.view, signal);
  // A restore that Proxmox cleaned up itself, and then somebody else's guest: not ours to touch.
  if (now.value.is === 'foreign') return done(undefined);
  return reap(ctx, vmid, now.value.is === 'free', signal);
}

/** A dead worker's stub, or only its volumes. Before our call nothing lay under this VMID, so all of them are ours. */
async function reap(ctx: FrontContext, vmid: Vmid, noConfig: boolean, signal: AbortSignal): Promise<Outcome<void>> {
  const volumes = await ctx.needs.helper.volumesOf(vmid, signal);
  if (volumes.is !== 'done') return volumes;
  // Perhaps because an earlier try of this undo destroyed it; then the pool is still to be put right.
  if (noConfig && volumes.value.length === 0) return proveGone(ctx, vmid, signal);
  ctx.progress({ text: `removing what the dead restore of ${vmid} left` });
  const reaped = await ctx.needs.helper.reapStub(`${ctx.sagaId}.restore.reap.${vmid}`, vmid, volumes.value, signal);
  if (reaped.is !== 'done') return reaped;
  return proveGone(ctx, vmid, signal);
}

async function destroy(ctx: FrontContext, vmid: Vmid, view: GuestView, signal: AbortSignal): Promise<Outcome<void>> {
  const listed = await ctx.needs.helper.volumesOf(vmid, signal);
  if (listed.is !== 'done') return listed;
  const config = view.disks.map((disk) => disk.volid);
  const found = [...new Set([...config, ...view.unused, ...listed.value])];
  const marker = markerOf(ctx);
  const onRecord = ctx.needs.registry.byUid(marker.uid);
  const decision = destroyWarrantFor(
    {
      vmid,
      ...marker,
      allocated: allocatedBy(ctx, found),
      carriedOver: [],
      // No call was made for a VMID before root's listing had shown nothing under it.
      listedBeforeCreate: [],
    },
    {
      vmid,
      marker:
        view.marker === undefined
          ? { is: 'missing' }
          : { is: 'present', uid: view.marker.uid, incarnation: view.marker.incarnation, n: view.marker.marker },
      config,
      // A guest that was never started has nothing pending.
      pending: [],
      unused: view.unused,
      listed: listed.value,
    },
    // While a guest comes back, the registry still has the one that it replaces: an earlier incarnation, another guest.
    onRecord?.incarnation === marker.incarnation ? onRecord : undefined,
  );
  if (decision.is === 'park') return refused(decision.why);
  ctx.progress({ text: `taking back guest ${vmid}` });
  const posted = await ctx.needs.destroyer.destroy(decision.warrant, signal);
  // It may still land, and nobody may have this VMID again before it has or cannot any more [R31].
  if (posted.is === 'unknown') await ctx.clock.sleep(lateLandingMs, signal);
  if (posted.is !== 'done') return posted;
  ctx.recordHandle(posted.value);
  const ended = await waitFor(ctx, posted.value, `taking back guest ${vmid}`, signal);
  if (ended.is !== 'done') return ended;
  return proveGone(ctx, vmid, signal, ended.value.logTail.slice(-6).join('\n'));
}

/**
 * The volumes that this saga allocated by its own journal. Before the restore's outcome is durable that is all there
 * is, because nothing lay under the VMID before; while allocations are open it is also what appeared since the
 * listing that they journaled first.
 */
function allocatedBy(ctx: FrontContext, found: readonly VolumeId[]): readonly VolumeId[] {
  const { volumes, mountsBefore, mountsDone } = ctx.state;
  if (volumes === undefined) return found;
  const known = volumes.map((volume) => volume.volid);
  if (mountsBefore === undefined || mountsDone === true) return known;
  return [...new Set([...known, ...found.filter((volid) => !mountsBefore.includes(volid))])];
}

async function proveGone(ctx: FrontContext, vmid: Vmid, signal: AbortSignal, detail?: string): Promise<Outcome<void>> {
  const free = await ctx.needs.reader.isVmidFree(vmid, signal);
  if (free.is !== 'done') return free;
  const volumes = await ctx.needs.helper.volumesOf(vmid, signal);
  if (volumes.is !== 'done') return volumes;
  if (!free.value || volumes.value.length > 0)
    return unknown(
      reason(
        'guest.undo-incomplete',
        `cannot finish taking back guest ${vmid}: ${free.value ? `volumes are left: ${volumes.value.join(', ')}` : 'Proxmox still has it'}`,
        detail,
      ),
    );
  // A destroy drops the pool membership, and with it every right on this VMID [R5].
  return ctx.needs.helper.poolEnsure(`${ctx.sagaId}.restore.pool.${vmid}`, vmid, signal);
}
