/**
 * One digest-guarded write of plain settings, on a running or stopped guest. Undoing it would take away what was just
 * allowed, and a half-written one does not exist, so there is no undo.
 */
import { z } from 'zod';
import { reason } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { GuestNeeds } from './needs.ts';
import { settingsToRaw } from './pve-config.ts';
import type { GuestView, SettingsChange } from './pve-config.ts';
import { guestRef, keepRecord, recordOf } from './registered.ts';
import { laneOf } from './vmid-claims.ts';
import { probeConfig, readOwn, writeConfig, patientAttempts } from './settle.ts';
import type { ConfigWrite } from './settle.ts';

const change = z.strictObject({
  cores: z.number().int().min(1).optional(),
  memoryMiB: z.number().int().min(16).optional(),
  swapMiB: z.number().int().min(0).optional(),
  onboot: z.boolean().optional(),
  hostname: z.string().min(1).max(63).optional(),
  tags: z.array(z.string()).optional(),
  label: z.string().max(200).optional(),
  startupOrder: z.number().int().min(0).nullable().optional(),
  timezone: z.string().nullable().optional(),
  backupOn: z
    .string()
    .regex(/^mp\d{1,3}$/)
    .optional(),
  repairMarker: z.literal(true).optional(),
});
const params = z.strictObject({ guest: guestRef, change });

export interface ChangeConfigParams {
  readonly guest: GuestRef;
  readonly change: SettingsChange;
}

export interface ChangeConfigState {
  readonly digest: string;
  /** Keys whose new value waits for the next restart of the guest. */
  readonly pending: readonly string[];
}

type Context = StepContext<ChangeConfigParams, ChangeConfigState, GuestNeeds>;

export const changeConfig: SagaDefinition<ChangeConfigParams, ChangeConfigState, GuestNeeds> = {
  name: 'change-config',
  version: 1,
  parseParams: (raw) => withoutUndefined(params.parse(raw)),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'apply', run: apply, probe: probeApply },
    { name: 'record', readOnly: true, run: record },
  ],
};

/** Zod types absent keys as `undefined`; absent is absent. */
function withoutUndefined(parsed: z.output<typeof params>): ChangeConfigParams {
  const present = Object.entries(parsed.change).filter(([, value]) => value !== undefined);
  return { guest: parsed.guest, change: Object.fromEntries(present) };
}

function writeFor(ctx: Context): Outcome<ConfigWrite> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const marker = found.value;
  return done({
    vmid: marker.vmid,
    marker,
    what: Object.keys(ctx.params.change).join(', '),
    missing: (view) => settingsToRaw(view, marker, ctx.params.change),
    ...(ctx.params.change.repairMarker === true ? { markerMayBeMissing: true as const } : {}),
  });
}

async function apply(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<ChangeConfigState>>> {
  const write = writeFor(ctx);
  if (write.is !== 'done') return write;
  const suspect = await strangerWithoutMarker(ctx, write.value, signal);
  if (suspect.is !== 'done') return suspect;
  const written = await writeConfig(ctx, write.value, signal);
  return written.is === 'done' ? after(ctx, write.value, written.value, signal) : written;
}

async function probeApply(ctx: Context, signal: AbortSignal): Promise<Probed<Partial<ChangeConfigState>>> {
  const write = writeFor(ctx);
  if (write.is !== 'done') return write;
  const probed = await probeConfig(ctx, write.value, signal);
  return probed.is === 'done' ? after(ctx, write.value, probed.value, signal) : probed;
}

/** Only a guest whose volumes are exactly the recorded ones gets its marker back; any other may be somebody else's. */
async function strangerWithoutMarker(ctx: Context, write: ConfigWrite, signal: AbortSignal): Promise<Outcome<void>> {
  if (write.markerMayBeMissing !== true) return done(undefined);
  const view = await readOwn(ctx, write.vmid, write.marker, signal, { markerMayBeMissing: true });
  if (view.is !== 'done') return view;
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const known = found.value.volumes.map((volume) => volume.volid).toSorted();
  const shown = view.value.disks.map((disk) => disk.volid).toSorted();
  if (known.join(' ') === shown.join(' ')) return done(undefined);
  return refused(
    reason(
      'guest.not-ours',
      `cannot repair the marker of guest ${ctx.params.guest.name}: the volumes of VMID ${write.vmid} are not the recorded ones`,
    ),
  );
}

/** PVE answers 200 for keys that a running guest takes only at its next start; `pending` names them. */
async function after(
  ctx: Context,
  write: ConfigWrite,
  view: GuestView,
  signal: AbortSignal,
): Promise<Outcome<Partial<ChangeConfigState>>> {
  const listed = await ctx.needs.reader.pending(write.vmid, signal);
  const pending =
    listed.is === 'done'
      ? listed.value.filter((row) => row.pending !== undefined || row.delete).map((row) => row.key)
      : [];
  return done({ digest: view.digest, pending });
}

async function record(ctx: Context): Promise<Outcome<Partial<ChangeConfigState>>> {
  const { digest } = ctx.state;
  if (digest === undefined) throw new Error('cannot record a config change: its journal holds no digest');
  const kept = keepRecord(ctx, ctx.params.guest.uid, (known) => ({ ...known, configDigest: digest }));
  return kept.is === 'done' ? done({}) : kept;
}
