import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import type { BackupRecord } from '../catalogue/index.ts';
import { day, hour, record } from '../catalogue/test/builders.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { Integrity } from '../backups/integrity.ts';
import { createReReader } from './re-reader.ts';

const never = new AbortController().signal;

function bench(records: readonly BackupRecord[], answer: (id: string) => Outcome<Integrity>) {
  const kept = new Map(records.map((one) => [one.id, one]));
  const read: string[] = [];
  let now = 100 * day;
  const reader = createReReader({
    catalogue: {
      all: () => [...kept.values()],
      byId: (id) => kept.get(id),
      put: (changed) => void kept.set(changed.id, changed),
    },
    away: () => undefined,
    clock: { now: () => now, monotonicMs: () => now },
    log: { warn: () => undefined },
    budget: { bytesPerStorage: 2 ** 40, everyMs: 7 * day },
    reRead: async (one) => {
      read.push(one.id[0] ?? '');
      return answer(one.id);
    },
  });
  const round = async (doubted: readonly string[] = [], passed = 0): Promise<string> => {
    now += passed;
    const before = read.length;
    reader.next(new Set(doubted), never);
    await new Promise(setImmediate);
    return read.slice(before).join('');
  };
  return { round, kept };
}

const ok: Outcome<Integrity> = done({ at: 100 * day, is: 'ok', text: '' });
const nobody: Outcome<Integrity> = unknown(reason('pve.storage-offline', 'cannot look: it is offline'));
const old = (letter: string, startedAt: number): BackupRecord => {
  const { integrity: _, ...rest } = record(letter, startedAt);
  return rest;
};

test('what nobody can look at rests for an hour, and the others get their turn', async () => {
  const [a, b] = [old('a', day), old('b', 2 * day)];
  const { round } = bench([a, b], (id) => (id === a.id ? nobody : ok));
  assert.deepEqual([await round(), await round(), await round(), await round([], hour)], ['a', 'b', '', 'a']);
});

test('what a listing contradicts is looked at first, once a day, and root has the last word', async () => {
  const fresh = record('f', 100 * day - hour);
  const { round, kept } = bench([old('a', day), fresh], () => ok);
  const doubted = [fresh.id];
  assert.deepEqual([await round(doubted), await round(doubted), await round(doubted)], ['f', 'a', '']);
  assert.equal(kept.get(fresh.id)?.integrity?.is, 'ok');
  assert.equal(await round(doubted, day), 'f');
});
