/**
 * One change that a guest takes only while it stands still: brought down if it runs, one digest-guarded write, up again
 * if it ran, seen to stay up.
 *
 *   network      a running guest would lose the interface when the plugging fails (PVE: LXC.pm update_net)
 *   nameserver, mount path, backup flag
 *                Proxmox answers 200 and keeps them back until the next start; "done" has to mean that they hold
 *
 * A guest that does not come up with the change gets its old line and its power back.
 */
import { z } from 'zod';
import { desiredNetwork, desiredVolume, reason } from '@felhom/protocol';
import type { DesiredNetwork } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { comeToRest, ifStillOurs, noteRest, probeRest, probeRise, rise, riseAgain, seenUp } from './at-rest.ts';
import type { RestState } from './at-rest.ts';
import { noteTime } from './grow-volume.saga.ts';
import type { GuestNeeds } from './needs.ts';
import { bringDown } from './power.ts';
import { formatProperties } from './property-string.ts';
import {
  describeDesiredNet,
  describeNet,
  formatAtPath,
  formatNet,
  formatNetOnto,
  formatWithoutBackup,
  keyOfNetwork,
} from './pve-config.ts';
import type { DiskView, GuestView, RawChange } from './pve-config.ts';
import { guestRef, keepRecord, recordOf } from './registered.ts';
import { patientAttempts, probeConfig, readOwn, writeConfig } from './settle.ts';
import type { ConfigWrite } from './settle.ts';
import { laneOf } from './vmid-claims.ts';

const mountKey = z.string().regex(/^mp\d{1,3}$/);
const change = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('network'), network: z.string().min(1).max(40), to: desiredNetwork.nullable() }),
  z.strictObject({ is: z.literal('nameservers'), to: z.array(z.ipv4()).max(3) }),
  z.strictObject({ is: z.literal('mount'), key: mountKey, to: desiredVolume.shape.path }),
  z.strictObject({ is: z.literal('backup-off'), key: mountKey }),
]);
const params = z.strictObject({ guest: guestRef, change });

/** What changes: an interface by its name (`null` takes it away), or a mount by its config key. */
export type ChangeAtRest =
  | { readonly is: 'network'; readonly network: string; readonly to: DesiredNetwork | null }
  | { readonly is: 'nameservers'; readonly to: readonly string[] }
  | { readonly is: 'mount'; readonly key: string; readonly to: string }
  | { readonly is: 'backup-off'; readonly key: string };

export interface ChangeAtRestParams {
  readonly guest: GuestRef;
  readonly change: ChangeAtRest;
}

export interface ChangeAtRestState extends RestState {
  /** The raw line as it was, by its key; `null` = there was none. */
  readonly before: Readonly<Record<string, string | null>>;
  readonly risingSince: number;
  readonly digest: string;
}

type Context = StepContext<ChangeAtRestParams, ChangeAtRestState, GuestNeeds>;
type Partly = Partial<ChangeAtRestState>;

export const changeAtRest: SagaDefinition<ChangeAtRestParams, ChangeAtRestState, GuestNeeds> = {
  name: 'change-at-rest',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'rest', intend: noteRest, run: comeToRest, probe: probeRest, undo: riseAgain },
    { name: 'write', intend: noteLines, run: write, probe: probeWrite, undo: putBack },
    { name: 'start', intend: noteStart, run: start, probe: probeStart, undo: downAgain },
    { name: 'up', readOnly: true, run: (ctx, signal) => seenUp(ctx, ctx.state.ran === true, signal) },
    { name: 'record', readOnly: true, run: record },
  ],
};

/** The raw writes that are still missing. A volume or interface that is not there any more makes none. */
function missing(view: GuestView, wanted: ChangeAtRest): RawChange {
  switch (wanted.is) {
    case 'network':
      return missingNetwork(view, wanted.network, wanted.to);
    case 'nameservers': {
      if (wanted.to.join(' ') === view.nameservers.join(' ')) return nothing;
      return wanted.to.length === 0
        ? { set: {}, delete: ['nameserver'] }
        : { set: { nameserver: wanted.to.join(' ') }, delete: [] };
    }
    case 'mount': {
      const disk = diskAt(view, wanted.key);
      if (disk === undefined || disk.path === wanted.to) return nothing;
      return { set: { [disk.key]: formatAtPath(disk, wanted.to) }, delete: [] };
    }
    case 'backup-off': {
      const disk = diskAt(view, wanted.key);
      return disk?.backup === true ? { set: { [disk.key]: formatWithoutBackup(disk) }, delete: [] } : nothing;
    }
  }
}

