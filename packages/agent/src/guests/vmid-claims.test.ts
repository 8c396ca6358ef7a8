import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { Vmid } from '@felhom/protocol';
import { createVmidClaims, inFlightOf, laneOf } from './vmid-claims.ts';

const a = 9000 as Vmid;

test('two sagas never aim at one VMID, and a released one is free again', () => {
  const claims = createVmidClaims([], () => true);
  assert.equal(claims.claim(a, 's1'), true);
  assert.equal(claims.claim(a, 's1'), true, 'a replay claims again');
  assert.equal(claims.claim(a, 's2'), false);
  claims.release('s2');
  assert.equal(claims.claim(a, 's2'), false);
  claims.release('s1');
  assert.equal(claims.claim(a, 's2'), true);
});

test('claims of sagas that were open at start stand', () => {
  const claims = createVmidClaims([{ sagaId: 's1', lanes: [], state: { candidates: [9000, 9001] } }], () => true);
  assert.equal(claims.claim(a, 's2'), false);
  assert.equal(claims.claim(a, 's1'), true);
});

test('a claim ends with its saga, also with one that only had to be marked as ended after a restart', () => {
  const open = new Set(['s1']);
  const claims = createVmidClaims([{ sagaId: 's1', lanes: [], state: { candidates: [9000] } }], (id) => open.has(id));
  assert.equal(claims.claim(a, 's2'), false);
  open.delete('s1');
  assert.equal(claims.claim(a, 's2'), true);
  assert.equal(claims.claim(a, 's3'), true, 's2 is not open either');
});

const inFlight: readonly [string, Readonly<Record<string, unknown>>, readonly number[]][] = [
  ['before its intent', {}, []],
  ['with candidates', { candidates: [9000, 9001] }, [9000, 9001]],
  ['once it knows its VMID', { candidates: [9000, 9001], vmid: 9001 }, [9001]],
  ['of another release', { candidates: 'x', vmid: 'y' }, []],
];
for (const [name, state, vmids] of inFlight)
  test(`a saga ${name} accounts for ${vmids.join(', ') || 'no VMID'} and for its guest`, () => {
    const found = inFlightOf([{ sagaId: 's', lanes: [laneOf({ name: 'photos' }), 'storage:local'], state }]);
    assert.deepEqual([...found.vmids], vmids);
    assert.deepEqual([...found.names], ['photos']);
  });
