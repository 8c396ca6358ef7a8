/** Holds that were set by a signature, beside those that root writes into the policy file [R34]. */
import { guestUid } from '@felhom/protocol';
import type { GuestName, GuestUid } from '@felhom/protocol';
import { z } from 'zod';
import type { DocumentWrite, Documents } from '../kernel/journal.ts';
import type { HostPolicy } from '../host-policy.ts';

const key = 'holds';
const storedHolds = z.strictObject({ host: z.boolean(), guests: z.array(guestUid) });
export type Holds = z.output<typeof storedHolds>;

export function readHolds(documents: Pick<Documents, 'get'>): Holds {
  const stored = documents.get(key);
  return stored === undefined ? { host: false, guests: [] } : storedHolds.parse(stored.body);
}

export function withHold(holds: Holds, scope: 'host' | GuestUid, set: boolean): Holds {
  if (scope === 'host') return { ...holds, host: set };
  const others = holds.guests.filter((uid) => uid !== scope);
  return { ...holds, guests: set ? [...others, scope] : others };
}

export function holdsWrite(holds: Holds): DocumentWrite {
  return { put: { key, v: 1, body: holds } };
}

/** The policy with these holds in it. `nameOf`: a guest that is gone holds nothing. */
export function heldBy(holds: Holds, policy: HostPolicy, nameOf: (uid: GuestUid) => GuestName | undefined): HostPolicy {
  const names = holds.guests.flatMap((uid) => nameOf(uid) ?? []);
  return {
    ...policy,
    hold: { host: policy.hold.host || holds.host, guests: [...new Set([...policy.hold.guests, ...names])] },
  };
}
