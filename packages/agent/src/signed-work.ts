/**
 * Everything that signatures are about, put together: the host's own time, jobs, what the hub carries, break-glass, and
 * what of it a report shows. `agent.ts` gives it the doors it needs.
 */
import { reason } from '@felhom/protocol';
import type { Finding, GuestName, GuestUid, HostId, Reason, Report } from '@felhom/protocol';
import type { Admission } from './admission/index.ts';
import type { AuditLog } from './audit/index.ts';
import type { GuestRegistry } from './authority/guest-record.ts';
import {
  consentStanding,
  decideOpen,
  grantConsent,
  listConsents,
  mustClose,
  withdrawConsent,
} from './break-glass/index.ts';
import type { HostPolicy } from './host-policy.ts';
import type { SignedTraffic } from './hub-link/index.ts';
import { createJobs, heldBy } from './jobs/index.ts';
import type { Jobs, JobsNeeds } from './jobs/index.ts';
import { done, refused } from './kernel/index.ts';
import type { Clock, Journal, Outcome, Random, Runner } from './kernel/index.ts';
import { findingOf } from './overview/index.ts';
import type { HostKey, SignatureVerifier } from './ports/signatures.ts';
import type { SignedHelper } from './ports/signed-helper.ts';
import type { TrustRead, TrustStore } from './ports/trust-store.ts';
import { createSignedTraffic } from './signed-traffic.ts';
import { createTrustedTime, trustStanding } from './trust/index.ts';
import type { TrustedTime } from './trust/index.ts';

export interface SignedWorkNeeds {
  readonly host: HostId;
  readonly journal: Journal;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly random: Random;
  readonly hostKey: HostKey;
  readonly verifier: SignatureVerifier;
  readonly trustStore: TrustStore;
  readonly signedHelper: SignedHelper;
  readonly admission: Admission;
  readonly runner: Pick<Runner, 'status' | 'resume' | 'abandon'>;
  readonly registry: GuestRegistry;
  /** As root wrote it. */
  readonly policy: () => HostPolicy | undefined;
  readonly looked: () => boolean;
  readonly restore: JobsNeeds['restore'];
  readonly wake: () => void;
}

export interface SignedWork {
  readonly jobs: Jobs;
  readonly traffic: SignedTraffic;
  readonly time: TrustedTime;
  /** One round over jobs and break-glass. */
  work(signal: AbortSignal): Promise<void>;
  /** The policy with signed holds in it. */
  policy(): HostPolicy | undefined;
  report(): Pick<Report, 'jobs' | 'trust' | 'breakGlass' | 'consents' | 'releases' | 'audit'>;
  findings(): readonly Finding[];
  /** `id` and `at` are absent where the customer of the guest has not consented. */
  consents(): readonly {
    readonly guest: GuestName;
    readonly id: string | undefined;
    readonly at: number | undefined;
  }[];
  /** `by`: who says so, for the audit log. */
  recordConsent(guest: string, given: boolean, by?: 'customer' | 'root at the host'): Outcome<void>;
  consentOf(guest: GuestUid): { readonly id: string; readonly at: number } | undefined;
  closeBreakGlass(signal: AbortSignal): Promise<Outcome<void>>;
}

