/**
 * Looks at the host, in rounds that are slow and cheap: kernel files in every one, systemd in every second, and what
 * costs others something (tasks, disks) far more seldom. Each part may fail by itself; what it said last stays until it
 * is an hour old, because not being told is no reason to say that all is well.
 */
import type { Finding, HostVitals, ReportedDisk, ReportedTunnel, TunnelDeclaration, Vmid } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';
import type { Outcome } from '../kernel/saga.ts';
import { within } from '../kernel/within.ts';
import type {
  DiskRow,
  HostFacts,
  HostSample,
  NodeDisks,
  NodeLogin,
  NodePools,
  UnitState,
} from '../ports/host-facts.ts';
import type { HostHelper } from '../ports/host-helper.ts';
import type { Log } from '../ports/log.ts';
import type { GuestRow, NodeFacts, PveTasks } from '../ports/proxmox.ts';
import type { StorageHelper } from '../ports/storage-helper.ts';
import type { DeclaredIngress, InternetProbe, SignedRules, TunnelEndpoint } from '../ports/tunnel.ts';
import type { Pulse } from '../progress.ts';
import { badSpotsOf, judgeDisks, reportedDisks } from './judge-disks.ts';
import type { BadSpots, DiskMemory } from './judge-disks.ts';
import { judgeExpiry } from './judge-expiry.ts';
import type { Ending } from './judge-expiry.ts';
import { judgeHost, noHostMemory, unsettled, watchedUnits } from './judge-host.ts';
import { findingOfLock, isStale, watchLocks } from './judge-locks.ts';
import type { LockMemory } from './judge-locks.ts';
import { judgePools } from './judge-pools.ts';
import type { PoolMemory } from './judge-pools.ts';
import { findingsOfTasks, foreignFailures, taskWindowSeconds } from './judge-tasks.ts';
import { findingsOfTunnel, judgeIngress, judgeTunnel, noTunnelMemory, showTunnel, tunnelUnit } from './judge-tunnel.ts';
import { createTunnelRestarts } from './tunnel-restarts.ts';
import { cpuPercent, vitalsOf } from './vitals.ts';

/** The world of the host itself; absent in a world that has none. */
export interface MonitoringPorts {
  readonly host: HostFacts;
  readonly disks: NodeDisks;
  /** Absent where nobody tells of pools. */
  readonly pools?: NodePools;
  readonly login: NodeLogin;
  /** Details of a disk; absent where root's program does not tell them. */
  readonly smart: StorageHelper['smart'] | undefined;
  readonly tunnel: {
    readonly endpoint: TunnelEndpoint;
    readonly declared: DeclaredIngress;
    readonly rules?: SignedRules;
  };
  readonly internet: InternetProbe;
  /** Certificates that were seen, as they end. */
  readonly endings: () => readonly Ending[];
}

export interface MonitoringNeeds extends MonitoringPorts {
  readonly tasks: Pick<PveTasks, 'find'>;
  readonly node: Pick<NodeFacts, 'time'>;
  readonly restartTunnel: HostHelper['tunnelRestart'];
  readonly mayMend: () => boolean;
  readonly log: Log;
  readonly documents: Pick<Documents, 'get' | 'put' | 'remove'>;
  /** `user@realm!token` of our own tasks. */
  readonly tokenId: string;
  readonly policy: () => HostPolicy['monitoring'] | undefined;
  /** The guests as the last pass saw them; `undefined` before the first one. */
  readonly rows: () => Iterable<GuestRow> | undefined;
  /** Guests that work of ours is on. */
  readonly inHand: () => ReadonlySet<Vmid>;
  /** Heavy work of ours is under way. */
  readonly working: () => boolean;
  /** The hub was heard of just now, or could not be reached; `undefined`: no hub, or not asked lately. */
  readonly hubReached: () => boolean | undefined;
  /** Something that people want to see changed. */
  readonly news: () => void;
  /** Whoever watches that the rounds go on. */
  readonly watch: () => Pulse;
  readonly clock: Clock;
}

