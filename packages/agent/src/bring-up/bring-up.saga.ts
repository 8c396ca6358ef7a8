/**
 * A guest comes into being: the front half shared by provisioning and, later, disaster recovery. Until it was seen
 * healthy everything is taken back on trouble; nothing before `enable` survives a reboot of the node as running.
 */
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition } from '../kernel/saga.ts';
import { assess } from './assess-step.ts';
import { bringUpParams, markerOf, want } from './bring-up-state.ts';
import type { BringUpContext, BringUpParams, BringUpState } from './bring-up-state.ts';
import { auditConfig } from './config-audit.ts';
import { intendMounts, probeMounts, runMounts } from './mounts-step.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { powerOff, powerOn, probePowerOn, stayUp } from '../guests/power.ts';
import { formatNet, keyOfNetwork, settingsOf, settingsToRaw } from '../guests/pve-config.ts';
import type { GuestView, RawChange } from '../guests/pve-config.ts';
import { reason } from '@felhom/protocol';
import { growDisk, probeGrowth } from '../guests/resize.ts';
import { intendRestore, probeRestore, runRestore } from './restore-step.ts';
import { undoRestore } from './restore-undo.ts';
import { patientAttempts, probeConfig, writeConfig } from '../guests/settle.ts';
import type { ConfigWrite } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';

export const bringUp: SagaDefinition<BringUpParams, BringUpState, GuestNeeds> = {
  name: 'bring-up',
  version: 1,
  parseParams: (raw) => bringUpParams.parse(raw),
  lanes: ({ desired }) => [laneOf(desired), `storage:${desired.rootfs.storage}`],
  attemptCap: patientAttempts,
  steps: [
    { name: 'assess', readOnly: true, run: assess },
    { name: 'restore', intend: intendRestore, run: runRestore, probe: probeRestore, undo: undoRestore },
    { name: 'audit', readOnly: true, run: audit },
    { name: 'identity', run: runWrite(identity), probe: probeWrite(identity) },
    { name: 'size', run: size, probe: probeSize },
    { name: 'mounts', intend: intendMounts, run: runMounts, probe: probeMounts },
    { name: 'network', run: runWrite(network), probe: probeWrite(network) },
    { name: 'start', run: start, probe: probeStart, undo: stop },
    // Watching changes nothing, but its outcome closes the way back: from here on the guest has served.
    { name: 'up', run: up, probe: up, pivot: 'at-outcome' },
    { name: 'enable', run: runEnable, probe: probeEnable },
    { name: 'register', run: register, probe: probeRegister },
  ],
};

/** The barrier of [R7]: what was really restored, before anything of it runs. */
async function audit(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  const vmid = want(ctx, 'vmid');
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is !== 'present')
    return read.value.is === 'absent'
      ? refused(reason('pve.guest-absent', `cannot audit guest ${vmid}: it is gone`))
      : unknown(reason('pve.forbidden', `cannot audit guest ${vmid}: the token may not read it`));
  const found = auditConfig(read.value.config, { vmid, values: want(ctx, 'sent') });
  if (found.violations.length > 0)
    return refused(
      reason(
        'guest.archive-refused',
        `cannot start guest ${ctx.params.desired.name}: its restored config is not what was asked for, so the archive cannot be trusted`,
        found.violations.map((violation) => violation.text).join('\n'),
      ),
    );
  return done({ strips: found.strips });
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
