/**
 * How well each guest is backed up: per tier the age of the newest good copy and of the newest proven one and how long a
 * restore takes, per bulk volume who sees to it, and what of all this a person has to know. A guest or a volume without
 * any backup is named.
 */
import type {
  DesiredVolume,
  Finding,
  Floors,
  ReportedBackup,
  ReportedBulk,
  ReportedCopy,
  RestoreEvidence,
  StorageId,
} from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { BackupRecord } from './backup-record.ts';
import { firstOpenSlot, intoWindow, newestScheduled, startOf } from './due.ts';
import type { BackupFailure, DueDecision, DueGuest } from './due.ts';
import type { EffectiveTier } from './effective-policy.ts';
import { isGood } from './retention.ts';

export interface StandingGuest extends DueGuest {
  readonly volumes: readonly DesiredVolume[];
  /** Whether its desired state asks for apps that are held still. */
  readonly appConsistent: boolean;
}

/** What a controller said of its own copy of a bulk volume, and when it last read that back [R25]. */
export interface BulkCopy {
  readonly guest: DueGuest['uid'];
  readonly volume: string;
  readonly newestAt: number;
  readonly checkedAt?: number;
}

export interface StandingInput {
  readonly now: number;
  readonly guests: readonly StandingGuest[];
  /** The whole catalogue. Guests that are not among `guests` are left out. */
  readonly records: readonly BackupRecord[];
  readonly decisions: readonly DueDecision[];
  readonly failures: readonly BackupFailure[];
  readonly bulkCopies: readonly BulkCopy[];
  /** Evidence of restore-tests that is still held, for the last measured time. */
  readonly tests: readonly RestoreEvidence[];
  readonly policy: Pick<HostPolicy['backups'], 'provenAlarmDays'>;
  readonly floors: Pick<Floors, 'keepDays'> | undefined;
  /** Per storage, whether Proxmox keeps everything on it; absent: not known. */
  readonly keepsAll: ReadonlyMap<StorageId, boolean>;
  /** Copies of a guest and tier that the storage lists; absent: not known, which is not none. */
  readonly listed: readonly { readonly guest: DueGuest['uid']; readonly tier: string; readonly copies: number }[];
}

export interface Standing {
  readonly backups: readonly ReportedBackup[];
  readonly bulk: readonly ReportedBulk[];
  /** Newest first. */
  readonly copies: readonly ReportedCopy[];
  readonly findings: readonly Finding[];
}

/** A backup may take so long, or wait so long for others, before it is late. */
const toleranceMs = 2 * 3_600_000;
const dayMs = 86_400_000;

type Add = (
  key: string,
  severity: Finding['severity'],
  subject: string,
  text: string,
  advice: Finding['advice'],
) => void;

export function standings(input: StandingInput): Standing {
  const findings: Finding[] = [];
  const add: Add = (key, severity, subject, text, advice) =>
    void findings.push({
      key,
      severity,
      subject: subject.slice(0, 120),
      text: text.slice(0, 1000),
      advice,
      since: input.now,
    });
  const backups: ReportedBackup[] = [];
  const bulk: ReportedBulk[] = [];
  for (const guest of input.guests) {
    if (guest.tiers.length === 0)
      add(
        'backup.none',
        'critical',
        guest.name,
        `no backup is taken of guest ${guest.name}: no tier is in force for it`,
        {
          text: 'Add a tier to desired state whose target root has registered on this host.',
        },
      );
    for (const tier of guest.tiers) {
      const line = standingOf(guest, tier, input);
      backups.push(line);
      findingsOf(guest, tier, line, input, add);
    }
    for (const volume of guest.volumes) if (!volume.backup) bulk.push(bulkOf(guest, volume, input, add));
  }
  for (const [storage, keepsAll] of input.keepsAll)
    if (!keepsAll)
      add('backup.storage-prunes', 'critical', storage, `storage ${storage} removes backups by rules of its own`, {
        text: 'Retention is the agent’s alone, for it knows which copies are proven. Make the storage keep everything.',
        command: `pvesm set ${storage} --prune-backups keep-all=1`,
      });
  const names = new Map(input.guests.map(({ uid, name }) => [uid, name]));
  const copies = input.records.flatMap((record): ReportedCopy[] => {
    const name = names.get(record.guest);
    if (name === undefined || !isGood(record)) return [];
    const { id, tier, archive, sha256, sizeBytes, consistency } = record;
    return [
      {
        id,
        uid: record.guest,
        guest: name,
        tier,
        archive,
        sha256,
        sizeBytes,
        consistency,
        at: stateAt(record),
        class: record.class,
        proven: record.proven !== undefined,
        protected: record.protected,
      },
    ];
  });
  return { backups, bulk, copies: copies.toSorted((a, b) => b.at - a.at), findings };
}

