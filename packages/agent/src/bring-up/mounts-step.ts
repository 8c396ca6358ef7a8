/** The data volumes of a bring-up: one allocation at a time, with root's listing journaled before the first. */
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import type { DesiredVolume } from '@felhom/protocol';
import { markerOf, want } from './bring-up-state.ts';
import type { BringUpContext, BringUpState } from './bring-up-state.ts';
import { formatNewVolume, freeMountKey } from '../guests/pve-config.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { reason } from '@felhom/protocol';
import { barrier, orphansOf, patiently, readOwn } from '../guests/settle.ts';

export async function intendMounts(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  if (ctx.params.desired.volumes.length === 0) return done({ mountsBefore: [] });
  const before = await ctx.needs.helper.volumesOf(want(ctx, 'vmid'), signal);
  return before.is === 'done' ? done({ mountsBefore: before.value }) : before;
}

export async function runMounts(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  const vmid = want(ctx, 'vmid');
  const wanted = ctx.params.desired.volumes;
  if (wanted.length === 0) return done({ mountsDone: true });
  for (const volume of wanted) {
    const attached = await patiently(ctx, `volume ${volume.name}`, signal, () => attach(ctx, volume, signal));
    if (attached.is !== 'done') return attached;
  }
  const view = await readOwn(ctx, vmid, markerOf(ctx), signal);
  if (view.is !== 'done') return view;
  return allAttached(ctx, view.value);
}

async function attach(ctx: BringUpContext, volume: DesiredVolume, signal: AbortSignal): Promise<Outcome<void>> {
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
export async function probeMounts(ctx: BringUpContext, signal: AbortSignal): Promise<Probed<Partial<BringUpState>>> {
  if (ctx.params.desired.volumes.length === 0) return done({ mountsDone: true });
  const vmid = want(ctx, 'vmid');
  const view = await barrier(ctx, vmid, markerOf(ctx), signal);
  if (view.is !== 'done') return view;
  const missing = ctx.params.desired.volumes.some((volume) => !mountedAt(view.value, volume));
  if (!missing) return allAttached(ctx, view.value);
  const listed = await ctx.needs.helper.volumesOf(vmid, signal);
  if (listed.is !== 'done') return listed;
  const orphans = orphansOf(listed.value, want(ctx, 'mountsBefore'), view.value);
  if (orphans.length > 0)
    // Perhaps without a finished file system, so it is not attached; the undo frees it with the rest.
    return refused(
      reason(
        'guest.orphan-volume',
        `cannot bring up guest ${ctx.params.desired.name}: an allocation died half-way and left ${orphans.join(', ')}`,
      ),
    );
  return { is: 'never-happened' };
}

const mountedAt = (view: GuestView, volume: DesiredVolume): boolean =>
  view.disks.some((disk) => disk.path === volume.path);

function allAttached(ctx: BringUpContext, view: GuestView): Outcome<Partial<BringUpState>> {
  const rootfs = want(ctx, 'volumes');
  const data = ctx.params.desired.volumes.flatMap((volume) => {
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
  if (data.length < ctx.params.desired.volumes.length)
    return refused(
      reason(
        'guest.change-failed',
        `cannot bring up guest ${ctx.params.desired.name}: Proxmox accepted its volumes and shows only ${data.length}`,
      ),
    );
  return done({ volumes: [...rootfs.filter((volume) => volume.key === 'rootfs'), ...data], mountsDone: true });
}
