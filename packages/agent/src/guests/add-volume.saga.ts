/** One more data volume on a guest. Root's listing before the call tells afterwards what the call allocated [R32]. */
import { z } from 'zod';
import { desiredVolume, reason } from '@felhom/protocol';
import type { DesiredVolume, VolumeId } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord, GuestVolume } from '../authority/guest-record.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { GuestNeeds } from './needs.ts';
import { formatNewVolume, freeMountKey } from './pve-config.ts';
import type { GuestView } from './pve-config.ts';
import { guestRef, keepRecord, recordOf } from './registered.ts';
import { laneOf } from './vmid-claims.ts';
import { afterCall, barrier, orphansOf, patiently, patientAttempts, readOwn } from './settle.ts';

const params = z.strictObject({ guest: guestRef, volume: desiredVolume });

export interface AddVolumeParams {
  readonly guest: GuestRef;
  readonly volume: DesiredVolume;
}

export interface AddVolumeState {
  readonly before: readonly VolumeId[];
  readonly added: GuestVolume;
  readonly digest: string;
}

type Context = StepContext<AddVolumeParams, AddVolumeState, GuestNeeds>;

export const addVolume: SagaDefinition<AddVolumeParams, AddVolumeState, GuestNeeds> = {
  name: 'add-volume',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    // An attached volume stays attached: taking it back would be a removal, which only a signature allows.
    { name: 'attach', intend: list, run: attach, probe: probeAttach },
    { name: 'record', readOnly: true, run: record },
  ],
};

/** A volume that nothing refers to would make the difference ambiguous, and may hold data: a person decides first. */
async function list(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<AddVolumeState>>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const view = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (view.is !== 'done') return view;
  const before = await ctx.needs.helper.volumesOf(found.value.vmid, signal);
  if (before.is !== 'done') return before;
  const orphans = orphansOf(before.value, [], view.value);
  return orphans.length === 0 ? done({ before: before.value }) : refused(orphaned(ctx, found.value, orphans));
}

async function attach(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<AddVolumeState>>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const { vmid } = found.value;
  const { volume, guest } = ctx.params;
  return patiently(ctx, `volume ${volume.name}`, signal, async () => {
    const view = await readOwn(ctx, vmid, found.value, signal);
    if (view.is !== 'done') return view;
    if (!isAttached(ctx, view.value)) {
      ctx.progress({ text: `allocating ${volume.sizeGiB} GiB for ${volume.path} of ${guest.name}` });
      const key = freeMountKey(view.value.disks.map((disk) => disk.key));
      const set = { [key]: formatNewVolume(volume) };
      const put = await ctx.needs.writer.configure(vmid, { set, digest: view.value.digest }, signal);
      if (put.is !== 'done') return put;
    }
    const after = afterCall(await readOwn(ctx, vmid, found.value, signal));
    return after.is === 'done' ? attached(ctx, after.value) : after;
  });
}

async function probeAttach(ctx: Context, signal: AbortSignal): Promise<Probed<Partial<AddVolumeState>>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const view = await barrier(ctx, found.value.vmid, found.value, signal);
  if (view.is !== 'done') return view;
  if (isAttached(ctx, view.value)) return attached(ctx, view.value);
  const listed = afterCall(await ctx.needs.helper.volumesOf(found.value.vmid, signal));
  if (listed.is !== 'done') return listed;
  const orphans = orphansOf(listed.value, ctx.state.before ?? [], view.value);
  // Perhaps without a finished file system: attached to a guest with data it could keep it from starting.
  return orphans.length === 0 ? { is: 'never-happened' } : refused(orphaned(ctx, found.value, orphans));
}

/** At the path, and not there before: somebody else's mount at the same path is not ours by that. */
const newDisk = (ctx: Context, view: GuestView) =>
  view.disks.find((disk) => disk.path === ctx.params.volume.path && !(ctx.state.before ?? []).includes(disk.volid));

const isAttached = (ctx: Context, view: GuestView): boolean => newDisk(ctx, view) !== undefined;

function attached(ctx: Context, view: GuestView): Outcome<Partial<AddVolumeState>> {
  const { volume, guest } = ctx.params;
  const disk = newDisk(ctx, view);
  if (disk === undefined)
    return refused(
      reason(
        'guest.change-failed',
        `cannot add volume ${volume.name} to guest ${guest.name}: Proxmox does not show it`,
      ),
    );
  const added = {
    key: disk.key,
    name: volume.name,
    volid: disk.volid,
    sizeGiB: disk.sizeGiB ?? volume.sizeGiB,
    ctime: undefined,
    carriedOver: false,
  };
  return done({ added, digest: view.digest });
}

const orphaned = (ctx: Context, record: GuestRecord, orphans: readonly VolumeId[]) =>
  reason(
    'guest.orphan-volume',
    `cannot add volume ${ctx.params.volume.name} to guest ${record.name}: under VMID ${record.vmid} lies ${orphans.join(', ')} and nothing refers to it`,
  );

async function record(ctx: Context): Promise<Outcome<Partial<AddVolumeState>>> {
  const { added, digest } = ctx.state;
  if (added === undefined || digest === undefined)
    throw new Error('cannot record a new volume: its journal holds no outcome');
  const kept = keepRecord(ctx, ctx.params.guest.uid, (known) => ({
    ...known,
    configDigest: digest,
    volumes: [...known.volumes.filter((volume) => volume.key !== added.key), added],
  }));
  return kept.is === 'done' ? done({}) : kept;
}
