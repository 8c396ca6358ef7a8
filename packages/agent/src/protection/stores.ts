/**
 * Everything durable that protects guests, opened once: what the sagas need besides Proxmox, what the local API answers
 * from, and what the rounds plan over.
 */
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRegistry } from '../authority/guest-record.ts';
import type { AuditLog } from '../audit/index.ts';
import { supportsEnv } from '../bring-up/index.ts';
import type { BackupNeeds } from '../backups/index.ts';
import {
  compareSamples,
  createCatalogue,
  createManifests,
  judgeChange,
  planPrune,
  sumsOf,
} from '../catalogue/index.ts';
import type { BackupRecord, Catalogue } from '../catalogue/index.ts';
import { createCheckpoints } from '../checkpoints/index.ts';
import {
  createBulkReports,
  createClaims,
  createControllers,
  createLeases,
  createOperations,
  createRestarts,
  createTokens,
} from '../controllers/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import { foldSaga } from '../kernel/index.ts';
import type { Clock, Journal, Random, Runner } from '../kernel/index.ts';
import type { LocalAuthority } from '../ports/local-authority.ts';
import type { HostKey } from '../ports/signatures.ts';
import { createRecoveryStore } from '../recovery/index.ts';
import { createEvidenceStore } from '../restore-tests/index.ts';
import { createRestoreStore } from '../restores/index.ts';
import type { ContentManifest, Digest, Floors, GuestUid, HostId, VolumeId } from '@felhom/protocol';
import type { InForce } from './in-force.ts';

/** Where guests find their host. */
export interface LocalContact {
  readonly authority: LocalAuthority;
  /** `address:port` of the local API. */
  readonly address: string;
}

export interface StoresNeeds {
  readonly host: HostId;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: Random;
  readonly registry: GuestRegistry;
  readonly audit: AuditLog;
  readonly hostKey: HostKey;
  readonly policy: () => HostPolicy | undefined;
  readonly floors: () => Floors | undefined;
  readonly inForce: InForce;
  readonly contact: () => LocalContact | undefined;
  /** The newest signed release of a controller's role that is in force. */
  readonly release: (role: string) => ReleaseOfController | undefined;
  /** Archives that a storage listed last; `undefined`: not known. */
  readonly listed: (storage: string) => ReadonlySet<VolumeId> | undefined;
  /** Backups that something under way relies on. */
  readonly inUse: () => ReadonlySet<string>;
}

interface ReleaseOfController {
  readonly manifest: { readonly role: string; readonly version: string; readonly digests: readonly Digest[] };
  readonly payload: string;
  readonly signatures: readonly string[];
}

export type Stores = ReturnType<typeof createStores>;

/** What open sagas have noted that their backup is to be compared with: it is on no record yet. */
function declaredNow(journal: Pick<Journal, 'openSagas' | 'recordsOf'>): ReadonlySet<string> {
  return new Set(
    journal
      .openSagas()
      .flatMap((id) => declaring.safeParse(foldSaga(journal.recordsOf(id))?.state).data?.manifest ?? []),
  );
}

const declaring = z.object({
  manifest: z.union([z.string(), z.object({ digest: z.string() }).transform(({ digest }) => digest)]),
});

