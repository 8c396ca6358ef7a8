/**
 * A guest comes into being: new, from a golden. Until it was seen
 * healthy everything is taken back on trouble; nothing before `enable` survives a reboot of the node as running.
 */
import { done } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition } from '../kernel/saga.ts';
import { assess } from './assess-step.ts';
import { bringUpParams } from './bring-up-state.ts';
import type { BringUpContext, BringUpParams, BringUpState } from './bring-up-state.ts';
import { claimStep } from '../controllers/index.ts';
import type { ClaimNeeds, ClaimPlace } from '../controllers/index.ts';
import { powerOff, powerOn, probePowerOn, stayUp } from '../guests/power.ts';
import { formatNet, keyOfNetwork, settingsOf, settingsToRaw } from '../guests/pve-config.ts';
import type { GuestView, RawChange } from '../guests/pve-config.ts';
import { growDisk, probeGrowth } from '../guests/resize.ts';
import { newGuestValues } from './restore-call.ts';
import { addMounts, restoreFront } from './restore-front.ts';
import { markerOf, want } from './restore-state.ts';
import type { RestorePlan } from './restore-state.ts';
import { patientAttempts, probeConfig, writeConfig } from '../guests/settle.ts';
import type { ConfigWrite } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';

export const bringUp: SagaDefinition<BringUpParams, BringUpState, ClaimNeeds> = {
  name: 'bring-up',
  // 2: what the restore needs is journaled with its intent.
  version: 2,
  parseParams: (raw) => bringUpParams.parse(raw),
  lanes: ({ desired }) => [laneOf(desired), `storage:${desired.rootfs.storage}`],
  attemptCap: patientAttempts,
  steps: [
    { name: 'assess', readOnly: true, run: assess },
    ...restoreFront({ planOf }),
    { name: 'identity', run: runWrite(identity), probe: probeWrite(identity) },
    { name: 'size', run: size, probe: probeSize },
    addMounts((ctx) => ctx.params.desired.volumes),
    { name: 'network', run: runWrite(network), probe: probeWrite(network) },
    // Read by the guest at its first start, so it is there before that and not earlier than it must be.
    claimStep<BringUpParams, BringUpState, ClaimNeeds>(claimPlace),
    { name: 'start', run: start, probe: probeStart, undo: stop },
    // Watching changes nothing, but its outcome closes the way back: from here on the guest has served.
    { name: 'up', run: up, probe: up, pivot: 'at-outcome' },
    { name: 'enable', run: runEnable, probe: probeEnable },
    { name: 'register', run: register, probe: probeRegister },
  ],
};

/** Whoever gets no controller has nothing that would redeem one. */
function claimPlace(ctx: BringUpContext): ClaimPlace | undefined {
  const { desired } = ctx.params;
  if (desired.controller === undefined || staysOff(ctx) || ctx.state.vmid === undefined) return undefined;
  return { vmid: want(ctx, 'vmid'), marker: markerOf(ctx), name: desired.name };
}

async function planOf(ctx: BringUpContext): Promise<Outcome<RestorePlan>> {
  const { desired } = ctx.params;
  return done({
    words: { goal: `bring up guest ${desired.name}`, guest: `guest ${desired.name}`, source: 'golden' },
    archive: want(ctx, 'archive'),
    storage: desired.rootfs.storage,
    range: 'guests',
    incarnation: 1,
    scenario: 'provision',
    pveVersion: want(ctx, 'pveVersion'),
    values: (marker) => newGuestValues({ desired, marker, archivedNetworks: want(ctx, 'archivedNetworks') }),
  });
}

/** What the archive brought along goes; tags come, which the restore call could not carry. */
function identity(ctx: BringUpContext): Pick<ConfigWrite, 'what' | 'missing'> {
  const strips = want(ctx, 'strips');
  const { desired } = ctx.params;
  return {
    what: 'identity',
    missing: (view) => {
      const change = settingsToRaw(view, markerOf(ctx), settingsOf(desired));
      const present = strips.filter((key) => !(key in change.set) && view.rawKeys.includes(key));
      const kept = desired.tags.length > 0 ? present.filter((key) => key !== 'tags') : present;
      return { set: change.set, delete: [...new Set([...change.delete, ...kept])] };
    },
  };
}

/** Links come up and the archive's surplus networks go, while the guest is stopped; the drawn MAC is kept. */
function network(ctx: BringUpContext): Pick<ConfigWrite, 'what' | 'missing'> {
  const { networks } = ctx.params.desired;
  return {
    what: 'network',
    missing: (view: GuestView): RawChange => {
      const set: Record<string, string> = {};
      for (const desired of networks) {
        const key = keyOfNetwork(desired);
        const net = view.networks.find((candidate) => candidate.key === key);
        if (net === undefined || net.linkDown) set[key] = formatNet(desired, { mac: net?.mac, linkDown: false });
      }
      const wanted = new Set(networks.map(keyOfNetwork));
      return { set, delete: view.networks.map((net) => net.key).filter((key) => !wanted.has(key)) };
    },
  };
}

