/**
 * Which copies of one guest on one tier may go. Copies of all its VMIDs count [R30]. The agent alone prunes, by this, and
 * it is the only deletion of a backup that nobody signs [R12]. So it keeps whatever is in doubt:
 *
 *   - nothing goes while the newest copy is not known to be good, nor while the storage does not say what it holds;
 *   - days, weeks and months are counted by those that have a good copy, so a host that was off, a clock that jumped and
 *     copies that went bad push nothing out; the signed floors are the least of them;
 *   - what was made on demand is capped by itself and displaces nothing that was scheduled.
 */
import { localTimeIn } from '@felhom/protocol';
import type { Floors, VolumeId } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { BackupRecord } from './backup-record.ts';
import type { EffectiveTier } from './effective-policy.ts';

export interface PruneInput {
  /** All of one guest on one tier, in any order. */
  readonly records: readonly BackupRecord[];
  readonly tier: Pick<EffectiveTier, 'keep' | 'zone'>;
  readonly floors: Pick<Floors, 'keepDays' | 'keepWeeks'> | undefined;
  /** `snapshotsPerGuest` and `checkpointHours` bound the checkpoints that are backups. */
  readonly policy: Pick<HostPolicy['backups'], 'snapshotsPerGuest' | 'checkpointHours'>;
  readonly now: number;
  /** Archives that the storage lists now; absent: not known. */
  readonly listed: ReadonlySet<VolumeId> | undefined;
  /** Ids of records that something under way relies on. */
  readonly inUse: ReadonlySet<string>;
  /** Ids of mass changes that a person has seen and called right. */
  readonly acknowledged: ReadonlySet<string>;
}

export type KeepReason =
  | 'day'
  | 'week'
  | 'month'
  | 'newest'
  | 'newest-good'
  | 'newest-proven'
  | 'protected'
  | 'on-demand'
  | 'checkpoint'
  | 'in-use'
  /** The newest before a mass change, and the change that marks it. */
  | 'before-mass-change'
  | 'not-listed'
  /** It would go, but for what `frozen` says. */
  | 'frozen';

export interface PrunePlan {
  /** Oldest first. */
  readonly prune: readonly BackupRecord[];
  /** Newest first, with every reason. */
  readonly kept: readonly { readonly record: BackupRecord; readonly why: readonly KeepReason[] }[];
  /** Why nothing, or nothing scheduled, may go at present. */
  readonly frozen?: string;
}

/** Whether a copy is there to restore from as far as is known: neither seen corrupt or missing nor failed in a test. */
export function isGood(record: BackupRecord): boolean {
  return (record.integrity === undefined || record.integrity.is === 'ok') && record.failedTest === undefined;
}

const isVerified = (record: BackupRecord): boolean =>
  isGood(record) && (record.integrity !== undefined || record.proven !== undefined);

