/** After each pass: guests that still have a disk that was pulled are found, and asked to be restarted. */
import { carrySince } from '@felhom/protocol';
import type { Finding } from '@felhom/protocol';
import type { Submission } from '../admission/index.ts';
import type { ProtectionEffect } from '../authority/index.ts';
import type { GuestRegistry } from '../authority/guest-record.ts';
import type { Clock, SagaEnd, SagaStatus } from '../kernel/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { Log } from '../ports/log.ts';
import { forget, noteFailure, prune, sift } from '../reconcile/index.ts';
import type { Failures, PassReport } from '../reconcile/index.ts';
import type { StaleMounts } from '../stale-mounts/index.ts';
import type { InForce } from './in-force.ts';
import { notKept } from './not-kept.ts';
import { soonest } from './soonest.ts';
import type { Stores } from './stores.ts';

export interface RemountsNeeds {
  readonly mounts: StaleMounts;
  readonly registry: Pick<GuestRegistry, 'all'>;
  readonly stores: Pick<Stores, 'restarts'>;
  readonly inForce: Pick<InForce, 'desiredGuest'>;
  readonly policy: () => HostPolicy | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly status: () => readonly SagaStatus[];
  readonly removing: () => ReadonlySet<string>;
  readonly submit: (effect: ProtectionEffect, signal: AbortSignal) => Promise<Submission>;
  readonly wake: () => void;
}

export interface Remounts {
  run(pass: PassReport, signal: AbortSignal): Promise<void>;
  findings(): readonly Finding[];
  nextAt(): number | undefined;
}

const hourMs = 3_600_000;

export function createRemounts(needs: RemountsNeeds): Remounts {
  const { mounts, clock } = needs;
  let tries: Failures = new Map();
  let findings: readonly Finding[] = [];
  let nextAt: number | undefined;

  const settled = (effect: Extract<ProtectionEffect, { kind: 'guest-remount' }>, end: SagaEnd): void => {
    if (end.is === 'completed') tries = forget(tries, effect);
    if (end.is === 'unwound') {
      tries = noteFailure(tries, effect, end.why, clock.now());
      // A second try would find the same: what waits in the kernel is not killed.
      if (end.why.code === 'guest.did-not-stop') mounts.couldNotStop(effect.guest.uid);
    }
    needs.wake();
  };

  return {
    async run(pass, signal) {
      if (pass.observation.problem !== undefined) return;
      const now = clock.now();
      const hold = needs.policy()?.hold;
      const lanes = new Set(needs.status().flatMap((saga) => saga.lanes));
      const removing = needs.removing();
      const found = await mounts.round(
        needs.registry
          .all()
          .filter((record) => !record.scratch)
          .map((record) => ({
            record,
            upSince: now - (pass.observation.rows.get(record.vmid)?.uptimeSeconds ?? 0) * 1000,
            wanted: needs.inForce.desiredGuest(record)?.power === 'running' && !removing.has(record.name),
            running: pass.observation.rows.get(record.vmid)?.status === 'running',
            held: hold !== undefined && (hold.host || hold.guests.includes(record.name)),
            due: (effect) => sift([effect], tries, now).ready.length > 0,
            busy: lanes.has(`guest:${record.name}`),
            restarts: needs.stores.restarts.since(record.uid, now - hourMs),
          })),
        signal,
      );
      // What waits for something else, or is under way, has not succeeded by that.
      const stale = found.findings.flatMap(({ key, subject }) => (key === 'guest.stale-mount' ? [subject] : []));
      tries = prune(tries, found.effects, new Set(stale));
      const sifted = sift(found.effects, tries, now);
      for (const effect of sifted.ready) {
        signal.throwIfAborted();
        const answer = await needs.submit(effect, signal);
        if (answer.is === 'refused') tries = noteFailure(tries, effect, answer.why, clock.now());
        if (answer.is === 'started') void answer.ended.then((end) => settled(effect, end)).catch(notKept(needs.log));
      }
      findings = carrySince([...found.findings, ...sifted.waiting], findings);
      nextAt = soonest([found.nextAt, sifted.nextAt], now);
    },
    findings: () => findings,
    nextAt: () => nextAt,
  };
}