/** The moment whose state the copy holds. */
const stateAt = (record: BackupRecord): number => record.capturedAt ?? record.startedAt;
const age = (now: number, at: number): number => Math.max(0, now - at);
const newestOf = (records: readonly BackupRecord[]): BackupRecord | undefined =>
  records.reduce<BackupRecord | undefined>(
    (best, record) => (best === undefined || stateAt(record) > stateAt(best) ? record : best),
    undefined,
  );
const of = <T extends { readonly guest: string; readonly tier: string }>(
  list: readonly T[],
  guest: DueGuest,
  tier: EffectiveTier,
): T[] => list.filter((one) => one.guest === guest.uid && one.tier === tier.name);

function standingOf(guest: StandingGuest, tier: EffectiveTier, input: StandingInput): ReportedBackup {
  const { now } = input;
  const records = of(input.records, guest, tier);
  const good = records.filter(isGood);
  const newest = newestOf(good);
  const proven = newestOf(good.filter((record) => record.proven !== undefined));
  const [failure] = of(input.failures, guest, tier);
  const decision = input.decisions.find((one) => one.guest === guest.uid && one.tier.name === tier.name);
  const nextAt = decision === undefined ? undefined : nextAtOf(decision);
  const rtoMs = rtoOf(guest, tier, records, input.tests);
  const failing = failure !== undefined && failure.attempts > 0 && failure.at >= (newest?.startedAt ?? 0);
  return {
    guest: guest.name,
    uid: guest.uid,
    tier: tier.name,
    target: tier.target,
    state: failing ? 'failing' : stateOf(guest, tier, newest, proven, input),
    ...(newest === undefined
      ? {}
      : {
          newest: {
            id: newest.id,
            at: stateAt(newest),
            consistency: newest.consistency,
            mode: newest.mode,
            sizeBytes: newest.sizeBytes,
          },
          rpoMs: age(now, stateAt(newest)),
        }),
    ...(proven?.proven === undefined
      ? {}
      : {
          proven: { id: proven.id, at: stateAt(proven), testedAt: proven.proven.at },
          provenAgeMs: age(now, stateAt(proven)),
        }),
    ...(rtoMs === undefined ? {} : { rtoMs }),
    ...(nextAt === undefined ? {} : { nextAt }),
    copies: good.length,
    ...(failing ? { lastFailure: failure.text.slice(0, 1000) } : {}),
    risks: (newest?.risk.refusals ?? []).slice(0, 20).map((text) => text.slice(0, 200)),
  };
}

function stateOf(
  guest: StandingGuest,
  tier: EffectiveTier,
  newest: BackupRecord | undefined,
  proven: BackupRecord | undefined,
  input: StandingInput,
): ReportedBackup['state'] {
  if (newest === undefined) return 'none';
  if (isLate(guest, tier, input)) return 'late';
  return proven === undefined || provenTooLongAgo(guest, tier, input) ? 'unproven' : 'ok';
}

/** By the newest good scheduled one: copies on demand keep no schedule. */
function isLate(guest: StandingGuest, tier: EffectiveTier, { records, now }: StandingInput): boolean {
  const newest = newestScheduled(records.filter(isGood), guest.uid, tier.name);
  const slot = firstOpenSlot(tier, newest, guest.since);
  return now > intoWindow(tier, startOf(tier, guest.uid, newest, slot)) + toleranceMs;
}

/** By the last test that passed; a guest that is younger than the alarm has had no time for one. */
function provenTooLongAgo(guest: StandingGuest, tier: EffectiveTier, { now, policy, records }: StandingInput): boolean {
  const passes = of(records, guest, tier).flatMap(({ proven }) => (proven === undefined ? [] : [proven.at]));
  return age(now, Math.max(guest.since, ...passes)) > policy.provenAlarmDays * dayMs;
}

/** What is overdue keeps the time at which it could have begun: a report that says "now" would never stay the same. */
function nextAtOf({ verdict }: DueDecision): number | undefined {
  if (verdict.is === 'not-due') return verdict.nextAt;
  if (verdict.is === 'in-hand') return undefined;
  return verdict.is === 'wait' && 'until' in verdict ? verdict.until : verdict.since;
}

/** The last test that restored and booted says how long that takes, whatever came after. */
function rtoOf(
  guest: DueGuest,
  tier: EffectiveTier,
  records: readonly BackupRecord[],
  tests: readonly RestoreEvidence[],
): number | undefined {
  const measured = [
    ...of(tests, guest, tier).flatMap(({ endedAt, timings: { restoreMs, bootMs } }) =>
      restoreMs === undefined || bootMs === undefined ? [] : [{ at: endedAt, rtoMs: restoreMs + bootMs }],
    ),
    ...records.flatMap(({ proven }) => (proven === undefined ? [] : [proven])),
  ];
  return measured.toSorted((a, b) => b.at - a.at)[0]?.rtoMs;
}

