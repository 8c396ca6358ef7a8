/**
 * One simulated machine: an enrolled fake node in memory, an agent on it, a hub it polls, and a clock that nobody waits
 * for. The agent can lose its power at any crash point and be booted again on the same journal.
 */
import { DatabaseSync } from 'node:sqlite';
import { createAgent, createPveClient, installPowerSwitch, openJournalOn, refusalOf } from '@felhom/agent';
import type {
  Agent,
  CrashPoint,
  HelperAnswer,
  HelperRequest,
  HostHelper,
  HostKey,
  Journal,
  Outcome,
  PowerSwitch,
  SignatureVerifier,
  SignedHelper,
  Transport,
} from '@felhom/agent';
import type { HostId, JobKind, JobOf, Reason, TrustDocument } from '@felhom/protocol';
import type { Pace } from '../fake-pve/core.ts';
import { MemoryDisk } from '../fake-pve/storage/index.ts';
import { createSimClock } from '../simulation/sim-clock.ts';
import type { SimClock } from '../simulation/sim-clock.ts';
import { createSimRandom } from '../simulation/sim-random.ts';
import type { SimRandom } from '../simulation/sim-random.ts';
import { enrolNode } from './enrolled-node.ts';
import type { EnrolledNode } from './enrolled-node.ts';
import { createOperators } from './operators.ts';
import type { Operator } from './operators.ts';
import { labPeople } from './people.ts';
import type { LabPerson } from './people.ts';
import { signJob } from './sign-job.ts';
import type { JobOverrides, SignedJob } from './sign-job.ts';
import { simHostKey } from './sim-host-key.ts';
import { createSimTargets } from './sim-targets.ts';
import type { SimTargets } from './sim-targets.ts';
import { createSimWitness } from './sim-witness.ts';
import type { SimWitness } from './sim-witness.ts';
import { createSimGuests } from './sim-guests.ts';
import type { SimGuests } from './sim-guests.ts';
import type { SimHost } from './sim-host.ts';
import { createSimHub } from './sim-hub.ts';
import type { SimHub } from './sim-hub.ts';
import { simVerifier } from './sim-verifier.ts';
import { createSimRoot, labTrust } from './trust.ts';
import type { SimRoot } from './trust.ts';

/** Bytes of a journal. */
export type DiskCopy = Uint8Array;

export interface SimWorldOptions {
  readonly seed: number;
  readonly pace?: Partial<Pace>;
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly guestRange?: number;
  /** Between two passes of the agent; 30 s unless told. */
  readonly reconcileMs?: number;
  /** Changes to the trust document that root put there. */
  readonly trust?: Partial<TrustDocument>;
  /** Whether programs run in the guests; not unless told, for they keep the clock busy. */
  readonly programs?: boolean;
  /** Who judges signatures; the stand-in unless told. A verifier with a process of its own works in `clock.io`. */
  readonly verifier?: (clock: SimClock) => SignatureVerifier;
  /** The host below the agent; nobody looks at one unless told. */
  readonly host?: SimHost;
}

/** One life of the agent process, from boot to stop or power loss. */
export interface SimLife {
  readonly agent: Agent;
  readonly power: PowerSwitch;
  /** Why the process would have ended by itself. */
  readonly halted: () => Reason | undefined;
}

export interface SimWorld extends EnrolledNode {
  readonly clock: SimClock;
  readonly random: SimRandom;
  readonly hub: SimHub;
  readonly people: Readonly<Record<LabPerson, Operator>>;
  readonly hostKey: HostKey;
  readonly root: SimRoot;
  readonly witness: SimWitness;
  /** None unless a disk is attached. */
  readonly targets: SimTargets;
  /** With `programs` only. */
  readonly guests: SimGuests | undefined;
  /** A job as these people's command line would sign it now, bound to the last statement that the hub has. */
  sign<K extends JobKind>(
    kind: K,
    params: JobOf<K>['params'],
    people: readonly Pick<Operator, 'sign'>[],
    overrides?: JobOverrides,
  ): SignedJob;
  /** The journal as it lies on disk, for reading. Opening it fences a writer, so of a living agent it is its own. */
  readonly disk: () => Journal;
  readonly life: () => SimLife | undefined;
  /** Starts the agent. `cutsAt` takes its power away at a crash point. */
  boot(cutsAt?: (point: CrashPoint, nth: number) => boolean): SimLife;
  /** The disk of the journal as it is now. */
  copyDisk(): DiskCopy;
  /** Somebody restored it: while no agent runs, the journal becomes what it was. */
  replaceDisk(copy: DiskCopy): void;
  /** The power goes now; nothing of the process is left. */
  cut(): void;
  /** Lets time pass until the condition holds; false when it did not within `ms` of simulated time. */
  until(condition: () => boolean, ms: number): Promise<boolean>;
  /** HTTP requests of the agent so far. */
  readonly requests: () => number;
}

