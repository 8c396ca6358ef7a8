/**
 * The agent, put together from its rooms. `main.ts` gives it the real world, the lab a simulated one; nothing below
 * this file knows the difference.
 *
 * Order of a start: the journal is open (its epoch is the fence) → lanes of open sagas are taken → they resume in the
 * background → desired state is asked for → reconcile. Read in this order: AgentParts, createAgent, then the rooms.
 */
import { carrySince, digestOfReport, reason } from '@felhom/protocol';
import type { Finding, GuestName, Reason, Report } from '@felhom/protocol';
import {
  fenceBackupRemover,
  fenceBackupWriter,
  fenceDestroyer,
  fenceHelper,
  fenceMover,
  fenceSignedHelper,
  fenceSnapshots,
  fenceStorageHelper,
  fenceWriter,
} from './adapters/fenced-ports/index.ts';
import { createGuestRegistry } from './adapters/guest-registry/index.ts';
import { strangersOf } from './adoption/index.ts';
import { createAdmission, createAuditTrail } from './admission/index.ts';
import type { Admission, Submission } from './admission/index.ts';
import { createAuditLog } from './audit/index.ts';
import type { Evidence, GuestEffect } from './authority/index.ts';
import type { GuestRecord } from './authority/guest-record.ts';
import { createVmidClaims, inFlightOf } from './guests/index.ts';
import type { InFlight } from './guests/index.ts';
import type { HostPolicy } from './host-policy.ts';
import { openSource, storeIn } from './desired-source.ts';
import { createPollSequence, fitReport, heldForPlanning, urgentOf } from './hub-link/index.ts';
import { createFence, createLanes, createRunner } from './kernel/index.ts';
import type { Outcome } from './kernel/index.ts';
import { checkHost, findingsOf, rememberPackages } from './node-check/index.ts';
import type { NodeCheck } from './node-check/index.ts';
import { findingOf, reportFacts } from './overview/index.ts';
import { createReconcileLoop, gatherFacts, newPassMemory, pass } from './reconcile/index.ts';
import type { Observation, PassReport } from './reconcile/index.ts';
import { createRemovalStore } from './removal/index.ts';
import { sagaForEffect } from './saga-for-effect.ts';
import { createStorage } from './storage/index.ts';
import { createRefusals, parkedSaga } from './jobs/index.ts';
import { createSagaRegistry } from './saga-registry.ts';
import { asPlanned, journaledSagas, openSagas, unreadSubjects, withWaiting } from './open-work.ts';
import type { PlannedEffect } from './open-work.ts';
import { createProgress } from './progress.ts';
import { createProtection } from './protection/index.ts';
import type { Agent, AgentParts } from './agent-parts.ts';
import { createSignedWork } from './signed-work.ts';
import { watchHost } from './watch-host.ts';

const evidence: Evidence = { is: 'desired-state' };

