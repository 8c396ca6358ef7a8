/** The mailbox's part of a poll: what the host took, and what it is sent. */
import type { HostId } from '@felhom/protocol';
import type { MailboxStore } from '../store/mailbox-store.ts';
import { pickEnvelopes } from './pick-envelopes.ts';

/**
 * Longer than any job counts: whoever puts the same envelope again within that time learns that it was taken, and after
 * it the host refuses the envelope for its age.
 */
export const takenKeptMs = 8 * 24 * 60 * 60_000;

/** `taken`: the digests that the host named. Answers texts for it. */
export async function deliver(
  store: MailboxStore,
  hostId: HostId,
  taken: readonly string[],
  now: number,
): Promise<readonly string[]> {
  await store.markTaken(hostId, taken, now, now - takenKeptMs);
  const { places, moveToBack } = pickEnvelopes(await store.waitingEnvelopes(hostId));
  if (moveToBack) await store.moveToBack(hostId, places);
  return store.textsAt(hostId, places);
}
