/**
 * A guest that is there and on no record becomes ours, as it is at this moment and no other: the marker goes into its
 * notes under the digest of the config that was signed, the rest of the notes stays, and the registry knows it as
 * somebody's data from the first moment on.
 */
import { guestName, reason, vmid, volumeId } from '@felhom/protocol';
import type { GuestName, GuestUid, Reason, Vmid, VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import { markerLine } from '../authority/guest-record.ts';
import type { GuestRecord, GuestVolume } from '../authority/guest-record.ts';
import { mintMarker, mintUid } from '../guests/mint.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { formatDescription, viewOf } from '../guests/pve-config.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { afterCall, patientAttempts, patiently } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { volumesToAdopt } from './strangers.ts';

const params = z.strictObject({
  vmid,
  name: guestName,
  configDigest: z.string().regex(/^[0-9a-f]{40}$/),
  volumes: z.array(volumeId).min(1).max(64),
});

export interface AdoptParams {
  readonly vmid: Vmid;
  readonly name: GuestName;
  /** The digest that Proxmox gave the config when people looked at it. */
  readonly configDigest: string;
  /** Every volume that its config names. */
  readonly volumes: readonly VolumeId[];
}

export interface AdoptState {
  readonly uid: GuestUid;
  readonly marker: string;
  /** Claims the VMID while the saga is open. */
  readonly vmid: Vmid;
  /** Its raw notes as they were. */
  readonly notes: string | null;
  /** After the marker was written. */
  readonly digest: string;
  readonly volumes: readonly GuestVolume[];
}

type Context = StepContext<AdoptParams, AdoptState, GuestNeeds>;
type Partly = Partial<AdoptState>;

export const adoptGuest: SagaDefinition<AdoptParams, AdoptState, GuestNeeds> = {
  name: 'adopt',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ name }) => [laneOf({ name })],
  attemptCap: patientAttempts,
  steps: [
    { name: 'mark', intend: mintIdentity, run: mark, probe: probeMark, undo: unmark },
    { name: 'record', readOnly: true, run: record },
  ],
};

const incarnation = 1;

/** Drawn once and durable before the first write, so that a replay marks it with the same uid. */
async function mintIdentity(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const known = knownAlready(ctx);
  if (known !== undefined) return refused(known);
  const seen = await read(ctx, signal);
  if (seen.is !== 'done') return seen;
  const changed = whyChanged(ctx, seen.value.view);
  if (changed !== undefined) return refused(changed);
  return done({
    uid: mintUid(ctx.random),
    marker: mintMarker(ctx.random),
    vmid: ctx.params.vmid,
    notes: seen.value.notes ?? null,
  });
}

function knownAlready({ needs, params: { vmid: id, name } }: Context): Reason | undefined {
  const holder = needs.registry.byVmid(id) ?? needs.registry.byName(name);
  if (holder === undefined) return undefined;
  return reason(
    'job.changed',
    `cannot adopt VMID ${id} as ${name}: guest ${holder.name} (${holder.uid}) is on record at VMID ${holder.vmid}`,
  );
}

/** Nothing about it may be different from what people signed. */
function whyChanged({ params: { vmid: id, configDigest, volumes } }: Context, view: GuestView): Reason | undefined {
  const cannot = `cannot adopt VMID ${id}`;
  if (view.digest !== configDigest)
    return reason(
      'job.changed',
      `${cannot}: its config was changed since it was signed for (${configDigest.slice(0, 12)}, now ${view.digest.slice(0, 12)})`,
    );
  const unlike = new Set(volumesToAdopt(view)).symmetricDifference(new Set(volumes));
  if (unlike.size > 0)
    return reason('job.changed', `${cannot}: ${[...unlike].join(', ')} is not both signed for and in its config`);
  return undefined;
}

interface Seen {
  readonly view: GuestView;
  readonly notes: string | undefined;
}

async function read(ctx: Context, signal: AbortSignal): Promise<Outcome<Seen>> {
  const { vmid: id } = ctx.params;
  const answer = await ctx.needs.reader.config(id, { current: false }, signal);
  if (answer.is !== 'done') return answer;
  if (answer.value.is === 'absent')
    return refused(reason('pve.guest-absent', `cannot adopt VMID ${id}: Proxmox has no config for it`));
  if (answer.value.is === 'forbidden')
    return refused(
      reason('pve.forbidden', `cannot adopt VMID ${id}: the token may not read it; run felhom-agent doctor`),
    );
  const { config } = answer.value;
  return done({ view: viewOf(config), notes: config.values['description'] });
}