function missingNetwork(view: GuestView, name: string, to: DesiredNetwork | null): RawChange {
  const net = view.networks.find((candidate) => (candidate.name || candidate.key) === name);
  if (to === null) return net === undefined ? nothing : { set: {}, delete: [net.key] };
  if (net === undefined) {
    const taken = new Set(view.networks.map((candidate) => candidate.key));
    const key = [keyOfNetwork(to), ...Array.from({ length: 10 }, (_, n) => `net${n}`)].find((free) => !taken.has(free));
    return key === undefined
      ? nothing
      : { set: { [key]: formatNet(to, { mac: undefined, linkDown: false }) }, delete: [] };
  }
  return describeNet(net) === describeDesiredNet(to)
    ? nothing
    : { set: { [net.key]: formatNetOnto(net, to) }, delete: [] };
}

const nothing: RawChange = { set: {}, delete: [] };

const diskAt = (view: GuestView, key: string): DiskView | undefined => view.disks.find((disk) => disk.key === key);

function writeOf(ctx: Context, record: GuestRecord): ConfigWrite {
  const { change: wanted } = ctx.params;
  return { vmid: record.vmid, marker: record, what: wanted.is, missing: (view) => missing(view, wanted) };
}

async function noteLines(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const view = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (view.is !== 'done') return view;
  const { change: wanted } = ctx.params;
  if ((wanted.is === 'mount' || wanted.is === 'backup-off') && diskAt(view.value, wanted.key) === undefined)
    return refused(
      reason(
        'job.changed',
        `cannot change ${wanted.key} of guest ${ctx.params.guest.name}: there is no such mount now`,
      ),
    );
  const raw = missing(view.value, wanted);
  const keys = [...Object.keys(raw.set), ...raw.delete];
  return done({ before: Object.fromEntries(keys.map((key) => [key, rawLine(view.value, key) ?? null])) });
}

function rawLine(view: GuestView, key: string): string | undefined {
  if (key === 'nameserver') return view.nameservers.length === 0 ? undefined : view.nameservers.join(' ');
  const net = view.networks.find((candidate) => candidate.key === key);
  if (net !== undefined) return formatProperties(net.raw);
  const disk = diskAt(view, key);
  return disk === undefined ? undefined : formatProperties(disk.raw, 'volume');
}

async function write(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const down = await stillDown(ctx, found.value, signal);
  if (down.is !== 'done') return down;
  const written = await writeConfig(ctx, writeOf(ctx, found.value), signal);
  return written.is === 'done' ? done({ digest: written.value.digest }) : written;
}

/**
 * A node that rebooted brought it up by itself. On a running guest Proxmox keeps the change back until the next start,
 * and what is done would not hold.
 */
function stillDown(ctx: Context, { vmid }: GuestRecord, signal: AbortSignal): Promise<Outcome<void>> {
  return ctx.state.ran === true ? bringDown(ctx, vmid, signal) : Promise.resolve(done(undefined));
}

async function probeWrite(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const probed = await probeConfig(ctx, writeOf(ctx, found.value), signal);
  return probed.is === 'done' ? done({ digest: probed.value.digest }) : probed;
}

function putBack(ctx: Context, signal: AbortSignal): Promise<Outcome<void>> {
  const lines = Object.entries(ctx.state.before ?? {});
  if (lines.length === 0) return Promise.resolve(done(undefined));
  return ifStillOurs(ctx, signal, async (known) => {
    const down = await stillDown(ctx, known, signal);
    if (down.is !== 'done') return down;
    const back = await writeConfig(
      ctx,
      {
        vmid: known.vmid,
        marker: known,
        what: `${ctx.params.change.is} back`,
        missing: (view) => ({
          set: Object.fromEntries(lines.flatMap(([key, line]) => isOther(view, key, line))),
          delete: lines.flatMap(([key, line]) => (line === null && rawLine(view, key) !== undefined ? [key] : [])),
        }),
      },
      signal,
    );
    if (back.is !== 'done') return back;
    return keepRecord(ctx, known.uid, (record) => ({ ...record, configDigest: back.value.digest }));
  });
}

const isOther = (view: GuestView, key: string, line: string | null): readonly (readonly [string, string])[] =>
  line !== null && rawLine(view, key) !== line ? [[key, line]] : [];

async function noteStart(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const noted = await noteTime(ctx, signal);
  return noted.is === 'done' ? done({ risingSince: noted.value.since }) : noted;
}

function start(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  return rise(ctx, ctx.state.ran === true, signal);
}

function probeStart(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  return probeRise(ctx, ctx.state.ran === true, ctx.state.risingSince ?? 0, signal);
}

function downAgain(ctx: Context, signal: AbortSignal): Promise<Outcome<void>> {
  if (ctx.state.ran !== true) return Promise.resolve(done(undefined));
  return ifStillOurs(ctx, signal, ({ vmid }) => bringDown(ctx, vmid, signal));
}

async function record(ctx: Context): Promise<Outcome<Partly>> {
  const { digest } = ctx.state;
  if (digest === undefined) throw new Error('cannot record a change at rest: its journal holds no digest');
  const kept = keepRecord(ctx, ctx.params.guest.uid, (known) => ({ ...known, configDigest: digest }));
  return kept.is === 'done' ? done({}) : kept;
}
