/**
 * The whole agent on the node under test: its own journal in a folder that outlives the run, so that guests of a run
 * that broke off are known to the next one, which removes them.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { desiredState, digestOfText } from '@felhom/protocol';
import type { DesiredGuest, HostId } from '@felhom/protocol';
import { createAgent } from '../../src/agent.ts';
import type { Agent } from '../../src/agent-parts.ts';
import { createGuestRegistry } from '../../src/adapters/guest-registry/index.ts';
import { openJournal } from '../../src/adapters/sqlite-journal/index.ts';
import { systemRandom } from '../../src/adapters/system-clock/index.ts';
import { destroyWarrantFor } from '../../src/authority/index.ts';
import type { GuestRecord } from '../../src/authority/guest-record.ts';
import { riskReport } from '../../src/bring-up/index.ts';
import { viewOf } from '../../src/guests/index.ts';
import { hostPolicy } from '../../src/host-policy.ts';
import type { HostPolicy } from '../../src/host-policy.ts';
import { installPowerSwitch } from '../../src/kernel/index.ts';
import type { CrashPoint, PowerSwitch } from '../../src/kernel/index.ts';
import type { HostHelper } from '../../src/ports/host-helper.ts';
import { never, value } from './node-under-test.ts';
import type { NodeUnderTest } from './node-under-test.ts';
import type { PveSettings } from './environment.ts';
import { unsignedParts } from '../unsigned-parts.ts';

export interface Life {
  readonly agent: Agent;
  readonly power: PowerSwitch;
  end(): Promise<void>;
}

export interface AgentOnNode {
  readonly policy: HostPolicy;
  /** Of the journal. */
  readonly directory: string;
  /** A guest as small as the archive allows. */
  readonly guest: (name: string, extra?: Readonly<Record<string, unknown>>) => DesiredGuest;
  want(guests: readonly DesiredGuest[]): void;
  boot(cutsAt?: (point: CrashPoint) => boolean): Life;
  /** Waits on the real clock until it holds; false after `seconds`. */
  until(condition: () => boolean, seconds: number): Promise<boolean>;
  /** Stops and destroys every guest that the journal knows, each by a warrant for exactly its volumes. */
  cleanUp(): Promise<void>;
}

const lineage = 'testpvetestpvetestpvetestp';

export async function agentOnNode(node: NodeUnderTest, helper: HostHelper): Promise<AgentOnNode> {
  const { pve, settings, clock, archive, storage } = node;
  const kept = process.env['FELHOM_PVE_STATE'] ?? resolve(import.meta.dirname, '../../../../.cache/test-pve');
  const directory = join(kept, settings.node);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const archiveStorage = archive.slice(0, archive.indexOf(':')) as typeof storage;
  const listed = value(await pve.stores.contents(archiveStorage, { content: 'backup' }, never));
  const item = listed.find((candidate) => candidate.volid === archive);
  if (item === undefined) throw new Error(`cannot test the agent: ${archive} is not listed on ${archiveStorage}`);
  const rootfsGiB = Math.ceil(riskReport(value(await pve.stores.extractConfig(archive, never))).rootfsGiB ?? 2);
  const policy = hostPolicy.parse({
    v: 1,
    node: settings.node,
    pool: settings.pool,
    vmids: { guests: guestRange(settings), scratch: settings.scratch },
    bridges: [settings.bridge],
    storages: [storage],
    // The helper that could compare the digest is not part of the suite; the size is compared.
    goldens: { suite: { archive, sizeBytes: item.sizeBytes, sha256: '0'.repeat(64) } },
    limits: { overcommit: 1000, spaceFactor: 1, blastRadius: 50 },
    backups: { targets: { suite: { storage: node.backupStorage, class: 'fast' } } },
    // Nobody can look into a guest of this node from here, so that it boots is not waited for.
    restoreTests: { storage, memoryMiB: 256, bootSeconds: 15, healthySeconds: 15 },
  });
  const unsigned = unsignedParts();
  let text = '';
  let generation = 0;

  const boot: AgentOnNode['boot'] = (cutsAt) => {
    const journal = openJournal({ directory, clock, random: systemRandom() });
    const power = installPowerSwitch(journal, cutsAt);
    const agent = createAgent({
      host: 'test-pve' as HostId,
      version: 'test',
      journal: power.journal,
      crashPoints: power.crashPoints,
      clock,
      random: systemRandom(),
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      proxmox: pve,
      tokenId: settings.token.slice(0, settings.token.indexOf('=')),
      helper,
      ...unsigned,
      policy: () => policy,
      source: {
        is: 'file',
        open: () =>
          heldText(
            () => text,
            () => clock.now(),
          ),
      },
      reconcile: { intervalMs: 5_000, pauseMs: 500 },
      onHalt: () => undefined,
    });
    agent.start();
    return {
      agent,
      power,
      end: async () => {
        // Every end is a power loss: the harder case, and the journal has to stand it.
        power.cut();
        await agent.stop().catch(() => undefined);
        journal.close();
      },
    };
  };

  return {
    policy,
    directory,
    guest: (name, extra = {}) => {
      const state = desiredState.parse({
        v: 1,
        lineage,
        generation: 1,
        guests: [
          {
            name,
            golden: 'suite',
            hostname: name,
            cores: 1,
            memoryMiB: 256,
            rootfs: { storage, sizeGiB: rootfsGiB },
            networks: [{ name: 'eth0', bridge: settings.bridge, ipv4: 'dhcp' }],
            ...extra,
          },
        ],
      });
      return state.guests[0] as DesiredGuest;
    },
    want: (guests) => {
      generation += 1;
      text = JSON.stringify({ v: 1, lineage, generation, guests });
    },
    boot,
    until: async (condition, seconds) => {
      const end = clock.monotonicMs() + seconds * 1000;
      while (!condition()) {
        if (clock.monotonicMs() > end) return false;
        await clock.sleep(200, never);
      }
      return true;
    },
    cleanUp: async () => {
      const journal = openJournal({ directory, clock, random: systemRandom() });
      try {
        const registry = createGuestRegistry(journal);
        for (const record of registry.all()) {
          await destroy(node, helper, record);
          registry.remove(record.uid);
        }
      } finally {
        journal.close();
      }
    },
  };
}