export function createStores(needs: StoresNeeds) {
  const { journal, clock, random, registry, policy, inForce } = needs;
  const documents = journal;
  const backupsOnRecord = createCatalogue(documents);
  const manifests = createManifests(
    documents,
    (of) => backupsOnRecord.all().some(({ manifest }) => manifest?.digest === of) || declaredNow(journal).has(of),
  );
  const catalogue: Catalogue = {
    ...backupsOnRecord,
    remove: (id) => {
      const declared = backupsOnRecord.byId(id)?.manifest?.digest;
      backupsOnRecord.remove(id);
      if (declared !== undefined) manifests.release(declared);
    },
  };
  const evidence = createEvidenceStore(documents);
  const restores = createRestoreStore(documents);
  const recoveries = createRecoveryStore(documents);
  const checkpoints = createCheckpoints(documents);
  const claims = createClaims({
    documents,
    clock,
    random,
    claimMinutes: () => policy()?.localApi.claimMinutes ?? 10,
  });
  const tokens = createTokens({ documents, clock, random, registry });
  const leases = createLeases({
    documents,
    clock,
    random,
    captureSeconds: () => policy()?.backups.captureSeconds ?? 120,
  });
  const controllers = createControllers({
    documents,
    clock,
    registry,
    release: needs.release,
    desiredGuest: (record) => inForce.desiredGuest(record),
  });
  const restarts = createRestarts(documents, clock);
  const bulk = createBulkReports({ documents, clock });

  /** `records`: of the guest, where whoever asks has read the catalogue already. */
  const pruneOf = (uid: GuestUid, tierName: string, records = catalogue.ofGuest(uid)) => {
    const plan = inForce.plan();
    const now = policy();
    const tier = plan?.all.find(({ name }) => name === tierName);
    // A tier that is no longer in force keeps what it has: nothing says any more for how long.
    if (tier === undefined || now === undefined) return undefined;
    return planPrune({
      records: records.filter((record) => record.tier === tierName),
      tier,
      floors: needs.floors(),
      policy: now.backups,
      now: clock.now(),
      listed: needs.listed(tier.storage),
      inUse: needs.inUse(),
      acknowledged: new Set(),
    });
  };

  const isMassChange = (guest: GuestUid, manifest: ContentManifest): boolean => {
    const before = catalogue.ofGuest(guest).findLast((record) => record.manifest !== undefined)?.manifest;
    const percent = policy()?.backups.massChangePercent;
    if (before === undefined || percent === undefined) return false;
    const body = manifests.byDigest(before.digest);
    return (
      judgeChange(before, sumsOf(manifest), percent, body === undefined ? undefined : compareSamples(body, manifest))
        .is === 'mass-change'
    );
  };

  const tierOf: BackupNeeds['tierOf'] = (name) => {
    const tier = inForce.plan()?.all.find((one) => one.name === name);
    if (tier === undefined) return undefined;
    return { storage: tier.storage, ...(tier.device === undefined ? {} : { device: tier.device }) };
  };

  return {
    catalogue,
    manifests,
    evidence,
    restores,
    recoveries,
    checkpoints,
    claims,
    tokens,
    leases,
    controllers,
    restarts,
    bulk,
    pruneOf,
    tierOf,
    /** What is of no use without the guest. Its backups, restores and evidence stay. */
    forget: (guest: GuestUid): void => {
      for (const store of [manifests, checkpoints, claims, controllers, restarts, bulk]) store.forget(guest);
      tokens.revoke(guest);
      leases.end(guest);
      recoveries.remove(guest);
    },
    /** Operations of guests are sagas; the runner is made after these stores. */
    operationsOn: (runner: Pick<Runner, 'status'>) => createOperations({ documents, journal, runner, clock, random }),
    /** What sagas need besides what every guest saga needs. */
    sagaNeeds: {
      host: needs.host,
      catalogue,
      manifests,
      evidence,
      restores,
      recoveries,
      checkpoints,
      leases,
      controllers,
      restarts,
      audit: needs.audit,
      hostKey: needs.hostKey,
      tierOf,
      quickTierOf: (guest: GuestUid): string | undefined =>
        inForce
          .plan()
          ?.tiers.get(guest)
          ?.find((tier) => tier.class === 'fast')?.name,
      isMassChange,
      mayPrune: (record: BackupRecord): boolean =>
        pruneOf(record.guest, record.tier)?.prune.some(({ id }) => id === record.id) === true,
      noteCheckpoint: (guest: GuestRef, name: string, takenAt: number): void =>
        checkpoints.note(guest, { name, takenAt, purpose: 'update' }),
      issuing: {
        claims,
        supportsEnv,
        contact: () => {
          const contact = needs.contact();
          return contact === undefined
            ? undefined
            : { address: contact.address, spkiSha256: contact.authority.spkiSha256() };
        },
      },
    },
  };
}
