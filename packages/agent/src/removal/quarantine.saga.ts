/**
 * A guest that is to go leaves service and can still come back: it no longer starts with the node, it is down, its links
 * are down and Proxmox refuses to destroy it. In this order, because wherever it breaks off nothing brings the guest up
 * by itself, and a guest that somebody starts all the same has no network.
 */
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { comeToRest, ifStillOurs, noteRest, probeRest, riseAgain } from '../guests/at-rest.ts';
import type { RestState } from '../guests/at-rest.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { formatWithLink } from '../guests/pve-config.ts';
import type { GuestView, RawChange } from '../guests/pve-config.ts';
import { guestRef, keepRecord, recordOf } from '../guests/registered.ts';
import { patientAttempts, probeConfig, readOwn, writeConfig } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { BeforeQuarantine } from './before-quarantine.ts';

const params = z.strictObject({ guest: guestRef });

export interface QuarantineParams {
  readonly guest: GuestRef;
}

export interface QuarantineState extends RestState {
  readonly before: BeforeQuarantine;
  readonly digest: string;
}

type Context = StepContext<QuarantineParams, QuarantineState, GuestNeeds>;
type Partly = Partial<QuarantineState>;

export const quarantine: SagaDefinition<QuarantineParams, QuarantineState, GuestNeeds> = {
  name: 'quarantine',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    {
      name: 'no-boot',
      intend: find,
      run: (ctx, signal) => write(ctx, withoutBoot, signal),
      probe: (ctx, signal) => probe(ctx, withoutBoot, signal),
      undo: (ctx, signal) => takeBack(ctx, bootAsBefore, signal),
    },
    { name: 'rest', run: comeToRest, probe: probeRest, undo: riseAgain },
    {
      name: 'isolate',
      run: (ctx, signal) => write(ctx, cutOff, signal),
      probe: (ctx, signal) => probe(ctx, cutOff, signal),
      undo: (ctx, signal) => takeBack(ctx, linksAsBefore, signal),
    },
    { name: 'record', readOnly: true, run: record },
  ],
};

/** How it is before anything is done, and whether it ran. */
async function find(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const noted = await noteRest(ctx, signal);
  if (noted.is !== 'done') return noted;
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const view = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (view.is !== 'done') return view;
  const { onboot, protection, networks } = view.value;
  const linksDown = Object.fromEntries(networks.map((net) => [net.key, net.linkDown]));
  return done({ ...noted.value, before: { running: noted.value.ran, onboot, protection, linksDown } });
}

type Missing = (view: GuestView) => RawChange;

const withoutBoot: Missing = ({ onboot }) => ({ set: onboot ? { onboot: '0' } : {}, delete: [] });

const cutOff: Missing = ({ networks, protection }) => ({
  set: {
    ...Object.fromEntries(
      networks.filter((net) => !net.linkDown).map((net) => [net.key, formatWithLink(net, 'down')] as const),
    ),
    ...(protection ? {} : { protection: '1' }),
  },
  delete: [],
});

const bootAsBefore =
  (before: BeforeQuarantine): Missing =>
  ({ onboot }) => ({ set: onboot === before.onboot ? {} : { onboot: before.onboot ? '1' : '0' }, delete: [] });

/** An interface that came later is left as it is. */
export const linksAsBefore =
  (before: BeforeQuarantine): Missing =>
  ({ networks, protection }) => ({
    set: {
      ...Object.fromEntries(
        networks
          .filter((net) => net.linkDown && before.linksDown[net.key] === false)
          .map((net) => [net.key, formatWithLink(net, 'up')] as const),
      ),
      ...(protection === before.protection ? {} : { protection: before.protection ? '1' : '0' }),
    },
    delete: [],
  });

const writeOf = (known: GuestRecord, missing: Missing) => ({
  vmid: known.vmid,
  marker: known,
  what: 'the quarantine',
  missing,
});

async function write(ctx: Context, missing: Missing, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const written = await writeConfig(ctx, writeOf(found.value, missing), signal);
  return written.is === 'done' ? done({ digest: written.value.digest }) : written;
}

async function probe(ctx: Context, missing: Missing, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const probed = await probeConfig(ctx, writeOf(found.value, missing), signal);
  return probed.is === 'done' ? done({ digest: probed.value.digest }) : probed;
}

function takeBack(
  ctx: Context,
  asBefore: (before: BeforeQuarantine) => Missing,
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const { before } = ctx.state;
  if (before === undefined) return Promise.resolve(done(undefined));
  return ifStillOurs(ctx, signal, async (known) => {
    const back = await writeConfig(ctx, writeOf(known, asBefore(before)), signal);
    if (back.is !== 'done') return back;
    return keepRecord(ctx, known.uid, (guest) => ({ ...guest, configDigest: back.value.digest }));
  });
}

async function record(ctx: Context): Promise<Outcome<Partly>> {
  const { digest } = ctx.state;
  if (digest === undefined) throw new Error('cannot record a quarantine: its journal holds no digest');
  const kept = keepRecord(ctx, ctx.params.guest.uid, (known) => ({ ...known, configDigest: digest }));
  return kept.is === 'done' ? done({}) : kept;
}
