/** What Proxmox says about a task, read. Pure. */
import type { TaskVerdict } from '../../ports/proxmox.ts';

/**
 * The verdict of an exit status. It is made from the last line of the task's log: only `OK` and `WARNINGS: n` come
 * from a worker that reached its end; `unexpected status` means that it did not (PVE: PVE/UPID.pm).
 */
export function verdictOf(exitStatus: string | undefined): TaskVerdict {
  if (exitStatus === undefined || exitStatus === '' || exitStatus === 'unexpected status') return { is: 'died' };
  if (exitStatus === 'OK') return { is: 'ok' };
  const warnings = /^WARNINGS: (\d+)$/.exec(exitStatus);
  if (warnings !== null) return { is: 'warnings', count: Number(warnings[1]) };
  if (/^unable to (?:open|read) /.test(exitStatus)) return { is: 'died' };
  return { is: 'failed', exitStatus };
}

/** Percentages that mean progress; e2fsck's "0.0% non-contiguous" does not. */
const percentages: readonly RegExp[] = [
  /^(?:INFO:\s+)?(\d{1,3}(?:\.\d+)?)%/,
  /\bprogress\s+(\d{1,3}(?:\.\d+)?)%/i,
  /^transferred .*\((\d{1,3}(?:\.\d+)?)%\)/,
];

/** How far the task is, 0..1, where a line of its log tells. */
export function fractionOf(line: string): number | undefined {
  for (const pattern of percentages) {
    const found = pattern.exec(line);
    if (found === null) continue;
    const percent = Number(found[1]);
    if (percent <= 100) return percent / 100;
  }
  return undefined;
}

const firstPollMs = 50;
const slowPollMs = 2_000;

/**
 * Pause before the next look at a task that has run for `elapsedMs`: an eighth of it, so that its end is never noticed
 * later than that, with few calls for long tasks. Doubling pauses would notice the end of a 1.6 s restore after 3.1 s.
 */
export function pollDelayMs(elapsedMs: number): number {
  return Math.min(slowPollMs, Math.max(firstPollMs, Math.round(elapsedMs / 8)));
}

/** Pause after `failures` polls in a row that Proxmox did not answer. */
export function outageDelayMs(failures: number): number {
  return Math.min(15_000, 500 * 2 ** Math.min(failures - 1, 6));
}
