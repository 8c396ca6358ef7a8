/**
 * Whose turn it is to be restored as a test. Pure. Each guest's newest good copy per tier, the one first whose last test
 * is longest ago; never two at once. What cannot be done now is skipped with the reason, which is neither a pass nor a
 * failure; that nothing has passed for days is somebody else's alarm.
 */
import { reason } from '@felhom/protocol';
import type { Reason, ReportedRestoreTest, StorageId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { BackupRecord } from '../catalogue/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { RestoreTestParams } from './test-state.ts';

const dayMs = 86_400_000;
/** After a test that could not be carried out, or that failed: not again at once, and not only after a week. */
const againMs = dayMs;

export interface TestFacts {
  readonly now: number;
  readonly guests: readonly GuestRecord[];
  readonly backups: readonly BackupRecord[];
  /** Newest first. */
  readonly tests: readonly ReportedRestoreTest[];
  /** Days between two tests, as the plan of the guest says; `undefined`: no such tier any more. */
  readonly everyDays: (guest: GuestRecord, tier: string) => number | undefined;
  readonly policy: HostPolicy;
  /** A restore-test is open, or a backup runs or waits. */
  readonly testing: boolean;
  readonly backingUp: boolean;
  /** What the check of the node says against any change. */
  readonly nodeTrouble: Reason | undefined;
  /** Free bytes of the scratch storage; `undefined`: not known, which is not enough. */
  readonly freeBytes: number | undefined;
  /** VMIDs of the scratch range that nothing has. */
  readonly freeScratch: number;
  /** Why nothing on a storage can be read now. */
  readonly away: (storage: string) => Reason | undefined;
}

export interface TestPlan {
  readonly next: RestoreTestParams | undefined;
  /** What is due and not done now, and why. */
  readonly skipped: readonly { readonly guest: GuestRecord; readonly tier: string; readonly why: Reason }[];
}

interface Due {
  readonly guest: GuestRecord;
  readonly tier: string;
  readonly backup: BackupRecord;
  /** When it was last tested; 0 = never. */
  readonly testedAt: number;
}

export const scratchStorageOf = (policy: HostPolicy): StorageId =>
  policy.restoreTests.storage ?? (policy.storages[0] as StorageId);

export function planTests(facts: TestFacts): TestPlan {
  const due = dueTests(facts);
  if (facts.testing) return { next: undefined, skipped: [] };
  const always = whyNotNow(facts);
  const skipped: { guest: GuestRecord; tier: string; why: Reason }[] = [];
  for (const { guest, tier, backup } of due) {
    const why = always ?? awayOf(facts, backup) ?? noRoom(facts, guest);
    if (why === undefined) {
      const { id, archive, sha256 } = backup;
      const next: RestoreTestParams = {
        guest: { uid: guest.uid, incarnation: guest.incarnation, name: guest.name },
        tier,
        backup: { id, archive, sha256 },
        storage: scratchStorageOf(facts.policy),
      };
      return { next, skipped };
    }
    skipped.push({ guest, tier, why });
  }
  return { next: undefined, skipped };
}

/** Longest untested first; of two never tested ones the older copy first. */
export function dueTests(facts: Pick<TestFacts, 'now' | 'guests' | 'backups' | 'tests' | 'everyDays'>): readonly Due[] {
  return facts.guests
    .filter((guest) => !guest.scratch)
    .flatMap((guest) => dueOf(facts, guest))
    .toSorted((a, b) => a.testedAt - b.testedAt || a.backup.takenAt - b.backup.takenAt);
}

function dueOf(facts: Pick<TestFacts, 'now' | 'backups' | 'tests' | 'everyDays'>, guest: GuestRecord): readonly Due[] {
  const newest = new Map<string, BackupRecord>();
  for (const backup of facts.backups) {
    if (backup.guest !== guest.uid || (backup.integrity !== undefined && backup.integrity.is !== 'ok')) continue;
    const other = newest.get(backup.tier);
    if (other === undefined || backup.takenAt > other.takenAt) newest.set(backup.tier, backup);
  }
  return [...newest].flatMap(([tier, backup]) => {
    const days = facts.everyDays(guest, tier);
    if (days === undefined) return [];
    const tests = facts.tests
      .map(({ evidence }) => evidence)
      .filter((evidence) => evidence.guest === guest.uid && evidence.tier === tier);
    const last = tests.find((evidence) => evidence.verdict !== 'skipped');
    const tried = tests[0];
    // One that failed says nothing about a newer copy, so that gets its turn sooner.
    const soon = last?.verdict === 'failed' && last.backup.id !== backup.id;
    const since = last?.endedAt ?? 0;
    const waitMs = soon ? Math.min(againMs, days * dayMs) : days * dayMs;
    const isDue = facts.now >= since + waitMs && facts.now >= (tried?.endedAt ?? 0) + Math.min(againMs, waitMs);
    return isDue ? [{ guest, tier, backup, testedAt: since }] : [];
  });
}

/** What stands against every test. A hold does not: a test changes no guest. */
function whyNotNow(facts: TestFacts): Reason | undefined {
  if (facts.nodeTrouble !== undefined)
    return reason('restore-test.not-now', `cannot test a restore now: ${facts.nodeTrouble.text}`);
  if (facts.backingUp) return reason('restore-test.not-now', 'cannot test a restore now: a backup runs');
  if (facts.freeScratch < 1)
    return reason('restore-test.no-room', 'cannot test a restore: no VMID of the scratch range is free');
  return undefined;
}

function awayOf(facts: TestFacts, { storage }: BackupRecord): Reason | undefined {
  const why = facts.away(storage) ?? facts.away(scratchStorageOf(facts.policy));
  return why === undefined ? undefined : reason('restore-test.not-now', `cannot test a restore now: ${why.text}`);
}

/** By what the guest's volumes may hold at most: how much is in the archive only the guest says, which may lie. */
function noRoom(facts: TestFacts, guest: GuestRecord): Reason | undefined {
  const storage = scratchStorageOf(facts.policy);
  if (facts.freeBytes === undefined)
    return reason('restore-test.no-room', `cannot test a restore: the free space of storage ${storage} is unknown`);
  const rootfs = guest.volumes.find((volume) => volume.key === 'rootfs');
  const wanted = (rootfs?.sizeGiB ?? 0) * 2 ** 30 * facts.policy.limits.spaceFactor;
  return facts.freeBytes >= wanted
    ? undefined
    : reason(
        'restore-test.no-room',
        `cannot test a restore of guest ${guest.name}: storage ${storage} has ${Math.floor(facts.freeBytes / 2 ** 30)} GiB free, at least ${Math.ceil(wanted / 2 ** 30)} are required`,
      );
}