type Write = (ctx: BringUpContext) => Pick<ConfigWrite, 'what' | 'missing'>;

const writeOf = (ctx: BringUpContext, write: Write): ConfigWrite => ({
  ...write(ctx),
  vmid: want(ctx, 'vmid'),
  marker: markerOf(ctx),
});

function runWrite(write: Write) {
  return async (ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> => {
    const written = await writeConfig(ctx, writeOf(ctx, write), signal);
    return written.is === 'done' ? done({}) : written;
  };
}

function probeWrite(write: Write) {
  return async (ctx: BringUpContext, signal: AbortSignal): Promise<Probed<Partial<BringUpState>>> => {
    const probed = await probeConfig(ctx, writeOf(ctx, write), signal);
    return probed.is === 'done' ? done({}) : probed;
  };
}

/** The restore call already asked for the full size; storages that gave less are grown to it. */
const rootfsGrowth = (ctx: BringUpContext) => ({
  vmid: want(ctx, 'vmid'),
  marker: markerOf(ctx),
  key: 'rootfs',
  toGiB: ctx.params.desired.rootfs.sizeGiB,
});

async function size(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  const grown = await growDisk(ctx, rootfsGrowth(ctx), signal);
  return grown.is === 'done' ? done({}) : grown;
}

async function probeSize(ctx: BringUpContext, signal: AbortSignal): Promise<Probed<Partial<BringUpState>>> {
  const grown = await probeGrowth(ctx, rootfsGrowth(ctx), want(ctx, 'since'), signal);
  return grown.is === 'done' ? done({}) : grown;
}

const staysOff = (ctx: BringUpContext): boolean => ctx.params.desired.power === 'stopped';

async function start(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  if (staysOff(ctx)) return done({});
  const started = await powerOn(ctx, want(ctx, 'vmid'), signal);
  return started.is === 'done' ? done({}) : started;
}

async function probeStart(ctx: BringUpContext, signal: AbortSignal): Promise<Probed<Partial<BringUpState>>> {
  if (staysOff(ctx)) return done({});
  const started = await probePowerOn(ctx, want(ctx, 'vmid'), want(ctx, 'since'), signal);
  return started.is === 'done' ? done({}) : started;
}

function stop(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<void>> {
  if (staysOff(ctx)) return Promise.resolve(done(undefined));
  return powerOff(ctx, want(ctx, 'vmid'), markerOf(ctx), want(ctx, 'since'), signal);
}

async function up(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  if (staysOff(ctx)) return done({});
  const stayed = await stayUp(ctx, want(ctx, 'vmid'), signal);
  return stayed.is === 'done' ? done({ servedAt: ctx.clock.now() }) : stayed;
}

const enableWrite = (ctx: BringUpContext): ConfigWrite => ({
  what: 'start at boot',
  vmid: want(ctx, 'vmid'),
  marker: markerOf(ctx),
  missing: (view) => settingsToRaw(view, markerOf(ctx), { onboot: !staysOff(ctx) }),
});

async function runEnable(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  const written = await writeConfig(ctx, enableWrite(ctx), signal);
  return written.is === 'done' ? done({ digest: written.value.digest }) : written;
}

async function probeEnable(ctx: BringUpContext, signal: AbortSignal): Promise<Probed<Partial<BringUpState>>> {
  const probed = await probeConfig(ctx, enableWrite(ctx), signal);
  return probed.is === 'done' ? done({ digest: probed.value.digest }) : probed;
}

/** Last of all: from here on the guest is in the registry, and reconciled like every other. */
async function register(ctx: BringUpContext): Promise<Outcome<Partial<BringUpState>>> {
  const { desired } = ctx.params;
  ctx.needs.registry.put({
    ...markerOf(ctx),
    name: desired.name,
    vmid: want(ctx, 'vmid'),
    golden: desired.golden,
    volumes: want(ctx, 'volumes'),
    servedAt: ctx.state.servedAt,
    configDigest: want(ctx, 'digest'),
    createdAt: ctx.startedAt,
    scratch: false,
  });
  ctx.needs.claims.release(ctx.sagaId);
  return done({});
}

async function probeRegister(ctx: BringUpContext): Promise<Probed<Partial<BringUpState>>> {
  if (ctx.needs.registry.byUid(want(ctx, 'uid')) === undefined) return { is: 'never-happened' };
  ctx.needs.claims.release(ctx.sagaId);
  return done({});
}
