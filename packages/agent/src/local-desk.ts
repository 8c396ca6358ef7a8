/**
 * The desk of the local API: what each route means for the guest that asks. Everything is about that guest, whom the
 * transport names by its token and its bridge port; no answer holds anything of another one.
 */
import {
  auditText,
  consentWords,
  digestOfEntry,
  digestOfText,
  emptyChain,
  reason,
  vmid as vmidSchema,
} from '@felhom/protocol';
import type { AuditEntry, DesiredGuest, GuestUid, LocalAnswer, LocalBody, Reason, Vmid } from '@felhom/protocol';
import type { Submission } from './admission/index.ts';
import type { AuditLog } from './audit/index.ts';
import type { BuiltEffect } from './authority/effects.ts';
import type { Evidence } from './authority/facts.ts';
import { refOf } from './authority/guest-record.ts';
import type { GuestRecord, GuestRegistry } from './authority/guest-record.ts';
import type { Claims } from './controllers/claims.ts';
import type { BulkReports } from './controllers/bulk.ts';
import type { Controllers } from './controllers/controllers.ts';
import type { Leases } from './controllers/leases.ts';
import type { NewOperation, Operations } from './controllers/operations.ts';
import type { Tokens } from './controllers/tokens.ts';
import type { Clock } from './kernel/clock.ts';
import type { DocumentWrite } from './kernel/journal.ts';
import { done, refused } from './kernel/saga.ts';
import type { Outcome } from './kernel/saga.ts';
import type { LocalCall, LocalDesk } from './local-api/desk.ts';
import type { LocalAuthority } from './ports/local-authority.ts';
import type { GuestReader } from './ports/proxmox.ts';

/** What is due of a guest, with the time of the schedule that it is due for. */
export type GuestDue = LocalAnswer<'backupDue'>['due'][number] & { readonly slot: number };

export interface LocalDeskNeeds {
  readonly registry: Pick<GuestRegistry, 'byUid' | 'byVmid'>;
  readonly reader: Pick<GuestReader, 'list'>;
  readonly claims: Pick<Claims, 'redeem' | 'openWindow'>;
  readonly tokens: Pick<Tokens, 'issue' | 'authenticate' | 'standing'>;
  readonly leases: Pick<Leases, 'take' | 'standing' | 'end'>;
  readonly controllers: Pick<Controllers, 'changed' | 'report'>;
  readonly operations: Pick<Operations, 'begin' | 'find' | 'openBackup'>;
  readonly bulk: Pick<BulkReports, 'put'>;
  readonly manifests: { put(guest: GuestUid, manifest: LocalBody<'manifest'>): LocalAnswer<'manifest'>['digest'] };
  readonly authority: Pick<LocalAuthority, 'trusted'>;
  readonly audit: Pick<AuditLog, 'append' | 'ofGuest' | 'head'>;
  readonly clock: Clock;
  /** The one door. */
  readonly submit: (
    effect: BuiltEffect,
    evidence: Evidence,
    atStart: (saga: string) => readonly DocumentWrite[],
  ) => Promise<Submission>;
  readonly desiredGuest: (record: GuestRecord) => DesiredGuest | undefined;
  /** What a guest should do about its identity when it gets the first token of its incarnation. */
  readonly identityOf: (record: GuestRecord) => LocalAnswer<'redeem'>['identity'];
  readonly dueOf: (guest: GuestUid) => { readonly due: readonly GuestDue[]; readonly nextAt?: number };
  readonly backupLines: (guest: GuestUid) => LocalAnswer<'backupStatus'>['tiers'];
  readonly restoreTests: (guest: GuestUid) => LocalAnswer<'restoreTest'>['tests'];
  readonly storageOf: (guest: GuestUid, signal: AbortSignal) => Promise<Outcome<LocalAnswer<'storage'>>>;
  readonly volumesOf: (guest: GuestUid, signal: AbortSignal) => Promise<Outcome<LocalAnswer<'volumes'>>>;
  readonly consents: {
    standing(guest: GuestUid): { readonly id: string; readonly at: number } | undefined;
    /** By the customer, in the guest. On the audit log when it returns. */
    record(guest: GuestUid, given: boolean): Outcome<void>;
  };
}

