/**
 * A backup becomes a guest of its own beside its source: a new uid, fresh MACs, no outward identity [R47]. What its
 * source serves it never serves; the early-boot unit inside obeys `FELHOM_IDENTITY=fresh`, so a release of Proxmox that
 * cannot pass it is refused. Volumes that the backup does not hold are not there.
 *
 *   assess, restore, audit, fit, connect, enable, start, up (pivot), register
 */
import { z } from 'zod';
import { digest, guestName, reason, volumeId } from '@felhom/protocol';
import type { Digest, GuestName, StorageId, VolumeId } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import { supportsEnv } from '../bring-up/identity-policy.ts';
import { markerOf, parseArchivedConfig, restoreFront, want } from '../bring-up/index.ts';
import type { RestoreFrontState, RestorePlan } from '../bring-up/index.ts';
import { formatProperties } from '../guests/property-string.ts';
import { diskKey, formatDescription, formatWithLink, netKey, parseDisk, parseNet } from '../guests/pve-config.ts';
import type { DiskView, GuestView } from '../guests/pve-config.ts';
import { guestRef } from '../guests/registered.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { assessBackup } from './assess-backup.ts';
import type { RestoreNeeds } from './needs.ts';
import { setFlag } from './place.ts';
import type { Standing } from './place.ts';
import { roomFor } from './room.ts';
import { seenUp, upStep, writeStep } from './steps.ts';

const params = z.strictObject({
  guest: guestRef,
  backup: z.strictObject({ archive: volumeId, sha256: digest }),
  name: guestName,
  jobId: z.string().min(1).max(80),
});

export interface RestoreCopyParams {
  /** Whose backup it is. */
  readonly guest: GuestRef;
  readonly backup: { readonly archive: VolumeId; readonly sha256: Digest };
  /** Of the copy. */
  readonly name: GuestName;
  readonly jobId: string;
}

export interface RestoreCopyState extends RestoreFrontState {
  /** Raw values of the call, all but the description. */
  readonly call: Readonly<Record<string, string>>;
  readonly storage: StorageId;
  readonly pveVersion: string;
  readonly golden: string;
  readonly digest: string;
  readonly healthyAt: number;
}

type P = RestoreCopyParams;
type S = RestoreCopyState;
type Context = StepContext<P, S, RestoreNeeds>;

const copy = (ctx: Context): Standing => ({ vmid: want(ctx, 'vmid'), marker: markerOf(ctx) });
const since = (ctx: Context): number => want(ctx, 'since');

export const restoreCopy: SagaDefinition<P, S, RestoreNeeds> = {
  name: 'restore-copy',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  // Its source is only read about; the archive belongs to nobody's lane.
  lanes: ({ name }) => [laneOf({ name })],
  attemptCap: patientAttempts,
  steps: [
    { name: 'assess', readOnly: true, run: assess },
    ...restoreFront<P, S, RestoreNeeds>({ planOf: (ctx) => Promise.resolve(done(planOf(ctx))) }),
    writeStep<P, S>('fit', {
      to: (ctx) => ({
        ...copy(ctx),
        what: 'settings',
        missing: (view) => ({ set: {}, delete: want(ctx, 'strips').filter((key) => view.rawKeys.includes(key)) }),
      }),
    }),
    writeStep<P, S>('connect', {
      to: (ctx) => ({ ...copy(ctx), what: 'links', missing: (view) => ({ set: linksUp(view), delete: [] }) }),
    }),
    // Before its start: nobody asks for a copy yet, so after a reboot of the node nobody else would start it.
    writeStep<P, S>('enable', {
      to: (ctx) => ({
        ...copy(ctx),
        what: 'start at boot',
        missing: (view) => ({ set: setFlag(view, 'onboot', true), delete: [] }),
      }),
      keep: (view) => ({ digest: view.digest }),
    }),
    upStep<P, S>('start', { of: copy, since }),
    seenUp<P, S>('up', { pivot: true, of: copy, keep: (ctx) => ({ healthyAt: ctx.clock.now() }) }),
    { name: 'register', readOnly: true, run: register },
  ],
};

const linksUp = (view: GuestView): Record<string, string> =>
  Object.fromEntries(view.networks.filter((net) => net.linkDown).map((net) => [net.key, formatWithLink(net, 'up')]));

