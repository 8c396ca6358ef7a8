/**
 * Everything that protects the guests, put together: stores, rounds, what guests are told, and what of it a report shows.
 * `agent.ts` gives it the doors it needs; they are asked only once the agent runs.
 */
import type { DesiredGuest, Finding, GuestName, GuestUid, Reason, Report, StorageId, VolumeId } from '@felhom/protocol';
import { createLocalApi } from '../local-api/index.ts';
import type { LocalApi } from '../local-api/index.ts';
import { createLocalDesk } from '../local-desk.ts';
import type { LocalDeskNeeds } from '../local-desk.ts';
import type { Submission, SubmitOptions } from '../admission/index.ts';
import type { BackupBytes, Evidence, BuiltEffect, SelfUse } from '../authority/index.ts';
import { refOf } from '../authority/guest-record.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { PassReport } from '../reconcile/index.ts';
import { scratchStorageOf } from '../restore-tests/index.ts';
import { keptVmids, lossOf, reportedRestoreOf, undoLossOf } from '../restores/index.ts';
import type { GuestDisks } from '../ports/guest-disks.ts';
import type { LocalAuthority } from '../ports/local-authority.ts';
import type { Snapshots } from '../ports/proxmox.ts';
import { createStaleMounts } from '../stale-mounts/index.ts';
import type { StaleMountsNeeds } from '../stale-mounts/index.ts';
import { createGuestViews } from './guest-views.ts';
import { createInForce } from './in-force.ts';
import type { InForceNeeds } from './in-force.ts';
import { createLooker } from './look.ts';
import { queueOf } from './queue.ts';
import { notKept } from './not-kept.ts';
import { createRemounts } from './remounts.ts';
import { createRound } from './round.ts';
import type { RoundNeeds } from './round.ts';
import { soonest } from './soonest.ts';
import { createStores } from './stores.ts';
import { createVolumeStates } from './volume-states.ts';
import type { Stores, StoresNeeds } from './stores.ts';
import { archivesInUse, underWay } from './under-way.ts';

export interface ProtectionNeeds
  extends
    Pick<StoresNeeds, 'host' | 'journal' | 'random' | 'registry' | 'audit' | 'hostKey' | 'contact' | 'release'>,
    Pick<
      RoundNeeds,
      | 'clock'
      | 'log'
      | 'helper'
      | 'tokenId'
      | 'policy'
      | 'status'
      | 'removing'
      | 'nodeTrouble'
      | 'permissionsSound'
      | 'wake'
    >,
    Pick<InForceNeeds, 'desired' | 'floors' | 'zone'> {
  readonly version: string;
  readonly proxmox: RoundNeeds['proxmox'] & { readonly snapshots: Snapshots };
  readonly submit: (
    effect: BuiltEffect,
    evidence: Evidence,
    signal: AbortSignal,
    options?: SubmitOptions,
  ) => Promise<Submission>;
  readonly targets: GuestDisks & { away(storage: string): Reason | undefined };
  readonly witness: StaleMountsNeeds['witness'];
  readonly consents: LocalDeskNeeds['consents'];
  /** Whether wall time went as the time since boot did: what ends by it and destroys waits else [R11]. */
  readonly clockIsSteady: () => boolean;
}

export interface Protection {
  readonly sagaNeeds: Stores['sagaNeeds'] & { readonly desiredOf: (name: GuestName) => DesiredGuest | undefined };
  readonly lookup: {
    backupId(bytes: BackupBytes): string | undefined;
    storageOf(tier: string): StorageId | undefined;
    readonly scratchStorage: StorageId | undefined;
  };
  /** After a pass. */
  round(pass: PassReport, signal: AbortSignal): Promise<void>;
  nextAt(): number | undefined;
  report(): Pick<Report, 'backups' | 'bulk' | 'copies' | 'restoreTests' | 'restores' | 'queue'>;
  findings(): readonly Finding[];
  /** A restore whose undo window is open, as a job about it needs it. */
  restore(saga: string):
    | {
        readonly guest: ReturnType<typeof refOf>;
        readonly undoLoss: readonly VolumeId[];
        readonly finishLoss: readonly VolumeId[];
      }
    | undefined;
  /** VMIDs of guests that wait for the end of an undo window: no strangers. */
  kept(): ReadonlySet<number>;
  selfUse(guest: GuestRecord): SelfUse | undefined;
  /** What guests may ask; `undefined` where the configuration has no local API, or the policy does not read. */
  localApi(): LocalApi | undefined;
  /** From now on guests can reach it, or no longer. */
  listening(on: boolean): void;
}

