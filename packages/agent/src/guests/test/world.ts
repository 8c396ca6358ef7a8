/** Stand-in node, memory journal and the real runner, on a clock that passes as fast as it is asked. */
import { desiredGuest, digest, guestName } from '@felhom/protocol';
import type { DesiredGuest } from '@felhom/protocol';
import type { z } from 'zod';
import type { GuestRecord, GuestRegistry } from '../../authority/guest-record.ts';
import { hostPolicy } from '../../host-policy.ts';
import { createFence, createLanes, createRunner, foldSaga, noCrashPoints } from '../../kernel/index.ts';
import type { AnySaga, Clock, CrashPoint, Random, SagaEnd } from '../../kernel/index.ts';
import { createSagaRegistry } from '../../saga-registry.ts';
import type { GuestNeeds } from '../needs.ts';
import { createVmidClaims } from '../vmid-claims.ts';
import { memoryJournal } from './memory-journal.ts';
import type { MemoryJournal } from './memory-journal.ts';
import { goldenArchive, StandInNode, tokenId } from './stand-in-node.ts';

export const testPolicy = hostPolicy.parse({
  v: 1,
  node: 'pve1',
  pool: 'felhom',
  vmids: { guests: { from: 9000, to: 9019 }, scratch: { from: 9020, to: 9029 } },
  bridges: ['vmbr0'],
  storages: ['local'],
  goldens: { 'debian-1': { archive: goldenArchive, sizeBytes: 1000, sha256: digest.parse('0'.repeat(64)) } },
});

export function wish(over: Partial<z.input<typeof desiredGuest>> = {}): DesiredGuest {
  return desiredGuest.parse({
    name: 'photos',
    golden: 'debian-1',
    hostname: 'photos',
    cores: 2,
    memoryMiB: 1024,
    rootfs: { storage: 'local', sizeGiB: 8 },
    volumes: [
      { name: 'data', path: '/srv/data', storage: 'local', sizeGiB: 20, backup: true },
      { name: 'bulk', path: '/srv/bulk', storage: 'local', sizeGiB: 100, backup: false },
    ],
    networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp', firewall: false }],
    tags: ['felhom'],
    label: 'Photos of the family',
    ...over,
  });
}

export const photos = guestName.parse('photos');

export class World {
  now = 1_800_000_000_000;
  readonly node = new StandInNode(() => this.now);
  journal: MemoryJournal = memoryJournal();
  crashAt: CrashPoint | undefined;
  crashed = false;
  #seed = 1;

  readonly clock: { -readonly [K in keyof Clock]: Clock[K] } = {
    now: () => this.now,
    monotonicMs: () => this.now,
    bootMs: () => this.now,
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      this.now += ms;
    },
  };
  readonly random: Random = {
    bytes: (count) => Uint8Array.from({ length: count }, () => (this.#seed = (this.#seed * 75 + 74) % 65_537) & 255),
  };

  readonly registry: GuestRegistry = {
    all: () => this.journal.list('guest/').map((document) => document.body as GuestRecord),
    byName: (name) => this.registry.all().find((record) => record.name === name),
    byUid: (uid) => this.registry.all().find((record) => record.uid === uid),
    byVmid: (vmid) => this.registry.all().find((record) => record.vmid === vmid),
    put: (record) => this.journal.put({ key: `guest/${record.uid}`, v: 1, body: record }),
    remove: (uid) => this.journal.remove(`guest/${uid}`),
  };

  needs(): GuestNeeds & { issuing: unknown } {
    const open = this.journal.openSagas().flatMap((id) => {
      const log = foldSaga(this.journal.recordsOf(id));
      return log === undefined ? [] : [{ sagaId: id, lanes: log.lanes, state: log.state }];
    });
    return {
      reader: this.node.reader,
      writer: this.node.writer,
      destroyer: this.node.destroyer,
      tasks: this.node.pveTasks,
      stores: this.node.stores,
      node: this.node.node,
      helper: this.node.helper,
      registry: this.registry,
      claims: createVmidClaims(open, (id) => this.journal.openSagas().includes(id)),
      policy: () => testPolicy,
      tokenId,
      // Nobody finds this host, so nobody is given a claim.
      issuing: {
        claims: { mint: () => '', forget: () => {}, lookedAtEnv: () => {} },
        supportsEnv: () => false,
        contact: () => undefined,
      },
    };
  }

  #runner() {
    const { journal, clock, random } = this;
    return createRunner({
      journal,
      clock,
      random,
      fence: createFence(journal, clock),
      lanes: createLanes(clock),
      registry: createSagaRegistry(),
      crashPoints:
        this.crashAt === undefined
          ? noCrashPoints
          : {
              reached: (point) => {
                if (point !== this.crashAt || this.crashed) return;
                this.crashed = true;
                journal.cutPower();
                throw new Error('power is off');
              },
            },
    });
  }

  run(definition: AnySaga, params: unknown): Promise<SagaEnd> {
    return this.#runner().start(definition, params, this.needs()).ended;
  }

  /** Power back: the same disk, a new process. */
  async reboot(): Promise<readonly SagaEnd[]> {
    this.journal = this.journal.reopen();
    const needs = this.needs();
    return Promise.all(
      this.#runner()
        .resumeAll(() => needs)
        .map((recovered) => recovered.ended),
    );
  }
}
