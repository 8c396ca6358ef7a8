/**
 * Sagas of backups on a fake node, without the agent around them: one guest that the agent brought up, then its journal
 * under a runner of its own. Power can be cut at any crash point; `boot` is the next life on the same journal.
 */
import {
  backup,
  createCatalogue,
  createFence,
  createGuestRegistry,
  createLanes,
  createPveClient,
  createRegistry,
  createRunner,
  createVmidClaims,
  deleteBackup,
  installPowerSwitch,
  pruneBackup,
  renewMarker,
  unprotectBackup,
} from '@felhom/agent';
import type {
  AnySaga,
  BackupNeeds,
  BackupParams,
  BackupRecord,
  CrashPoint,
  GuestRecord,
  PowerSwitch,
  Runner,
  SagaEnd,
  Transport,
} from '@felhom/agent';
import type { StorageId, VolumeId } from '@felhom/protocol';
import type { Pace } from '../fake-pve/core.ts';
import { labGuest } from './desired.ts';
import type { LabGuest } from './desired.ts';
import { createSimWorld, helperPort, sendTo } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

export interface BenchLife {
  readonly runner: Runner;
  readonly needs: BackupNeeds;
  readonly power: PowerSwitch;
  /** Ends of what the last life left open. */
  readonly recovered: readonly Promise<SagaEnd>[];
}

export interface BackupBench {
  readonly world: SimWorld;
  readonly vmid: number;
  /** Leases that are held: `<uid> <lease>`. */
  readonly leases: Set<string>;
  /** Leases that were told that the storage holds the state. */
  readonly captured: string[];
  /** The device that the tier declares. */
  device: string | undefined;
  /** What is known of the storage; nothing unless told. */
  targets: BackupNeeds['targets'];
  mayPrune: (record: BackupRecord) => boolean;
  life(): BenchLife;
  boot(cutsAt?: (point: CrashPoint, nth: number) => boolean): BenchLife;
  guest(): GuestRecord;
  params(extra?: Partial<BackupParams>): BackupParams;
  records(): readonly BackupRecord[];
  /** What the listing of the backup storage shows of the guest. */
  archives(): readonly { readonly file: string; readonly notes: string | undefined }[];
  /** Runs a saga to its end, letting time pass. */
  run(saga: AnySaga, params: unknown): Promise<SagaEnd>;
  /** Lets time pass until it has an answer. */
  ended<T>(promise: Promise<T>, ms?: number): Promise<T>;
}

const storage = 'backup' as StorageId;

/** A storage that nobody declared. */
export const undeclared: BackupNeeds['targets'] = {
  check: () => Promise.resolve(undefined),
  attachment: () => undefined,
  whileAttached: async (_, signal, work) => ({ is: 'ended', value: await work(signal) }),
};

export async function createBackupBench(
  options: { readonly seed?: number; readonly pace?: Partial<Pace>; readonly guest?: Partial<LabGuest> } = {},
): Promise<BackupBench> {
  const world = await createSimWorld({
    seed: options.seed ?? 1,
    ...(options.pace === undefined ? {} : { pace: options.pace }),
  });
  world.hub.publish([labGuest('web', options.guest)]);
  const { agent } = world.boot();
  if (!(await world.until(() => agent.report().converged, 300_000))) throw new Error('the guest did not come up');
  await world.clock.runUntil(agent.stop());
  world.cut();

  const leases = new Set<string>();
  const captured: string[] = [];
  let life: BenchLife | undefined;
  const now = (): BenchLife => {
    if (life === undefined) throw new Error('nothing runs');
    return life;
  };
  const guest = (): GuestRecord => {
    const [only] = now().needs.registry.all();
    if (only === undefined) throw new Error('there is no guest on record');
    return only;
  };
  const bench: BackupBench = {
    world,
    vmid: 0,
    leases,
    captured,
    device: undefined,
    targets: undeclared,
    mayPrune: () => true,
    life: now,
    guest,
    boot: (cutsAt) => {
      const power = installPowerSwitch(world.disk(), cutsAt);
      const transport = transportTo(world, power.off);
      const clock = {
        now: () => world.clock.now(),
        monotonicMs: () => world.clock.monotonicMs(),
        bootMs: () => world.clock.bootMs(),
        sleep: (ms: number, signal: AbortSignal) =>
          whilePowered(power.off, world.clock.sleep(ms, AbortSignal.any([signal, power.off]))),
      };
      const client = createPveClient({ transport, node: world.node.name, token: world.token, clock });
      const needs: BackupNeeds = {
        ...client,
        node: client.facts,
        helper: helperPort(world, power.off),
        registry: createGuestRegistry(power.journal),
        claims: createVmidClaims([], () => false),
        policy: () => world.policy,
        tokenId: world.tokenId,
        witness: { sample: () => Promise.reject(new Error('nobody looks')), watch: () => undefined },
        catalogue: createCatalogue(power.journal),
        manifests: { latest: () => undefined },
        leases: {
          isHeld: (uid, lease) => leases.has(`${uid} ${lease}`),
          captured: (uid, lease) => {
            captured.push(`${uid} ${lease}`);
          },
        },
        targets: bench.targets,
        tierOf: (name) =>
          name === 'local' ? { storage, ...(bench.device === undefined ? {} : { device: bench.device }) } : undefined,
        isMassChange: () => false,
        mayPrune: (record) => bench.mayPrune(record),
      };
      const runner = createRunner({
        journal: power.journal,
        fence: createFence(power.journal, clock),
        clock,
        random: world.random.fork(`bench ${world.clock.monotonicMs()}`),
        crashPoints: power.crashPoints,
        lanes: createLanes(clock),
        registry: createRegistry([backup, pruneBackup, deleteBackup, unprotectBackup, renewMarker]),
      });
      const recovered = runner.resumeAll(() => needs).map((saga) => saga.ended);
      life = { runner, needs, power, recovered };
      return life;
    },
    params: (extra = {}) => {
      const { uid, incarnation, name } = guest();
      return { guest: { uid, incarnation, name }, tier: 'local', storage, class: 'scheduled', ...extra };
    },
    records: () => now().needs.catalogue.all(),
    archives: () =>
      world.node.storage.archives
        .list(storage)
        .filter((one) => one.vmid === guest().vmid)
        .map(({ file }) => ({ file, notes: world.node.storage.archives.notes(`${storage}:backup/${file}`) })),
    run: (saga, params) => bench.ended(now().runner.start(saga, params, now().needs).ended),
    ended: async (promise, ms = 7_200_000) => {
      let settled = false;
      const watched = promise.finally(() => {
        settled = true;
      });
      watched.catch(() => undefined);
      if (!(await world.until(() => settled, ms))) throw new Error(`no end within ${ms} ms`);
      return watched;
    },
  };
  bench.boot();
  return Object.assign(bench, { vmid: guest().vmid });
}

/** The archive's id, as records have it. */
export const volidOf = (file: string): VolumeId => `${storage}:backup/${file}` as VolumeId;

function whilePowered<T>(off: AbortSignal, work: Promise<T>): Promise<T> {
  const gone = new Promise<never>(() => undefined);
  return work.then(
    (value) => (off.aborted ? gone : value),
    (error: unknown) => (off.aborted ? gone : Promise.reject(error as Error)),
  );
}

function transportTo(world: SimWorld, off: AbortSignal): Transport {
  return {
    send: (request, signal) => whilePowered(off, sendTo(world, request, signal)),
    close: () => Promise.resolve(),
  };
}
