/**
 * Bulk that survived its guest: attached where it lies, under the VMID that it was made for. A guest may use the volume of
 * another VMID and never frees it (PVE: LXC.pm `delete_mountpoint_volume` asks for the owner).
 */
import { reason } from '@felhom/protocol';
import { ownerOf } from '../bring-up/config-audit.ts';
import { markerOf, want } from '../bring-up/index.ts';
import type { GuestView, RawChange } from '../guests/pve-config.ts';
import { afterCall, readOwn, writeConfig } from '../guests/settle.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { RecoverContext } from './recover-state.ts';

export function attachMissing(ctx: RecoverContext, view: GuestView): RawChange {
  const { attach } = want(ctx, 'back');
  const missing = attach.filter(({ volid }) => !view.disks.some((disk) => disk.volid === volid));
  return { set: Object.fromEntries(missing.map(({ key, value }) => [key, value])), delete: [] };
}

/**
 * Out of the new guest's config, wholly, so that taking the guest back frees nothing of it. Removing an `unusedN` frees
 * the volume where the guest owns it; these it never owns, which is looked at before.
 */
export async function detach(ctx: RecoverContext, signal: AbortSignal): Promise<Outcome<void>> {
  const { vmid, back } = ctx.state;
  if (vmid === undefined || back === undefined || back.attach.length === 0) return done(undefined);
  const volids = new Set<string>(back.attach.map(({ volid }) => volid));
  if ([...volids].some((volid) => ownerOf(volid) === vmid))
    return refused(reason('gate.holds-data', `cannot detach the bulk of guest ${vmid}: it belongs to this VMID`));
  const own = await readOwn(ctx, vmid, markerOf(ctx), signal);
  if (own.is === 'refused' && afterCall(own).is === 'refused') return done(undefined);
  if (own.is !== 'done') return own;
  const written = await writeConfig(
    ctx,
    {
      what: 'carried-over volumes',
      vmid,
      marker: markerOf(ctx),
      missing: (view) => ({ set: {}, delete: namingAny(view, volids) }),
    },
    signal,
  );
  return written.is === 'done' ? done(undefined) : written;
}

/** Mounts first; what they become in `unusedN` is seen and removed by the next look. */
function namingAny(view: GuestView, volids: ReadonlySet<string>): readonly string[] {
  const mounted = view.disks.filter((disk) => volids.has(disk.volid)).map((disk) => disk.key);
  if (mounted.length > 0) return mounted;
  const unusedKeys = view.rawKeys.filter((key) => /^unused\d+$/.test(key));
  return unusedKeys.filter((_key, at) => volids.has(view.unused[at] ?? ''));
}
