/** The catalogue: every good backup of this host, durable, one document each. Reading parses; a record that does not read throws. */
import type { GuestUid, VolumeId } from '@felhom/protocol';
import type { Documents, DocumentWrite } from '../kernel/journal.ts';
import { backupRecord } from './backup-record.ts';
import type { BackupRecord } from './backup-record.ts';

const prefix = 'backup/';
const shapeVersion = 1;

export interface Catalogue {
  /** Oldest first. */
  all(): readonly BackupRecord[];
  /** Of one guest over all its VMIDs, oldest first. */
  ofGuest(uid: GuestUid): readonly BackupRecord[];
  byId(id: string): BackupRecord | undefined;
  byArchive(archive: VolumeId): BackupRecord | undefined;
  put(record: BackupRecord): void;
  /** The same as `put`, for a write that has to be durable together with something else. */
  write(record: BackupRecord): DocumentWrite;
  remove(id: string): void;
}

/** Throws on a record that this release cannot read: a backup that is forgotten may be the last good one. */
export function createCatalogue(documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>): Catalogue {
  const read = (key: string, body: unknown): BackupRecord => {
    const parsed = backupRecord.safeParse(body);
    if (!parsed.success) throw new Error(`cannot read ${key}: ${parsed.error.message}`);
    return parsed.data;
  };
  const documentOf = (record: BackupRecord) => ({
    key: prefix + record.id,
    v: shapeVersion,
    body: backupRecord.parse(record),
  });
  const all = (): readonly BackupRecord[] =>
    documents
      .list(prefix)
      .map(({ key, body }) => read(key, body))
      .toSorted((a, b) => a.takenAt - b.takenAt);
  return {
    all,
    ofGuest: (uid) => all().filter((record) => record.guest === uid),
    byId(id) {
      const found = documents.get(prefix + id);
      return found === undefined ? undefined : read(found.key, found.body);
    },
    byArchive: (archive) => all().find((record) => record.archive === archive),
    put: (record) => documents.put(documentOf(record)),
    write: (record) => ({ put: documentOf(record) }),
    remove: (id) => documents.remove(prefix + id),
  };
}