/** Wall time at which every simulated world begins, milliseconds since the epoch. */
export const startAt = Date.UTC(2026, 10, 24, 3, 0, 0);
const stepMs = 250;

/** Nothing in the simulation has sockets, so nobody looks at certificates. */
const simAuthority = { trusted: () => ['-'], spkiSha256: () => 'c'.repeat(64) };

export async function createSimWorld(options: SimWorldOptions): Promise<SimWorld> {
  const clock = createSimClock(startAt);
  const random = createSimRandom(options.seed);
  const enrolled = await clock.runUntil(
    enrolNode({
      clock,
      random: random.fork('node'),
      disk: new MemoryDisk(() => Math.floor(clock.now() / 1000)),
      ...(options.pace === undefined ? {} : { pace: options.pace }),
      ...(options.policy === undefined ? {} : { policy: options.policy }),
      ...(options.guestRange === undefined ? {} : { guestRange: options.guestRange }),
    }),
  );
  let database = new DatabaseSync(':memory:');
  const hub = createSimHub(clock, random.fork('hub'));
  const people = createOperators(labPeople, random.fork('people'));
  const desk = random.fork('desk');
  const hostKey = simHostKey(random.fork('host key'));
  const verifier = options.verifier?.(clock) ?? simVerifier();
  const targets = createSimTargets(enrolled, clock);
  const trust = labTrust(Object.values(people), clock.now(), options.trust);
  const root = createSimRoot(trust, clock, verifier, (job) => targets.order(job));
  const signed = {
    hostKey,
    verifier,
    trustStore: root.store,
  };
  const witness = createSimWitness(enrolled.node, clock);
  const guests =
    options.programs === true
      ? createSimGuests({
          node: enrolled.node,
          clock,
          random: random.fork('guests'),
          api: () => (life === undefined || life.power.off.aborted ? undefined : life.agent.localApi()),
        })
      : undefined;
  let lives = 0;
  let life: SimLife | undefined;
  let requests = 0;

  const boot: SimWorld['boot'] = (cutsAt) => {
    lives += 1;
    const ownRandom = random.fork(`agent ${lives}`);
    const power = installPowerSwitch(openJournalOn(database, { clock, random: ownRandom }), cutsAt);
    const poweredClock = {
      now: () => clock.now(),
      monotonicMs: () => clock.monotonicMs(),
      bootMs: () => clock.bootMs(),
      // A process without power never wakes again.
      sleep: (ms: number, signal: AbortSignal) =>
        whilePowered(power.off, clock.sleep(ms, AbortSignal.any([signal, power.off]))),
    };
    const transport: Transport = {
      send: async (request, signal) => {
        requests += 1;
        return whilePowered(power.off, sendTo(enrolled, request, signal));
      },
      close: () => Promise.resolve(),
    };
    let halted: Reason | undefined;
    const { name: node } = enrolled.node;
    const proxmox = createPveClient({ transport, node, token: enrolled.token, clock: poweredClock });
    const agent = createAgent({
      host: 'lab' as HostId,
      version: 'simulation',
      journal: power.journal,
      crashPoints: power.crashPoints,
      clock: poweredClock,
      random: ownRandom,
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      proxmox,
      monitoring: options.host?.ports(proxmox),
      tokenId: enrolled.tokenId,
      helper: {
        ...helperPort(enrolled, power.off),
        guestMounts: (vmid) => whilePowered(power.off, Promise.resolve(targets.guestMounts(vmid))),
      },
      ...signed,
      witness: { sample: (...asked) => whilePowered(power.off, witness.sample(...asked)), watch: () => undefined },
      storage: targets.parts(power.off),
      localContact: () => ({ authority: simAuthority, address: '192.168.1.2:8470' }),
      timeZone: 'UTC',
      signedHelper: poweredHelper(root.helper, power.off),
      policy: () => enrolled.policy,
      source: { is: 'hub', hub: { poll: (request, signal) => whilePowered(power.off, hub.poll(request, signal)) } },
      reconcile: { intervalMs: options.reconcileMs ?? 30_000, pauseMs: 1_000 },
      onHalt: (why) => {
        halted = why;
      },
    });
    agent.start();
    agent.listening(true);
    life = { agent, power, halted: () => halted };
    return life;
  };

  return {
    ...enrolled,
    clock,
    random,
    hub,
    people,
    hostKey,
    root,
    witness,
    targets,
    guests,
    sign: (kind, params, signers, overrides) => {
      const heard = hub.lastStatement();
      if (heard === undefined) throw new Error('cannot sign a job: the host has not said anything yet');
      return signJob(heard.said, kind, params, signers, {
        now: clock.now(),
        random: desk,
        ...(overrides === undefined ? {} : { overrides }),
      });
    },
    disk: () =>
      life !== undefined && !life.power.off.aborted
        ? life.power.journal
        : openJournalOn(database, { clock, random: random.fork('look') }),
    life: () => life,
    boot,
    copyDisk: () => database.serialize(),
    replaceDisk: (copy) => {
      database = new DatabaseSync(':memory:');
      database.deserialize(copy);
    },
    cut: () => {
      life?.power.cut();
      life = undefined;
    },
    until: async (condition, ms) => {
      const end = clock.monotonicMs() + ms;
      await clock.settle();
      while (!condition()) {
        if (clock.monotonicMs() >= end) return false;
        await clock.advance(stepMs);
      }
      return true;
    },
    requests: () => requests,
  };
}