/** Clocks that are slewed drift less between two rounds. */
const clockStepMs = 60_000;

export function createProtection(needs: ProtectionNeeds): Protection {
  const { journal, clock, registry } = needs;
  const away = (storage: string): Reason | undefined => needs.targets.away(storage);
  const looker = createLooker({ ...needs.proxmox, clock, away });
  const inForce = createInForce({
    documents: journal,
    desired: needs.desired,
    policy: needs.policy,
    floors: needs.floors,
    records: () => registry.all(),
    now: () => clock.now(),
    zone: needs.zone,
  });
  const stores = createStores({
    ...needs,
    inForce,
    listed: (storage) => looker.listed(storage),
    inUse: () => {
      const archives = archivesInUse(underWay(journal, needs.status()));
      return new Set(stores.catalogue.all().flatMap(({ id, archive }) => (archives.has(archive) ? [id] : [])));
    },
  });
  const operations = stores.operationsOn({ status: needs.status });
  let listening: { readonly since: number; readonly offsetMs: number } | undefined;
  const listenFromNow = () => ({ since: clock.now(), offsetMs: clock.now() - clock.monotonicMs() });
  /** Where the clock was set, or the machine slept, every word of before looks old: guests get their time anew. */
  const listeningSince = (): number | undefined => {
    if (listening !== undefined && Math.abs(listenFromNow().offsetMs - listening.offsetMs) > clockStepMs)
      listening = listenFromNow();
    return listening?.since;
  };

  const openWindow: Protection['restore'] = (saga) => {
    const restore = stores.restores.byId(saga);
    const record = restore === undefined ? undefined : registry.byUid(restore.guest.uid);
    if (restore?.state !== 'undoable' || restore.old === undefined || record === undefined) return undefined;
    return { guest: refOf(record), undoLoss: undoLossOf(restore, record), finishLoss: lossOf(restore.old) };
  };

  const finishWindow = async (saga: string, signal: AbortSignal): Promise<void> => {
    const open = openWindow(saga);
    const restore = stores.restores.byId(saga);
    const policy = needs.policy();
    if (open === undefined || restore?.until === undefined || policy === undefined) return;
    // A clock that jumped ends no window.
    if (!needs.clockIsSteady()) return;
    // A hold asks that nothing is given up meanwhile.
    if (policy.hold.host || policy.hold.guests.includes(open.guest.name)) return;
    const effect: BuiltEffect = { kind: 'restore-finish', guest: open.guest, sagaId: saga, loss: open.finishLoss };
    const evidence: Evidence = { is: 'restore-window', sagaId: saga, loss: open.finishLoss, endedAt: restore.until };
    const answer = await needs.submit(effect, evidence, signal);
    if (answer.is === 'started') void answer.ended.then(needs.wake);
  };

  const round = createRound({
    ...needs,
    away,
    stores,
    inForce,
    looker,
    submit: (effect, signal) => needs.submit(effect, { is: 'desired-state' }, signal),
    finishWindow,
    listeningSince,
  });
  const mounts = createStaleMounts({
    documents: journal,
    clock,
    helper: needs.helper,
    witness: needs.witness,
    diskOf: (storage) => needs.targets.disk(storage),
  });
  const remounts = createRemounts({
    ...needs,
    mounts,
    stores,
    inForce,
    submit: (effect, signal) => needs.submit(effect, { is: 'desired-state' }, signal),
  });
  const volumes = createVolumeStates({ registry, mounts });
  const views = createGuestViews({
    mounts,
    registry,
    stores,
    inForce,
    last: round.last,
    policy: needs.policy,
    proxmox: needs.proxmox,
    now: () => clock.now(),
  });

  let known: ReadonlySet<GuestUid> = new Set(registry.all().map(({ uid }) => uid));
  const forgetGone = (): void => {
    const now = new Set(registry.all().map(({ uid }) => uid));
    for (const uid of known) {
      if (now.has(uid)) continue;
      stores.forget(uid);
      operations.forget(uid);
      round.forget(uid);
      mounts.forget(uid);
    }
    known = now;
  };

  /** People know guests by their names. */
  const withName = (finding: Finding): Finding => {
    const name = registry.all().find(({ uid }) => uid === finding.subject)?.name;
    return name === undefined
      ? finding
      : { ...finding, subject: name, text: finding.text.replace(finding.subject, name) };
  };

  let api: LocalApi | undefined;
  const openApi = (policy: HostPolicy, authority: LocalAuthority): LocalApi =>
    createLocalApi({
      desk: createLocalDesk({
        registry,
        reader: needs.proxmox.reader,
        claims: stores.claims,
        tokens: stores.tokens,
        leases: stores.leases,
        controllers: stores.controllers,
        operations,
        bulk: stores.bulk,
        manifests: stores.manifests,
        authority,
        audit: needs.audit,
        clock,
        submit: async (effect, evidence, atStart) => {
          const answer = await needs.submit(effect, evidence, new AbortController().signal, { atStart });
          if (answer.is === 'started')
            void answer.ended.then((end) => round.ended(effect, end)).catch(notKept(needs.log));
          return answer;
        },
        desiredGuest: (record) => inForce.desiredGuest(record),
        identityOf: (record) => (record.incarnation === 1 ? 'fresh' : 'continue'),
        dueOf: (guest) => views.dueOf(guest),
        backupLines: (guest) => views.backupLines(guest),
        restoreTests: (guest) => views.restoreTests(guest),
        storageOf: (guest, signal) => views.storageOf(guest, signal),
        volumesOf: (guest, signal) => volumes.of(guest, signal),
        consents: needs.consents,
      }),
      policy: policy.localApi,
      clock,
      log: needs.log,
      version: needs.version,
    });

  return {
    sagaNeeds: {
      ...stores.sagaNeeds,
      desiredOf: (name) => inForce.desiredGuest({ name }),
    },
    lookup: {
      backupId: ({ archive, sha256 }) => {
        const record = stores.catalogue.byArchive(archive);
        return record?.sha256 === sha256 ? record.id : undefined;
      },
      storageOf: (tier) => stores.tierOf(tier)?.storage,
      get scratchStorage() {
        const policy = needs.policy();
        return policy === undefined ? undefined : scratchStorageOf(policy);
      },
    },
    round: async (pass, signal) => {
      forgetGone();
      volumes.saw(pass.observation);
      await round.run(pass, signal);
      await remounts.run(pass, signal);
    },
    nextAt: () => soonest([round.nextAt(), remounts.nextAt()], clock.now()),
    report: () => {
      const { standing } = round.last();
      return {
        backups: [...(standing?.backups ?? [])],
        bulk: [...(standing?.bulk ?? [])],
        copies: [...(standing?.copies ?? [])].slice(0, 400),
        restoreTests: [...stores.evidence.newest()].slice(0, 60),
        restores: stores.restores.all().map(reportedRestoreOf),
        queue: queueOf(needs.status()),
      };
    },
    findings: () => [...round.last().findings, ...remounts.findings(), ...(api?.findings() ?? []).map(withName)],
    restore: openWindow,
    kept: () => keptVmids(stores.restores),
    selfUse: (guest) => ({ ...operations.usedBy(guest.uid), snapshots: stores.checkpoints.of(guest.uid).length }),
    localApi: () => {
      const policy = needs.policy();
      const contact = needs.contact();
      if (api === undefined && policy !== undefined && contact !== undefined) api = openApi(policy, contact.authority);
      return api;
    },
    listening: (on) => {
      listening = on ? listenFromNow() : undefined;
    },
  };
}
