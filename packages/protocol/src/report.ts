/**
 * What a host tells the operator. Facts for eyes and alerts, never orders; every list and every string is bounded, so
 * that a report always fits into one poll.
 */
import { z } from 'zod';
import { blockedAction, lossSetItems } from './blocked-action.ts';
import { finding } from './finding.ts';
import { digest, guestName, guestUid, vmid, volumeId } from './ids.ts';
import { reportedDisk, reportedTarget, reportedTunnel } from './host-state.ts';
import { reportedJob } from './jobs.ts';
import type { Versioned } from './parse.ts';
import { auditEntry } from './audit-chain.ts';
import { restoreEvidence } from './restore-evidence.ts';
import { trustDocument } from './trust-document.ts';
import { reportedRules } from './tunnel-declaration.ts';

export const reportVersions = [1] as const;

/** Most entries per list. What exceeds them is cut and counted in `cut`, oldest knowledge first. */
export const reportBounds = {
  guests: 300,
  sagas: 100,
  parked: 200,
  findings: 300,
  blocked: 200,
  jobs: 100,
  strangers: 100,
  audit: 20,
  backups: 900,
  bulk: 300,
  copies: 400,
  restoreTests: 60,
  restores: 50,
  queue: 50,
  targets: 64,
  disks: 64,
} as const;

const shortText = z.string().max(200);
const longText = z.string().max(1000);
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
/** Milliseconds since the epoch on the host's clock. */
const hostTime = count;

export const reportedReason = z.strictObject({
  code: z.string().max(80),
  text: longText,
  retry: z.enum(['never', 'later', 'operator']),
  detail: z.string().max(2000).optional(),
});

export const reportedGuest = z.strictObject({
  name: guestName,
  /** Absent until the agent has made it. */
  uid: guestUid.optional(),
  /** With the uid: what a signature about this guest names. */
  incarnation: z.number().int().min(1).max(9_999_999_999).optional(),
  vmid: vmid.optional(),
  /** On record as the guest's own; absent where they are not known for certain. */
  volumes: z.array(volumeId).max(64).optional(),
  /**
   * Those of them that no backup holds and no restore touches, as its config says; absent where it could not be read. A
   * restore names them apart from what it frees.
   */
  bulkVolumes: z.array(volumeId).max(64).optional(),
  status: z.enum(['running', 'stopped', 'missing', 'coming-up', 'unknown']),
  /** Ways in which it differs from desired state, as people read them. Empty: as desired. */
  drift: z.array(shortText).max(20),
  /** Config keys whose change waits for the next restart. */
  pending: z.array(shortText).max(20),
  held: z.boolean(),
});
export type ReportedGuest = z.output<typeof reportedGuest>;

export const reportedSaga = z.strictObject({
  id: shortText,
  name: shortText,
  guest: guestName.optional(),
  direction: z.enum(['forward', 'back']),
  step: shortText,
  /** From 0. */
  stepIndex: z.number().int().min(0).max(1000),
  steps: z.number().int().min(1).max(1000),
  /** 0..1 of the running step, where known. */
  fraction: z.number().min(0).max(1).optional(),
  text: shortText.optional(),
  startedAt: hostTime,
});
export type ReportedSaga = z.output<typeof reportedSaga>;

/** A saga that stopped and keeps its lane until a person decides. */
export const reportedParked = z.strictObject({
  id: shortText,
  name: shortText,
  guest: guestName.optional(),
  step: shortText,
  why: reportedReason,
  /** The one command that resolves it. */
  command: shortText,
  since: hostTime,
  /** What going on would give up; a signed resume or abandon names it. Absent: not known for certain. */
  lossSet: lossSetItems.optional(),
});
export type ReportedParked = z.output<typeof reportedParked>;