/** Once the power is off, nothing that the process waited for ever comes back to it. */
function whilePowered<T>(off: AbortSignal, work: Promise<T>): Promise<T> {
  const gone = new Promise<never>(() => undefined);
  return work.then(
    (value) => (off.aborted ? gone : value),
    (error: unknown) => (off.aborted ? gone : Promise.reject(error as Error)),
  );
}

/** The socket between agent and node, without a socket. Aborting drops the connection; the node works on. */
export async function sendTo(
  { node }: Pick<EnrolledNode, 'node'>,
  request: Parameters<Transport['send']>[0],
  signal: AbortSignal,
): ReturnType<Transport['send']> {
  const answer = node.wire({
    method: request.method,
    target: `/api2/json${request.path}`,
    headers: request.headers,
    body: request.body ?? '',
  });
  const aborted = new Promise<'aborted'>((resolve) => {
    if (signal.aborted) resolve('aborted');
    else signal.addEventListener('abort', () => resolve('aborted'), { once: true });
  });
  const first = await Promise.race([answer, aborted]);
  if (first === 'aborted') return { is: 'failed', failure: { is: 'aborted' } };
  if (first.dropped === true)
    return { is: 'failed', failure: { is: 'lost', code: 'ECONNRESET', text: 'the connection was closed' } };
  return {
    is: 'answered',
    answer: {
      status: first.status,
      reason: first.reason,
      contentType: 'application/json;charset=UTF-8',
      body: typeof first.body === 'string' ? first.body : JSON.stringify(first.body),
    },
  };
}

function poweredHelper(helper: SignedHelper, off: AbortSignal): SignedHelper {
  return {
    trustUpdate: (...asked) => whilePowered(off, helper.trustUpdate(...asked)),
    breakGlassOpen: (...asked) => whilePowered(off, helper.breakGlassOpen(...asked)),
    breakGlassClose: (...asked) => whilePowered(off, helper.breakGlassClose(...asked)),
    breakGlassShow: (...asked) => whilePowered(off, helper.breakGlassShow(...asked)),
    witness: (...asked) => whilePowered(off, helper.witness(...asked)),
    targetApply: (...asked) => whilePowered(off, helper.targetApply(...asked)),
    tunnelApply: (...asked) => whilePowered(off, helper.tunnelApply(...asked)),
    show: (...asked) => whilePowered(off, helper.show(...asked)),
  };
}

export function helperPort({ helper }: Pick<EnrolledNode, 'helper'>, off: AbortSignal): HostHelper {
  type Done = Extract<HelperAnswer, { is: 'done' }>;
  const ask = async <T>(request: HelperRequest, pick: (done: Done) => T): Promise<Outcome<T>> => {
    const answer = await whilePowered(off, helper.answer(request));
    return answer.is === 'done'
      ? { is: 'done', value: pick(answer) }
      : { is: 'refused', why: refusalOf(request.verb, answer) };
  };
  const given = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error('the root helper answered without an answer');
    return value;
  };
  const nothing = (): undefined => undefined;
  return {
    volumesOf: (vmid) => ask({ v: 1, verb: 'volumes-of', vmid }, ({ volumes }) => volumes ?? []),
    reapStub: (operation, vmid, volumes) =>
      ask({ v: 1, verb: 'reap-stub', operation, vmid, volumes: [...volumes] }, nothing),
    unlock: (operation, vmid) => ask({ v: 1, verb: 'unlock', operation, vmid }, nothing),
    archiveDigest: (archive) => ask({ v: 1, verb: 'archive-digest', archive }, (done) => given(done.archive)),
    scratchRead: (vmid, volumes) => {
      const wanted = volumes.map(({ path, samples }) => ({ path, samples: [...samples] }));
      return ask({ v: 1, verb: 'scratch-read', vmid, volumes: wanted }, ({ found }) => given(found));
    },
    keyTest: (archive) => ask({ v: 1, verb: 'key-test', archive }, ({ keyTest }) => given(keyTest)),
    guestMounts: (vmid) => ask({ v: 1, verb: 'guest-mounts', vmid }, ({ guestMounts }) => given(guestMounts)),
    poolEnsure: (operation, vmid) => ask({ v: 1, verb: 'pool-ensure', operation, vmid }, nothing),
    tunnelRestart: (operation) => ask({ v: 1, verb: 'tunnel-restart', operation }, nothing),
    show: (operation) => ask({ v: 1, verb: 'show', operation }, ({ receipt }) => receipt ?? undefined),
  };
}