/** Throws when the journal holds what this release cannot read: starting over it would forget guests. */
export function createAgent(parts: AgentParts): Agent {
  const { journal, clock, random, log, proxmox } = parts;
  const startedAt = clock.now();
  const life = new AbortController();
  const progress = createProgress(clock);
  const passes = progress.watch('reconcile');
  const firstLook = Promise.withResolvers<void>();
  const fence = createFence(journal, clock);
  const registry = createGuestRegistry(journal);
  const auditLog = createAuditLog(journal);
  const audit = createAuditTrail(journal, auditLog);
  const removals = createRemovalStore(journal);
  const lanes = createLanes(clock);
  const known = createSagaRegistry();
  const claims = createVmidClaims(openSagas(journal, journaledSagas(journal)), (id) =>
    journal.openSagas().includes(id),
  );
  const signedHelper = fenceSignedHelper(parts.signedHelper, fence);
  const mayMend = (): boolean => signed.policy()?.hold.host === false;
  const storage = createStorage({
    ...parts,
    ...parts.storage,
    helper: fenceStorageHelper(parts.storage.helper, fence),
    entries: proxmox.entries,
    node: () => parts.policy()?.node,
    documents: journal,
    mayMend,
    status: () => runner.status(),
    changed: () => {
      source.wakePoll();
      loop.wake();
    },
    watch: () => progress.watch('storage'),
  });
  /** With the declared targets in it. */
  const joined = (policy: HostPolicy | undefined): HostPolicy | undefined =>
    policy === undefined ? undefined : storage.policyWith(policy);
  const protection = createProtection({
    ...parts,
    registry,
    audit: auditLog,
    contact: parts.localContact,
    zone: parts.timeZone,
    release: (role) => signed.jobs.releases.inForce('controller', role, clock.now()),
    desired: () => heldForPlanning(source.held()),
    floors: () => {
      const trust = parts.trustStore.read();
      return trust.is === 'held' ? trust.document.floors : undefined;
    },
    policy: () => joined(signed.policy()),
    status: () => runner.status(),
    removing: () => signed.jobs.removing(),
    nodeTrouble: () => nodeTrouble(),
    permissionsSound: () => nodeTrouble() === undefined,
    clockIsSteady: () => signed.time.standing().is === 'steady',
    wake: () => loop.wake(),
    targets: storage,
    submit: (...asked) => admission.submit(...asked),
    consents: {
      standing: (guest) => signed.consentOf(guest),
      record: (guest, given) => signed.recordConsent(registry.byUid(guest)?.name ?? '', given, 'customer'),
    },
  });
  const needs = {
    ...protection.sagaNeeds,
    targets: storage,
    backups: fenceBackupWriter(proxmox.backups, fence),
    remover: fenceBackupRemover(proxmox.remover, fence),
    snapshots: fenceSnapshots(proxmox.snapshots, fence),
    mover: fenceMover(proxmox.mover, fence),
    witness: parts.witness,
    reader: proxmox.reader,
    writer: fenceWriter(proxmox.writer, fence),
    destroyer: fenceDestroyer(proxmox.destroyer, fence),
    tasks: proxmox.tasks,
    stores: proxmox.stores,
    node: proxmox.facts,
    helper: fenceHelper(parts.helper, fence),
    registry,
    claims,
    signedHelper,
    trustStore: parts.trustStore,
    policy: (): HostPolicy => {
      const policy = parts.policy();
      if (policy === undefined) throw new Error('cannot go on: the policy file of this host does not read');
      return storage.policyWith(policy);
    },
    tokenId: parts.tokenId,
  };
  const halt = (why: Reason): void => {
    log.error('halted', { code: why.code, why: why.text });
    life.abort(why);
    parts.onHalt(why);
  };
  const runner = createRunner({
    journal,
    fence,
    clock,
    random,
    crashPoints: parts.crashPoints,
    lanes,
    registry: known,
    onChange: () => tell(),
    onHalt: halt,
  });
  const recovered = runner.resumeAll(() => needs);
  for (const { log: saga, plan } of recovered) log.info('open saga', { saga: saga.id, plan: plan.is });

  let observation: Observation | undefined;
  let lastPass: PassReport | undefined;
  /** Why passes break off since then; a pass that comes to its end clears it. */
  let passTrouble: Reason | undefined;
  let nodeCheck: NodeCheck = { is: 'not-checked', why: reason('gate.node-check', 'the node was not asked yet') };
  const admission = createAdmission({
    factsFor: (effect, signal) => factsFor(effect, signal),
    sagaFor: (effect, record, order) =>
      sagaForEffect(effect, record, (guest) => removals.openOf(guest.uid), order, protection.lookup),
    needsOf: () => needs,
    runner,
    audit,
    clock,
  });

  const factsFor: Parameters<typeof createAdmission>[0]['factsFor'] = async (effect, signal) => {
    if (observation === undefined)
      return { is: 'refused', why: reason('gate.facts-unknown', 'cannot decide before the first look at the host') };
    return gatherFacts(
      effect,
      {
        stores: proxmox.stores,
        hostEpoch: journal.hostEpoch,
        policy: joined(parts.policy()),
        registry: registry.all(),
        observation,
        holds: signedHolds(),
        selfUse: (guest) => protection.selfUse(guest),
      },
      signal,
    );
  };

  const sequence = createPollSequence(storeIn(journal, 'hub/sequence'));
  const signed = createSignedWork({
    ...parts,
    audit: auditLog,
    signedHelper,
    admission,
    runner,
    registry,
    looked: () => lastPass !== undefined,
    restore: (saga) => protection.restore(saga),
    wake: () => loop.wake(),
  });

  const signedHolds = (): { host: boolean; guests: GuestName[] } => {
    const holds = signed.jobs.holds();
    return { host: holds.host, guests: holds.guests.flatMap((uid) => registry.byUid(uid)?.name ?? []) };
  };
  const strangersIn = (seen: Observation): Report['strangers'] => {
    const policy = parts.policy();
    if (policy === undefined) return [];
    const kept = protection.kept();
    return strangersOf({ observation: seen, registry: registry.all(), policy }).filter(({ vmid }) => !kept.has(vmid));
  };

  const inFlight = (): InFlight =>
    withWaiting(inFlightOf(openSagas(journal, runner.status())), signed.jobs.removing(), protection.kept());

  const monitoring = watchHost(parts, {
    tasks: proxmox.tasks,
    node: proxmox.facts,
    restartTunnel: (...asked) => needs.helper.tunnelRestart(...asked),
    mayMend,
    inFlight,
    targets: () => storage.vitals(),
    policy: () => parts.policy()?.monitoring,
    registry: () => registry.all(),
    rows: () => observation?.rows.values(),
    working: () => runner.status().some(({ parked }) => parked === undefined),
    hubReached: () => source.hubReached(clock.now()),
    news: () => source.news(),
    watch: () => progress.watch('monitoring'),
  });

  const packages = rememberPackages(proxmox.facts, clock);
  const memory = newPassMemory();
  const passNeeds = (policy: HostPolicy, submit: (effect: GuestEffect, seen: Observation) => Promise<Submission>) => ({
    reader: proxmox.reader,
    tasks: proxmox.tasks,
    node: proxmox.facts,
    tokenId: parts.tokenId,
    desired: () => heldForPlanning(source.held()),
    registry: () => registry.all(),
    policy: () => policy,
    diskOf: (on: string) => storage.disk(on),
    inFlight,
    submit,
    sawServing: (record: GuestRecord) => registry.put({ ...record, servedAt: clock.now() }),
    now: () => clock.now(),
    wake: () => loop.wake(),
  });

  const submitTo =
    (signal: AbortSignal) =>
    async (effect: GuestEffect, seen: Observation): Promise<Submission> => {
      observation = seen;
      passes.moved();
      const trouble = nodeTrouble();
      if (trouble !== undefined) return { is: 'refused', why: trouble };
      return admission.submit(effect, evidence, signal);
    };

  /** Why nothing may be changed on this node. */
  const nodeTrouble = (): Reason | undefined => (nodeCheck.is === 'not-checked' ? nodeCheck.why : nodeCheck.blocks[0]);

  const stopWorking = (error: unknown): void => {
    if (life.signal.aborted) return;
    halt(reason('journal.full', `cannot go on: ${error instanceof Error ? error.message : String(error)}`));
  };

  const onePass = async (signal: AbortSignal): Promise<PassReport> => {
    const policy = signed.policy();
    if (policy === undefined) throw new Error('the policy file does not read');
    passes.moved();
    await source.refresh();
    passes.moved();
    nodeCheck = await checkHost({ facts: proxmox.facts, packages }, policy, parts.tokenId, signal);
    passes.moved();
    admission.blocked.beginPass();
    const result = await pass(passNeeds(storage.policyWith(policy), submitTo(signal)), memory, signal);
    if (result.observation.problem === undefined) admission.blocked.endPass(unreadSubjects(registry.all(), result));
    observation = result.observation;
    return result;
  };

  /** Signed work goes on also where a pass breaks off: trust has to be mendable while Proxmox is away. */
  const passAndJobs = async (signal: AbortSignal): Promise<PassReport> => {
    try {
      const result = await onePass(signal);
      lastPass ??= result;
      firstLook.resolve();
      passes.moved();
      await signed.work(signal);
      passes.moved();
      await protection.round(result, signal);
      const times = [result.lookAgainAt, signed.jobs.nextAt(), protection.nextAt()].filter((at) => at !== undefined);
      return times.length === 0 ? result : { ...result, lookAgainAt: Math.min(...times) };
    } catch (error) {
      if (!signal.aborted) await signed.work(signal);
      throw error;
    }
  };

  const passEnded = (): void => {
    passes.rests(parts.reconcile.intervalMs);
    firstLook.resolve();
  };
  const loop = createReconcileLoop({
    pass: (signal) => passAndJobs(signal).finally(passEnded),
    report: (result) => {
      const changed = lastPass?.converged !== result.converged;
      lastPass = result;
      passTrouble = undefined;
      if (changed) log.info(result.converged ? 'converged' : 'working', { guests: result.guests.length });
      tell([...hostFindings(), ...result.findings]);
    },
    failed: (error) => {
      const text = `a pass over the guests broke off: ${error instanceof Error ? error.message : String(error)}`;
      if (passTrouble?.text !== text) log.error(text);
      passTrouble = reason('agent.pass-failed', text);
      tell([...hostFindings(), ...(lastPass?.findings ?? [])]);
    },
    clock,
    ...parts.reconcile,
  });

  const report = (): Report =>
    fitReport(
      reportFacts({
        versions: {
          agent: parts.version,
          node: process.versions.node,
          proxmox: nodeCheck.is === 'checked' ? nodeCheck.version : undefined,
        },
        startedAt,
        now: clock.now(),
        policy: signed.policy(),
        pass: lastPass,
        passHolds: passHolds(),
        sagas: runner.status(),
        stepsOf: ({ name, version }) => known.find(name, version)?.steps.map((step) => step.name) ?? [],
        blocked: admission.blocked.list(),
        findings: (shown = carrySince(hostFindings(), shown)),
        signed: signed.report(),
        records: registry.all(),
        lossOf: (saga) => parkedSaga(saga, runner.status(), journal)?.loss,
        protection: protection.report(),
        host: { targets: storage.report(), ...monitoring.reported() },
        strangers: observation === undefined ? [] : strangersIn(observation),
      }),
    );

  const passHolds = (): boolean => {
    const held = source.held();
    const current = held.is === 'held' ? held.digest : undefined;
    return passTrouble === undefined && parts.policy() !== undefined && lastPass?.desired === current;
  };

  let derived: readonly Finding[] = [];
  let urgent: ReadonlySet<string> = new Set();
  /** To the hub: what is new and cannot wait at once, all else soon. `findings`: all of them, where they were derived anew. */
  const tell = (findings = derived): void => {
    derived = findings;
    const before = urgent;
    urgent = urgentOf(findings, runner.status());
    if (urgent.isSubsetOf(before)) source.news();
    else source.wakePoll();
  };

  const policyTrouble = (): Reason | undefined =>
    parts.policy() === undefined
      ? reason('gate.policy-unreadable', 'the policy file of this host does not read')
      : undefined;

  let shown: readonly Finding[] = [];
  const hostFindings = (): Finding[] => {
    const now = clock.now();
    const noPolicy = policyTrouble();
    return [
      ...(noPolicy === undefined ? [] : [findingOf('host.policy', noPolicy, startedAt)]),
      // Without a policy there are no passes, and the policy has its own finding.
      ...(passTrouble === undefined || noPolicy !== undefined ? [] : [findingOf('host.pass-failed', passTrouble, now)]),
      ...source.findings(now),
      ...signed.findings(),
      ...protection.findings(),
      ...monitoring.findings(),
      ...storage.findings(),
      ...(nodeCheck.is === 'not-checked' && lastPass !== undefined
        ? [findingOf('host.proxmox-unreachable', nodeCheck.why, now)]
        : findingsOf(nodeCheck, now)),
    ];
  };

  const refusedDesired = createRefusals();
  const source = openSource(parts, {
    refused: (why) => {
      const at = clock.now();
      if (refusedDesired.note(why, at))
        auditLog.append({ at, kind: 'desired.refused', text: why.text, detail: { code: why.code } });
    },
    report,
    vitals: () => monitoring.vitals(),
    wake: () => loop.wake(),
    sequence,
    signed: signed.traffic,
    watch: () => progress.watch('hub'),
  });

  return {
    start: () => {
      // All run until `life` ends. Only a journal that cannot be written any more makes one fail.
      for (const one of [source, loop, storage, monitoring]) void one.run(life.signal).catch(stopWorking);
    },
    stop: async () => {
      const why = reason('agent.stopping', 'the agent is stopping; open sagas go on at the next start');
      if (!life.signal.aborted) life.abort(why);
      await runner.stop(why);
    },
    wake: () => loop.wake(),
    looked: firstLook.promise,
    trouble: () => policyTrouble() ?? passTrouble ?? nodeTrouble(),
    progress: () => progress.loops(),
    report,
    vitals: () => monitoring.vitals(),
    held: () => source.held(),
    guests: () => registry.all(),
    sagas: () => runner.status(),
    preview: (signal) => preview(admission, signal),
    checkNode: async (signal) => {
      const policy = parts.policy();
      if (policy === undefined) return nodeCheck;
      const ports = { facts: proxmox.facts, packages: proxmox.facts };
      return checkHost(ports, storage.policyWith(policy), parts.tokenId, signal);
    },
    statement: () => {
      const shownReport = report();
      return {
        report: shownReport,
        statement: signed.traffic.statement(sequence.next(), digestOfReport(shownReport), shownReport.lastPassAt),
      };
    },
    takeEnvelope: (text) => signed.jobs.bring([text]),
    auditFrom: (from) => ({ head: auditLog.head(), entries: auditLog.from(from, 1000) }),
    consents: () => signed.consents(),
    closeBreakGlass: (signal) => signed.closeBreakGlass(signal),
    recordConsent: (guest, given) => signed.recordConsent(guest, given),
    resetClock: () => {
      signed.time.reset();
      auditLog.append({
        at: clock.now(),
        kind: 'trust.clock-reset',
        text: 'root at the host says that the clock is right',
        detail: {},
      });
    },
    localApi: () => protection.localApi(),
    listening: (on) => protection.listening(on),
    resumeSaga: (id, by) => decided('resumed', id, by, runner.resume(id, by)),
    abandonSaga: (id, by) => decided('abandoned', id, by, runner.abandon(id, by)),
  };

  function decided<T>(what: string, id: string, by: string, outcome: Outcome<T>): Outcome<T> {
    if (outcome.is === 'done')
      auditLog.append({
        at: clock.now(),
        kind: `saga.${what}`,
        text: `saga ${id} was ${what} by ${by}`,
        detail: { saga: id, by },
      });
    return outcome;
  }

  async function preview(door: Admission, signal: AbortSignal): Promise<readonly PlannedEffect[]> {
    const policy = parts.policy();
    if (policy === undefined) throw new Error('the policy file of this host does not read');
    await source.refresh();
    const planned: PlannedEffect[] = [];
    const needsOfLook = passNeeds(storage.policyWith(policy), async (effect, seen) => {
      observation = seen;
      const decision = await door.preview(effect, evidence, signal);
      planned.push(asPlanned(effect, decision));
      return { is: 'busy', lane: 'preview', holder: 'preview' };
    });
    const { observation: seen } = await pass({ ...needsOfLook, sawServing: () => {} }, newPassMemory(), signal);
    // An empty plan would be read as "all is well", which nobody could tell in either case.
    if (seen.problem !== undefined) throw new Error(`the guests of this host could not be read: ${seen.problem.text}`);
    const held = source.held();
    if (held.is === 'unreadable') throw new Error(held.why.text);
    if (held.is === 'never-received')
      throw new Error('no desired state was received yet, so nothing is planned; felhom-agent status says why');
    return planned;
  }
}
