/**
 * Many hosts that fall silent together are one incident: most likely the hub's own network. Pure.
 *
 * It is seen at once, without waiting for more: when the first host has been silent for its whole window (three polls),
 * every other host that the same cause took has missed at least one poll and is late.
 */
import { hostId } from '@felhom/protocol';
import type { HostId } from '@felhom/protocol';
import { z } from 'zod';
import type { Liveness } from './judge.ts';

export const massIncident = z.strictObject({
  since: z.number().int(),
  /** Hosts that fell silent with it and were neither heard again nor left to an alert of their own. */
  members: z.array(hostId),
  /** How many there were at most. */
  most: z.number().int(),
  /** From when on half of them were heard again: what is silent then gets its window anew. */
  recedingAt: z.number().int().optional(),
});
export type MassIncident = z.output<typeof massIncident>;

export interface JudgedHost {
  readonly hostId: HostId;
  readonly liveness: Liveness;
  /** It has an alert for its silence already: it went before, for a reason of its own. */
  readonly alerted: boolean;
}

export const fewestForMass = 3;

/** `graceMs`: how long hosts may take to come back after an outage of so many milliseconds. */
export function followMass(
  before: MassIncident | undefined,
  hosts: readonly JudgedHost[],
  now: number,
  graceMs: (awayMs: number) => number,
): MassIncident | undefined {
  return before === undefined ? begin(hosts, now) : goOn(before, hosts, now, graceMs);
}

function begin(hosts: readonly JudgedHost[], now: number): MassIncident | undefined {
  const watched = hosts.filter(({ alerted, liveness }) => !alerted && liveness.is !== 'never-seen');
  const silent = watched.filter(({ liveness }) => liveness.is === 'silent');
  if (silent.length === 0) return undefined;
  const overdue = watched.filter(({ liveness }) => liveness.is === 'silent' || liveness.is === 'late');
  if (overdue.length < fewestForMass) return undefined;
  const first = silent.reduce((a, b) => (contactOf(b.liveness) < contactOf(a.liveness) ? b : a));
  // The trouble began within one poll of the first one's last word. A host with a longer window that was not heard since
  // cannot be late yet, and says nothing; one that was heard since says that the hub can be reached.
  const begunBy = contactOf(first.liveness) + first.liveness.windowMs / 3;
  const telling = watched.filter(
    ({ liveness: { is }, liveness }) =>
      is === 'silent' || is === 'late' || (is === 'up' && contactOf(liveness) > begunBy),
  );
  if (overdue.length * 2 <= telling.length) return undefined;
  return { since: now, members: overdue.map(({ hostId }) => hostId), most: overdue.length };
}

function goOn(
  before: MassIncident,
  hosts: readonly JudgedHost[],
  now: number,
  graceMs: (awayMs: number) => number,
): MassIncident | undefined {
  const old = new Set(before.members);
  const receded = before.recedingAt !== undefined;
  const again = receded ? begin(hosts, now) : undefined;
  if (again?.members.some((hostId) => !old.has(hostId)) === true)
    return { since: before.since, members: again.members, most: Math.max(before.most, again.most) };
  // Whoever falls silent while the incident is at its height belongs to it; later it is a trouble of its own.
  const members = hosts
    .filter(({ hostId, liveness, alerted }) => {
      if (alerted || liveness.is === 'up' || liveness.is === 'never-seen') return false;
      return old.has(hostId) || (!receded && liveness.is === 'silent');
    })
    .map(({ hostId }) => hostId);
  if (members.length === 0) return undefined;
  const most = Math.max(before.most, members.length);
  const next = { since: before.since, members, most };
  if (members.length * 2 > most) return next;
  const recedingAt = before.recedingAt ?? now;
  if (now - recedingAt > graceMs(Math.max(0, recedingAt - before.since))) return undefined;
  return { ...next, recedingAt };
}

function contactOf(liveness: Liveness): number {
  return liveness.is === 'never-seen' ? 0 : liveness.lastContactAt;
}