export function createLocalDesk(needs: LocalDeskNeeds): LocalDesk {
  const { registry, claims, tokens, leases, controllers, operations, clock } = needs;
  const noted = createRefusalNotes(needs);
  const guestAudit = createGuestAudit(needs.audit);
  const mayConsent = createConsentLimit(clock);

  /** A guest may leave between the transport's look and ours. */
  const withRecord = async <T>(
    guest: GuestUid,
    work: (record: GuestRecord) => Promise<Outcome<T>> | Outcome<T>,
  ): Promise<Outcome<T>> => {
    const record = registry.byUid(guest);
    return record === undefined ? refused(gone) : work(record);
  };

  /** By its own port alone only where no other guest came up since: else one of two might be taken for the other. */
  const startedAlone = async (own: Vmid, since: number): Promise<boolean> => {
    const rows = await needs.reader.list(new AbortController().signal);
    if (rows.is !== 'done') return false;
    return !rows.value.some(
      ({ vmid, status, uptimeSeconds }) =>
        vmid !== own && status !== 'stopped' && clock.now() - uptimeSeconds * 1000 >= since - staleUptimeMs,
    );
  };

  const begin = (
    call: LocalCall,
    asked: Omit<NewOperation, 'key'>,
    effect: BuiltEffect,
    evidence: Evidence,
  ): ReturnType<Operations['begin']> => {
    const { idempotencyKey } = call;
    const request = digestOfText(JSON.stringify({ kind: asked.kind, effect: named(effect) }));
    const key = idempotencyKey === undefined ? undefined : { text: idempotencyKey, request };
    return operations.begin({ ...asked, key }, async (atStart) => begun(await needs.submit(effect, evidence, atStart)));
  };

  return {
    guestAtPort: (port) => {
      const vmid = vmidSchema.safeParse(port);
      const record = vmid.success ? registry.byVmid(vmid.data) : undefined;
      return record === undefined || record.scratch ? undefined : record.uid;
    },

    authenticate: (token) => tokens.authenticate(token),

    redeem: (guest, body) =>
      withRecord(guest, async (record) => {
        const ref = refOf(record);
        const window = claims.openWindow(ref);
        const byPortAlone = body.claim === undefined && window?.aloneNeeded === true;
        const alone = byPortAlone ? await startedAlone(record.vmid, window.since) : true;
        const answer = claims.redeem({ guest: ref, secret: body.claim, alone });
        if (answer.is === 'refused') {
          noted.note(record, answer.why, answer.severity);
          return refused(answer.why);
        }
        // Told once: obeyed a second time, `fresh` would be new host keys for a guest that serves.
        const identity = tokens.standing(ref).is === 'used' ? 'none' : needs.identityOf(record);
        const token = tokens.issue(ref);
        needs.audit.append({
          at: clock.now(),
          kind: 'claim.redeemed',
          text: `guest ${record.name} redeemed its claim by its ${answer.by === 'secret' ? 'secret' : 'bridge port'}`,
          detail: {
            incarnation: record.incarnation,
            by: answer.by,
            ...(answer.learnt === undefined ? {} : { learnt: answer.learnt }),
            ...(body.machine === undefined ? {} : { machine: body.machine }),
          },
          guest,
        });
        return done({
          token,
          guest,
          name: record.name,
          ca: [...needs.authority.trusted()].slice(0, 2),
          identity,
        });
      }),

    storage: (guest, _, { signal }) => needs.storageOf(guest, signal),

    volumes: (guest, _, { signal }) => needs.volumesOf(guest, signal),

    snapshot: (guest, { purpose }, call) =>
      withRecord(guest, (record) =>
        begin(
          call,
          { guest, kind: 'snapshot' },
          { kind: 'snapshot-take', guest: refOf(record), purpose },
          { is: 'guest-itself', uid: guest },
        ),
      ),

    rollback: (guest, { checkpoint }, call) =>
      withRecord(guest, (record) =>
        begin(
          call,
          { guest, kind: 'rollback' },
          { kind: 'self-rollback', guest: refOf(record), checkpoint },
          { is: 'guest-itself', uid: guest },
        ),
      ),

    backup: (guest, body, call) =>
      withRecord(guest, async (record) => {
        const { due } = needs.dueOf(guest);
        const ref = refOf(record);
        const held = leases.standing(guest);
        if (body.due !== undefined) {
          const wanted = due.find(({ id, scope }) => id === body.due && scope === 'guest');
          if (wanted === undefined || (body.tier !== undefined && body.tier !== wanted.tier)) return refused(notDue);
          const { tier, slot } = wanted;
          // It is due without the guest's word too: what it asks for is that it happens now, while its apps stand still.
          const lease =
            held !== undefined && (held.due === undefined || held.due === body.due) ? held.lease : undefined;
          return begin(
            call,
            { guest, kind: 'backup', tier },
            { kind: 'backup-run', guest: ref, tier, slot, ...(lease === undefined ? {} : { lease }) },
            { is: 'desired-state' },
          );
        }
        if (due.some(({ scope }) => scope === 'guest')) return refused(dueFirst);
        const tiers = needs.backupLines(guest).map(({ tier }) => tier);
        const tier = body.tier ?? tiers[0];
        if (tier === undefined || !tiers.includes(tier)) return refused(noTier);
        const lease = held?.due === undefined ? held?.lease : undefined;
        return begin(
          call,
          { guest, kind: 'backup', tier },
          { kind: 'backup-on-demand', guest: ref, tier, ...(lease === undefined ? {} : { lease }) },
          { is: 'guest-itself', uid: guest },
        );
      }),

    backupDue: async (guest, _, { query, signal }) => {
      const end = clock.monotonicMs() + (query.wait ?? 0) * 1000;
      for (;;) {
        const { due, nextAt } = needs.dueOf(guest);
        const left = end - clock.monotonicMs();
        if (due.length > 0 || left <= 0 || signal.aborted)
          return done({
            due: due.slice(0, 32).map(({ slot: _slot, ...told }) => told),
            ...(nextAt === undefined ? {} : { nextAt }),
          });
        await patience(clock, Math.min(left, lookAgainMs), signal);
      }
    },

    backupStatus: async (guest) => {
      const open = operations.openBackup(guest);
      return done({
        current:
          open === undefined
            ? null
            : {
                operation: open.operation.id,
                tier: open.tier,
                state: open.operation.state,
                captured: open.operation.state === 'captured',
                text: open.operation.text,
              },
        tiers: [...needs.backupLines(guest)].slice(0, 8),
      });
    },

    bulk: (guest, report) =>
      withRecord(guest, (record) => {
        const volume = needs.desiredGuest(record)?.volumes.find(({ name }) => name === report.volume);
        if (volume === undefined || volume.backup || volume.ownBackup?.is !== 'controller')
          return refused(notItsVolume);
        needs.bulk.put(guest, report);
        return done({});
      }),

    restoreTest: async (guest) => done({ tests: [...needs.restoreTests(guest)].slice(0, 16) }),

    operation: async (guest, _, { id }) => operations.find(guest, id ?? ''),

    audit: async (guest, _, { query }) => done(guestAudit(guest, query.after ?? 0)),

    controller: async (guest, _, { query, signal }) => {
      const desired = await controllers.changed(
        guest,
        query.generation ?? -1,
        query.generation === undefined ? 0 : (query.wait ?? 0) * 1000,
        signal,
      );
      return desired === undefined ? refused(gone) : done(desired);
    },

    controllerStatus: async (guest, status) => {
      controllers.report(guest, status);
      // Whoever let the apps go on: a backup that captures them later must not be called app-consistent.
      if (!status.quiesced) leases.end(guest);
      return done({});
    },

    manifest: (guest, manifest) => withRecord(guest, () => done({ digest: needs.manifests.put(guest, manifest) })),

    quiesce: (guest, { due, seconds }) =>
      withRecord(guest, () => {
        if (due !== undefined && !needs.dueOf(guest).due.some(({ id }) => id === due)) return refused(notDue);
        return leases.take(guest, { seconds, ...(due === undefined ? {} : { due }) });
      }),

    unquiesce: async (guest) => {
      leases.end(guest);
      return done({});
    },

    consentGet: async (guest) => done(consentAnswer(needs, guest)),

    consent: (guest, { confirmation }) =>
      withRecord(guest, () => {
        // Typed by a person who has read them; a click is no consent.
        if (confirmation !== consentWords) return refused(notConfirmed);
        if (!mayConsent(guest)) return refused(tooOften);
        const recorded = needs.consents.record(guest, true);
        return recorded.is === 'done' ? done(consentAnswer(needs, guest)) : recorded;
      }),

    consentWithdraw: (guest) =>
      withRecord(guest, () => {
        // Always possible; what does not stand leaves no entry on the audit log, which is not the guest's to fill.
        if (needs.consents.standing(guest) === undefined) return done(consentAnswer(needs, guest));
        const recorded = needs.consents.record(guest, false);
        return recorded.is === 'done' ? done(consentAnswer(needs, guest)) : recorded;
      }),
  };
}

