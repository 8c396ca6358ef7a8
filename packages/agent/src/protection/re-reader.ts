/**
 * Reads backups again, one at a time, beside everything else: a whole archive takes as long as it takes. First those of
 * which a listing and the catalogue say different things: a list may be short of what the token may not see, as it is of
 * every backup of a guest that somebody destroyed [R5], so only root's look says that a backup is gone, or is back.
 */
import { nextToReRead } from '../backups/index.ts';
import type { Integrity, IntegrityBudget } from '../backups/integrity.ts';
import type { BackupRecord, Catalogue } from '../catalogue/index.ts';
import type { Clock, Outcome } from '../kernel/index.ts';
import type { Log } from '../ports/log.ts';

export interface ReReaderNeeds {
  readonly catalogue: Pick<Catalogue, 'all' | 'byId' | 'put'>;
  readonly clock: Pick<Clock, 'now' | 'monotonicMs'>;
  readonly log: Pick<Log, 'warn'>;
  readonly budget: IntegrityBudget;
  /** What lies there cannot be read now, which says nothing about it. */
  readonly away: (storage: string) => unknown;
  readonly reRead: (record: BackupRecord, now: number, signal: AbortSignal) => Promise<Outcome<Integrity>>;
}

export interface ReReader {
  /** Begins with the next one, unless one is being read. `doubted`: ids of records that a listing contradicts now. */
  next(doubted: ReadonlySet<string>, signal: AbortSignal): void;
}

/** Nobody could look: others get their turn meanwhile. */
const failedRestsMs = 3_600_000;
/** It was looked at, and the listing goes on saying otherwise. */
const doubtRestsMs = 24 * 3_600_000;

export function createReReader({ catalogue, clock, log, budget, away, reRead }: ReReaderNeeds): ReReader {
  let reading = false;
  /** Monotonic time of the last look, by id. */
  const lookedAt = new Map<string, number>();

  const restsFor = (ms: number) => {
    const now = clock.monotonicMs();
    return ({ id }: BackupRecord): boolean => now - (lookedAt.get(id) ?? Number.NEGATIVE_INFINITY) < ms;
  };

  const choose = (doubted: ReadonlySet<string>): BackupRecord | undefined => {
    const all = catalogue.all();
    const known = new Set(all.map(({ id }) => id));
    for (const id of lookedAt.keys()) if (!known.has(id)) lookedAt.delete(id);
    const records = all.filter(({ storage }) => away(storage) === undefined);
    const [afterDoubt, afterFailure] = [restsFor(doubtRestsMs), restsFor(failedRestsMs)];
    const first = records.find((record) => doubted.has(record.id) && !afterDoubt(record));
    const others = records.filter((record) => !afterFailure(record));
    return first ?? nextToReRead(others, clock.now(), budget)[0];
  };

  const look = async (id: string, record: BackupRecord, signal: AbortSignal): Promise<void> => {
    try {
      const read = await reRead(record, clock.now(), signal);
      // Its record may have changed, or gone, meanwhile.
      const now = catalogue.byId(id);
      // It went while it was read.
      if (away(record.storage) !== undefined) return;
      if (read.is !== 'done') log.warn('a backup could not be read again', { backup: id, why: read.why.code });
      else if (now !== undefined) catalogue.put({ ...now, integrity: read.value });
    } catch (error) {
      log.warn('reading a backup again broke off', { why: String(error) });
    } finally {
      reading = false;
    }
  };

  return {
    next(doubted, signal) {
      if (reading) return;
      const next = choose(doubted);
      if (next === undefined) return;
      reading = true;
      lookedAt.set(next.id, clock.monotonicMs());
      void look(next.id, next, signal);
    },
  };
}
