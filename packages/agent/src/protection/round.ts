/**
 * One round over everything that protects the guests: after each pass, with what the pass has seen. It looks, plans by
 * the pure rules of the rooms, and submits; it permits nothing and waits for no saga.
 */
import { carrySince } from '@felhom/protocol';
import type { Finding, GuestUid, Reason } from '@felhom/protocol';
import type { Submission } from '../admission/index.ts';
import type { BuiltEffect, ProtectionEffect } from '../authority/index.ts';
import { refOf } from '../authority/guest-record.ts';
import type { GuestRecord, GuestRegistry } from '../authority/guest-record.ts';
import { reRead, sortArchives } from '../backups/index.ts';
import { dueBackups, standings } from '../catalogue/index.ts';
import type { Announcement, BackupRecord, DueDecision, DueGuest, EffectivePlan, Standing } from '../catalogue/index.ts';
import { expiredCheckpoints } from '../checkpoints/index.ts';
import { controllerWork } from '../controllers/index.ts';
import { identityOf } from '../guests/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { Clock, Journal, SagaEnd, SagaStatus } from '../kernel/index.ts';
import type { HostHelper } from '../ports/host-helper.ts';
import type { Log } from '../ports/log.ts';
import type { GuestReader, NodeFacts, PveTasks, Stores as PveStores } from '../ports/proxmox.ts';
import { lookForUnseen, noLooks, planRecovery } from '../recovery/index.ts';
import type { LossMemory } from '../recovery/index.ts';
import { forget, noteFailure, prune, sift } from '../reconcile/index.ts';
import type { Failures, PassReport } from '../reconcile/index.ts';
import { planTests, scratchStorageOf } from '../restore-tests/index.ts';
import { decideWindow } from '../restores/index.ts';
import { createBackupFailures } from './backup-failures.ts';
import type { InForce } from './in-force.ts';
import { inReach } from './look.ts';
import type { Look, Looker } from './look.ts';
import type { Stores } from './stores.ts';
import { createReReader } from './re-reader.ts';
import { soonest } from './soonest.ts';
import { copyFindings } from './copy-findings.ts';
import { notKept } from './not-kept.ts';
import { retentionFindings } from './retention-findings.ts';
import { createStaleMarkers } from './stale-markers.ts';
import type { ForeignArchive } from './stale-markers.ts';
import { heldStorages, underWay } from './under-way.ts';
import type { UnderWay } from './under-way.ts';
import { shortOfRoom, windowFindings } from './windows.ts';
import type { FinishWindow } from './windows.ts';

export interface RoundNeeds {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: GuestRegistry;
  readonly stores: Stores;
  readonly inForce: InForce;
  readonly looker: Looker;
  readonly proxmox: {
    readonly reader: GuestReader;
    readonly tasks: PveTasks;
    readonly stores: PveStores;
    readonly facts: NodeFacts;
  };
  readonly helper: HostHelper;
  readonly tokenId: string;
  /** With signed holds in it. */
  readonly policy: () => HostPolicy | undefined;
  readonly floors: () => Parameters<typeof standings>[0]['floors'];
  readonly status: () => readonly SagaStatus[];
  /** Names of guests that are being removed. */
  readonly removing: () => ReadonlySet<string>;
  /** What the check of the node says against any change. */
  readonly nodeTrouble: () => Reason | undefined;
  readonly permissionsSound: () => boolean;
  /** The only door. */
  readonly submit: (effect: ProtectionEffect, signal: AbortSignal) => Promise<Submission>;
  /** Why nothing on a storage may be read, written or removed now: its target is not attached. */
  readonly away: (storage: string) => Reason | undefined;
  readonly finishWindow: FinishWindow;
  /** Since when guests can reach the local API; `undefined`: they cannot. */
  readonly listeningSince: () => number | undefined;
  readonly wake: () => void;
}

export interface Round {
  run(pass: PassReport, signal: AbortSignal): Promise<void>;
  /** What the last round found, and what is announced to controllers. */
  readonly last: () => RoundResult;
  /** When the next thing is due, wall time in milliseconds. */
  nextAt(): number | undefined;
  /** Work that a guest had asked for came to its end. */
  ended(effect: BuiltEffect, end: SagaEnd): void;
  forget(uid: GuestUid): void;
}