async function assess(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<S>>> {
  const { needs, params: asked } = ctx;
  const cannot = `cannot restore a copy of guest ${asked.guest.name}`;
  if (needs.registry.byName(asked.name) !== undefined)
    return refused(reason('gate.name-in-use', `${cannot}: guest ${asked.name} exists already`));
  const backup = await assessBackup(ctx, asked.guest, asked.backup, signal);
  if (backup.is !== 'done') return backup;
  const { archivedConfig, pveVersion } = backup.value;
  if (!supportsEnv(pveVersion))
    return refused(
      reason(
        'restore.refused',
        `${cannot}: Proxmox VE ${pveVersion} cannot tell it that it is one, so it would speak as its source; 9.1 can`,
      ),
    );
  const storages = await needs.stores.list(signal);
  if (storages.is !== 'done') return storages;
  const archived = parseArchivedConfig(archivedConfig);
  const policy = needs.policy();
  const [anyBridge] = policy.bridges;
  const [anyStorage] = policy.storages;
  if (anyStorage === undefined || anyBridge === undefined)
    return refused(reason('restore.refused', `${cannot}: the policy names no storage or no bridge`));
  const call: Record<string, string> = { hostname: asked.name, onboot: '0', protection: '0' };
  for (const key of ['cores', 'memory', 'swap']) {
    const value = archived.get(key);
    if (value !== undefined) call[key] = value;
  }
  const room: { storage: StorageId; sizeGiB: number }[] = [];
  for (const [key, value] of archived) {
    if (netKey.test(key)) call[key] = freshNet(key, value, policy.bridges, anyBridge);
    if (!diskKey.test(key)) continue;
    const disk = parseDisk(key, value);
    if (!disk.backup) continue;
    const storage = policy.storages.includes(disk.storage) ? disk.storage : anyStorage;
    if (disk.sizeGiB === undefined || disk.sizeGiB <= 0)
      return refused(reason('restore.refused', `${cannot}: its backup does not say how large ${disk.path} is`));
    call[key] = freshDisk(disk, storage, disk.sizeGiB);
    room.push({ storage, sizeGiB: disk.sizeGiB });
  }
  const enough = roomFor(needs, cannot, room, storages.value);
  if (enough.is !== 'done') return enough;
  const source = needs.registry.byUid(asked.guest.uid);
  return done({ call, storage: room[0]?.storage ?? anyStorage, pveVersion, golden: source?.golden ?? '' });
}

/** A MAC that Proxmox draws, an address that nobody has yet, and no link until the audit. */
function freshNet(key: string, value: string, bridges: readonly string[], anyBridge: string): string {
  const net = parseNet(key, value);
  const raw = new Map([
    ['name', net.name || `eth${key.slice('net'.length)}`],
    ['bridge', net.bridge !== undefined && bridges.includes(net.bridge) ? net.bridge : anyBridge],
  ]);
  if (net.firewall) raw.set('firewall', '1');
  return formatProperties(raw.set('ip', 'dhcp').set('link_down', '1'));
}

function freshDisk(disk: DiskView, storage: StorageId, sizeGiB: number): string {
  const raw = new Map(disk.raw);
  raw.delete('size');
  return formatProperties(raw.set('volume', `${storage}:${sizeGiB}`), 'volume');
}

function planOf(ctx: Context): RestorePlan {
  const { name, guest, backup } = ctx.params;
  return {
    words: { goal: `restore a copy of guest ${guest.name}`, guest: `guest ${name}`, source: 'backup' },
    archive: backup.archive,
    storage: want(ctx, 'storage'),
    range: 'guests',
    incarnation: 1,
    scenario: 'copy',
    pveVersion: want(ctx, 'pveVersion'),
    values: (marker) => ({ ...want(ctx, 'call'), description: formatDescription(marker, `copy of ${guest.name}`) }),
  };
}

async function register(ctx: Context): Promise<Outcome<Partial<S>>> {
  const { needs, params: asked } = ctx;
  const healthyAt = want(ctx, 'healthyAt');
  const marker = markerOf(ctx);
  const vmid = want(ctx, 'vmid');
  needs.restores.put({
    id: ctx.sagaId,
    kind: 'copy',
    guest: { uid: marker.uid, name: asked.name },
    state: 'finished',
    at: healthyAt,
    backup: asked.backup,
    jobId: asked.jobId,
    new: { vmid, incarnation: marker.incarnation },
    bulk: [],
  });
  const source = needs.registry.byUid(asked.guest.uid);
  const nameOf = (key: string): string => source?.volumes.find((volume) => volume.key === key)?.name ?? key;
  needs.registry.put({
    ...marker,
    name: asked.name,
    vmid,
    golden: want(ctx, 'golden'),
    volumes: want(ctx, 'volumes').map((volume) => ({ ...volume, name: nameOf(volume.key) })),
    servedAt: healthyAt,
    configDigest: want(ctx, 'digest'),
    createdAt: ctx.startedAt,
    scratch: false,
  });
  needs.claims.release(ctx.sagaId);
  return done({});
}
