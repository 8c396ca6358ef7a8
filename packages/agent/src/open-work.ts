/** What is under way, as a pass and its preview have to know it: pure views of the journal and of one pass. */
import type { GuestName, Reason, Vmid } from '@felhom/protocol';
import type { Admission } from './admission/index.ts';
import type { GuestEffect } from './authority/index.ts';
import type { GuestRecord } from './authority/guest-record.ts';
import type { InFlight, OpenSaga } from './guests/index.ts';
import { foldSaga } from './kernel/index.ts';
import type { Journal, SagaStatus } from './kernel/index.ts';
import type { PassReport } from './reconcile/index.ts';

export interface PlannedEffect {
  readonly effect: GuestEffect;
  readonly verdict: 'allowed' | 'blocked' | 'refused' | 'unknown';
  readonly why?: Reason;
  /** Of a blocked action. */
  readonly digest?: string;
}

/**
 * Whoever is being removed is nobody's to start, stop or mend; and what waits for the end of an undo window is nobody's
 * stray guest.
 */
export function withWaiting(inFlight: InFlight, removing: ReadonlySet<string>, kept: ReadonlySet<number>): InFlight {
  return {
    names: new Set([...inFlight.names, ...([...removing] as GuestName[])]),
    vmids: new Set([...inFlight.vmids, ...([...kept] as Vmid[])]),
  };
}

/** Queued sagas have no records yet, and already mean to change their guest. */
export function openSagas(journal: Journal, sagas: readonly Pick<SagaStatus, 'id' | 'lanes'>[]): readonly OpenSaga[] {
  return sagas.map(({ id, lanes }) => ({ sagaId: id, lanes, state: foldSaga(journal.recordsOf(id))?.state ?? {} }));
}

export function journaledSagas(journal: Journal): readonly Pick<SagaStatus, 'id' | 'lanes'>[] {
  return journal.openSagas().map((id) => ({ id, lanes: foldSaga(journal.recordsOf(id))?.lanes ?? [] }));
}

/** Guests that the pass could not read: whether they are still asked to change, it cannot tell. */
export function unreadSubjects(records: readonly GuestRecord[], { observation }: PassReport): ReadonlySet<string> {
  const unread = records.filter((record) => observation.seen.get(record.vmid)?.is !== 'present');
  return new Set(unread.map((record) => `${record.uid}.${record.incarnation}`));
}

export function asPlanned(effect: GuestEffect, decision: Awaited<ReturnType<Admission['preview']>>): PlannedEffect {
  if (decision.is !== 'done') return { effect, verdict: 'unknown', why: decision.why };
  const { value } = decision;
  switch (value.is) {
    case 'allowed':
      return { effect, verdict: 'allowed' };
    case 'blocked':
      return { effect, verdict: 'blocked', why: value.why, digest: value.action.digest };
    case 'refused':
      return { effect, verdict: 'refused', why: value.why };
  }
}
