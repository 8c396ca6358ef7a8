/** How a signed removal is paced: accepted, cooling off, quarantine, freed, or taken back at any point before the last. */
import { reason } from '@felhom/protocol';
import type { Digest, JobKind } from '@felhom/protocol';
import type { Of, RemovalEffect } from './job-plan.ts';
import {
  beginRemoval,
  cancelRemoval,
  createRemovalStore,
  foundBefore,
  isOpen,
  liveDestroys,
  ofServing,
  planRemoval,
} from '../removal/index.ts';
import type { Removal } from '../removal/index.ts';
import { busy } from './desk.ts';
import type { Desk, Doing, JobsNeeds, Verified } from './desk.ts';
import { trustStanding } from '../trust/index.ts';
import { signedDigest } from './job-plan.ts';
import type { JobPlan } from './job-plan.ts';
import { isOver } from './job-record.ts';
import type { JobRecord } from './job-record.ts';

export interface RemovalWork {
  begin(
    record: JobRecord,
    plan: Extract<JobPlan, { is: 'remove' }>,
    verified: Verified,
    signal: AbortSignal,
  ): Promise<void>;
  /** The one next thing, if its time has come. */
  step(record: JobRecord, signal: AbortSignal): Promise<void>;
  /** Takes back job `id`, a removal or any other that is not at work. */
  cancel(record: JobRecord, id: string, verified: Verified, signal: AbortSignal): Promise<void>;
  /** A saga of it completed, with this state. */
  completed(record: JobRecord, doing: Exclude<Doing, 'act'>, state: Readonly<Record<string, unknown>>): void;
  /** A saga of it came to nothing: taken back, or `givenUp` as it stood, with what its journal held by then. */
  failed(record: JobRecord, doing: Exclude<Doing, 'act'>, givenUp?: Readonly<Record<string, unknown>>): void;
  /** Forgets what is over and whose job is forgotten. */
  prune(): void;
  /** Guests that are stopped or on their way to be. */
  removing(): ReadonlySet<string>;
}

