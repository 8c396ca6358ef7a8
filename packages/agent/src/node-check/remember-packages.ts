/**
 * Package versions, asked for rarely: Proxmox reads the whole package database for every answer (PVE: API2/APT.pm
 * versions), and they change when an administrator upgrades.
 */
import type { Clock } from '../kernel/clock.ts';
import type { NodePackages } from '../ports/proxmox.ts';

const keepMs = 600_000;

/** Answers that say something are kept for ten minutes; where nobody could be asked the next call asks again. */
export function rememberPackages(packages: NodePackages, clock: Pick<Clock, 'monotonicMs'>): NodePackages {
  let kept: { readonly at: number; readonly answer: Awaited<ReturnType<NodePackages['packages']>> } | undefined;
  return {
    async packages(signal) {
      if (kept !== undefined && clock.monotonicMs() - kept.at < keepMs) return kept.answer;
      const answer = await packages.packages(signal);
      kept = answer.is === 'unknown' ? undefined : { at: clock.monotonicMs(), answer };
      return answer;
    },
  };
}
