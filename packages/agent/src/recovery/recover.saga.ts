/**
 * A lost guest comes back beside what is left of it: never into its old VMID [R2], as the same guest with the next
 * incarnation, and with its MAC and name, because the one it replaces is certainly gone. Bulk that survived is carried
 * over as it lies. Until the guest was seen up everything is taken back on trouble, without touching what survived.
 */
import { done } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, Step } from '../kernel/saga.ts';
import { addMounts, markerOf, restoreFront, want } from '../bring-up/index.ts';
import type { RestorePlan } from '../bring-up/index.ts';
import { formatDescription, formatTags, formatWithLink, parseTags, settingsToRaw } from '../guests/pve-config.ts';
import type { GuestView, RawChange } from '../guests/pve-config.ts';
import { powerOff, powerOn, probePowerOn, stayUp } from '../guests/power.ts';
import { recordOf } from '../guests/registered.ts';
import { patientAttempts, probeConfig, writeConfig } from '../guests/settle.ts';
import type { ConfigWrite } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { storageOf } from '../guests/pve-config.ts';
import { accept, assess } from './assess.ts';
import { attachMissing, detach } from './carry-over.ts';
import { claimStep } from '../controllers/index.ts';
import type { ClaimPlace } from '../controllers/index.ts';
import { ensurePool, probePool } from './pool-step.ts';
import { recoverParams } from './recover-state.ts';
import type { RecoverContext, RecoverNeeds, RecoverParams, RecoverState } from './recover-state.ts';

export const recoverGuest: SagaDefinition<RecoverParams, RecoverState, RecoverNeeds> = {
  name: 'recover-guest',
  version: 1,
  parseParams: (raw) => recoverParams.parse(raw),
  lanes: ({ guest, backup }) => [laneOf(guest), `storage:${storageOf(backup.archive)}`],
  attemptCap: patientAttempts,
  steps: [
    { name: 'pool', run: ensurePool, probe: probePool },
    { name: 'assess', readOnly: true, run: assess },
    ...restoreFront<RecoverParams, RecoverState, RecoverNeeds>({ planOf, onFailure: 'value' }),
    { name: 'accept', readOnly: true, run: accept },
    configStep('identity', identity),
    { ...configStep('carry-over', attachMissing), undo: detach },
    addMounts((ctx) => want(ctx, 'back').empty),
    configStep('network', network),
    // Its token died with the old incarnation [R26], and `env` is read at the start.
    claimStep<RecoverParams, RecoverState, RecoverNeeds>(claimPlace),
    { name: 'start', run: start, probe: probeStart, undo: stop },
    // From here on it has served again.
    { name: 'up', run: up, probe: up, pivot: 'at-outcome' },
    { name: 'enable', run: runEnable, probe: probeEnable },
    { name: 'register', run: register, probe: probeRegister },
  ],
};

function claimPlace(ctx: RecoverContext): ClaimPlace | undefined {
  const { name } = ctx.params.guest;
  if (ctx.needs.desiredOf(name)?.controller === undefined || ctx.state.vmid === undefined) return undefined;
  return { vmid: want(ctx, 'vmid'), marker: markerOf(ctx), name };
}

async function planOf(ctx: RecoverContext): Promise<Outcome<RestorePlan>> {
  const { guest, backup } = ctx.params;
  const back = want(ctx, 'back');
  return done({
    words: { goal: `bring guest ${guest.name} back`, guest: `guest ${guest.name}`, source: 'backup' },
    archive: backup.archive,
    storage: back.storage,
    range: 'guests',
    uid: guest.uid,
    incarnation: guest.incarnation + 1,
    scenario: 'guest-loss',
    pveVersion: want(ctx, 'pveVersion'),
    values: (marker) => ({ ...back.values, description: formatDescription(marker, back.label) }),
  });
}

type Missing = (ctx: RecoverContext, view: GuestView) => RawChange;

const writeOf = (ctx: RecoverContext, what: string, missing: Missing): ConfigWrite => ({
  what,
  vmid: want(ctx, 'vmid'),
  marker: markerOf(ctx),
  missing: (view) => missing(ctx, view),
});

function configStep(name: string, missing: Missing): Step<RecoverParams, RecoverState, RecoverNeeds> {
  return {
    name,
    run: async (ctx, signal): Promise<Outcome<Partial<RecoverState>>> => {
      const written = await writeConfig(ctx, writeOf(ctx, name, missing), signal);
      return written.is === 'done' ? done({}) : written;
    },
    probe: async (ctx, signal): Promise<Probed<Partial<RecoverState>>> => {
      const probed = await probeConfig(ctx, writeOf(ctx, name, missing), signal);
      return probed.is === 'done' ? done({}) : probed;
    },
  };
}

