/** A journal in memory that loses power on command: records written before stay, nothing is written after. */
import type { Journal, SagaRecord, StoredDocument } from '../../kernel/index.ts';

export interface MemoryJournal extends Journal {
  /** From now on every append throws, as after a power loss. */
  cutPower(): void;
  /** The same records, opened again. */
  reopen(): MemoryJournal;
}

export function memoryJournal(
  records: SagaRecord[] = [],
  documents: Map<string, StoredDocument> = new Map(),
  epoch = 1,
): MemoryJournal {
  let dead = false;
  const alive = (): void => {
    if (dead) throw new Error('power is off');
  };
  return {
    epoch,
    hostEpoch: '0'.repeat(32),
    renewHostEpoch: () => {},
    append(more) {
      alive();
      for (const record of more)
        if (record.kind !== 'fact') records.push(JSON.parse(JSON.stringify(record)) as SagaRecord);
    },
    recordsOf: (saga) => records.filter((record) => record.saga === saga),
    openSagas() {
      const ids = [...new Set(records.map((record) => record.saga))];
      return ids.filter((id) => !records.some((record) => record.saga === id && record.kind === 'saga-ended'));
    },
    recentSagas: (limit) => [...new Set(records.map((record) => record.saga))].toReversed().slice(0, limit),
    facts: () => [],
    storedEpoch: () => epoch,
    close: () => undefined,
    get: (key) => documents.get(key),
    put(document) {
      alive();
      documents.set(document.key, JSON.parse(JSON.stringify(document)) as StoredDocument);
    },
    remove(key) {
      alive();
      documents.delete(key);
    },
    list: (prefix) => [...documents.values()].filter((document) => document.key.startsWith(prefix)),
    cutPower: () => void (dead = true),
    reopen: () => memoryJournal(records, documents, epoch + 1),
  };
}
