/** What the local API tells a guest about itself: its due backups, how well it is backed up, its storage. */
import { createHash } from 'node:crypto';
import type { DesiredGuest, GuestUid, LocalAnswer } from '@felhom/protocol';
import type { GuestRecord, GuestRegistry } from '../authority/guest-record.ts';
import { checkpointBy } from '../checkpoints/index.ts';
import { decisionOf } from '../controllers/index.ts';
import { storageOf as storageOfVolume, viewOf } from '../guests/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import { done, refused } from '../kernel/index.ts';
import type { Outcome } from '../kernel/index.ts';
import type { GuestReader, Snapshots, Stores as PveStores } from '../ports/proxmox.ts';
import { carryPlan } from '../restores/index.ts';
import type { StaleMounts } from '../stale-mounts/index.ts';
import { reason } from '@felhom/protocol';
import type { InForce } from './in-force.ts';
import type { RoundResult } from './round.ts';
import type { Stores } from './stores.ts';

export interface ViewNeeds {
  readonly registry: GuestRegistry;
  readonly stores: Stores;
  readonly inForce: InForce;
  readonly last: () => RoundResult;
  readonly policy: () => HostPolicy | undefined;
  readonly proxmox: { readonly reader: GuestReader; readonly snapshots: Snapshots; readonly stores: PveStores };
  readonly mounts: Pick<StaleMounts, 'reliance'>;
  readonly now: () => number;
}

type Due = LocalAnswer<'backupDue'>['due'][number] & { readonly slot: number };

/** A controller is asked for its own copies of bulk once in so long. */
const bulkEveryMs = 86_400_000;
const base32 = 'abcdefghijklmnopqrstuvwxyz234567';

export interface GuestViews {
  dueOf(guest: GuestUid): { readonly due: readonly Due[]; readonly nextAt?: number };
  backupLines(guest: GuestUid): LocalAnswer<'backupStatus'>['tiers'];
  restoreTests(guest: GuestUid): LocalAnswer<'restoreTest'>['tests'];
  storageOf(guest: GuestUid, signal: AbortSignal): Promise<Outcome<LocalAnswer<'storage'>>>;
}