function findingsOf(
  guest: StandingGuest,
  tier: EffectiveTier,
  line: ReportedBackup,
  input: StandingInput,
  add: Add,
): void {
  const subject = `${guest.name}/${tier.name}`;
  const late = isLate(guest, tier, input);
  if (line.newest === undefined)
    add('backup.none', late ? 'critical' : 'info', subject, `guest ${guest.name} has no backup on tier ${tier.name}`, {
      text: late
        ? 'Look at the findings and the queue of this host for what is in the way.'
        : 'The first one is due soon.',
    });
  else if (late)
    add('backup.late', 'warning', subject, `the backup of guest ${guest.name} on tier ${tier.name} is late`, {
      text: 'Look at the findings and the queue of this host for what is in the way.',
    });
  if (line.state === 'failing')
    add(
      'backup.failing',
      'critical',
      subject,
      `backups of guest ${guest.name} on tier ${tier.name} fail: ${line.lastFailure ?? ''}`,
      {
        text: 'Mend what the text names; it is tried again by itself.',
      },
    );
  if (provenTooLongAgo(guest, tier, input))
    add(
      'backup.unproven',
      'critical',
      subject,
      `no restore-test of guest ${guest.name} on tier ${tier.name} has passed for ${input.policy.provenAlarmDays} days`,
      { text: 'Look at the newest restore-test of the guest: it says why it was skipped or failed.' },
    );
  for (const record of of(input.records, guest, tier)
    .filter((one) => !isGood(one))
    .slice(-1))
    add(
      'backup.bad-copy',
      'critical',
      subject,
      `backup ${record.id} of guest ${guest.name} on tier ${tier.name} is not good: ${record.failedTest?.text ?? record.integrity?.text ?? ''}`,
      { text: 'It is not restored from while another one is there. Look at the storage it lies on.' },
    );
  const observed = of(input.listed, guest, tier)[0]?.copies;
  if (observed !== undefined && observed < line.copies && observed < (input.floors?.keepDays ?? 1))
    add(
      'backup.shrunk',
      'critical',
      subject,
      `tier ${tier.name} lists ${observed} copies of guest ${guest.name}, ${line.copies} were taken and not removed by this host`,
      { text: 'Somebody or something else removes backups there; the signed floor is broken. Look at who prunes it.' },
    );
  const { newest } = line;
  if (newest !== undefined && newest.mode !== 'snapshot')
    add(
      'backup.not-a-snapshot',
      'warning',
      subject,
      `Proxmox took the newest backup of guest ${guest.name} on tier ${tier.name} in ${newest.mode} mode, for a snapshot was not possible`,
      { text: 'The guest stands still longer that way. Put its volumes on storages that can make snapshots.' },
    );
  if (newest?.consistency === 'crash' && guest.appConsistent)
    add(
      'backup.crash-consistent',
      'warning',
      subject,
      `the newest backup of guest ${guest.name} on tier ${tier.name} was taken without its apps held still`,
      { text: 'Its controller did not come in time. Look whether it runs and reaches the local API.' },
    );
}

function bulkOf(guest: StandingGuest, volume: DesiredVolume, input: StandingInput, add: Add): ReportedBulk {
  const subject = `${guest.name}/${volume.name}`;
  const base = { guest: guest.name, volume: volume.name };
  const { ownBackup } = volume;
  if (ownBackup === undefined) {
    add(
      'backup.bulk-undecided',
      'critical',
      subject,
      `nobody backs up volume ${volume.name} of guest ${guest.name}, and nobody said that this is right`,
      {
        text: 'Give the volume an ownBackup in desired state: a target for its controller, or none, acknowledged.',
      },
    );
    return { ...base, decision: 'undecided' };
  }
  if (ownBackup.is === 'none') return { ...base, decision: 'none-acknowledged' };
  const copy = input.bulkCopies.find((one) => one.guest === guest.uid && one.volume === volume.name);
  if (copy === undefined)
    add(
      'backup.bulk-none',
      'critical',
      subject,
      `volume ${volume.name} of guest ${guest.name} has no backup: its controller has made none to ${ownBackup.target}`,
      {
        text: 'Look whether the controller runs, and what it says of the volume.',
      },
    );
  return {
    ...base,
    decision: 'controller',
    target: ownBackup.target,
    ...(copy === undefined ? {} : { newestAt: copy.newestAt, rpoMs: age(input.now, copy.newestAt) }),
    ...(copy?.checkedAt === undefined ? {} : { checkedAt: copy.checkedAt }),
  };
}
