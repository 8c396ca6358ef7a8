/** Restores as the host tells them. Pure. */
import type { ReportedRestore } from '@felhom/protocol';
import { lossOf } from './restore-store.ts';
import type { RestoreRecord } from './restore-store.ts';

export function reportedRestoreOf(record: RestoreRecord): ReportedRestore {
  const { id, guest, kind, state, at, until, old, bulk } = record;
  return {
    id,
    guest: guest.name,
    uid: guest.uid,
    kind,
    state,
    at,
    ...(until === undefined || state !== 'undoable' ? {} : { until }),
    ...(old === undefined ? {} : { oldVmid: old.vmid }),
    newVmid: record.new.vmid,
    ...(old === undefined || state !== 'undoable' ? {} : { lossSet: [...lossOf(old)] }),
    text: [wordsOf(record), ...(state === 'undoable' ? bulk.map(({ path }) => oneHistory(path, at)) : [])]
      .join(' ')
      .slice(0, 1000),
  };
}

function wordsOf({ kind, state, old, outageMs, new: restored }: RestoreRecord): string {
  const outage = outageMs === undefined ? '' : ` It was out of service for ${Math.ceil(outageMs / 1000)} s.`;
  if (kind === 'copy') return `A copy, guest ${restored.vmid}.`;
  if (state === 'undoable' && old !== undefined)
    return `Restored as ${restored.vmid}; the guest as it was is kept stopped as ${old.vmid}.${outage}`;
  if (state === 'undone') return `Undone: the guest as it was runs again.`;
  return `Restored as ${restored.vmid}; there is nothing left to go back to.${outage}`;
}

/** What undoing does not bring back [R4]. */
const oneHistory = (path: string, at: number): string =>
  `Files written to ${path} since ${new Date(at).toISOString()} stay as they are, also when it is undone.`;
