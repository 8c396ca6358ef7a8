/**
 * Which lost guests come back by themselves, and what people are told about those that do not. Pure. `guest-recover` is
 * decided by the gate like every other effect.
 */
import type { DesiredGuest, Finding } from '@felhom/protocol';
import type { ProtectionEffect } from '../authority/effects.ts';
import { refOf } from '../authority/guest-record.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { BackupRecord } from '../catalogue/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import { chooseSource } from './choose-source.ts';
import { bulkOf, judgeLoss, personsHourMs } from './lost.ts';
import type { LossMemory, LossVerdict } from './lost.ts';
import type { Recovery } from './recovery-store.ts';

export interface RecoveryFacts {
  /** Wall time, milliseconds. */
  readonly now: number;
  readonly policy: Pick<HostPolicy, 'recovery' | 'hold' | 'backups'>;
  readonly registry: readonly GuestRecord[];
  readonly desired: readonly DesiredGuest[];
  readonly memory: LossMemory;
  readonly permissionsSound: boolean;
  readonly catalogue: readonly BackupRecord[];
  readonly recoveries: readonly Recovery[];
  /** Names of guests that an open saga works on, and of those that are being removed. */
  readonly inFlight: ReadonlySet<string>;
  readonly removing: ReadonlySet<string>;
}

export interface RecoveryPlan {
  readonly effects: readonly Extract<ProtectionEffect, { kind: 'guest-recover' }>[];
  readonly findings: readonly Finding[];
}

/** Automatic recoveries of one guest: at most one in so long. */
export const betweenRecoveriesMs = 24 * 3_600_000;
/** As long as people are told that a guest came back, and what did not. */
const toldMs = 7 * 24 * 3_600_000;

export function planRecovery(facts: RecoveryFacts): RecoveryPlan {
  const effects: Extract<ProtectionEffect, { kind: 'guest-recover' }>[] = [];
  const findings: Finding[] = facts.recoveries.flatMap((recovery) => cameBack(recovery, facts));
  for (const record of facts.registry) {
    if (record.scratch || facts.inFlight.has(record.name)) continue;
    const desired = facts.desired.find(({ name }) => name === record.name);
    const verdict = judgeLoss({
      record,
      bulk: bulkOf(record, desired),
      looks: facts.memory.looks.get(record.uid) ?? [],
      permissionsThen: facts.memory.permissions?.text,
      permissionsSound: facts.permissionsSound,
    });
    const found = (told: Told): void =>
      void findings.push({
        key: told.key,
        severity: told.severity ?? 'critical',
        subject: record.name,
        text: `guest ${record.name} (${record.vmid}) ${told.text}`.slice(0, 1000),
        advice: { text: told.advice.slice(0, 500) },
        since: facts.now,
      });
    if (verdict.is !== 'lost') {
      const told = tellOf(verdict, facts);
      if (told !== undefined) found(told);
      continue;
    }
    const choice = chooseSource(
      facts.catalogue.filter((backup) => backup.guest === record.uid),
      facts.policy.backups.targets,
    );
    for (const { record: backup, why } of choice.skipped.slice(0, 5))
      found({
        key: `recovery.skipped.${backup.id}`,
        text: `does not come back from ${backup.archive} (${backup.tier}): ${why}`,
        advice: 'Find out what happened to this backup; until then the next best one is used.',
      });
    const held = whyHeld(record, facts);
    if (choice.chosen === undefined)
      found({
        key: 'guest.lost-without-backup',
        text: 'is lost, and no backup of it can be restored',
        advice: 'Nothing is done by itself. Look for its volumes and for backups that the catalogue does not know.',
      });
    else if (held !== undefined)
      found({
        key: 'guest.lost',
        text: `is lost and does not come back by itself: ${held}`,
        advice: `Its best backup is ${choice.chosen.archive}. Lift what holds it, or restore it with a signed job.`,
      });
    else {
      const { tier, archive, sha256 } = choice.chosen;
      found({
        key: 'guest.lost',
        text: `is lost and comes back from ${archive} (${tier}), taken ${instant(choice.chosen.takenAt)}${choice.proven ? '' : ', which no restore-test has proven'}`,
        advice: 'Nothing to do now. To keep it from coming back, put it on hold.',
      });
      effects.push({ kind: 'guest-recover', guest: refOf(record), tier, backup: { archive, sha256 } });
    }
  }
  return { effects, findings };
}

