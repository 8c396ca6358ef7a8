/**
 * Workers, their logs and the locks they hold.
 *
 * A worker that is killed simply stops: every promise it waits for stays pending for ever, so neither the rest of its
 * body nor its `finally` blocks run. What it had written stays, its file locks go, as with a real process.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { FakeClock, FakeRandom, Identity, Task, TaskEngine } from '../core.ts';
import { die, perlText } from '../core.ts';
import { identity } from '../access/acl.ts';
import { decodeUpid, encodeUpid, type UpidParts } from './upid.ts';

/** One worker as the tasks endpoints see it. */
export interface TaskRecord {
  readonly upid: string;
  readonly parts: UpidParts;
  readonly who: Identity;
  readonly lines: readonly string[];
  /** Epoch seconds; undefined while it runs. */
  readonly endtime: number | undefined;
  /** When it entered the index of ended tasks, epoch seconds; until then the list takes it for running. */
  readonly indexed: number | undefined;
  /** Derived from the last line of the log, as PVE does; undefined while it runs. */
  readonly exitStatus: string | undefined;
}

/** When a task should be stalled or killed: the first task of `type` (and `id`) that logs a line like this. */
export interface TaskTrap {
  readonly type: string;
  readonly id?: string;
  /** Tested against each line; without it the trap springs as the task starts. */
  readonly atLine?: RegExp;
  readonly action: 'kill' | 'stall' | 'abort';
}

export interface TaskRoom extends TaskEngine {
  find(upid: string): TaskRecord | undefined;
  /** Newest first. */
  all(): readonly TaskRecord[];
  /** The task makes no more progress until released, killed or aborted. */
  stall(upid: string): void;
  release(upid: string): void;
  trap(trap: TaskTrap): void;
  clearTraps(): void;
  /** Every worker dies, as when the node loses power. */
  killAll(): void;
  /** Puts a task of the past into the history; `endtime` in epoch seconds. */
  adopt(upid: string, lines: readonly string[], endtime: number): void;
}

interface Worker {
  readonly upid: string;
  readonly parts: UpidParts;
  readonly who: Identity;
  readonly lines: string[];
  warnings: number;
  state: 'running' | 'ended' | 'killed';
  endtime: number | undefined;
  indexed: number | undefined;
  /** Forked by a worker: no daemon hears of its end. */
  readonly nested: boolean;
  abortWanted: boolean;
  abortSeen: boolean;
  stalled: boolean;
  /** Whatever the body waits for; woken to look at the state again. */
  readonly waiting: Set<() => void>;
  readonly settle: () => void;
  readonly settled: Promise<void>;
}

interface Lock {
  holder: Worker | 'call' | undefined;
  readonly queue: { readonly worker: Worker | undefined; readonly grant: () => void }[];
}

/** PVE keeps two index files of about a thousand tasks; older ones are no longer found in the list. */
const indexedTasks = 2000;

/** pvestatd comes by this often; a task that no daemon watches over waits for it, or for the next task. */
const scanSeconds = 10;

const interrupted = 'interrupted by signal';

