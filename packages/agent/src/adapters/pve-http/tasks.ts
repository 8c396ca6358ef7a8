/**
 * Waiting for workers, and finding those whose UPID was lost. A UPID is acceptance and not success: only the exit
 * status settles a task, and where there is none the world has to be read.
 */
import { reason } from '@felhom/protocol';
import type { Upid } from '@felhom/protocol';
import type { Clock } from '../../kernel/clock.ts';
import { done, unknown } from '../../kernel/saga.ts';
import type { Outcome } from '../../kernel/saga.ts';
import type { PveTasks, TaskEnd, TaskRow, TaskVerdict } from '../../ports/proxmox.ts';
import type { Caller } from './caller.ts';
import { readAs } from './read-as.ts';
import * as shapes from './shapes.ts';
import { followLog } from './task-log.ts';
import type { TaskLog } from './task-log.ts';
import { fractionOf, outageDelayMs, pollDelayMs, verdictOf } from './task-verdict.ts';

export interface TaskPatience {
  /** How long Proxmox may stay away while a task is waited for. */
  readonly outageMs: number;
  /** How long a UPID that Proxmox just gave out may be unknown to it. */
  readonly freshMs: number;
}

export const defaultPatience: TaskPatience = { outageMs: 600_000, freshMs: 3_000 };

/** Where a task stands, as one look at it tells. */
type Look =
  { readonly is: 'running' } | { readonly is: 'ended'; readonly verdict: TaskVerdict } | { readonly is: 'not-known' };

/** The log is for people, who read slower than short tasks are polled. */
const logEveryMs = 1_000;
const pageRows = 500;
const mostRows = 4_000;

export function createTasks(caller: Caller, node: string, clock: Clock, patience: TaskPatience): PveTasks {
  const look = async (upid: Upid, signal: AbortSignal): Promise<Outcome<Look>> => {
    const what = `read task ${upid}`;
    const answer = await caller.read({ what, path: ['nodes', node, 'tasks', upid, 'status'] }, signal);
    // A text that Proxmox cannot read as a UPID names no task either.
    if (answer.is === 'refused' && ['pve.task-absent', 'pve.invalid-parameter'].includes(answer.why.code))
      return done({ is: 'not-known' });
    const state = readAs(what, answer, shapes.taskState);
    if (state.is !== 'done') return state;
    if (state.value.status === 'running') return done({ is: 'running' });
    return done({ is: 'ended', verdict: verdictOf(state.value.exitstatus) });
  };

  /** `died` is looked at twice: the last line of a log may be written a moment after its worker is gone. */
  const settle = async (upid: Upid, first: TaskVerdict, signal: AbortSignal): Promise<TaskVerdict> => {
    if (first.is !== 'died') return first;
    await clock.sleep(1_000, signal);
    const again = await look(upid, signal);
    return again.is === 'done' && again.value.is === 'ended' ? again.value.verdict : first;
  };

  const end = async (log: TaskLog, verdict: TaskVerdict, onLine: LineSink, signal: AbortSignal): Promise<TaskEnd> => {
    if (onLine !== undefined || verdict.is !== 'ok') await log.readNew(onLine, signal);
    return { verdict, logTail: log.tail() };
  };

  return {
    async wait(upid, options, signal) {
      const { onProgress, stallMs, onStall } = options;
      const onLine: LineSink = onProgress === undefined ? undefined : (line) => onProgress(line, fractionOf(line));
      const log = followLog(caller, node, upid);
      const began = clock.monotonicMs();
      let answeredAt = began;
      let movedAt = began;
      let logReadAt = Number.NEGATIVE_INFINITY;
      let failures = 0;
      try {
        for (;;) {
          const seen = await look(upid, signal);
          const now = clock.monotonicMs();
          if (seen.is !== 'done') {
            if (signal.aborted) return stoppedWaiting(upid);
            failures += 1;
            if (now - answeredAt >= patience.outageMs) return patienceOver(upid, now - answeredAt, seen.why.text);
            await clock.sleep(outageDelayMs(failures), signal);
            continue;
          }
          failures = 0;
          answeredAt = now;
          if (seen.value.is === 'ended')
            return done(await end(log, await settle(upid, seen.value.verdict, signal), onLine, signal));
          if (seen.value.is === 'not-known' && now - began >= patience.freshMs)
            return done({ verdict: { is: 'lost' }, logTail: log.tail() });
          const watched = onLine !== undefined || onStall !== undefined;
          if (seen.value.is === 'running' && watched && now - logReadAt >= logEveryMs) {
            logReadAt = now;
            if ((await log.readNew(onLine, signal)) > 0) movedAt = clock.monotonicMs();
            else if (stallMs !== undefined && clock.monotonicMs() - movedAt >= stallMs) {
              onStall?.();
              movedAt = clock.monotonicMs();
            }
          }
          await clock.sleep(pollDelayMs(clock.monotonicMs() - began), signal);
        }
      } catch (error) {
        if (signal.aborted) return stoppedWaiting(upid);
        throw error;
      }
    },

    async status(upid, signal) {
      const seen = await look(upid, signal);
      if (seen.is !== 'done') return seen;
      if (seen.value.is === 'running') return done({ is: 'running' });
      if (seen.value.is === 'not-known') return done({ is: 'ended', end: { verdict: { is: 'lost' }, logTail: [] } });
      return done({
        is: 'ended',
        end: await end(followLog(caller, node, upid), seen.value.verdict, undefined, signal),
      });
    },

    async find({ vmid, type, sinceSeconds, only }, signal) {
      const what = `search the task list of node ${node}`;
      const rows: TaskRow[] = [];
      while (rows.length < mostRows) {
        const params = {
          // The default hides running tasks, which are the ones that matter here.
          source: only === undefined ? 'all' : only === 'running' ? 'active' : 'archive',
          errors: only === 'failed' ? 1 : undefined,
          vmid,
          typefilter: type,
          since: sinceSeconds,
          start: rows.length,
          limit: pageRows,
        };
        const answer = await caller.read({ what, path: ['nodes', node, 'tasks'], params }, signal);
        const page = readAs(what, answer, shapes.taskRows);
        if (page.is !== 'done') return page;
        rows.push(...page.value);
        if (page.value.length < pageRows) break;
      }
      // Running tasks come with the status RUNNING instead of none; `active` holds also some that ended a moment ago.
      const named = rows.map((row) => (row.status === 'RUNNING' ? { ...row, status: undefined } : row));
      return done(
        only === 'running'
          ? named.filter(({ status, endTime }) => status === undefined && endTime === undefined)
          : named,
      );
    },

    async abort(upid, signal) {
      const what = `abort task ${upid}`;
      const path = ['nodes', node, 'tasks', upid];
      const answer = await caller.write({ what, kind: 'abort-task', method: 'DELETE', path }, signal);
      return answer.is === 'done' ? done(undefined) : answer;
    },
  };
}

type LineSink = ((line: string) => void) | undefined;

const stoppedWaiting = (upid: Upid) =>
  unknown(reason('pve.aborted', `cannot wait for task ${upid}: the agent stopped waiting; the task goes on`));

const patienceOver = (upid: Upid, awayMs: number, last: string) =>
  unknown(
    reason(
      'pve.patience-over',
      `cannot wait for task ${upid}: Proxmox has not told about it for ${Math.round(awayMs / 1000)} s; the task may go on`,
      last,
    ),
  );