/** Uptimes of Proxmox's list may be older than what they are about. */
const staleUptimeMs = 15_000;
const lookAgainMs = 5_000;

const gone = reason('guest.unknown-uid', 'cannot answer: the guest is not on record any more');
const notDue = reason('operation.not-due', 'cannot begin: nothing of that id is due for this guest');
const dueFirst = reason('operation.due-first', 'cannot back up on demand: a backup of this guest is due');
const noTier = reason('operation.not-its-own', 'cannot back up on demand: this guest has no such tier');
const notItsVolume = reason(
  'operation.not-its-own',
  'cannot take the report: the guest has no volume of that name that its controller backs up',
);
const notConfirmed = reason(
  'consent.not-confirmed',
  `cannot take the consent: the confirmation has to read "${consentWords}"`,
);

const consentsPerHour = 6;
const tooOften = reason(
  'local.too-many-requests',
  `cannot take the consent: it was given ${consentsPerHour} times within the hour`,
);

/** The lease is no part of what was asked: another one, for the same key, is the same request. */
function named(effect: BuiltEffect): Readonly<Record<string, unknown>> {
  const asked: Record<string, unknown> = { ...effect };
  delete asked['lease'];
  return asked;
}

function begun(submission: Submission): Outcome<{ readonly saga: string; readonly fresh: boolean }> {
  switch (submission.is) {
    case 'started':
      return done({ saga: submission.saga, fresh: true });
    case 'already-running':
      return done({ saga: submission.saga, fresh: false });
    case 'blocked':
    case 'refused':
      return refused(submission.why);
    case 'busy':
      return refused(reason('job.busy', 'cannot begin: other work on this guest has to end first'));
  }
}