/** What the archive brought along goes; its tags, which the call could not carry, come. */
function identity(ctx: RecoverContext, view: GuestView): RawChange {
  const { tags } = want(ctx, 'back');
  const wanted = formatTags(parseTags(tags));
  const surplus = want(ctx, 'strips').filter((key) => key !== 'tags' && view.rawKeys.includes(key));
  if (wanted === formatTags(view.tags)) return { set: {}, delete: surplus };
  return wanted === '' ? { set: {}, delete: [...surplus, 'tags'] } : { set: { tags: wanted }, delete: surplus };
}

/** With the MAC that it had: links that were up come up, while it is stopped. */
function network(ctx: RecoverContext, view: GuestView): RawChange {
  const { up: raised } = want(ctx, 'back');
  const down = view.networks.filter((net) => net.linkDown && raised.includes(net.key));
  return { set: Object.fromEntries(down.map((net) => [net.key, formatWithLink(net, 'up')])), delete: [] };
}

const staysOff = (ctx: RecoverContext): boolean => !want(ctx, 'back').runs;

async function start(ctx: RecoverContext, signal: AbortSignal): Promise<Outcome<Partial<RecoverState>>> {
  if (staysOff(ctx)) return done({});
  const started = await powerOn(ctx, want(ctx, 'vmid'), signal);
  return started.is === 'done' ? done({}) : started;
}

async function probeStart(ctx: RecoverContext, signal: AbortSignal): Promise<Probed<Partial<RecoverState>>> {
  if (staysOff(ctx)) return done({});
  const started = await probePowerOn(ctx, want(ctx, 'vmid'), want(ctx, 'since'), signal);
  return started.is === 'done' ? done({}) : started;
}

function stop(ctx: RecoverContext, signal: AbortSignal): Promise<Outcome<void>> {
  if (staysOff(ctx)) return Promise.resolve(done(undefined));
  return powerOff(ctx, want(ctx, 'vmid'), markerOf(ctx), want(ctx, 'since'), signal);
}

async function up(ctx: RecoverContext, signal: AbortSignal): Promise<Outcome<Partial<RecoverState>>> {
  if (staysOff(ctx)) return done({});
  const stayed = await stayUp(ctx, want(ctx, 'vmid'), signal);
  return stayed.is === 'done' ? done({}) : stayed;
}

const enableWrite = (ctx: RecoverContext): ConfigWrite =>
  writeOf(ctx, 'start at boot', (_ctx, view) => settingsToRaw(view, markerOf(ctx), { onboot: !staysOff(ctx) }));

async function runEnable(ctx: RecoverContext, signal: AbortSignal): Promise<Outcome<Partial<RecoverState>>> {
  const written = await writeConfig(ctx, enableWrite(ctx), signal);
  return written.is === 'done' ? done({ digest: written.value.digest }) : written;
}

async function probeEnable(ctx: RecoverContext, signal: AbortSignal): Promise<Probed<Partial<RecoverState>>> {
  const probed = await probeConfig(ctx, enableWrite(ctx), signal);
  return probed.is === 'done' ? done({ digest: probed.value.digest }) : probed;
}

/** Last of all: from here on the guest on record is the new one. Its backups stay where they are, under its uid [R30]. */
async function register(ctx: RecoverContext): Promise<Outcome<Partial<RecoverState>>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const before = found.value;
  const { tier, backup, guest } = ctx.params;
  const back = want(ctx, 'back');
  const vmid = want(ctx, 'vmid');
  const marker = markerOf(ctx);
  const taken = ctx.needs.catalogue.byArchive(backup.archive);
  ctx.needs.recoveries.put({
    guest: guest.uid,
    name: guest.name,
    incarnation: marker.incarnation,
    from: before.vmid,
    to: vmid,
    tier,
    ...backup,
    ...(taken === undefined ? {} : { takenAt: taken.takenAt }),
    proven: taken?.proven !== undefined,
    startedAt: ctx.startedAt,
    at: ctx.clock.now(),
    emptied: back.emptied.map((text) => text.slice(0, 200)),
    notes: back.notes.map((text) => text.slice(0, 300)),
  });
  const attached = new Set(back.attach.map(({ key }) => key));
  const volumes = want(ctx, 'volumes').filter(({ key }) => !attached.has(key));
  ctx.needs.registry.put({
    ...before,
    ...marker,
    vmid,
    volumes: [
      ...volumes.map((volume) => ({ ...volume, name: back.names[volume.key] ?? volume.name })),
      ...back.attach.map(({ key, name, volid, sizeGiB }) => ({
        key,
        name,
        volid,
        sizeGiB,
        ctime: undefined,
        carriedOver: true,
      })),
    ],
    configDigest: want(ctx, 'digest'),
    createdAt: ctx.startedAt,
  });
  ctx.needs.claims.release(ctx.sagaId);
  return done({});
}

async function probeRegister(ctx: RecoverContext): Promise<Probed<Partial<RecoverState>>> {
  if (ctx.needs.registry.byUid(ctx.params.guest.uid)?.incarnation !== want(ctx, 'incarnation'))
    return { is: 'never-happened' };
  ctx.needs.claims.release(ctx.sagaId);
  return done({});
}