function identityOf(ctx: Context): Pick<GuestRecord, 'uid' | 'incarnation' | 'marker'> {
  const { uid, marker } = ctx.state;
  if (uid === undefined || marker === undefined) throw new Error('cannot adopt a guest: the journal holds no uid');
  return { uid, incarnation, marker };
}

const carries = (ctx: Context, view: GuestView): boolean =>
  view.marker !== undefined && markerLine(view.marker) === markerLine(identityOf(ctx));

function mark(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { vmid: id, configDigest } = ctx.params;
  return patiently(ctx, 'adoption', signal, async () => {
    const seen = await read(ctx, signal);
    if (seen.is !== 'done') return seen;
    const changed = carries(ctx, seen.value.view) ? undefined : whyChanged(ctx, seen.value.view);
    if (changed !== undefined) return refused(changed);
    if (!carries(ctx, seen.value.view)) {
      const set = { description: formatDescription(identityOf(ctx), seen.value.view.label) };
      const put = await ctx.needs.writer.configure(id, { set, digest: configDigest }, signal);
      if (put.is === 'refused' && put.why.code === 'pve.digest-mismatch')
        return refused(reason('job.changed', `cannot adopt VMID ${id}: its config was changed a moment ago`));
      if (put.is !== 'done') return put;
    }
    const after = afterCall(await read(ctx, signal));
    return after.is === 'done' ? adopted(ctx, after.value.view) : after;
  });
}

/** The digest guards a repeated write: one of the two finds the config changed. */
async function probeMark(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const seen = afterCall(await read(ctx, signal));
  if (seen.is !== 'done') return seen;
  return carries(ctx, seen.value.view) ? adopted(ctx, seen.value.view) : { is: 'never-happened' };
}

function adopted(ctx: Context, view: GuestView): Outcome<Partly> {
  if (!carries(ctx, view))
    return refused(
      reason('guest.change-failed', `cannot adopt VMID ${ctx.params.vmid}: its notes did not take the marker`),
    );
  const volumes = view.disks
    .filter((disk) => volumeId.safeParse(disk.volid).success)
    .map((disk) => ({
      key: disk.key,
      // Desired state names volumes; until somebody writes one for it, the config key is the name.
      name: disk.key,
      volid: disk.volid,
      sizeGiB: disk.sizeGiB ?? 0,
      ctime: undefined,
      carriedOver: false,
    }));
  return done({ digest: view.digest, volumes });
}

/** Its notes as they were, where they still hold our marker. */
async function unmark(ctx: Context, signal: AbortSignal): Promise<Outcome<void>> {
  if (ctx.state.uid === undefined) return done(undefined);
  return patiently(ctx, 'adoption back', signal, async () => {
    const seen = await read(ctx, signal);
    if (seen.is === 'refused' && seen.why.code === 'pve.guest-absent') return done(undefined);
    if (seen.is !== 'done') return seen;
    if (!carries(ctx, seen.value.view)) return done(undefined);
    const { notes } = ctx.state;
    const { digest } = seen.value.view;
    return ctx.needs.writer.configure(
      ctx.params.vmid,
      typeof notes === 'string'
        ? { set: { description: notes.trimEnd() }, digest }
        : { delete: ['description'], digest },
      signal,
    );
  });
}

async function record(ctx: Context): Promise<Outcome<Partly>> {
  const { digest, volumes } = ctx.state;
  if (digest === undefined || volumes === undefined)
    throw new Error('cannot record an adoption: its journal holds no outcome');
  const now = ctx.clock.now();
  ctx.needs.registry.put({
    ...identityOf(ctx),
    name: ctx.params.name,
    vmid: ctx.params.vmid,
    golden: 'adopted',
    volumes,
    // It is somebody's data, whether or not it ever ran under this agent.
    servedAt: now,
    configDigest: digest,
    createdAt: now,
    scratch: false,
  });
  return done({});
}
