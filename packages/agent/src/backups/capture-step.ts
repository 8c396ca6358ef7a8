/**
 * Until the storage holds the state of the guest. Only then may its apps go on, which is long before the archive is
 * written [R35]. Two signs, both read and neither believed about success:
 *
 *   snapshot mode  the snapshot `vzdump` stands in the guest's config, finished
 *   else           the task writes its archive: the copy is complete (suspend), or the guest does not run (stop)
 *
 * With a lease it must happen soon: an app that stands still behind somebody else's backup is an outage. It is then
 * refused here, and the undo of `dump` stops our task.
 */
import { reason } from '@felhom/protocol';
import type { Reason } from '@felhom/protocol';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { BackupContext, Partly } from './backup-state.ts';
import { hear, noWords, tellLine } from './task-words.ts';

const pollMs = 1_000;

export async function capture(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { upid } = ctx.state;
  // Only the archive was found again: all of that is over.
  if (upid === undefined) return done({});
  const { guest, storage } = ctx.params;
  let words = noWords;
  let end: 'running' | 'ended' | 'not-known' = 'running';
  const watching = new AbortController();
  const onProgress = (line: string): void => {
    words = hear(words, line);
    ctx.progress({ text: `backing up ${guest.name} to ${storage}: ${tellLine(line)}` });
  };
  const waiting = ctx.needs.tasks
    .wait(upid, { onProgress }, AbortSignal.any([signal, watching.signal]))
    .then((ended) => {
      end = ended.is === 'done' ? 'ended' : 'not-known';
      return ended;
    });
  const began = ctx.clock.monotonicMs();
  const standing = (): typeof end => end;
  try {
    for (;;) {
      // How it ended, `finish` finds out.
      if (standing() === 'ended') return done({ ...modeOf(words.mode), ...(words.archiving ? held(ctx) : {}) });
      if (standing() === 'not-known') {
        const ended = await waiting;
        return ended.is === 'done' ? done({}) : unknown(ended.why);
      }
      // Before our own job has begun, a snapshot of that name is of somebody else's, behind whose job ours waits.
      const snapshot = words.mode !== undefined && (await holdsSnapshot(ctx, signal));
      if (snapshot || words.archiving)
        return done({ ...modeOf(words.mode ?? (snapshot ? 'snapshot' : undefined)), ...held(ctx) });
      const late = tooLate(ctx, began, words.waitsForOther);
      if (late !== undefined) return refused(late);
      await ctx.clock.sleep(pollMs, signal);
    }
  } finally {
    watching.abort();
    await waiting;
  }
}

const modeOf = (mode: Partly['mode']): Partly => (mode === undefined ? {} : { mode });

/** Whether the apps stood still, asked at the moment when it no longer matters. */
function held(ctx: BackupContext): Partly {
  const { guest, lease } = ctx.params;
  const consistency = lease !== undefined && ctx.needs.leases.isHeld(guest.uid, lease) ? 'app' : 'crash';
  if (lease !== undefined) ctx.needs.leases.captured(guest.uid, lease);
  return { capturedAt: ctx.clock.now(), consistency };
}

/** The snapshot of this backup: one that a dead backup left is older. */
async function holdsSnapshot(ctx: BackupContext, signal: AbortSignal): Promise<boolean> {
  const { vmid, since = 0 } = ctx.state;
  if (vmid === undefined) return false;
  const rows = await ctx.needs.snapshots.list(vmid, signal);
  return (
    rows.is === 'done' &&
    rows.value.some((row) => row.name === 'vzdump' && row.state === undefined && (row.takenAt ?? 0) >= since)
  );
}

function tooLate(ctx: BackupContext, began: number, waitsForOther: boolean): Reason | undefined {
  const { guest, lease } = ctx.params;
  if (lease === undefined) return undefined;
  // The wall clock counts what was before a restart; set back it counts nothing, then the other one does.
  const spentMs = Math.max(ctx.clock.monotonicMs() - began, ctx.clock.now() - (ctx.state.begunAt ?? ctx.clock.now()));
  const seconds = ctx.needs.policy().backups.captureSeconds;
  const isHeld = ctx.needs.leases.isHeld(guest.uid, lease);
  if (isHeld && spentMs < seconds * 1000) return undefined;
  const because = isHeld ? `${seconds} s passed` : 'the apps are no longer held still';
  const behind = waitsForOther ? ', behind another backup job of this node' : '';
  return reason(
    'backup.not-captured',
    `cannot back up guest ${guest.name} with its apps held still: ${because} and the storage did not hold the state${behind}`,
  );
}