export interface RoundResult {
  readonly standing: Standing | undefined;
  readonly decisions: readonly DueDecision[];
  readonly findings: readonly Finding[];
}

/** Bytes that are read again per storage and round between restore-tests, and how often each backup gets its turn. */
const integrityBudget = { bytesPerStorage: 256 * 2 ** 30, everyMs: 7 * 86_400_000 };

export function createRound(needs: RoundNeeds): Round {
  const { journal, clock, registry, stores, inForce, looker } = needs;
  const failures = createBackupFailures(journal);
  let announced: readonly Announcement[] = [];
  let losses: LossMemory = noLooks;
  let tries: Failures = new Map();
  let result: RoundResult = { standing: undefined, decisions: [], findings: [] };
  let nextAt: number | undefined;
  const staleMarkers = createStaleMarkers(journal);
  const reReader = createReReader({
    catalogue: stores.catalogue,
    clock,
    log: needs.log,
    budget: integrityBudget,
    away: needs.away,
    reRead: (record, now, signal) =>
      reRead({ stores: needs.proxmox.stores, helper: needs.helper }, record, now, signal),
  });
  /** Ids of backups of which the newest listings say something else than the catalogue. */
  let doubted: ReadonlySet<string> = new Set();

  const submit = async (effect: ProtectionEffect, signal: AbortSignal): Promise<Submission> => {
    const answer = await needs.submit(effect, signal);
    if (answer.is === 'started') void answer.ended.then((end) => settled(effect, end)).catch(notKept(needs.log));
    return answer;
  };

  const settled = (effect: ProtectionEffect, end: SagaEnd): void => {
    const now = clock.now();
    if (effect.kind === 'backup-run' || effect.kind === 'backup-on-demand') return ended(effect, end);
    if (end.is === 'completed') {
      if (effect.kind === 'marker-renew') staleMarkers.renewed(effect.guest.uid);
      tries = forget(tries, effect);
    } else if (end.is === 'unwound') tries = noteFailure(tries, effect, end.why, now);
    looker.refresh();
    needs.wake();
  };

  const ended: Round['ended'] = (effect, end) => {
    if (effect.kind === 'backup-run' || effect.kind === 'backup-on-demand') {
      const { guest, tier, lease, kind } = effect;
      // Its apps stand still for nothing now.
      if (end.is !== 'completed' && lease !== undefined) stores.leases.end(guest.uid);
      if (end.is === 'completed') failures.clear(guest.uid, tier);
      // What a guest tries besides must not put off what is due.
      if (end.is === 'unwound' && kind === 'backup-run') failures.note(guest.uid, tier, end.why, clock.now());
    }
    looker.refresh();
    needs.wake();
  };

  const dueGuests = (pass: PassReport, plan: EffectivePlan, guests: readonly GuestRecord[]): readonly DueGuest[] =>
    guests.map((record) => {
      const desired = inForce.desiredGuest(record);
      const heard = stores.controllers.heard(record.uid);
      const speaks = heard !== undefined && clock.now() - heard.at < speaksMs && needs.listeningSince() !== undefined;
      return {
        uid: record.uid,
        name: record.name,
        tiers: plan.tiers.get(record.uid) ?? [],
        since: record.createdAt,
        canHoldStill:
          speaks &&
          desired?.backup?.appConsistent !== false &&
          pass.observation.rows.get(record.vmid)?.status === 'running',
      };
    });

  /** Whatever stands at its VMID is surely not somebody else's. */
  const ownNow = (record: GuestRecord, { observation }: PassReport): boolean => {
    const seen = observation.seen.get(record.vmid);
    if (seen?.is !== 'present') return false;
    const identity = identityOf({
      record,
      row: observation.rows.get(record.vmid),
      seen,
      foreignTasks: observation.foreignTasks.get(record.vmid) ?? [],
      personStoppedAt: undefined,
    });
    return identity.is === 'ours' || identity.is === 'ours-unproven';
  };

  const takeBackups = async (
    plan: EffectivePlan,
    pass: PassReport,
    guests: readonly GuestRecord[],
    look: Look,
    work: readonly UnderWay[],
    signal: AbortSignal,
  ): Promise<readonly DueDecision[]> => {
    const due = dueBackups({
      now: clock.now(),
      guests: dueGuests(pass, plan, guests),
      records: stores.catalogue.all(),
      failures: failures.all(),
      announced,
      graceMs: inForce.graceMs(),
      nodeBusy: look.nodeBusy,
      inHand: work.flatMap(({ name, guest, tier }) =>
        name === 'backup' && guest !== undefined && tier !== undefined ? [{ guest, tier }] : [],
      ),
      heldStorages: heldStorages(needs.status()),
      away: needs.away,
    });
    announced = due.announced;
    for (const { guest: uid, tier, verdict } of due.decisions) {
      if (verdict.is !== 'take') continue;
      const record = registry.byUid(uid);
      if (record === undefined) continue;
      const { slot } = verdict;
      const answer = await submit({ kind: 'backup-run', guest: refOf(record), tier: tier.name, slot }, signal);
      if (answer.is === 'refused') failures.note(uid, tier.name, answer.why, clock.now());
    }
    return due.decisions;
  };

  const effectsNow = (
    policy: HostPolicy,
    plan: EffectivePlan,
    pass: PassReport,
    guests: readonly GuestRecord[],
    look: Look,
    work: readonly UnderWay[],
    found: Finding[],
  ): readonly ProtectionEffect[] => {
    const effects: ProtectionEffect[] = [];
    const busy = new Set(
      needs
        .status()
        .flatMap(({ lanes }) => lanes.filter((lane) => lane.startsWith('guest:')).map((lane) => lane.slice(6))),
    );
    const now = clock.now();
    const held = pass.desired === undefined ? [] : guests.flatMap((record) => inForce.desiredGuest(record) ?? []);

    // What is gone comes first.
    const recovery = planRecovery({
      now,
      policy,
      registry: registry.all(),
      desired: held,
      memory: losses,
      permissionsSound: needs.permissionsSound(),
      catalogue: inReach(stores.catalogue.all(), needs.away),
      recoveries: stores.recoveries.all(),
      inFlight: busy,
      removing: needs.removing(),
    });
    effects.push(...recovery.effects);
    found.push(...recovery.findings);

    for (const record of registry.all())
      if (record.scratch && !work.some(({ name }) => name === 'restore-test' || name === 'sweep-scratch'))
        effects.push({ kind: 'scratch-sweep', guest: refOf(record) });

    for (const { guest, name } of expiredCheckpoints(stores.checkpoints, guests, policy.backups, now))
      effects.push({ kind: 'checkpoint-drop', guest, checkpoint: name });

    const listening = needs.listeningSince();
    if (listening !== undefined) {
      const controllers = controllerWork(
        guests.map((record) => controllerSight(record, pass, busy)),
        { now, listeningSince: listening },
      );
      effects.push(...controllers.effects);
      found.push(...controllers.findings);
    }
    found.push(...stores.controllers.findings(guests), ...stores.claims.findings());

    effects.push(...markersToRenew(guests, look, work, found));

    const copies = stores.catalogue.all();
    const retention = guests.flatMap((guest) => {
      const own = copies.filter((record) => record.guest === guest.uid);
      const tiers = plan.tiers.get(guest.uid) ?? [];
      return tiers.map(({ name }) => ({ guest, tier: name, plan: stores.pruneOf(guest.uid, name, own) }));
    });
    // One of them at a time, and never beside a backup: what is deleted must not be what something else reads.
    const candidate = retention.find((each) => each.plan?.prune[0] !== undefined);
    const copy = candidate?.plan?.prune[0];
    if (candidate !== undefined && copy !== undefined && !work.some(({ name }) => name === 'prune-backup')) {
      const backup = { archive: copy.archive, sha256: copy.sha256 };
      effects.push({ kind: 'backup-prune', guest: refOf(candidate.guest), backup });
    }
    found.push(...retentionFindings(retention, now));

    const tests = planTests({
      now,
      guests,
      backups: stores.catalogue.all(),
      tests: stores.evidence.all(),
      everyDays: (guest, tier) => plan.tiers.get(guest.uid)?.find(({ name }) => name === tier)?.restoreTestEveryDays,
      policy,
      testing: work.some(({ name }) => name === 'restore-test'),
      // Nor while somebody may hold still already: a test would keep the storage from it.
      backingUp: look.nodeBusy || announced.length > 0 || work.some(({ name }) => name === 'backup'),
      nodeTrouble: needs.nodeTrouble(),
      freeBytes: look.storages?.find(({ storage }) => storage === scratchStorageOf(policy))?.availableBytes,
      freeScratch: freeScratch(policy, pass),
      away: needs.away,
    });
    if (tests.next !== undefined) {
      const { guest, tier, backup } = tests.next;
      effects.push({
        kind: 'restore-test',
        guest,
        tier,
        backup: { archive: backup.archive, sha256: backup.sha256 },
      });
    }
    for (const { guest, tier, why } of tests.skipped)
      found.push({
        key: 'restore-test.skipped',
        severity: 'info',
        subject: `${guest.name}/${tier}`,
        text: why.text.slice(0, 1000),
        advice: { text: 'It is tried again by itself; this is neither a pass nor a failure.' },
        since: now,
      });
    return effects;
  };

  const controllerSight = (
    record: GuestRecord,
    pass: PassReport,
    busy: ReadonlySet<string>,
  ): Parameters<typeof controllerWork>[0][number] => {
    const guest = refOf(record);
    const row = pass.observation.rows.get(record.vmid);
    const heardAt = stores.controllers.heard(record.uid)?.at;
    const desired = inForce.desiredGuest(record);
    return {
      guest,
      wanted: desired?.controller !== undefined && desired.power === 'running',
      running: row?.status === 'running',
      runningSince: row?.status === 'running' ? clock.now() - row.uptimeSeconds * 1000 : undefined,
      busy: busy.has(record.name),
      heardAt,
      token: stores.tokens.standing(guest),
      claimOpen: stores.claims.openWindow(guest) !== undefined,
      claimLeft: stores.claims.leftInEnv().includes(record.uid),
      restarts: stores.restarts.since(record.uid, heardAt ?? 0),
      newer: stores.controllers.newerImage(record.uid),
    };
  };

  /** Every archive has to hold a stale marker, also those that others made [R20]. */
  const markersToRenew = (
    guests: readonly GuestRecord[],
    look: Look,
    work: readonly UnderWay[],
    found: Finding[],
  ): ProtectionEffect[] => {
    const now = clock.now();
    const records = stores.catalogue.all();
    const foreign: ForeignArchive[] = [];
    const contradicted: BackupRecord[] = [];
    for (const [storage, items] of look.archives) {
      const sorted = sortArchives({
        storage,
        items,
        complete: needs.permissionsSound(),
        listedAt: look.listedAt,
        guests: guests.map(({ uid, vmid }) => ({ uid, vmid })),
        records,
      });
      for (const { guest, item } of sorted.foreign) foreign.push({ guest, archive: item.volid });
      const listed = new Set(items.map(({ volid }) => volid));
      const back = records.filter(({ integrity, archive }) => integrity?.is === 'missing' && listed.has(archive));
      contradicted.push(...sorted.missing.filter(({ integrity }) => integrity?.is !== 'missing'), ...back);
      for (const { item } of sorted.unrecorded)
        found.push({
          key: 'backup.unrecorded',
          severity: 'warning',
          subject: item.volid.slice(0, 120),
          text: `${item.volid} was begun by this host and never proven good: nothing is ever restored from it`,
          advice: { text: 'Remove it in Proxmox when its room is needed; the agent deletes only what it has proven.' },
          since: now,
        });
    }
    // What is being deleted leaves the listing before it leaves the catalogue.
    const going = new Set(work.map(({ archive }) => archive));
    doubted = new Set(contradicted.flatMap(({ id, archive }) => (going.has(archive) ? [] : [id])));
    return staleMarkers.due(foreign).flatMap((uid) => {
      const record = registry.byUid(uid);
      if (record === undefined || work.some(({ name, guest }) => name === 'renew-marker' && guest === uid)) return [];
      return [{ kind: 'marker-renew' as const, guest: refOf(record) }];
    });
  };

  const freeScratch = ({ vmids: { scratch } }: HostPolicy, { observation }: PassReport): number => {
    let free = 0;
    for (let id: number = scratch.from; id <= scratch.to; id += 1)
      if (![...observation.rows.keys()].some((vmid) => vmid === id)) free += 1;
    return free;
  };

  const run: Round['run'] = async (pass, signal) => {
    const policy = needs.policy();
    const plan = inForce.plan();
    if (policy === undefined || plan === undefined || pass.observation.problem !== undefined) return;
    inForce.accept();
    const guests = registry.all().filter((record) => !record.scratch);
    const found: Finding[] = [...plan.findings];
    const look = await looker.look(plan.all, signal);
    const work = underWay(journal, needs.status());
    const removing = needs.removing();

    const unseen = guests.filter((record) => pass.observation.seen.get(record.vmid)?.is !== 'present');
    losses = await lookForUnseen(
      { ...needs.proxmox, node: needs.proxmox.facts, helper: needs.helper, tokenId: needs.tokenId },
      clock,
      unseen,
      losses,
      signal,
    );

    const alive = guests.filter((record) => ownNow(record, pass) && !removing.has(record.name));
    const decisions = await takeBackups(plan, pass, alive, look, work, signal);
    const effects = effectsNow(policy, plan, pass, guests, look, work, found);
    tries = prune(tries, effects, new Set());
    const sifted = sift(effects, tries, clock.now());
    found.push(...sifted.waiting);
    for (const effect of sifted.ready) {
      signal.throwIfAborted();
      const answer = await submit(effect, signal);
      if (answer.is === 'refused') tries = noteFailure(tries, effect, answer.why, clock.now());
    }
    const windows = decideWindow(stores.restores.all(), {
      now: clock.now(),
      short: shortOfRoom(look, policy),
    });
    found.push(...windowFindings(stores.restores.all(), windows, clock.now()));
    for (const [id, decision] of windows) if (decision === 'finish-due') await needs.finishWindow(id, signal);
    reReader.next(doubted, signal);

    const standing = standings({
      now: clock.now(),
      guests: dueGuests(pass, plan, guests).map((guest) => {
        const desired = inForce.desiredGuest(guest);
        return {
          ...guest,
          volumes: desired?.volumes ?? [],
          appConsistent: desired?.controller !== undefined && desired.backup?.appConsistent !== false,
        };
      }),
      records: stores.catalogue.all(),
      decisions,
      failures: failures.all(),
      bulkCopies: guests.flatMap(({ uid, name }) => bulkCopiesOf(uid, inForce.desiredGuest({ name })?.volumes ?? [])),
      tests: stores.evidence.all().map(({ evidence }) => evidence),
      policy: policy.backups,
      floors: needs.floors(),
      keepsAll: new Map(),
      listed: listedCopies(guests, look),
    });
    found.push(...standing.findings);
    found.push(...copyFindings(stores.catalogue.all(), (uid) => registry.byUid(uid)?.name));
    result = { standing, decisions, findings: carrySince(found, result.findings) };
    nextAt = soonest(
      [
        sifted.nextAt,
        ...decisions.map(({ verdict }) =>
          'until' in verdict ? verdict.until : 'graceUntil' in verdict ? verdict.graceUntil : undefined,
        ),
        ...decisions.map(({ verdict }) => (verdict.is === 'not-due' ? verdict.nextAt : undefined)),
      ],
      clock.now(),
    );
  };

  const bulkCopiesOf = (uid: GuestUid, volumes: readonly { readonly name: string; readonly backup: boolean }[]) =>
    volumes.flatMap(({ name, backup }) => {
      const copy = backup ? undefined : stores.bulk.of(uid, name);
      if (copy?.newestAt === undefined) return [];
      const { newestAt, checkedAt } = copy;
      return [{ guest: uid, volume: name, newestAt, ...(checkedAt === undefined ? {} : { checkedAt }) }];
    });

  const listedCopies = (guests: readonly GuestRecord[], look: Look) =>
    guests.flatMap(({ uid }) => {
      const records = stores.catalogue.ofGuest(uid);
      return [...new Set(records.map(({ tier }) => tier))].flatMap((tier) => {
        const ofTier = records.filter((record) => record.tier === tier);
        const items = ofTier.map(({ storage }) => look.archives.get(storage));
        if (items.some((list) => list === undefined)) return [];
        const copies = ofTier.filter((record, at) => items[at]?.some(({ volid }) => volid === record.archive)).length;
        return [{ guest: uid, tier, copies }];
      });
    });

  return {
    run,
    last: () => result,
    nextAt: () => nextAt,
    ended,
    forget: (uid) => failures.forget(uid),
  };
}

/** A controller that was not heard of for so long is not asked to hold still. */
const speaksMs = 3 * 60_000;
