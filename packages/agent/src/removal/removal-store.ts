/** Removals, durable, one document per job. Cancelled and freed ones stay until the caller removes them. */
import type { Documents } from '../kernel/journal.ts';
import type { DocumentWrite } from '../kernel/journal.ts';
import { isOpen, removal } from './removal.ts';
import type { Removal } from './removal.ts';

const prefix = 'removal/';
const shapeVersion = 1;

export interface RemovalStore {
  all(): readonly Removal[];
  byJob(jobId: string): Removal | undefined;
  /** The one that is neither cancelled nor freed. */
  openOf(uid: string): Removal | undefined;
  put(removal: Removal): void;
  /** The same as `put`, for a write that has to be durable together with something else. */
  write(removal: Removal): DocumentWrite;
  remove(jobId: string): void;
}

/** Throws on a removal that this release cannot read: forgetting one would start a guest that is to go. */
export function createRemovalStore(documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>): RemovalStore {
  const read = (key: string, body: unknown): Removal => {
    const parsed = removal.safeParse(body);
    if (!parsed.success) throw new Error(`cannot read ${key}: ${parsed.error.message}`);
    return parsed.data;
  };
  const documentOf = (value: Removal) => ({
    key: prefix + value.jobId,
    v: shapeVersion,
    body: removal.parse(value),
  });
  const all = (): readonly Removal[] => documents.list(prefix).map(({ key, body }) => read(key, body));
  return {
    all,
    byJob(jobId) {
      const found = documents.get(prefix + jobId);
      return found === undefined ? undefined : read(found.key, found.body);
    },
    openOf: (uid) => all().find((candidate) => candidate.guest.uid === uid && isOpen(candidate)),
    put: (value) => documents.put(documentOf(value)),
    write: (value) => ({ put: documentOf(value) }),
    remove: (jobId) => documents.remove(prefix + jobId),
  };
}