export function createTaskRoom(node: string, clock: FakeClock, random: FakeRandom, bootedAt: number): TaskRoom {
  const workers = new Map<string, Worker>();
  const locks = new Map<number, Lock>();
  const traps: TaskTrap[] = [];
  const current = new AsyncLocalStorage<Worker>();
  let pid = 1000 + random.int(5000);

  const record = (worker: Worker): TaskRecord => ({
    upid: worker.upid,
    parts: worker.parts,
    who: worker.who,
    lines: worker.lines,
    endtime: worker.endtime,
    indexed: worker.indexed,
    exitStatus: worker.state === 'running' ? undefined : exitStatusOf(worker.lines.at(-1)),
  });

  /** What has ended goes from the file of active tasks to the index. PVE: RESTEnvironment.pm active_workers. */
  const scan = (now = Math.floor(clock.now() / 1000)): void => {
    for (const worker of workers.values()) if (worker.state !== 'running') worker.indexed ??= now;
  };

  /** The daemon that forked a worker looks through the active ones when it ends, pvestatd now and then. */
  const reap = (worker: Worker, state: 'ended' | 'killed'): void => {
    worker.state = state;
    worker.endtime = Math.floor(clock.now() / 1000);
    if (!worker.nested) scan();
    worker.settle();
  };

  const scanLate = (): void => {
    const now = Math.floor(clock.now() / 1000);
    for (const worker of workers.values())
      if (worker.endtime !== undefined && now - worker.endtime >= scanSeconds)
        worker.indexed ??= worker.endtime + scanSeconds;
  };

  const end = (worker: Worker, lastLine: string): void => {
    if (worker.state !== 'running') return;
    worker.lines.push(lastLine);
    reap(worker, 'ended');
  };

  const kill = (worker: Worker): void => {
    if (worker.state !== 'running') return;
    reap(worker, 'killed');
    for (const lock of locks.values()) if (lock.holder === worker) passOn(lock);
  };

  const abort = (worker: Worker): void => {
    worker.abortWanted = true;
    worker.stalled = false;
    wake(worker);
  };

  const spring = (worker: Worker, line: string | undefined): void => {
    const at = traps.findIndex(
      (trap) =>
        trap.type === worker.parts.type &&
        (trap.id === undefined || trap.id === worker.parts.id) &&
        (trap.atLine === undefined ? line === undefined : line !== undefined && trap.atLine.test(line)),
    );
    const trap = traps[at];
    if (trap === undefined) return;
    traps.splice(at, 1);
    if (trap.action === 'kill') kill(worker);
    else if (trap.action === 'abort') abort(worker);
    else worker.stalled = true;
  };

  const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

  /** Waits for `operation`, and hears a kill, an abort and a stall meanwhile. */
  const guarded = async <T>(worker: Worker, operation: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    if (worker.state === 'killed') return never();
    throwIfAborted(worker);
    const cancel = new AbortController();
    const outcome: { result?: { is: 'value'; value: T } | { is: 'error'; error: unknown } } = {};
    const done = settleInto(outcome, operation(cancel.signal), () => wake(worker));
    while (worker.state === 'running' && !worker.abortWanted && (outcome.result === undefined || worker.stalled))
      await new Promise<void>((resolve) => worker.waiting.add(resolve));
    if (outcome.result === undefined) {
      cancel.abort();
      // Whoever hears of the abort must not race with what was under way.
      if (worker.state === 'running') await Promise.race([done, Promise.resolve()]);
    }
    if (isKilled(worker)) return never();
    throwIfAborted(worker);
    return outcomeOf(outcome.result);
  };

  const start = async (worker: Worker, body: (task: Task) => Promise<void>): Promise<void> => {
    const task: Task = {
      upid: worker.upid,
      who: worker.who,
      log: (text) => {
        for (const line of text.replace(/\n$/, '').split('\n')) {
          if (worker.state !== 'running') return;
          worker.lines.push(line);
          spring(worker, line);
        }
      },
      warn: (line) => {
        worker.warnings += 1;
        task.log(`WARN: ${line}`);
      },
      work: (ms) => guarded(worker, (signal) => clock.sleep(ms, signal)),
      io: (operation) => guarded(worker, operation),
      get aborted() {
        return worker.abortWanted || worker.abortSeen;
      },
    };
    await Promise.resolve();
    spring(worker, undefined);
    if (worker.state !== 'running') return;
    try {
      await body(task);
      if (worker.stalled) await guarded(worker, () => Promise.resolve());
      end(worker, worker.warnings > 0 ? `TASK WARNINGS: ${worker.warnings}` : 'TASK OK');
    } catch (error) {
      end(worker, `TASK ERROR: ${perlText(error).trim().replaceAll('\n', ' ')}`);
    }
  };

  const passOn = (lock: Lock): void => {
    lock.holder = undefined;
    for (let next = lock.queue.shift(); next !== undefined; next = lock.queue.shift()) {
      if (next.worker?.state === 'killed') continue;
      lock.holder = next.worker ?? 'call';
      next.grant();
      return;
    }
  };

  const waitForLock = async (vmid: number, lock: Lock, seconds: number, worker: Worker | undefined): Promise<void> => {
    if (lock.holder === undefined && lock.queue.length === 0) {
      lock.holder = worker ?? 'call';
      return;
    }
    worker?.lines.push('trying to acquire lock...');
    const outcome = await new Promise<'granted' | 'timeout'>((resolve) => {
      const patience = new AbortController();
      const waiter = {
        worker,
        grant: () => {
          patience.abort();
          resolve('granted');
        },
      };
      lock.queue.push(waiter);
      const giveUp = (): void => {
        const at = lock.queue.indexOf(waiter);
        if (at < 0) return;
        lock.queue.splice(at, 1);
        resolve('timeout');
      };
      clock.sleep(seconds * 1000, patience.signal).then(giveUp, () => undefined);
    });
    if (worker?.state === 'killed') return never();
    if (outcome === 'timeout') die(`can't lock file '/run/lock/lxc/pve-config-${vmid}.lock' - got timeout`);
    worker?.lines.push(' OK');
  };

  return {
    fork(who, type, id, body) {
      pid += 1 + random.int(30);
      const now = clock.now();
      const parts: UpidParts = {
        node,
        pid,
        // Jiffies since the boot; a wall clock that was set back must not make them negative.
        pstart: Math.max(0, Math.floor((now - bootedAt) / 10)),
        starttime: Math.floor(now / 1000),
        type,
        id,
        user: who.full,
      };
      scan();
      const worker = newWorker(encodeUpid(parts), parts, who, [], current.getStore() !== undefined);
      workers.set(worker.upid, worker);
      void current.run(worker, () => start(worker, body));
      return worker.upid;
    },
    async withGuestLock(vmid, timeoutSeconds, body) {
      const worker = current.getStore();
      const lock = locks.get(vmid) ?? { holder: undefined, queue: [] };
      locks.set(vmid, lock);
      // The flock is recursive within one process (PVE: Tools.pm lock_file).
      if (worker !== undefined && lock.holder === worker) return body();
      await waitForLock(vmid, lock, timeoutSeconds, worker);
      const mine = lock.holder;
      try {
        return await body();
      } finally {
        if (lock.holder === mine && worker?.state !== 'killed') passOn(lock);
      }
    },
    kill(upid) {
      const worker = workers.get(upid);
      if (worker !== undefined) kill(worker);
    },
    running: () =>
      [...workers.values()]
        .filter((worker) => worker.state === 'running')
        .map(({ upid, parts }) => ({ upid, type: parts.type, id: parts.id })),
    settled: (upid) => workers.get(upid)?.settled ?? Promise.resolve(),
    find(upid) {
      const worker = workers.get(upid);
      return worker === undefined ? undefined : record(worker);
    },
    all() {
      scanLate();
      return [...workers.values()].toReversed().toSorted(byAge).slice(0, indexedTasks).map(record);
    },
    abort(upid) {
      const worker = workers.get(upid);
      if (worker?.state === 'running') abort(worker);
    },
    stall(upid) {
      const worker = workers.get(upid);
      if (worker?.state === 'running') worker.stalled = true;
    },
    release(upid) {
      const worker = workers.get(upid);
      if (worker === undefined) return;
      worker.stalled = false;
      wake(worker);
    },
    trap: (trap) => {
      traps.push(trap);
    },
    clearTraps: () => void traps.splice(0),
    killAll() {
      for (const worker of workers.values()) kill(worker);
    },
    adopt(upid, lines, endtime) {
      const parts = decodeUpid(upid);
      if (parts === undefined) throw new Error(`cannot adopt task ${upid}: not a UPID`);
      const worker = newWorker(upid, parts, identity(parts.user), [...lines], false);
      worker.state = 'ended';
      worker.endtime = endtime;
      worker.indexed = endtime;
      worker.settle();
      workers.set(upid, worker);
    },
  };
}

