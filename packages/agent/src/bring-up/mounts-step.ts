/** Data volumes that join a restored guest: one allocation at a time, with root's listing journaled before the first. */
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import type { DesiredVolume } from '@felhom/protocol';
import { markerOf, want } from './restore-state.ts';
import type { FrontContext, RestoreFrontState } from './restore-state.ts';
import { formatNewVolume, freeMountKey } from '../guests/pve-config.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { reason } from '@felhom/protocol';
import { barrier, orphansOf, patiently, readOwn } from '../guests/settle.ts';

export async function intendMounts(
  ctx: FrontContext,
  wanted: readonly DesiredVolume[],
  signal: AbortSignal,
): Promise<Outcome<Partial<RestoreFrontState>>> {
  if (wanted.length === 0) return done({ mountsBefore: [] });
  const before = await ctx.needs.helper.volumesOf(want(ctx, 'vmid'), signal);
  return before.is === 'done' ? done({ mountsBefore: before.value }) : before;
}

export async function runMounts(
  ctx: FrontContext,
  wanted: readonly DesiredVolume[],
  signal: AbortSignal,
): Promise<Outcome<Partial<RestoreFrontState>>> {
  const vmid = want(ctx, 'vmid');
  if (wanted.length === 0) return done({ mountsDone: true });
  for (const volume of wanted) {
    const attached = await patiently(ctx, `volume ${volume.name}`, signal, () => attach(ctx, volume, signal));
    if (attached.is !== 'done') return attached;
  }
  const view = await readOwn(ctx, vmid, markerOf(ctx), signal);
  if (view.is !== 'done') return view;
  return allAttached(ctx, wanted, view.value);
}

async function attach(ctx: FrontContext, volume: DesiredVolume, signal: AbortSignal): Promise<Outcome<void>> {
  const vmid = want(ctx, 'vmid');
  const view = await readOwn(ctx, vmid, markerOf(ctx), signal);
  if (view.is !== 'done') return view;
  if (view.value.disks.some((disk) => disk.path === volume.path)) return done(undefined);
  ctx.progress({ text: `allocating ${volume.sizeGiB} GiB for ${volume.path}` });
  const key = freeMountKey(view.value.disks.map((disk) => disk.key));
  const set = { [key]: formatNewVolume(volume) };
  return ctx.needs.writer.configure(vmid, { set, digest: view.value.digest }, signal);
}

/** After a lost answer: wait until the call has ended, then see what it left [R32]. */
export async function probeMounts(
  ctx: FrontContext,
  wanted: readonly DesiredVolume[],
  signal: AbortSignal,
): Promise<Probed<Partial<RestoreFrontState>>> {
  if (wanted.length === 0) return done({ mountsDone: true });
  const vmid = want(ctx, 'vmid');
  const view = await barrier(ctx, vmid, markerOf(ctx), signal);
  if (view.is !== 'done') return view;
  const missing = wanted.some((volume) => !mountedAt(view.value, volume));
  if (!missing) return allAttached(ctx, wanted, view.value);
  const listed = await ctx.needs.helper.volumesOf(vmid, signal);
  if (listed.is !== 'done') return listed;
  const orphans = orphansOf(listed.value, want(ctx, 'mountsBefore'), view.value);
  if (orphans.length > 0)
    // Perhaps without a finished file system, so it is not attached; the undo frees it with the rest.
    return refused(
      reason(
        'guest.orphan-volume',
        `cannot ${want(ctx, 'restoring').words.goal}: an allocation died half-way and left ${orphans.join(', ')}`,
      ),
    );
  return { is: 'never-happened' };
}

const mountedAt = (view: GuestView, volume: DesiredVolume): boolean =>
  view.disks.some((disk) => disk.path === volume.path);

function allAttached(
  ctx: FrontContext,
  wanted: readonly DesiredVolume[],
  view: GuestView,
): Outcome<Partial<RestoreFrontState>> {
  const data = wanted.flatMap((volume) => {
    const disk = view.disks.find((candidate) => candidate.path === volume.path);
    if (disk === undefined) return [];
    return [
      {
        key: disk.key,
        name: volume.name,
        volid: disk.volid,
        sizeGiB: disk.sizeGiB ?? volume.sizeGiB,
        ctime: undefined,
        carriedOver: false,
      },
    ];
  });
  if (data.length < wanted.length)
    return refused(
      reason(
        'guest.change-failed',
        `cannot ${want(ctx, 'restoring').words.goal}: Proxmox accepted its volumes and shows only ${data.length}`,
      ),
    );
  const added = new Set(data.map((volume) => volume.key));
  const before = want(ctx, 'volumes').filter((volume) => !added.has(volume.key));
  return done({ volumes: [...before, ...data], mountsDone: true });
}