export function createSignedWork(needs: SignedWorkNeeds): SignedWork {
  const { journal, clock, random, audit, registry, trustStore, signedHelper, admission } = needs;
  const time = createTrustedTime({ store: journal, clock, random });
  let rolledBack: { readonly why: Reason; readonly at: number } | undefined;
  let breakGlass: Report['breakGlass'] = { is: 'closed' };
  let shown = false;
  let lastBreakGlass: string | undefined;

  const openFacts = () => ({
    guests: registry.all().filter((record) => !record.scratch),
    consents: listConsents(journal),
    now: clock.now(),
  });

  const standingConsents = (): Report['consents'] => {
    const { guests, consents, now } = openFacts();
    return consents.flatMap(({ guest: uid, id, until }) => {
      const guest = guests.find((record) => record.uid === uid);
      return guest === undefined || (until !== undefined && now >= until) ? [] : [{ guest: guest.name, id }];
    });
  };

  const jobs = createJobs({
    host: needs.host,
    journal,
    audit,
    clock,
    time,
    verifier: needs.verifier,
    trust: trustStore,
    admission,
    runner: needs.runner,
    registry,
    policy: needs.policy,
    looked: needs.looked,
    restore: needs.restore,
    breakGlass: (params) => {
      const policy = needs.policy();
      if (policy === undefined)
        return reason('gate.policy-unreadable', 'cannot open break-glass: the policy does not read');
      const decision = decideOpen(params, { ...openFacts(), policy: policy.breakGlass });
      return decision.is === 'open' ? undefined : decision.why;
    },
    wake: needs.wake,
  });

  /** Jobs may have run that this journal does not know [R11]. */
  const voidSignatures = (why: Reason, detail: Readonly<Record<string, number>>): void => {
    journal.renewHostEpoch(Buffer.from(random.bytes(16)).toString('hex'));
    time.voidAll();
    audit.append({ at: clock.now(), kind: 'journal.rolled-back', text: why.text, detail });
    rolledBack = { why, at: clock.now() };
    needs.wake();
  };

  const traffic = createSignedTraffic({
    ...needs,
    jobs,
    time,
    trust: trustStore,
    rolledBack: voidSignatures,
  });

  /** Root's own count, asked at the start and raised with each job: the copy that was put back cannot know it. */
  let witnessed: 'not-asked' | 'absent' | number = 'not-asked';
  const askWitness = async (signal: AbortSignal): Promise<void> => {
    if (witnessed === 'absent' || witnessed === jobs.spent()) return;
    const spent = jobs.spent();
    const { count } = audit.head();
    const before = await signedHelper.witness(journal.hostEpoch, count, signal);
    // Without a helper there is nobody to ask; one that dies is asked again.
    if (before.is === 'refused' && before.why.retry !== 'later') witnessed = 'absent';
    if (before.is !== 'done') return;
    if (witnessed === 'not-asked' && before.value > count)
      voidSignatures(
        reason(
          'journal.rolled-back',
          `the journal of ${needs.host} is older than what root remembers: its audit log has ${count} entries, and had ` +
            `${before.value} when a job was last carried out; every earlier signature is void`,
        ),
        { auditCount: count, witnessed: before.value },
      );
    witnessed = spent;
  };

  /** Asked of the helper at the start, and for as long as it is open: a process per pass for nothing would be waste. */
  const watchBreakGlass = async (signal: AbortSignal): Promise<void> => {
    const opening = needs.runner.status().some(({ name }) => name.startsWith('break-glass'));
    // One that began and ended since the last look has left the list, and may have opened it.
    const last = journal.recentSagas(sagasLookedAt).find((id) => id.startsWith('break-glass'));
    if (shown && breakGlass.is === 'closed' && !opening && last === lastBreakGlass) return;
    const seen = await signedHelper.breakGlassShow(signal);
    shown = seen.is === 'done' || seen.is === 'refused';
    // What a saga at work will have done is not to be seen yet.
    if (shown && !opening) lastBreakGlass = last;
    // Without a helper there is nobody who could have opened it.
    if (seen.is === 'refused') breakGlass = { is: 'closed' };
    if (seen.is === 'unknown') breakGlass = { is: 'unknown', text: seen.why.text.slice(0, 1000) };
    if (seen.is !== 'done') return;
    const was: Report['breakGlass']['is'] = breakGlass.is;
    breakGlass = seen.value === undefined ? { is: 'closed' } : { is: 'open', until: Math.trunc(seen.value.until) };
    if (was === 'open' && breakGlass.is === 'closed')
      audit.append({ at: clock.now(), kind: 'break-glass.closed', text: 'break-glass is closed', detail: {} });
    const { guests, consents, now } = openFacts();
    const why = mustClose(seen.value, consentStanding(guests, consents, now));
    if (why === undefined) return;
    const begun = await admission.submit({ kind: 'break-glass-close' }, { is: 'local-root' }, signal);
    if (begun.is === 'started')
      audit.append({
        at: now,
        kind: 'break-glass.must-close',
        text: `break-glass is closed now: ${why}`,
        detail: { saga: begun.saga },
      });
  };

  return {
    jobs,
    traffic,
    time,
    work: async (signal) => {
      // Before the first job of a run is believed.
      if (witnessed === 'not-asked') await askWitness(signal);
      await jobs.work(signal);
      if (!signal.aborted) await askWitness(signal);
      if (!signal.aborted) await watchBreakGlass(signal);
    },
    policy: () => {
      const policy = needs.policy();
      return policy === undefined ? undefined : heldBy(jobs.holds(), policy, (uid) => registry.byUid(uid)?.name);
    },
    report: () => ({
      jobs: [...jobs.report()],
      trust: reportedTrust(trustStore.read()),
      breakGlass,
      consents: standingConsents(),
      releases: jobs.releases.report(clock.now()),
      audit: [...audit.newest(20)],
    }),
    consents: () => {
      const given = listConsents(journal);
      return openFacts().guests.map(({ uid, name }) => {
        const found = given.find((consent) => consent.guest === uid);
        return { guest: name, id: found?.id, at: found?.at };
      });
    },
    closeBreakGlass: async (signal) => {
      const begun = await admission.submit({ kind: 'break-glass-close' }, { is: 'local-root' }, signal);
      if (begun.is === 'refused' || begun.is === 'blocked') return refused(begun.why);
      // Whoever opened it by hand, it is looked at again.
      shown = false;
      needs.wake();
      return done(undefined);
    },
    consentOf: (uid) => {
      const found = listConsents(journal).find(({ guest }) => guest === uid);
      return found === undefined ? undefined : { id: found.id, at: found.at };
    },
    recordConsent: (name, given, by = 'root at the host') => {
      const guest = registry.all().find((record) => record.name === name && !record.scratch);
      if (guest === undefined)
        return refused(reason('job.unknown-target', `cannot record consent: no guest ${name} is on record`));
      if (given) grantConsent(journal, { guest: guest.uid, by }, clock.now(), random);
      else withdrawConsent(journal, guest.uid);
      const kind = given ? 'consent.granted' : 'consent.withdrawn';
      const text = `consent to break-glass of the customer of ${name}: ${given ? 'granted' : 'withdrawn'}, by ${by}`;
      audit.append({ at: clock.now(), kind, text, detail: {}, guest: guest.uid });
      needs.wake();
      return done(undefined);
    },
    findings: () => {
      const now = clock.now();
      const standing = time.standing();
      return [
        ...trustFindings(trustStore.read(), now),
        ...(standing.is === 'jumped' ? [findingOf('host.clock', standing.why, now)] : []),
        ...(rolledBack === undefined ? [] : [findingOf('host.journal-rolled-back', rolledBack.why, rolledBack.at)]),
        ...jobs.findings(),
      ];
    },
  };
}