export function planPrune(input: PruneInput): PrunePlan {
  const { tier, listed, now } = input;
  const records = input.records.toSorted((a, b) => b.startedAt - a.startedAt || (a.id < b.id ? -1 : 1));
  const reasons = new Map<string, KeepReason[]>(records.map(({ id }) => [id, []]));
  const keep = (record: BackupRecord | undefined, why: KeepReason): void => {
    const known = record === undefined ? undefined : reasons.get(record.id);
    if (known !== undefined && !known.includes(why)) known.push(why);
  };
  const isListed = ({ archive }: BackupRecord): boolean => listed?.has(archive) === true;
  const good = records.filter((record) => isGood(record) && isListed(record));
  const ofClass = (which: BackupRecord['class'], from: readonly BackupRecord[]): BackupRecord[] =>
    from.filter((record) => record.class === which);
  const scheduled = ofClass('scheduled', records);

  const localOf = new Map(records.map(({ id, startedAt }) => [id, localTimeIn(tier.zone, startedAt)]));
  for (const [why, many, bucketOf] of [
    ['day', Math.max(tier.keep.days, input.floors?.keepDays ?? 0), dayOf],
    ['week', Math.max(tier.keep.weeks, input.floors?.keepWeeks ?? 0), weekOf],
    ['month', tier.keep.months, monthOf],
  ] as const) {
    // Bad copies have buckets of their own: they age out like good ones and take the place of none.
    for (const from of [ofClass('scheduled', good), scheduled])
      for (const record of newestPerBucket(from, many, ({ id }) => bucketOf(localOf.get(id) ?? 0))) keep(record, why);
  }
  for (const record of ofClass('on-demand', good).slice(0, tier.keep.onDemand)) keep(record, 'on-demand');
  for (const record of ofClass('checkpoint', good).slice(0, input.policy.snapshotsPerGuest))
    if (now - record.startedAt < input.policy.checkpointHours * 3_600_000) keep(record, 'checkpoint');

  // Each of these among all copies and among the scheduled ones, so that one on demand takes the place of none.
  const pools = [
    { all: records, good },
    { all: scheduled, good: ofClass('scheduled', good) },
  ];
  const proven = (from: readonly BackupRecord[]): BackupRecord | undefined =>
    from.find((record) => record.proven !== undefined);
  const changesOf = (from: readonly BackupRecord[]): BackupRecord[] =>
    from.filter((record) => record.massChange && !input.acknowledged.has(record.id));
  for (const pool of pools) {
    keep(pool.all[0], 'newest');
    keep(pool.good[0], 'newest-good');
    keep(proven(pool.all), 'newest-proven');
    keep(proven(pool.good), 'newest-proven');
    const changes = changesOf(pool.all);
    // A guest that flaps would otherwise keep everything: the first change guards the state from before any trouble, the
    // last one the newest.
    for (const change of [changes[0], changes.at(-1)]) {
      if (change === undefined) continue;
      keep(change, 'before-mass-change');
      for (const { good: from } of pools)
        keep(
          from.find((record) => record.startedAt < change.startedAt),
          'before-mass-change',
        );
    }
  }
  for (const record of records) {
    if (record.protected) keep(record, 'protected');
    if (input.inUse.has(record.id)) keep(record, 'in-use');
    if (!isListed(record)) keep(record, 'not-listed');
  }

  const frozen = frozenBy(scheduled[0] ?? records[0], listed);
  const brake = changesOf(records).find((record) => record.proven === undefined);
  // Were it let go, nothing would hold any more what it holds.
  keep(brake, 'before-mass-change');
  const isHeld = (record: BackupRecord): boolean =>
    frozen !== undefined ||
    // On demand is what a guest makes by itself: were it held too, it could fill the storage.
    (brake !== undefined && record.class === 'scheduled' && record.startedAt < brake.startedAt);
  for (const record of records) if (reasons.get(record.id)?.length === 0 && isHeld(record)) keep(record, 'frozen');

  const text =
    frozen ??
    (brake === undefined
      ? undefined
      : `backup ${brake.id} shows a mass change that is neither proven nor acknowledged`);
  return {
    prune: records.filter(({ id }) => reasons.get(id)?.length === 0).toReversed(),
    kept: records.map((record) => ({ record, why: reasons.get(record.id) ?? [] })).filter(({ why }) => why.length > 0),
    ...(text === undefined ? {} : { frozen: text }),
  };
}

function frozenBy(newest: BackupRecord | undefined, listed: ReadonlySet<VolumeId> | undefined): string | undefined {
  if (listed === undefined) return 'it is not known what the storage holds';
  if (newest === undefined) return undefined;
  if (!listed.has(newest.archive)) return `the storage does not list the newest copy ${newest.id}`;
  if (!isGood(newest)) return `the newest copy ${newest.id} is not good`;
  return isVerified(newest) ? undefined : `the newest copy ${newest.id} has not been read back yet`;
}

/** Of the newest `many` buckets that have a copy, the newest copy of each. `records` newest first. */
function newestPerBucket(
  records: readonly BackupRecord[],
  many: number,
  bucketOf: (record: BackupRecord) => number,
): BackupRecord[] {
  const found = new Map<number, BackupRecord>();
  for (const record of records) {
    const bucket = bucketOf(record);
    if (found.has(bucket)) continue;
    if (found.size >= many) break;
    found.set(bucket, record);
  }
  return [...found.values()];
}

const dayMs = 86_400_000;
/** Of local time as if it were UTC. */
const dayOf = (local: number): number => Math.floor(local / dayMs);
/** Weeks begin on Monday; the epoch was a Thursday. */
const weekOf = (local: number): number => Math.floor((local / dayMs + 3) / 7);
const monthOf = (local: number): number => {
  const date = new Date(local);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
};
