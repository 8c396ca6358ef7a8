import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import type { GuestName, GuestUid, StorageId, Vmid } from '@felhom/protocol';
import type { Effect } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { testPolicy, wish } from '../guests/test/world.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { StorageRow } from '../ports/proxmox.ts';
import { gatherFacts } from './gate-facts.ts';
import type { GateFactsNeeds } from './gate-facts.ts';

const storage = (name: string): StorageRow => ({
  storage: name as StorageId,
  type: 'dir',
  content: ['rootdir'],
  active: true,
  enabled: true,
  totalBytes: 100 * 2 ** 30,
  availableBytes: 60 * 2 ** 30,
});

/** Facts for the effect, and which storages were woken for them. */
async function ask(effect: Effect, list: GateFactsNeeds['stores']['list'], registry: GateFactsNeeds['registry'] = []) {
  const woken: string[] = [];
  const facts = await gatherFacts(
    effect,
    {
      stores: {
        list: (signal) => {
          woken.push('list');
          return list(signal);
        },
        contents: async (name) => {
          woken.push(name);
          return done([]);
        },
      },
      hostEpoch: 'e',
      holds: { host: false, guests: [] },
      policy: { ...testPolicy, storages: ['local', 'nas'] as StorageId[] },
      registry,
      observation: {
        problem: undefined,
        rows: new Map(),
        seen: new Map(),
        pending: new Map(),
        foreignTasks: new Map(),
        personStops: new Map(),
      },
    },
    new AbortController().signal,
  );
  return { facts, woken };
}

const provision: Effect = { kind: 'guest-provision', desired: wish() };
const guest = { uid: 'u' as GuestUid, incarnation: 1, name: 'photos' as GuestName };
const all = async () => done([storage('local'), storage('nas'), storage('somebody-elses')]);

test('only storages that the effect takes space on are looked at', async () => {
  const { facts, woken } = await ask(provision, all);
  assert.deepEqual(woken, ['list', 'local']);
  assert.ok(facts.is === 'done');
  assert.deepEqual([...facts.value.storages], [['local', { capacityGiB: 100, availableGiB: 60, virtualGiB: 40 }]]);
});

test('an effect that takes no space wakes no storage', async () => {
  const { facts, woken } = await ask({ kind: 'guest-start', guest }, all);
  assert.deepEqual(woken, []);
  assert.equal(facts.is, 'done');
});

test('storages that cannot be listed leave nothing to decide on', async () => {
  const { facts } = await ask(provision, async () => unknown(reason('pve.timeout', 'cannot list storages')));
  assert.equal(facts.is, 'unknown');
});

test('a guest that cannot be read spoils the sums, and only what is judged by them is refused', async () => {
  const hidden: GuestRecord = {
    ...guest,
    uid: 'v' as GuestUid,
    name: 'hidden' as GuestName,
    vmid: 9001 as Vmid,
    marker: 'n',
    golden: 'debian-1',
    volumes: [],
    servedAt: 1,
    configDigest: 'd',
    createdAt: 0,
    scratch: false,
  };
  const kinds: readonly (readonly [Effect, 'done' | 'refused'])[] = [
    [provision, 'refused'],
    [{ kind: 'memory-up', guest, from: 1, to: 2 }, 'refused'],
    [{ kind: 'cpu-up', guest, from: 1, to: 2 }, 'refused'],
    [{ kind: 'swap-up', guest, from: 1, to: 2 }, 'refused'],
    [{ kind: 'guest-start', guest }, 'done'],
  ];
  for (const [effect, expect] of kinds) assert.equal((await ask(effect, all, [hidden])).facts.is, expect, effect.kind);
});