export function createGuestViews(needs: ViewNeeds): GuestViews {
  const { registry, stores, inForce, last, now } = needs;

  const bulkDue = (guest: GuestUid, desired: DesiredGuest | undefined): Due[] =>
    (desired?.volumes ?? []).flatMap(({ name, backup, ownBackup }): Due[] => {
      if (backup || ownBackup?.is !== 'controller') return [];
      const since = (stores.bulk.of(guest, name)?.newestAt ?? 0) + bulkEveryMs;
      if (since > now()) return [];
      const at = Math.trunc(Math.max(since, 0));
      const id = idOf(guest, name, at);
      return [
        { id, tier: ownBackup.target, scope: 'bulk', volume: name, since: at, graceUntil: at + bulkEveryMs, slot: at },
      ];
    });

  return {
    dueOf(guest) {
      const record = registry.byUid(guest);
      const own = last().decisions.filter((decision) => decision.guest === guest);
      const due = own.flatMap(({ tier, verdict }): Due[] =>
        verdict.is === 'announce'
          ? [
              {
                id: verdict.id,
                tier: tier.name,
                scope: 'guest',
                since: Math.trunc(verdict.since),
                graceUntil: Math.trunc(verdict.graceUntil),
                slot: verdict.slot,
              },
            ]
          : [],
      );
      const nextAt = own.flatMap(({ verdict }) => (verdict.is === 'not-due' ? [Math.trunc(verdict.nextAt)] : []));
      const bulk = record === undefined ? [] : bulkDue(guest, inForce.desiredGuest(record));
      return { due: [...due, ...bulk], ...(nextAt.length === 0 ? {} : { nextAt: Math.min(...nextAt) }) };
    },

    backupLines: (guest) =>
      (last().standing?.backups ?? [])
        .filter(({ uid }) => uid === guest)
        .map(({ tier, newest, proven, rpoMs, rtoMs, nextAt, state }) => ({
          tier,
          ...(newest === undefined ? {} : { newestAt: newest.at, consistency: newest.consistency }),
          ...(proven === undefined ? {} : { provenAt: proven.at }),
          ...(rpoMs === undefined ? {} : { rpoMs }),
          ...(rtoMs === undefined ? {} : { rtoMs }),
          ...(nextAt === undefined ? {} : { nextAt }),
          state,
        })),

    restoreTests: (guest) =>
      stores.evidence
        .newest()
        .filter(({ evidence }) => evidence.guest === guest)
        .map(({ evidence: { tier, endedAt, verdict, grade, text, timings } }) => ({
          tier,
          at: endedAt,
          verdict,
          grade,
          text,
          ...(timings.restoreMs === undefined ? {} : { rtoMs: timings.restoreMs + (timings.bootMs ?? 0) }),
        })),

    async storageOf(guest, signal) {
      const record = registry.byUid(guest);
      const policy = needs.policy();
      if (record === undefined || policy === undefined)
        return refused(reason('guest.unknown-uid', 'cannot tell about storage: the guest is not known here'));
      const [config, snapshots, possible, rows] = await Promise.all([
        needs.proxmox.reader.config(record.vmid, { current: false }, signal),
        needs.proxmox.snapshots.list(record.vmid, signal),
        needs.proxmox.snapshots.possible(record.vmid, signal),
        needs.proxmox.stores.list(signal),
      ]);
      if (config.is !== 'done') return config;
      if (rows.is !== 'done') return rows;
      if (config.value.is !== 'present')
        return refused(reason('pve.guest-absent', 'cannot tell about storage: the guest is not seen'));
      const view = viewOf(config.value.config);
      const classOf = (storage: string): 'fast' | 'slow' =>
        policy.slowStorages.some((slow) => slow === storage) ? 'slow' : 'fast';
      const carry = carryPlan(record.name, {
        view,
        storages: rows.value,
        snapshots: snapshots.is === 'done' ? snapshots.value.map(({ name }) => name) : [],
      });
      const tiers = inForce.plan()?.tiers.get(guest) ?? [];
      const desired = inForce.desiredGuest(record);
      const stateOf = await needs.mounts.reliance(record, signal);
      const own = rows.value.filter(({ storage }) => policy.storages.includes(storage));
      return done({
        classes: (['fast', 'slow'] as const).flatMap((which) => {
          const free = own.filter(({ storage, active }) => active && classOf(storage) === which);
          return free.length === 0
            ? []
            : [{ class: which, freeBytes: free.reduce((sum, { availableBytes }) => sum + availableBytes, 0) }];
        }),
        volumes: volumesOf(record, view, desired, classOf, stateOf),
        checkpoint: checkpointBy({
          view,
          snapshotPossible: possible.is === 'done' ? possible.value : undefined,
          held: stores.checkpoints.of(guest).length,
          most: policy.backups.snapshotsPerGuest,
          quickTier: tiers.find((tier) => tier.class === 'fast')?.name,
        }),
        restore:
          carry.is === 'possible'
            ? { possible: true, why: '' }
            : { possible: false, why: carry.why.text.slice(0, 1000) },
      });
    },
  };
}

type StateOf = Awaited<ReturnType<StaleMounts['reliance']>>;

function volumesOf(
  record: GuestRecord,
  view: ReturnType<typeof viewOf>,
  desired: DesiredGuest | undefined,
  classOf: (storage: string) => 'fast' | 'slow',
  stateOf: StateOf,
): LocalAnswer<'storage'>['volumes'] {
  return view.disks.map((disk) => {
    const name = record.volumes.find(({ volid }) => volid === disk.volid)?.name ?? disk.key;
    const decision = decisionOf(desired?.volumes.find((volume) => volume.name === name)?.ownBackup);
    // Proxmox backs the root file system up whatever its flags say.
    const backup = disk.key === 'rootfs' || disk.backup;
    const state = stateOf(storageOfVolume(disk.volid));
    return {
      name,
      path: disk.key === 'rootfs' ? '/' : disk.path,
      class: classOf(storageOfVolume(disk.volid)),
      sizeBytes: Math.trunc((disk.sizeGiB ?? 0) * 2 ** 30),
      backup,
      ownBackup: backup ? 'in-guest-backup' : decision,
      ...(state === 'attached' ? {} : { state }),
    };
  });
}

function idOf(...parts: readonly (string | number)[]): string {
  const hash = createHash('sha256')
    .update(['bulk', ...parts].join('\n'))
    .digest();
  return [...hash.subarray(0, 26)].map((byte) => base32[byte & 31]).join('');
}