/** A guest at a VMID of ours that is not on record: what a signed adoption would name [R36]. */
export const reportedStranger = z.strictObject({
  vmid,
  name: shortText,
  configDigest: z.string().max(64),
  volumes: z.array(volumeId).max(64),
  /** Why it is not ours. */
  why: shortText,
});
export type ReportedStranger = z.output<typeof reportedStranger>;

export const reportedTrust = z.discriminatedUnion('is', [
  /** Nothing that needs a signature can be allowed on this host. */
  z.strictObject({ is: z.literal('none') }),
  z.strictObject({ is: z.literal('unreadable'), text: longText }),
  z.strictObject({ is: z.literal('held'), digest, document: trustDocument }),
]);
export type ReportedTrust = z.output<typeof reportedTrust>;

export const reportedBreakGlass = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('closed') }),
  z.strictObject({ is: z.literal('open'), until: hostTime }),
  z.strictObject({ is: z.literal('unknown'), text: longText }),
]);
export type ReportedBreakGlass = z.output<typeof reportedBreakGlass>;

/**
 * One guest on one tier: how old the newest copy is, how old the newest that was proven, how long a restore takes. These
 * are what backups are for, so they are fields and not something to be worked out.
 */
export const reportedBackup = z.strictObject({
  guest: guestName,
  uid: guestUid,
  tier: z.string().max(40),
  target: z.string().max(40),
  /** `late`: longer ago than the schedule wants; `unproven`: there is one and none was proven within the time for it. */
  state: z.enum(['ok', 'late', 'none', 'failing', 'unproven']),
  newest: z
    .strictObject({
      id: z.string().max(40),
      at: hostTime,
      consistency: z.enum(['app', 'crash']),
      mode: z.enum(['snapshot', 'suspend', 'stop']),
      sizeBytes: count,
    })
    .optional(),
  /** Milliseconds since the newest good copy. */
  rpoMs: count.optional(),
  /** The newest copy that a restore-test proved: when the copy was taken, and when that was shown. */
  proven: z.strictObject({ id: z.string().max(40), at: hostTime, testedAt: hostTime }).optional(),
  provenAgeMs: count.optional(),
  /** As measured by the last restore-test that got that far. */
  rtoMs: count.optional(),
  nextAt: hostTime.optional(),
  copies: count,
  lastFailure: longText.optional(),
  /** Why a token could not restore the newest one; empty: it could. */
  risks: z.array(shortText).max(20),
});
export type ReportedBackup = z.output<typeof reportedBackup>;

/** What vzdump leaves out, and who sees to it [R25]. */
export const reportedBulk = z.strictObject({
  guest: guestName,
  volume: z.string().max(40),
  decision: z.enum(['controller', 'none-acknowledged', 'undecided']),
  target: z.string().max(40).optional(),
  newestAt: hostTime.optional(),
  checkedAt: hostTime.optional(),
  rpoMs: count.optional(),
});
export type ReportedBulk = z.output<typeof reportedBulk>;

/** A copy that a signed job may name, by its bytes [R8]. */
export const reportedCopy = z.strictObject({
  id: z.string().max(40),
  uid: guestUid,
  guest: guestName,
  tier: z.string().max(40),
  archive: volumeId,
  sha256: digest,
  at: hostTime,
  sizeBytes: count,
  consistency: z.enum(['app', 'crash']),
  class: z.enum(['scheduled', 'on-demand', 'checkpoint']),
  proven: z.boolean(),
  protected: z.boolean(),
});
export type ReportedCopy = z.output<typeof reportedCopy>;

export const reportedRestoreTest = z.strictObject({
  evidence: restoreEvidence,
  digest,
  /** Armoured, by the host key under `felhom-evidence@1`. */
  signature: z.string().max(1024),
});
export type ReportedRestoreTest = z.output<typeof reportedRestoreTest>;

