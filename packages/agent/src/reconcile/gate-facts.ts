/**
 * What the gate is told about the world, gathered from the snapshot that the plan was made from, and from storages only
 * where the effect takes space. A number that could not be read is missing here, and the gate refuses on missing ones.
 */
import { reason } from '@felhom/protocol';
import type { Reason, StorageId, Vmid } from '@felhom/protocol';
import type { FactsOfWorld } from '../admission/submit.ts';
import { guestRefOf } from '../authority/effects.ts';
import type { Effect } from '../authority/effects.ts';
import type { SelfUse, StorageFacts } from '../authority/facts.ts';
import { isRouteEffect } from '../authority/gate-table.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { identityOf, storageOf } from '../guests/index.ts';
import type { GuestView } from '../guests/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { StorageRow, StoreItem, Stores } from '../ports/proxmox.ts';
import type { Observation } from './observe.ts';

export interface GateFactsNeeds {
  readonly stores: Pick<Stores, 'list' | 'contents'>;
  readonly hostEpoch: string;
  readonly policy: HostPolicy | undefined;
  readonly registry: readonly GuestRecord[];
  readonly observation: Observation;
  /** What a guest that asks for itself has used up. */
  readonly selfUse?: (guest: GuestRecord) => SelfUse | undefined;
  /** Holds that were set by a signature. */
  readonly holds: FactsOfWorld['holds'];
}

/** Judged against sums over all guests. */
const budgeted: ReadonlySet<Effect['kind']> = new Set(['guest-provision', 'cpu-up', 'memory-up', 'swap-up']);

/**
 * Aborting ends the waiting; nothing was changed. Refused where the effect is judged against sums and a guest of ours
 * cannot be read: they would be lies.
 */
export async function gatherFacts(
  effect: Effect,
  needs: GateFactsNeeds,
  signal: AbortSignal,
): Promise<Outcome<FactsOfWorld>> {
  const { observation, registry, policy } = needs;
  if (observation.problem !== undefined) return refused(observation.problem);
  const views = new Map<Vmid, GuestView>();
  for (const record of registry) {
    const seen = observation.seen.get(record.vmid);
    if (seen?.is === 'present') views.set(record.vmid, seen.view);
    // For what takes nothing from the host's budget its sums do not matter: one guest that a person hid must not keep
    // the others from being started again.
    else if (seen?.is !== 'absent' && budgeted.has(effect.kind)) return refused(unreadable(record));
  }
  const storages = await storageFacts(effect, needs, signal);
  if (storages.is !== 'done') return storages;
  const known = [...views.values()];
  const sum = (of: (view: GuestView) => number): number => known.reduce((total, view) => total + of(view), 0);
  const record = recordOf(effect, registry);
  return done({
    hostEpoch: needs.hostEpoch,
    policy,
    guest: record === undefined ? undefined : guestFacts(record, needs, views.get(record.vmid)),
    sums: {
      guests: registry.length,
      cores: sum((view) => view.cores ?? 1),
      memoryMiB: sum((view) => view.memoryMiB),
      swapMiB: sum((view) => view.swapMiB),
    },
    storages: storages.value,
    stranger: strangerFacts(effect, needs),
    self: record === undefined || !isRouteEffect(effect) ? undefined : needs.selfUse?.(record),
    holds: needs.holds,
  });
}

function recordOf(effect: Effect, registry: readonly GuestRecord[]): GuestRecord | undefined {
  if (effect.kind === 'guest-provision') return registry.find((record) => record.name === effect.desired.name);
  const guest = guestRefOf(effect);
  return guest === undefined ? undefined : registry.find((record) => record.uid === guest.uid);
}