export function createRemovalWork(needs: JobsNeeds, desk: Desk): RemovalWork {
  const { journal, time, admission, registry } = needs;
  const removals = createRemovalStore(journal);
  const elapsed = (): number => Math.trunc(time.waitedMs());

  const begin: RemovalWork['begin'] = async (record, { effect, signed, coolOffMinutes }, verified, signal) => {
    const policy = needs.policy();
    const guest = registry.byUid(effect.guest.uid);
    if (policy === undefined || guest === undefined)
      return desk.wait(record, busy(record, 'the guest or the policy is not known'));
    const permission = await admission.permit(effect, desk.evidenceOf(verified, signed), signal);
    if (permission.is === 'refused') return desk.settle(record, permission.why, permission.missing);
    const begun = beginRemoval(
      {
        guest: effect.guest,
        vmid: guest.vmid,
        jobId: record.jobId,
        kind: effect.kind,
        signed,
        lossSet: [...effect.volumes].toSorted(),
        backups: effect.kind === 'guest-decommission' ? effect.backups : 'keep',
        by: verified.people,
        coolOffMinutes,
        servedBefore: guest.servedAt !== undefined,
      },
      policy.removal,
      elapsed(),
      removals.all(),
    );
    if (begun.is === 'refused') return desk.settle(record, begun.why, begun.missing);
    const { removal } = begun;
    const text =
      `guest ${guest.name} stays as it is until the cool-off is over, then it is stopped and cut off; ` +
      `any signer brings it back with: felhom job cancel ${needs.host} ${record.jobId}`;
    const changes = {
      guest: guest.name,
      uid: guest.uid,
      nextAt: removal.acceptedAtElapsed + Math.trunc(removal.coolOffMs),
    };
    desk.keep(desk.become(record, 'cooling-off', text, changes), [removals.write(removal)]);
    needs.wake();
  };

  const step: RemovalWork['step'] = async (record, signal) => {
    const removal = removals.byJob(record.jobId);
    if (removal === undefined)
      return desk.keep(
        desk.become(record, 'failed', 'what it removes is not on record', { code: 'job.unknown-target' }),
      );
    const now = time.waitedMs();
    if (record.code !== undefined && record.nextAt !== undefined && record.nextAt > now) return;
    const policy = needs.policy();
    const serves = registry.byUid(removal.guest.uid)?.servedAt !== undefined;
    if (!removal.servedBefore && serves && removal.stage === 'cooling-off' && policy !== undefined) {
      const later = ofServing(removal, policy.removal, elapsed());
      const text = `guest ${removal.guest.name} began to serve meanwhile: it cools off first, and any signer can cancel`;
      const nextAt = Math.trunc(later.acceptedAtElapsed + later.coolOffMs);
      return desk.keep(desk.become(record, record.state, text, { nextAt }), [removals.write(later)]);
    }
    const plan = planRemoval(removal, {
      elapsedMs: now,
      destroyedAtElapsed: liveDestroys(removals.all()),
      perDay: policy?.removal.perDay ?? 1,
    });
    if (plan.is === 'over')
      return desk.keep(desk.become(record, removal.stage === 'freed' ? 'done' : 'cancelled', record.text));
    if (plan.is === 'stays') {
      const { code, text } = plan.why;
      if (record.code !== code) desk.keep(desk.become(record, record.state, text, { code }));
      return;
    }
    if (plan.is === 'wait') {
      const nextAt = Math.ceil(plan.untilElapsedMs);
      if (record.nextAt !== nextAt) desk.keep(desk.become(record, record.state, plan.why.text, { nextAt }));
      return;
    }
    // Nobody expects any more what could not begin for a week; who still wants it signs again.
    if (removal.stage === 'cooling-off' && now > removal.acceptedAtElapsed + removal.coolOffMs + longestStallMs) {
      const text = `guest ${removal.guest.name} stays: its removal could not begin for a week after its cool-off`;
      return desk.keep(desk.become(record, 'failed', text, { code: 'job.not-fresh' }), [
        removals.write({ ...removal, stage: 'cancelled' }),
      ]);
    }
    // Whatever the plan skips for a guest that never served, nothing is destroyed while it runs.
    const stage = plan.is === 'free' && removal.quarantinedAtElapsed === undefined ? 'quarantine' : plan.is;
    const verified = await desk.verify(record, signal);
    if ('code' in verified) return desk.stall(record, verified);
    if (verified.job.hostEpoch !== journal.hostEpoch)
      return desk.stall(
        record,
        reason(
          'job.other-epoch',
          `cannot go on removing guest ${removal.guest.name}: this host began a new life since it was signed; ` +
            `cancel the job to bring the guest back`,
        ),
      );
    // Who can still cancel it would not be heard either.
    if (trustStanding(verified.document, needs.clock.now()) === 'expired') {
      const text = `cannot go on removing guest ${removal.guest.name}: the trust document has expired; renew it first`;
      return desk.stall(record, reason('trust.expired', text));
    }
    const standing = time.standing();
    if (standing.is === 'jumped') return desk.stall(record, standing.why);
    // Durable with the saga's beginning: from then on nobody else may start or mend the guest.
    const next: Removal =
      stage === 'free'
        ? { ...removal, stage: 'freeing', freeingAtElapsed: elapsed() }
        : { ...removal, stage: 'quarantine' };
    return desk.submit(
      record,
      effectOf(removal, stage),
      desk.evidenceOf(verified, removal.signed),
      { doing: stage, also: () => ({ writes: [removals.write(next)] }) },
      signal,
    );
  };

  const cancel: RemovalWork['cancel'] = async (record, id, verified, signal) => {
    const target = desk.store.find(id);
    if (target === undefined || isOver(target))
      return desk.refuse(
        record,
        reason('job.unknown-target', `cannot cancel job ${id}: it is ${target?.state ?? 'not known on this host'}`),
      );
    // Whoever is about to lose the right to sign, or wants what was cancelled, would else end it alone.
    if (keptFromCancelling.has(target.kind))
      return desk.refuse(
        record,
        reason(
          'gate.no-authority',
          `cannot cancel job ${id}: a ${target.kind} is not taken back by another job; it ends by itself when too few people sign`,
        ),
      );
    if (target.work !== undefined)
      return desk.wait(record, busy(record, `job ${id} is at work; what it began comes to its end first`));
    const by = `cancelled by ${record.people.join(' and ')} with job ${record.jobId}`;
    const about = { guest: target.guest, ...(target.uid === undefined ? {} : { uid: target.uid }) };
    const done = desk.become(record, 'done', `job ${id} is cancelled`, about);
    const removal = removals.byJob(id);
    const cancelled = removal === undefined ? undefined : cancelRemoval(removal);
    if (cancelled?.is === 'refused') return desk.refuse(record, cancelled.why);
    if (removal === undefined || cancelled?.lift !== true) {
      const writes = cancelled === undefined ? [] : [removals.write(cancelled.removal)];
      desk.keep(desk.become(target, 'cancelled', by, { code: 'job.cancelled' }), writes, [done]);
      return needs.wake();
    }
    const lifting = removals.write(cancelled.removal);
    const effect = { kind: 'guest-lift-quarantine', guest: removal.guest } as const;
    const signed: Digest = signedDigest(effect, { hostEpoch: journal.hostEpoch });
    return desk.submit(
      record,
      effect,
      desk.evidenceOf(verified, signed),
      {
        doing: 'act',
        // What was cancelled stays cancelled, whatever becomes of the saga.
        also: (saga) => ({
          records: [desk.become(target, target.state, by, { work: { doing: 'lift', saga } })],
          writes: [lifting],
        }),
      },
      signal,
    );
  };

  const completed: RemovalWork['completed'] = (record, doing, state) => {
    const removal = removals.byJob(record.jobId);
    if (removal === undefined) return desk.keep(desk.become(record, 'done', 'it is done'));
    const { name } = removal.guest;
    const at = elapsed();
    switch (doing) {
      case 'quarantine': {
        const before = foundBefore(state);
        if (before === undefined)
          return desk.stall(
            record,
            reason('job.changed', `cannot go on removing guest ${name}: its quarantine left no note of how it was`),
          );
        const text = `guest ${name} is stopped, cut off and protected; any signer brings it back with: felhom job cancel ${needs.host} ${record.jobId}`;
        desk.keep(desk.become(record, 'quarantine', text, { nextAt: at + Math.trunc(removal.quarantineMs) }), [
          // Of two tries the first one found the guest as it was.
          removals.write({
            ...removal,
            stage: 'quarantine',
            quarantinedAtElapsed: at,
            before: removal.before ?? before,
          }),
        ]);
        break;
      }
      case 'free':
        desk.keep(desk.become(record, 'done', `guest ${name} is removed, with ${removal.lossSet.length} volumes`), [
          removals.write({ ...removal, stage: 'freed', freedAtElapsed: at }),
        ]);
        break;
      case 'lift':
        desk.keep(desk.become(record, 'cancelled', `guest ${name} is back as it was`, { code: 'job.cancelled' }), [
          removals.write({ ...removal, stage: 'cancelled' }),
        ]);
        break;
    }
    needs.wake();
  };

  const failed: RemovalWork['failed'] = (record, doing, givenUp) => {
    const removal = removals.byJob(record.jobId);
    if (removal === undefined) return;
    if (doing === 'quarantine') {
      const before = removal.before ?? (givenUp === undefined ? undefined : foundBefore(givenUp));
      // Half shut away it is still to be brought back as it was.
      if (before === undefined) removals.put({ ...removal, stage: 'cooling-off' });
      else removals.put({ ...removal, stage: 'quarantine', before });
    }
    if (doing === 'free' && removal.stage === 'freeing') {
      const { freeingAtElapsed, ...rest } = removal;
      // Taken back it can be cancelled again, and the day's share is not used up. Given up it may have freed something.
      const used = givenUp === undefined ? {} : { freeingAtElapsed };
      removals.put({ ...rest, ...used, stage: 'quarantine' });
    }
  };

  return {
    begin,
    step,
    cancel,
    completed,
    failed,
    prune: () => {
      for (const removal of removals.all())
        if (!isOpen(removal) && desk.store.find(removal.jobId) === undefined) removals.remove(removal.jobId);
    },
    removing: () =>
      new Set(
        removals
          .all()
          .filter((removal) => isOpen(removal) && removal.stage !== 'cooling-off')
          .map(({ guest }) => guest.name),
      ),
  };
}

const longestStallMs = 7 * 24 * 60 * 60_000;

const keptFromCancelling: ReadonlySet<string> = new Set<JobKind>(['trust-change', 'cancel', 'break-glass-close']);

/** The removal as an effect, for the stage that comes next. */
function effectOf({ kind, guest, lossSet, backups }: Removal, stage: 'quarantine' | 'free'): RemovalEffect {
  const remove: Of<'guest-remove'> = { kind: 'guest-remove', guest, volumes: lossSet, stage };
  return kind === 'guest-remove' ? remove : { kind, guest, volumes: lossSet, backups, stage };
}