export interface Monitoring {
  /** Looks until aborted; never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** One round, whatever is due in it. */
  look(signal: AbortSignal): Promise<void>;
  findings(): readonly Finding[];
  /** Of the last round; `undefined` before the first one. */
  vitals(): HostVitals | undefined;
  disks(): readonly ReportedDisk[];
  tunnel(): ReportedTunnel;
  /** What operators signed the tunnel to let in. */
  tunnelDeclared(): TunnelDeclaration | undefined;
}

export const roundMs = 30_000;
const minute = 60_000;
/** Between two looks of each kind, in milliseconds. */
const every = { systemd: 55_000, locks: 55_000, tasks: 5 * minute, slow: 10 * minute, login: 6 * 60 * minute } as const;
const keepMs = 60 * minute;
const smartAtMost = 32;
/** One part may keep the others waiting for so long. */
const partLimitMs = minute;

export function createMonitoring(needs: MonitoringNeeds): Monitoring {
  const { clock } = needs;
  const due = dueAgain(clock);
  let sample: HostSample | undefined;
  let vitals: HostVitals | undefined;
  let units: readonly UnitState[] = [];
  let unitsAt: number | undefined;
  let clockSynchronised: boolean | undefined;
  let rebootPending: string | undefined;
  let hostMemory = noHostMemory;
  let tunnelMemory = noTunnelMemory;
  let signedRules: TunnelDeclaration | undefined;
  const restarts = createTunnelRestarts({ ...needs, restart: needs.restartTunnel });
  let diskRows: readonly DiskRow[] = [];
  let spots: ReadonlyMap<string, BadSpots> = new Map();
  let diskMemory: DiskMemory = new Map();
  let poolMemory: PoolMemory = new Set();
  let locks: LockMemory = new Map();
  let tokenEnds: number | undefined;
  /** By the part that found them, with the moment it last could look. */
  const found = new Map<string, { readonly at: number; readonly findings: readonly Finding[] }>();
  /** Parts that have not come back yet. */
  const out = new Set<string>();
  let pulse: Pulse | undefined;
  let shown = '';

  const tell = (part: string, findings: readonly Finding[]): void =>
    void found.set(part, { at: clock.monotonicMs(), findings });
  const moment = () => ({ now: clock.now(), monotonicMs: clock.monotonicMs() });

  const lookAtSystemd = async (signal: AbortSignal): Promise<void> => {
    const told = await needs.host.units([...watchedUnits, tunnelUnit], signal);
    if (told.is !== 'done') return;
    units = told.value;
    unitsAt = clock.monotonicMs();
  };

  const lookSlowly = async (signal: AbortSignal): Promise<void> => {
    const [synchronised, pending] = [
      await needs.host.clockSynchronised(signal),
      await needs.host.rebootPending(signal),
    ];
    clockSynchronised = valueOf(synchronised);
    if (pending.is === 'done') rebootPending = pending.value;
  };

  const lookAtHost = async (policy: HostPolicy['monitoring'], signal: AbortSignal): Promise<void> => {
    const before = sample?.cpu;
    sample = await needs.host.sample(signal);
    vitals = vitalsOf(sample, cpuPercent(before, sample.cpu), clock.now());
    if (due('systemd', every.systemd)) await lookAtSystemd(signal);
    if (due('slow', every.slow)) await lookSlowly(signal);
    if (unitsAt !== undefined && clock.monotonicMs() - unitsAt > keepMs) units = [];
    const look = { sample, units, clockSynchronised, rebootPending, working: needs.working() };
    const judged = judgeHost(look, hostMemory, policy, moment());
    hostMemory = judged.memory;
    tell('host', judged.findings);
  };

  const lookAtTunnel = async (signal: AbortSignal): Promise<void> => {
    const unit = units.find((one) => one.unit === tunnelUnit);
    const there = unit?.load === 'loaded';
    if (sample !== undefined && unsettled({ sample, units })) return;
    const connections = there ? valueOf(await needs.tunnel.endpoint.connections(signal)) : undefined;
    const hubReached = needs.hubReached();
    const asks = there && (connections ?? 0) === 0 && hubReached !== true;
    const declared = await needs.tunnel.declared();
    signedRules = await needs.tunnel.rules?.();
    const seen = {
      unit,
      declared: declared.is === 'done' ? declared.value !== undefined : undefined,
      connections,
      hubReached,
      namesResolve: asks ? await needs.internet(signal) : undefined,
    };
    tunnelMemory = showTunnel(judgeTunnel(seen), tunnelMemory, clock.now());
    await restarts.saw(seen, signal);
    // Where systemd tells nothing at all, there is no reason to think of a tunnel.
    tell('tunnel', unit === undefined ? [] : findingsOfTunnel(tunnelMemory.shown, clock.now(), restarts.count()));
    if (connections === undefined || !due('ingress', every.slow)) return;
    const running = await needs.tunnel.endpoint.ingress(signal);
    if (declared.is !== 'done' || running.is !== 'done' || declared.value === undefined) return;
    tell('ingress', judgeIngress(declared.value, running.value, clock.now()));
  };

  const lookAtLocks = async (signal: AbortSignal): Promise<void> => {
    const rows = [...(needs.rows() ?? [])].filter(({ lock }) => lock !== undefined);
    if (rows.length === 0) {
      locks = new Map();
      return tell('locks', []);
    }
    // A task that runs for days is in no window of time, so those that run are asked for as such.
    const running = await needs.tasks.find({ only: 'running' }, signal);
    if (running.is !== 'done') return;
    locks = watchLocks({ rows, running: running.value, inHand: needs.inHand() }, locks, moment());
    const stale = [...locks.values()].filter((lock) => isStale(lock, moment()));
    const findings: Finding[] = [];
    for (const lock of stale) {
      const tasks = await needs.tasks.find({ vmid: lock.vmid }, signal);
      const last = tasks.is === 'done' ? tasks.value.find(({ endTime }) => endTime !== undefined) : undefined;
      findings.push(findingOfLock(lock, last));
    }
    tell('locks', findings);
  };

  const lookAtTasks = async (signal: AbortSignal): Promise<void> => {
    const time = await needs.node.time(signal);
    if (time.is !== 'done') return;
    const since = { sinceSeconds: time.value - taskWindowSeconds };
    const rows = await needs.tasks.find({ ...since, only: 'failed' }, signal);
    if (rows.is !== 'done') return;
    const failures = foreignFailures(rows.value, needs.tokenId, time.value);
    const later = [];
    for (const type of new Set(failures.map((task) => task.type))) {
      const same = await needs.tasks.find({ ...since, type }, signal);
      if (same.is === 'done') later.push(...same.value);
    }
    tell('tasks', findingsOfTasks(failures, later));
  };

  const lookAtDisks = async (policy: HostPolicy['monitoring'], signal: AbortSignal): Promise<void> => {
    const rows = await needs.disks.disks(signal);
    if (rows.is !== 'done') return;
    const details = new Map<string, BadSpots>();
    for (const { device } of needs.smart === undefined ? [] : rows.value.slice(0, smartAtMost)) {
      const said = await needs.smart?.(device, signal);
      const bad = said?.is === 'done' ? badSpotsOf(said.value) : undefined;
      if (bad !== undefined) details.set(device, bad);
    }
    diskRows = rows.value;
    spots = details;
    const judged = judgeDisks(diskRows, spots, diskMemory, policy, clock.now());
    diskMemory = judged.memory;
    tell('disks', judged.findings);
  };

  const lookAtPools = async (pools: NodePools | undefined, signal: AbortSignal): Promise<void> => {
    const judged = judgePools((await pools?.pools(signal)) ?? [], poolMemory, clock.now());
    poolMemory = judged.memory;
    tell('pools', judged.findings);
  };

  const lookAtEndings = async (policy: HostPolicy['monitoring'], signal: AbortSignal): Promise<void> => {
    if (due('login', every.login)) {
      const life = await needs.login.tokenLife(signal);
      if (life.is === 'done')
        tokenEnds = life.value.endsAtSeconds === undefined ? undefined : life.value.endsAtSeconds * 1000;
    }
    const token: Ending[] = tokenEnds === undefined ? [] : [tokenEnding(needs.tokenId, tokenEnds)];
    tell('endings', judgeExpiry([...needs.endings(), ...token], policy.expiryDays, clock.now()));
  };

  /** One that fails must not keep the others from looking, nor one that does not come back; no second one is sent after it. */
  const lookAt = async ({ name, everyMs, aside, look: part }: Part): Promise<void> => {
    if (out.has(name) || !due(name, everyMs)) return;
    out.add(name);
    const back = (): void => void out.delete(name);
    const coming = part().then(back, back);
    if (aside !== true) await within(coming, partLimitMs, clock);
  };

  const look = async (signal: AbortSignal): Promise<void> => {
    const policy = needs.policy();
    if (policy === undefined) return;
    const pools: readonly Part[] =
      needs.pools === undefined
        ? []
        : [{ name: 'pools', everyMs: every.slow, aside: true, look: () => lookAtPools(needs.pools, signal) }];
    const parts: readonly Part[] = [
      { name: 'host', everyMs: 0, look: () => lookAtHost(policy, signal) },
      { name: 'tunnel', everyMs: 0, look: () => lookAtTunnel(signal) },
      { name: 'locks', everyMs: every.locks, look: () => lookAtLocks(signal) },
      { name: 'tasks', everyMs: every.tasks, look: () => lookAtTasks(signal) },
      // A disk that hangs holds up whoever asks it: what it says is for the next round.
      { name: 'disks', everyMs: policy.diskHours * 60 * minute, aside: true, look: () => lookAtDisks(policy, signal) },
      ...pools,
      { name: 'endings', everyMs: every.slow, look: () => lookAtEndings(policy, signal) },
    ];
    for (const part of parts) {
      if (signal.aborted) return;
      await lookAt(part);
      pulse?.moved();
    }
    const before = shown;
    shown = JSON.stringify([
      allFindings().map(({ key, subject, severity }) => [key, subject, severity]),
      diskRows,
      tunnelMemory.shown.is,
      signedRules,
    ]);
    if (before !== shown) needs.news();
  };

  const allFindings = (): readonly Finding[] =>
    [...found].flatMap(([part, { at, findings }]) =>
      part !== 'disks' && clock.monotonicMs() - at > keepMs ? [] : findings,
    );

  return {
    look,
    async run(signal) {
      pulse = needs.watch();
      while (!signal.aborted) {
        await look(signal);
        pulse.rests(roundMs);
        await clock.sleep(roundMs, signal).catch(() => undefined);
      }
    },
    findings: allFindings,
    vitals: () => vitals,
    disks: () => reportedDisks(diskRows),
    tunnel: () => tunnelMemory.shown,
    tunnelDeclared: () => signedRules,
  };
}

interface Part {
  readonly name: string;
  readonly everyMs: number;
  /** The round does not wait for it. */
  readonly aside?: true;
  readonly look: () => Promise<void>;
}

function tokenEnding(tokenId: string, endsAt: number): Ending {
  const [user, token] = tokenId.split('!');
  return {
    what: `token ${tokenId} of the agent`,
    endsAt,
    advice: {
      text: 'Without it the agent can do nothing. Give it a longer life:',
      command: `pveum user token modify ${user} ${token} --expire 0`,
    },
  };
}

const valueOf = <T>(outcome: Outcome<T>): T | undefined => (outcome.is === 'done' ? outcome.value : undefined);

/** True when the time has come, and then not before it has passed again; the first time at once. */
function dueAgain(clock: Pick<Clock, 'monotonicMs'>): (what: string, everyMs: number) => boolean {
  const last = new Map<string, number>();
  return (what, everyMs) => {
    const before = last.get(what);
    if (before !== undefined && clock.monotonicMs() - before < everyMs) return false;
    last.set(what, clock.monotonicMs());
    return true;
  };
}