/** What is at a VMID that a job wants to adopt, as the pass saw it. */
function strangerFacts(effect: Effect, { observation, registry }: GateFactsNeeds): FactsOfWorld['stranger'] {
  if (effect.kind !== 'guest-adopt' && effect.kind !== 'guest-re-register') return undefined;
  const seen = observation.seen.get(effect.vmid);
  if (seen?.is !== 'present') return undefined;
  return {
    vmid: effect.vmid,
    configDigest: seen.view.digest,
    volumes: [...seen.view.disks.map((disk) => disk.volid), ...seen.view.unused],
    onRecord: registry.some((record) => record.vmid === effect.vmid),
    nameTaken: effect.kind === 'guest-adopt' && registry.some((record) => record.name === effect.name),
  };
}

function guestFacts(record: GuestRecord, needs: GateFactsNeeds, view: GuestView | undefined): FactsOfWorld['guest'] {
  const { observation } = needs;
  const personStoppedAt = observation.personStops.get(record.vmid);
  const names = new Map(record.volumes.map((volume) => [volume.volid, volume.name]));
  const disks = view?.disks ?? [];
  return {
    record,
    identity: identityOf({
      record,
      row: observation.rows.get(record.vmid),
      seen: observation.seen.get(record.vmid) ?? { is: 'unreadable', why: 'it was not looked at' },
      foreignTasks: observation.foreignTasks.get(record.vmid) ?? [],
      personStoppedAt,
    }),
    seenVolumes: [...disks.map((disk) => disk.volid), ...(view?.unused ?? [])],
    mountPaths: new Map(disks.map((disk) => [names.get(disk.volid) ?? disk.key, disk.path])),
    sizeGiB: disks.reduce((total, disk) => total + (disk.sizeGiB ?? 0), 0),
    personStoppedAt,
  };
}

const gib = 2 ** 30;

/** Where the effect takes space; no other storage is woken for it. */
function storagesTaken(effect: Effect, registry: readonly GuestRecord[]): ReadonlySet<StorageId> {
  if (effect.kind === 'guest-provision') {
    const { rootfs, volumes } = effect.desired;
    return new Set([rootfs.storage, ...volumes.map((volume) => volume.storage)]);
  }
  // A snapshot grows on each of them.
  if (effect.kind === 'snapshot-take')
    return new Set(recordOf(effect, registry)?.volumes.map((volume) => storageOf(volume.volid)) ?? []);
  if (effect.kind === 'volume-add') return new Set([effect.volume.storage]);
  return new Set(effect.kind === 'volume-grow' ? [storageOf(effect.volid)] : []);
}

async function storageFacts(
  effect: Effect,
  { stores, policy, registry }: GateFactsNeeds,
  signal: AbortSignal,
): Promise<Outcome<ReadonlyMap<StorageId, StorageFacts>>> {
  const facts = new Map<StorageId, StorageFacts>();
  const taken = storagesTaken(effect, registry);
  if (taken.size === 0) return done(facts);
  const rows = await stores.list(signal);
  if (rows.is !== 'done') return rows;
  const usable = rows.value.filter(
    (row) => taken.has(row.storage) && policy?.storages.includes(row.storage) && row.active,
  );
  const contents = await Promise.all(usable.map((row) => stores.contents(row.storage, {}, signal)));
  for (const [at, row] of usable.entries()) {
    const items = contents[at];
    if (items?.is === 'done') facts.set(row.storage, factsOf(row, items.value));
    else if (items !== undefined) return items;
  }
  return done(facts);
}

/**
 * The token sees volumes of its own pool only, so what others have is known just by the space it really takes: the
 * larger of the two is the least that is certain.
 */
function factsOf(row: StorageRow, items: readonly StoreItem[]): StorageFacts {
  const volumes = items.filter((item) => item.content === 'rootdir' || item.content === 'images');
  const visible = volumes.reduce((total, item) => total + item.sizeBytes, 0);
  return {
    capacityGiB: row.totalBytes / gib,
    availableGiB: row.availableBytes / gib,
    virtualGiB: Math.max(visible, row.totalBytes - row.availableBytes) / gib,
  };
}

const unreadable = (record: GuestRecord): Reason =>
  reason(
    'gate.facts-unknown',
    `cannot decide anything now: guest ${record.name} (${record.vmid}) could not be read, so what this host has given out is not known`,
  );
