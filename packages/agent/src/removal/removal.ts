/**
 * A signed removal, from its acceptance to its end. Pure. Signatures alone do not destroy a guest that served: first a
 * cool-off in which anybody can cancel it, then a quarantine out of which it can come back, and one such guest per day
 * on this host, whoever signs [R39].
 *
 *   cooling-off → quarantine → freeing → freed
 *             ↘ cancelled ← lifting
 *
 * Times are the agent's own milliseconds, of which it is certain that they passed (`waitedMs`): they never go back and no
 * clock that is set makes them more.
 */
import { digest, jobId, reason, vmid, volumeId } from '@felhom/protocol';
import type { Digest, Reason, Vmid, VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { guestRef } from '../guests/registered.ts';
import type { HostPolicy } from '../host-policy.ts';
import { beforeQuarantine } from './before-quarantine.ts';

const elapsed = z.number().min(0).max(Number.MAX_SAFE_INTEGER);

export const removal = z.strictObject({
  v: z.literal(1),
  guest: guestRef,
  vmid,
  jobId,
  kind: z.enum(['guest-remove', 'guest-decommission']),
  /** Digest that the signatures cover. */
  signed: digest,
  /** Exactly the volumes that will be freed. */
  lossSet: z.array(volumeId).max(1024),
  /** Nothing of this release removes archives, so `delete` is refused when a removal begins. */
  backups: z.enum(['keep', 'delete']),
  /** People who signed. */
  by: z.array(z.string().min(1).max(40)).max(8),
  /** `lifting`: somebody cancelled it in its quarantine; from then on there is no way but back. */
  stage: z.enum(['cooling-off', 'quarantine', 'lifting', 'freeing', 'freed', 'cancelled']),
  /** Whether anybody's data is in it; without, neither cool-off nor quarantine nor the day's share apply. */
  servedBefore: z.boolean(),
  acceptedAtElapsed: elapsed,
  coolOffMs: elapsed,
  quarantineMs: elapsed,
  quarantinedAtElapsed: elapsed.optional(),
  /** How the guest was when the quarantine began, for lifting it. */
  before: beforeQuarantine.optional(),
  /** When freeing began, which is what counts against the day. */
  freeingAtElapsed: elapsed.optional(),
  freedAtElapsed: elapsed.optional(),
});
export type Removal = z.output<typeof removal>;

export interface RemovalOrder {
  readonly guest: GuestRef;
  readonly vmid: Vmid;
  readonly jobId: string;
  readonly kind: Removal['kind'];
  readonly signed: Digest;
  readonly lossSet: readonly VolumeId[];
  readonly backups: Removal['backups'];
  /** People who signed, each once. */
  readonly by: readonly string[];
  /** Asked for in the job; absent = the host's own. */
  readonly coolOffMinutes: number | undefined;
  readonly servedBefore: boolean;
}

export type Begun =
  | { readonly is: 'begun'; readonly removal: Removal }
  | { readonly is: 'refused'; readonly why: Reason; readonly missing?: number };

const peopleForHaste = 2;
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

/** `others`: every removal on record; one guest is removed once at a time. */
export function beginRemoval(
  order: RemovalOrder,
  policy: HostPolicy['removal'],
  elapsedMs: number,
  others: readonly Removal[],
): Begun {
  const cannot = `cannot remove guest ${order.guest.name} (${order.guest.uid}) on job ${order.jobId}`;
  const open = others.find((other) => other.guest.uid === order.guest.uid && isOpen(other));
  if (open !== undefined)
    return {
      is: 'refused',
      why: reason('job.busy', `${cannot}: job ${open.jobId} removes it already (${open.stage})`),
    };
  if (order.backups === 'delete')
    return {
      is: 'refused',
      why: reason('job.not-built', `${cannot}: this release removes no backups; sign it again with backups kept`),
    };
  const asked = order.coolOffMinutes ?? policy.coolOffMinutes;
  const people = new Set(order.by).size;
  if (order.servedBefore && asked < policy.coolOffMinutes && people < peopleForHaste)
    return {
      is: 'refused',
      missing: peopleForHaste - people,
      why: reason(
        'job.more-people',
        `${cannot}: a cool-off of ${asked} minutes is shorter than the ${policy.coolOffMinutes} of this host and takes ${peopleForHaste} people`,
      ),
    };
  return {
    is: 'begun',
    removal: {
      v: 1,
      guest: order.guest,
      vmid: order.vmid,
      jobId: order.jobId,
      kind: order.kind,
      signed: order.signed,
      lossSet: [...order.lossSet],
      backups: order.backups,
      by: [...new Set(order.by)],
      stage: 'cooling-off',
      servedBefore: order.servedBefore,
      acceptedAtElapsed: elapsedMs,
      coolOffMs: order.servedBefore ? asked * minute : 0,
      quarantineMs: order.servedBefore ? policy.quarantineHours * hour : 0,
    },
  };
}

/** A guest that had nobody's data in it when its removal was accepted, and serves by now: all of it begins anew. */
export function ofServing(removal: Removal, policy: HostPolicy['removal'], elapsedMs: number): Removal {
  return {
    ...removal,
    servedBefore: true,
    acceptedAtElapsed: elapsedMs,
    coolOffMs: policy.coolOffMinutes * minute,
    quarantineMs: policy.quarantineHours * hour,
  };
}

export const isOpen = ({ stage }: Pick<Removal, 'stage'>): boolean => stage !== 'freed' && stage !== 'cancelled';

export interface RemovalMoment {
  readonly elapsedMs: number;
  /** Elapsed milliseconds at which guests that served began to be freed here: `liveDestroys`. */
  readonly destroyedAtElapsed: readonly number[];
  readonly perDay: number;
}

/**
 * What is next. `quarantine` and `free` are said again until the stage has moved on, so whoever carries them out looks
 * first whether a saga of that is still open.
 */
export type RemovalPlan =
  | { readonly is: 'wait'; readonly untilElapsedMs: number; readonly why: Reason }
  | { readonly is: 'quarantine' }
  | { readonly is: 'free' }
  /** Cancelled, and the guest is not back yet: it is neither freed nor touched until somebody cancels again. */
  | { readonly is: 'stays'; readonly why: Reason }
  | { readonly is: 'over' };

export function planRemoval(removal: Removal, moment: RemovalMoment): RemovalPlan {
  const name = `${removal.guest.name} (${removal.guest.uid})`;
  const wait = (untilElapsedMs: number, code: 'job.not-yet' | 'job.damper', text: string): RemovalPlan => ({
    is: 'wait',
    untilElapsedMs,
    why: reason(code, text),
  });
  switch (removal.stage) {
    case 'freed':
    case 'cancelled':
      return { is: 'over' };
    case 'freeing':
      return { is: 'free' };
    case 'lifting':
      return {
        is: 'stays',
        why: reason(
          'job.cancelled',
          `guest ${name} stays, its removal was cancelled; bringing it back came to nothing yet, so cancel job ` +
            `${removal.jobId} once more when what was in the way is mended`,
        ),
      };
    case 'cooling-off': {
      // Nothing of anybody's is lost with a guest that never served.
      if (!removal.servedBefore) return { is: 'free' };
      const until = removal.acceptedAtElapsed + removal.coolOffMs;
      return moment.elapsedMs < until
        ? wait(until, 'job.not-yet', `cannot remove guest ${name} yet: it cools off, and any signer can cancel it`)
        : { is: 'quarantine' };
    }
    case 'quarantine': {
      if (removal.quarantinedAtElapsed === undefined) return { is: 'quarantine' };
      const until = removal.quarantinedAtElapsed + removal.quarantineMs;
      if (moment.elapsedMs < until)
        return wait(
          until,
          'job.not-yet',
          `cannot free guest ${name} yet: it is in quarantine, and any signer can cancel`,
        );
      const free = freeFrom(moment);
      return moment.elapsedMs < free
        ? wait(free, 'job.damper', `cannot free guest ${name} yet: the share of this host for one day is used up`)
        : { is: 'free' };
    }
  }
}

/** When the rolling day has room for one more. */
function freeFrom({ elapsedMs, destroyedAtElapsed, perDay }: RemovalMoment): number {
  const within = destroyedAtElapsed.filter((at) => at > elapsedMs - day).toSorted((a, b) => a - b);
  const oldest = within.at(-perDay);
  return oldest === undefined ? elapsedMs : oldest + day;
}

/** From the removals on record, for `RemovalMoment`. What is being freed counts from its beginning. */
export function liveDestroys(removals: readonly Removal[]): readonly number[] {
  return removals.flatMap(({ servedBefore, freeingAtElapsed }) =>
    servedBefore && freeingAtElapsed !== undefined ? [freeingAtElapsed] : [],
  );
}

export type Cancelled =
  /** `lift`: the guest is in quarantine and has to be brought back; the removal is to be kept as that begins. */
  | { readonly is: 'cancelled'; readonly removal: Removal; readonly lift: boolean }
  | { readonly is: 'refused'; readonly why: Reason };

/** Until freeing began any one signer can stop it; out of a quarantine it is over only when the guest is back. */
export function cancelRemoval(removal: Removal): Cancelled {
  if (removal.stage === 'quarantine' && removal.before === undefined)
    return {
      is: 'refused',
      why: reason(
        'job.busy',
        `cannot cancel the removal of guest ${removal.guest.name} yet: it is on its way into quarantine`,
      ),
    };
  if (removal.stage === 'quarantine' || removal.stage === 'lifting')
    return { is: 'cancelled', removal: { ...removal, stage: 'lifting' }, lift: true };
  if (removal.stage === 'cooling-off')
    return { is: 'cancelled', removal: { ...removal, stage: 'cancelled' }, lift: false };
  return {
    is: 'refused',
    why: reason(
      'job.changed',
      `cannot cancel the removal of guest ${removal.guest.name}: it is ${removal.stage} already`,
    ),
  };
}