function consentAnswer({ consents }: Pick<LocalDeskNeeds, 'consents'>, guest: GuestUid): LocalAnswer<'consent'> {
  const standing = consents.standing(guest);
  return standing === undefined ? { given: false } : { given: true, id: standing.id, at: Math.trunc(standing.at) };
}

/** Waits; being hung up on is no error. */
async function patience(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** What was refused at redemption goes on the audit log, once an hour per guest and cause: it may be asked without end. */
function createRefusalNotes({ audit, clock }: Pick<LocalDeskNeeds, 'audit' | 'clock'>) {
  const last = new Map<string, number>();
  return {
    note(record: GuestRecord, why: Reason, severity: string): void {
      const key = `${record.uid} ${why.code} ${severity}`;
      const now = clock.now();
      if (now - (last.get(key) ?? Number.NEGATIVE_INFINITY) < 3_600_000) return;
      last.set(key, now);
      const detail = { code: why.code, severity, incarnation: record.incarnation };
      audit.append({ at: now, kind: 'claim.refused', text: why.text, detail, guest: record.uid });
    },
  };
}

/** A consent is a person's, and each is on the audit log for good: a program that gives them without end is stopped. */
function createConsentLimit(clock: Pick<Clock, 'monotonicMs'>): (guest: GuestUid) => boolean {
  const given = new Map<GuestUid, readonly number[]>();
  return (guest) => {
    const now = clock.monotonicMs();
    const lately = (given.get(guest) ?? []).filter((at) => now - at < 3_600_000);
    if (lately.length >= consentsPerHour) return false;
    given.set(guest, [...lately, now]);
    return true;
  };
}

/**
 * A guest's own entries. Reading them costs a look at the whole log, so the last answer of each guest is kept while it
 * holds: two that take turns cost no more than one.
 */
function createGuestAudit(audit: LocalDeskNeeds['audit']): (guest: GuestUid, after: number) => LocalAnswer<'audit'> {
  let keptAt = -1;
  const keptOf = new Map<GuestUid, readonly AuditEntry[]>();
  const entriesOf = (guest: GuestUid): readonly AuditEntry[] => {
    const { count } = audit.head();
    if (keptAt !== count) keptOf.clear();
    keptAt = count;
    const kept = keptOf.get(guest) ?? audit.ofGuest(guest, Number.MAX_SAFE_INTEGER);
    keptOf.set(guest, kept);
    return kept;
  };
  return (guest, after) => {
    const entries = entriesOf(guest);
    const last = entries.at(-1);
    return {
      entries: entries
        .filter((entry) => (entry.guest?.seq ?? 0) > after)
        .slice(0, 200)
        .map(auditText),
      head: last?.guest === undefined ? emptyChain : { count: last.guest.seq, head: digestOfEntry(last) },
    };
  };
}
