import { test } from 'node:test';
import assert from 'node:assert/strict';
import { desiredState, reason } from '@felhom/protocol';
import type { HeldDesiredState } from '@felhom/protocol';
import type { Submission } from '../admission/index.ts';
import type { GuestEffect } from '../authority/effects.ts';
import { testPolicy, wish } from '../guests/test/world.ts';
import type { SagaEnd } from '../kernel/index.ts';
import { done } from '../kernel/saga.ts';
import { newPassMemory, pass } from './pass.ts';
import type { PassNeeds } from './pass.ts';

const state = desiredState.parse({ v: 1, lineage: 'a'.repeat(26), generation: 1, guests: [wish()] });

function needs(answer: (effect: GuestEffect) => Submission, over: Partial<PassNeeds> = {}) {
  const seen = { asked: [] as string[], wakes: 0, now: 1_000_000 };
  const made: PassNeeds = {
    reader: { list: async () => done([]), config: async () => done({ is: 'absent' }), pending: async () => done([]) },
    tasks: { find: async () => done([]) },
    node: { time: async () => done(1_000) },
    tokenId: 'felhom@pve!agent',
    desired: (): HeldDesiredState => ({ is: 'held', state, digest: 'd', receivedAt: 0 }),
    registry: () => [],
    policy: () => testPolicy,
    inFlight: () => ({ names: new Set(), vmids: new Set() }),
    submit: async (effect) => {
      seen.asked.push(effect.kind);
      return answer(effect);
    },
    now: () => seen.now,
    sawServing: () => {},
    wake: () => void seen.wakes++,
    ...over,
  };
  return { made, seen };
}

const signal = new AbortController().signal;
const started = (end: SagaEnd): Submission => ({ is: 'started', saga: 's', ended: Promise.resolve(end) });
const why = reason('guest.archive-corrupt', 'cannot bring up guest photos: it is corrupt');

test('what differs is submitted, and a pass does not wait for the saga', async () => {
  const never = new Promise<SagaEnd>(() => {});
  const { made, seen } = needs(() => ({ is: 'started', saga: 's', ended: never }));
  const report = await pass(made, newPassMemory(), signal);
  assert.deepEqual(seen.asked, ['guest-provision']);
  assert.equal(report.converged, false);
});

test('what ended unwound is held back and said, until its time has come', async () => {
  const { made, seen } = needs(() => started({ is: 'unwound', why }));
  const memory = newPassMemory();
  await pass(made, memory, signal);
  await new Promise(setImmediate);
  assert.equal(seen.wakes, 1);
  const second = await pass(made, memory, signal);
  assert.deepEqual(seen.asked, ['guest-provision']);
  assert.deepEqual(
    second.findings.map((finding) => finding.key),
    ['guest.failed.guest-provision'],
  );
  seen.now += 3_600_000;
  await pass(made, memory, signal);
  assert.equal(seen.asked.length, 2);
});

test('a refusal is a finding that keeps its since, and is asked again', async () => {
  const { made, seen } = needs(() => ({ is: 'refused', why }));
  const memory = newPassMemory();
  await pass(made, memory, signal);
  seen.now += 30_000;
  const { findings } = await pass(made, memory, signal);
  assert.deepEqual(
    findings.map((finding) => [finding.key, finding.since]),
    [['guest.refused.guest-provision', 1_000_000]],
  );
  assert.equal(seen.asked.length, 2);
});

test('an empty, held document on an empty host is converged; never received is not', async () => {
  const empty = desiredState.parse({ v: 1, lineage: 'a'.repeat(26), generation: 1, guests: [] });
  const held = needs(() => assert.fail('nothing to ask'), {
    desired: () => ({ is: 'held', state: empty, digest: 'd', receivedAt: 0 }),
  });
  assert.equal((await pass(held.made, newPassMemory(), signal)).converged, true);
  const never = needs(() => assert.fail('nothing to ask'), { desired: () => ({ is: 'never-received' }) });
  assert.equal((await pass(never.made, newPassMemory(), signal)).converged, false);
});

test('an aborted pass submits nothing more', async () => {
  const { made, seen } = needs(() => assert.fail('nothing to ask'));
  await assert.rejects(pass(made, newPassMemory(), AbortSignal.abort(new Error('stop'))));
  assert.deepEqual(seen.asked, []);
});
