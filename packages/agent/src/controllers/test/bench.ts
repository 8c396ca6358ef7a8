/** One host for the tests of this room: stand-in node, memory journal, the real runner, a guest on record. */
import { desiredGuest, digest, guestName, guestUid, reason } from '@felhom/protocol';
import type { ControllerStatus, DesiredGuest, Digest, Upid, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../../authority/guest-record.ts';
import { markerLine, refOf } from '../../authority/guest-record.ts';
import { World, testPolicy } from '../../guests/test/world.ts';
import {
  createFence,
  createLanes,
  createRegistry,
  createRunner,
  done,
  noCrashPoints,
  refused,
} from '../../kernel/index.ts';
import type { AnySaga, CrashPoint, SagaEnd } from '../../kernel/index.ts';
import type { SnapshotRow } from '../../ports/proxmox.ts';
import { supportsEnv } from '../../bring-up/identity-policy.ts';
import { createClaims } from '../claims.ts';
import { createControllers } from '../controllers.ts';
import type { ControllerRelease } from '../controllers.ts';
import { dropClaim } from '../drop-claim.saga.ts';
import { issueClaim } from '../issue-claim.saga.ts';
import { createRestarts } from '../restarts.ts';
import { createTokens } from '../tokens.ts';
import { updateController } from '../update-controller.saga.ts';
import type { UpdateControllerNeeds } from '../update-controller.saga.ts';

export const uid = guestUid.parse('a'.repeat(26));
export const other = guestUid.parse('b'.repeat(26));
export const mailUid = guestUid.parse('c'.repeat(26));

export const photosRecord: GuestRecord = {
  uid,
  incarnation: 1,
  marker: 'm'.repeat(16),
  name: guestName.parse('photos'),
  vmid: 9000 as Vmid,
  golden: 'debian-1',
  volumes: [],
  servedAt: 1,
  configDigest: 'first',
  createdAt: 1,
  scratch: false,
};
export const photosRef = refOf(photosRecord);

export const images: Readonly<Record<string, Digest>> = {
  '1.0.0': digest.parse('1'.repeat(64)),
  '1.1.0': digest.parse('2'.repeat(64)),
  '1.2.0': digest.parse('3'.repeat(64)),
};

export const releaseOf = (version: string): ControllerRelease => ({
  manifest: { role: 'apps', version, digests: [images[version] ?? digest.parse('f'.repeat(64))] },
  payload: 'e30=',
  signatures: ['signed'],
});

export const wanted = (config: Readonly<Record<string, string>> = {}): DesiredGuest =>
  desiredGuest.parse({
    name: 'photos',
    golden: 'debian-1',
    hostname: 'photos',
    cores: 1,
    memoryMiB: 512,
    rootfs: { storage: 'local', sizeGiB: 4 },
    networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
    controller: { role: 'apps', config },
  });

export const says = (over: Partial<ControllerStatus>): ControllerStatus => ({
  generation: 1,
  digest: images['1.0.0'] ?? null,
  health: 'healthy',
  restarts: 0,
  quiesced: false,
  stoppedStacks: [],
  ...over,
});

export class Bench extends World {
  release: ControllerRelease | undefined = releaseOf('1.0.0');
  desired: DesiredGuest | undefined = wanted();
  contact: { address: string; spkiSha256: string } | undefined = {
    address: '10.0.0.1:8470',
    spkiSha256: 'd'.repeat(64),
  };
  snapshots: SnapshotRow[] = [];
  snapshotsPossible = true;
  /** So many workers of snapshots die half-way. */
  tornSnapshots = 0;
  noted: string[] = [];
  /** What the guest was started with; what changed since is pending. */
  activeEnv: string | undefined = 'as configured';
  readonly claims = createClaims({
    documents: this.documents(),
    clock: this.clock,
    random: this.random,
    claimMinutes: () => 10,
  });
  readonly tokens = createTokens({
    documents: this.documents(),
    clock: this.clock,
    random: this.random,
    registry: this.registry,
  });
  readonly restarts = createRestarts(this.documents(), this.clock);
  readonly controllers = createControllers({
    documents: this.documents(),
    clock: this.clock,
    registry: this.registry,
    release: () => this.release,
    desiredGuest: () => this.desired,
  });

  /** The journal of now: a reboot opens it again. */
  documents() {
    return {
      get: (key: string) => this.journal.get(key),
      put: (document: Parameters<World['journal']['put']>[0]) => this.journal.put(document),
      remove: (key: string) => this.journal.remove(key),
      list: (prefix: string) => this.journal.list(prefix),
    };
  }

  /** The guest runs, as recorded. */
  withGuest(record: GuestRecord = photosRecord): this {
    this.node.guests.set(record.vmid, {
      values: {
        description: `${markerLine(record)}\n`,
        hostname: record.name,
        rootfs: `local:${record.vmid}/vm-${record.vmid}-disk-0.raw,size=4G`,
        env: 'FELHOM_IDENTITY=continue',
      },
      lock: undefined,
      running: true,
      uptime: 5,
    });
    this.node.volumes.set(`local:${record.vmid}/vm-${record.vmid}-disk-0.raw` as VolumeId, record.vmid);
    this.registry.put(record);
    return this;
  }

  env(vmid = 9000): string | undefined {
    return this.node.guests.get(vmid)?.values['env'];
  }

  claimNeeds(): UpdateControllerNeeds & Parameters<NonNullable<(typeof issueClaim.steps)[0]['run']>>[0]['needs'] {
    const plain = this.needs();
    return {
      ...plain,
      reader: {
        ...plain.reader,
        config: async (vmid, options, signal) => {
          const read = await plain.reader.config(vmid, options, signal);
          if (!options.current || this.activeEnv === 'as configured') return read;
          if (read.is !== 'done' || read.value.is !== 'present') return read;
          const values: Record<string, string> = { ...read.value.config.values };
          delete values['env'];
          if (this.activeEnv !== undefined) values['env'] = this.activeEnv;
          return done({ is: 'present', config: { ...read.value.config, values } });
        },
      },
      helper: {
        ...plain.helper,
        unlock: async (_, vmid) => {
          const guest = this.node.guests.get(vmid);
          if (guest !== undefined) guest.lock = undefined;
          return done(undefined);
        },
      },
      issuing: { claims: this.claims, supportsEnv, contact: () => this.contact },
      restarts: this.restarts,
      controllers: this.controllers,
      noteCheckpoint: (_, name) => void this.noted.push(name),
      policy: () => testPolicy,
      snapshots: {
        list: async () => done(this.snapshots),
        possible: async () => done(this.snapshotsPossible),
        take: async (vmid, name, description) => {
          const torn = this.tornSnapshots-- > 0;
          const takenAt = torn ? undefined : Math.floor(this.now / 1000);
          this.snapshots.push({ name, description, takenAt, parent: undefined, state: torn ? 'prepare' : undefined });
          const guest = this.node.guests.get(vmid);
          if (torn && guest !== undefined) guest.lock = 'snapshot';
          // The stand-in has no tasks of this kind: a start of what runs gives one that has ended well.
          return done(this.#endedTask(vmid));
        },
        drop: async (vmid, name) => {
          if (this.node.guests.get(vmid)?.lock !== undefined)
            return refused(reason('pve.guest-locked', `cannot drop snapshot ${name}: CT ${vmid} is locked`));
          this.snapshots = this.snapshots.filter((one) => one.name !== name);
          return done(this.#endedTask(vmid));
        },
      },
    };
  }

  #endedTask(vmid: number): Upid {
    const guest = this.node.guests.get(vmid);
    if (guest !== undefined) guest.running = false;
    void this.node.writer.start(vmid as Vmid, new AbortController().signal);
    return this.node.tasks.at(-1)?.upid ?? ('' as Upid);
  }

  #runnerOf(more: readonly AnySaga[]) {
    const { journal, clock, random } = this;
    return createRunner({
      journal,
      clock,
      random,
      fence: createFence(journal, clock),
      lanes: createLanes(clock),
      registry: createRegistry([issueClaim, dropClaim, updateController, ...more]),
      crashPoints:
        this.crashAt === undefined
          ? noCrashPoints
          : {
              reached: (point: CrashPoint) => {
                if (point !== this.crashAt || this.crashed) return;
                this.crashed = true;
                journal.cutPower();
                throw new Error('power is off');
              },
            },
    });
  }

  carryOut(definition: AnySaga, params: unknown): Promise<SagaEnd> {
    const known = [issueClaim, dropClaim, updateController].some(({ name }) => name === definition.name);
    return this.#runnerOf(known ? [] : [definition]).start(definition, params, this.claimNeeds()).ended;
  }

  async goOn(more: readonly AnySaga[] = []): Promise<readonly SagaEnd[]> {
    this.journal = this.journal.reopen();
    const needs = this.claimNeeds();
    return Promise.all(
      this.#runnerOf(more)
        .resumeAll(() => needs)
        .map(({ ended }) => ended),
    );
  }

  /** Everything that lies on the disk, as text. */
  disk(): string {
    const sagas = this.journal.recentSagas(100).flatMap((saga) => this.journal.recordsOf(saga));
    return JSON.stringify([sagas, this.journal.list('')]);
  }
}