interface Told {
  readonly key: string;
  readonly severity?: Finding['severity'];
  readonly text: string;
  readonly advice: string;
}

function tellOf(verdict: Exclude<LossVerdict, { is: 'lost' }>, facts: RecoveryFacts): Told | undefined {
  switch (verdict.is) {
    case 'there':
      return undefined;
    case 'wait':
      return {
        key: 'guest.perhaps-lost',
        severity: 'warning',
        text: `is not to be found, and it is not certain yet that it is lost: ${verdict.why}`,
        advice:
          'Nothing at once. A storage that is dead for good has to be disabled in Proxmox before this can be told.',
      };
    case 'not-visible':
      return {
        key: 'guest.not-visible',
        text: `is not visible: ${verdict.why}`,
        advice:
          'It is not brought back, because it may still be there. Run felhom-agent doctor; look at pool and ACLs.',
      };
    case 'config-gone':
      return {
        key: 'guest.config-gone',
        text: `has no config any more, and its volumes are there: ${verdict.volumes.join(', ')}`,
        advice: 'Nothing is restored over them. Put its config back, then have it registered again: job re-register.',
      };
    case 'destroyed': {
      const left = Math.max(1, Math.ceil((personsHourMs - verdict.agoMs) / 60_000));
      return {
        key: 'guest.destroyed-by-others',
        text: `was destroyed by ${verdict.by} ${Math.floor(verdict.agoMs / 60_000)} minutes ago`,
        advice: facts.policy.recovery.automatic
          ? `If that was meant, put it on hold or take it out: otherwise it comes back ${left} minutes from now.`
          : 'If that was not meant, restore it with a signed job.',
      };
    }
  }
}

function whyHeld(record: GuestRecord, facts: RecoveryFacts): string | undefined {
  const { policy, recoveries, removing, now } = facts;
  if (!policy.recovery.automatic) return 'the policy of this host says so';
  if (policy.hold.host) return 'the host is on hold';
  if (policy.hold.guests.includes(record.name)) return 'it is on hold';
  if (removing.has(record.name)) return 'it is being removed';
  const last = recoveries.find((recovery) => recovery.guest === record.uid);
  if (last !== undefined && now - last.at < betweenRecoveriesMs)
    return `it came back at ${instant(last.at)} already, and twice within a day is a matter for people`;
  return undefined;
}

function cameBack(recovery: Recovery, facts: RecoveryFacts): readonly Finding[] {
  const { name, archive, tier, from, to, at, takenAt, emptied, notes, proven } = recovery;
  if (facts.now - at > toldMs || !facts.registry.some(({ uid }) => uid === recovery.guest)) return [];
  const age = takenAt === undefined ? '' : `, with its data of ${instant(takenAt)}`;
  const common = { subject: name, since: at } as const;
  const told: Finding = {
    ...common,
    key: 'recovery.came-back',
    severity: 'warning',
    text: `guest ${name} was lost (${from}) and came back as ${to} at ${instant(at)} from ${archive} (${tier}${proven ? '' : ', not proven'})${age}${notes.map((note) => `; ${note}`).join('')}`.slice(
      0,
      1000,
    ),
    advice: { text: 'Find out why it was lost. What was written after that backup is gone.' },
  };
  if (emptied.length === 0) return [told];
  const empty: Finding = {
    ...common,
    key: 'recovery.bulk-lost',
    severity: 'critical',
    text: `guest ${name} came back without what no backup holds: ${emptied.join('; ')}`.slice(0, 1000),
    advice: { text: 'Its own copies are the only ones: ask its owner, and have this volume backed up.' },
  };
  return [told, empty];
}

const instant = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ');