/** A restore whose old guest still waits: `undo` brings it back, `finish` frees it. */
export const reportedRestore = z.strictObject({
  id: shortText,
  guest: guestName,
  uid: guestUid,
  kind: z.enum(['overwrite', 'in-place', 'copy', 'recovery']),
  state: z.enum(['undoable', 'undone', 'finished']),
  at: hostTime,
  /** End of the undo window. */
  until: hostTime.optional(),
  oldVmid: vmid.optional(),
  newVmid: vmid.optional(),
  /** What finishing frees, and what an undo discards; a job names it. */
  lossSet: lossSetItems.optional(),
  text: longText,
});
export type ReportedRestore = z.output<typeof reportedRestore>;

/** Heavy work in order: what runs and what waits for which lane. */
export const reportedQueue = z.strictObject({
  saga: shortText,
  what: shortText,
  guest: guestName.optional(),
  since: hostTime,
  waitsFor: z.array(shortText).max(8),
});

export const report = z.strictObject({
  v: z.literal(1),
  versions: z.strictObject({
    agent: z.string().max(60),
    node: z.string().max(60),
    proxmox: z.string().max(60).optional(),
  }),
  startedAt: hostTime,
  /** Wall time of the last completed pass; absent before the first one. */
  lastPassAt: hostTime.optional(),
  /** The last pass found nothing left to do and nothing in the way. */
  converged: z.boolean(),
  hold: z.boolean(),
  guests: z.array(reportedGuest).max(reportBounds.guests),
  sagas: z.array(reportedSaga).max(reportBounds.sagas),
  parked: z.array(reportedParked).max(reportBounds.parked),
  findings: z.array(finding).max(reportBounds.findings),
  blocked: z.array(blockedAction).max(reportBounds.blocked),
  jobs: z.array(reportedJob).max(reportBounds.jobs),
  strangers: z.array(reportedStranger).max(reportBounds.strangers),
  trust: reportedTrust,
  breakGlass: reportedBreakGlass,
  /** Standing consents to break-glass; what an opening has to name. */
  consents: z
    .array(z.strictObject({ guest: guestName, id: z.string().regex(/^[a-z2-7]{26}$/) }))
    .max(300)
    .default([]),
  /** Signed releases that this host has admitted, the newest per role. */
  releases: z
    .array(
      z.strictObject({
        product: z.enum(['agent', 'controller', 'golden']),
        role: shortText,
        version: shortText,
        expiresAt: hostTime,
        expired: z.boolean(),
      }),
    )
    .max(50)
    .default([]),
  backups: z.array(reportedBackup).max(reportBounds.backups).default([]),
  bulk: z.array(reportedBulk).max(reportBounds.bulk).default([]),
  copies: z.array(reportedCopy).max(reportBounds.copies).default([]),
  restoreTests: z.array(reportedRestoreTest).max(reportBounds.restoreTests).default([]),
  restores: z.array(reportedRestore).max(reportBounds.restores).default([]),
  queue: z.array(reportedQueue).max(reportBounds.queue).default([]),
  /** Where copies and bulk lie, as far as root declared it. */
  targets: z.array(reportedTarget).max(reportBounds.targets).default([]),
  disks: z.array(reportedDisk).max(reportBounds.disks).default([]),
  tunnel: reportedTunnel.default({ is: 'none' }),
  /** What operators signed last; absent: nothing, or it was written by hand. */
  tunnelDeclared: reportedRules.optional(),
  /** The newest entries of the audit log. */
  audit: z.array(auditEntry).max(reportBounds.audit),
  /** Entries that did not fit, per list. */
  cut: z.strictObject({
    guests: count,
    sagas: count,
    parked: count,
    findings: count,
    blocked: count,
    jobs: count,
    strangers: count,
    audit: count,
    backups: count.default(0),
    bulk: count.default(0),
    copies: count.default(0),
    restoreTests: count.default(0),
    restores: count.default(0),
    queue: count.default(0),
    targets: count.default(0),
    disks: count.default(0),
  }),
});
export type Report = z.output<typeof report>;

export const reportKind: Versioned<Report> = { what: 'report', versions: reportVersions, schema: report };