function newWorker(upid: string, parts: UpidParts, who: Identity, lines: string[], nested: boolean): Worker {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    upid,
    parts,
    who,
    lines,
    warnings: 0,
    state: 'running',
    endtime: undefined,
    indexed: undefined,
    nested,
    abortWanted: false,
    abortSeen: false,
    stalled: false,
    waiting: new Set(),
    settle: resolve,
    settled: promise,
  };
}

/** Running tasks first, then those that ended last: the order of the index file, read backwards. */
function byAge(left: Worker, right: Worker): number {
  return (
    (right.indexed ?? Number.MAX_SAFE_INTEGER) - (left.indexed ?? Number.MAX_SAFE_INTEGER) ||
    right.parts.starttime - left.parts.starttime ||
    right.parts.pstart - left.parts.pstart
  );
}

function isKilled(worker: Worker): boolean {
  return worker.state === 'killed';
}

function wake(worker: Worker): void {
  const waiting = [...worker.waiting];
  worker.waiting.clear();
  for (const resolve of waiting) resolve();
}

async function settleInto<T>(
  outcome: { result?: { is: 'value'; value: T } | { is: 'error'; error: unknown } },
  operation: Promise<T>,
  then: () => void,
): Promise<void> {
  try {
    outcome.result = { is: 'value', value: await operation };
  } catch (error) {
    outcome.result = { is: 'error', error };
  }
  then();
}

function outcomeOf<T>(result: { is: 'value'; value: T } | { is: 'error'; error: unknown } | undefined): T {
  if (result === undefined) throw new Error('cannot go on: the worker was woken without an outcome');
  if (result.is === 'error') throw result.error;
  return result.value;
}

function throwIfAborted(worker: Worker): void {
  if (!worker.abortWanted) return;
  worker.abortWanted = false;
  worker.abortSeen = true;
  throw new Error(interrupted);
}

/** PVE: UPID.pm, status from the last line of the log. */
export function exitStatusOf(lastLine: string | undefined): string {
  if (lastLine === undefined) return 'unexpected status';
  if (lastLine === 'TASK OK') return 'OK';
  const error = /^TASK ERROR: (.+)$/s.exec(lastLine)?.[1];
  return error ?? /^TASK (WARNINGS: \d+)$/.exec(lastLine)?.[1] ?? 'unexpected status';
}