/** More than begin between two rounds. */
const sagasLookedAt = 100;

function reportedTrust(trust: TrustRead): Report['trust'] {
  switch (trust.is) {
    case 'none':
      return { is: 'none' };
    case 'unreadable':
      return { is: 'unreadable', text: trust.why.text.slice(0, 1000) };
    case 'held':
      return { is: 'held', digest: trust.digest, document: trust.document };
  }
}

function trustFindings(trust: TrustRead, now: number): Finding[] {
  if (trust.is === 'unreadable') return [findingOf('trust.unreadable', trust.why, now)];
  if (trust.is === 'none') {
    const why = reason('trust.none', 'this host trusts nobody yet: what needs a signature cannot be allowed');
    return [{ ...findingOf('trust.none', why, now), severity: 'info' }];
  }
  const days = Math.ceil((trust.document.expiresAt - now) / 86_400_000);
  switch (trustStanding(trust.document, now)) {
    case 'in-force':
      return [];
    case 'expires-soon': {
      const why = reason('trust.expires-soon', `the trust document of this host expires in ${days} days`);
      return [{ ...findingOf('trust.expires', why, now), severity: 'warning' }];
    }
    case 'expired':
      return [
        findingOf(
          'trust.expires',
          reason('trust.expired', 'the trust document of this host has expired: only its renewal can be signed'),
          now,
        ),
      ];
  }
}