/** Without the scratch range, where that lies at the end of the same one. */
function guestRange({ vmids, scratch }: PveSettings): PveSettings['vmids'] {
  const apart = scratch.from > vmids.to || scratch.to < vmids.from || scratch.from <= vmids.from;
  return apart ? vmids : { from: vmids.from, to: scratch.from - 1 };
}

/** Desired state that lies in memory, in the shape of the file on a standalone host. */
function heldText(read: () => string, now: () => number) {
  return {
    refresh: () => Promise.resolve(true),
    held: () => {
      const text = read();
      if (text === '') return { is: 'never-received' as const };
      return {
        is: 'held' as const,
        state: desiredState.parse(JSON.parse(text)),
        digest: digestOfText(text),
        receivedAt: now(),
        text,
      };
    },
    refusal: () => undefined,
  };
}

/** What an operator's signature will allow one day; here the suite itself answers for its own guests. */
async function destroy(node: NodeUnderTest, helper: HostHelper, record: GuestRecord): Promise<void> {
  const { pve } = node;
  const { vmid } = record;
  const read = value(await pve.reader.config(vmid, { current: true }, never));
  if (read.is !== 'present') return;
  const view = viewOf(read.config);
  if (view.marker?.uid !== record.uid) throw new Error(`cannot clean up CT ${vmid}: it is not the suite's guest`);
  const listed = value(await helper.volumesOf(vmid, never));
  const decision = destroyWarrantFor(
    {
      vmid,
      uid: record.uid,
      incarnation: record.incarnation,
      marker: record.marker,
      allocated: record.volumes.map((volume) => volume.volid),
      carriedOver: [],
      listedBeforeCreate: undefined,
    },
    {
      vmid,
      marker: { is: 'present', uid: view.marker.uid, incarnation: view.marker.incarnation, n: view.marker.marker },
      config: view.disks.map((disk) => disk.volid),
      pending: [],
      unused: view.unused,
      listed,
    },
  );
  if (decision.is !== 'warranted') throw new Error(decision.why.text);
  const stopping = await pve.writer.stop(vmid, never);
  if (stopping.is === 'done' && stopping.value !== undefined) await node.wait(stopping);
  const end = await node.wait(await pve.destroyer.destroy(decision.warrant, never));
  if (end.verdict.is !== 'ok') throw new Error(`cannot destroy CT ${vmid}: ${end.logTail.join('\n')}`);
  value(await helper.poolEnsure(`test-pve.agent.${record.uid}`, vmid, never));
}
