/** The edges: exactly at a limit is inside it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storageId } from '@felhom/protocol';
import { dataVolume, makeDesired, makeFacts, makeGuest, makePolicy, ref } from '../../test/gate-facts.ts';
import type { GuestEffect } from './effects.ts';
import type { GateFacts } from './facts.ts';
import { rangeBreaches } from './ranges.ts';

const policy = makePolicy();
const provision = (change: Record<string, unknown>): GuestEffect => ({
  kind: 'guest-provision',
  desired: makeDesired({ volumes: [], ...change }),
});
const grow = (to: number): GuestEffect => ({
  kind: 'volume-grow',
  guest: ref,
  volume: 'data',
  volid: dataVolume,
  from: 20,
  to,
});
const add = (path: string): GuestEffect => ({
  kind: 'volume-add',
  guest: ref,
  volume: { name: 'more', path, storage: storageId.parse('fast'), sizeGiB: 1, backup: true },
});
const volumeAt = (path: string, name: string) => ({ name, path, storage: 'fast', sizeGiB: 1, backup: true });
const sums = { guests: 3, cores: 12, memoryMiB: 12_288, swapMiB: 0 };

const rows: readonly (readonly [string, GuestEffect, Partial<GateFacts>, RegExp | undefined])[] = [
  ['the last guest', provision({}), { sums: { ...sums, guests: 3 } }, undefined],
  ['one guest too many', provision({}), { sums: { ...sums, guests: 4 } }, /5 guests, at most 4/],
  ['the last core', provision({ cores: 4 }), { sums }, undefined],
  ['one core too many', provision({ cores: 5 }), { sums }, /17 cores/],
  ['the last MiB', provision({ memoryMiB: 4096 }), { sums }, undefined],
  ['one MiB too many', provision({ memoryMiB: 4097 }), { sums }, /16385 MiB memory/],
  ['all swap', provision({ swapMiB: 16_384 }), {}, /MiB swap/],
  ['the last GiB of a pool', provision({ rootfs: { storage: 'fast', sizeGiB: 72 } }), {}, undefined],
  ['one GiB too many', provision({ rootfs: { storage: 'fast', sizeGiB: 73 } }), {}, /promise 101 GiB/],
  [
    'one GiB too many, in two parts',
    provision({ rootfs: { storage: 'fast', sizeGiB: 72 }, volumes: [volumeAt('/srv/a', 'a')] }),
    {},
    /promise 101 GiB/,
  ],
  ['a pool that cannot be read', provision({}), { storages: new Map() }, /cannot be read/],
  ['docker on a volume of its own', provision({ volumes: [volumeAt('/var/lib/docker', 'd')] }), {}, undefined],
  ['a volume over /usr/share', provision({ volumes: [volumeAt('/usr/share', 'd')] }), {}, /cover the system/],
  ['a volume at /usrlocal', provision({ volumes: [volumeAt('/usrlocal', 'd')] }), {}, undefined],
  [
    'a volume inside another',
    provision({ volumes: [volumeAt('/srv/a', 'a'), volumeAt('/srv/a/b', 'b')] }),
    {},
    /lies inside volume a/,
  ],
  ['half as much again', grow(34), {}, undefined],
  ['more than half as much again', grow(35), {}, /15 GiB more within a day/],
  ['the rest of the day', grow(24), { guest: makeGuest({ sizeGiB: 38, grownGiB: 10 }) }, undefined],
  ['more than the rest of the day', grow(25), { guest: makeGuest({ sizeGiB: 38, grownGiB: 10 }) }, /15 GiB more/],
  ['a guest of unknown size', grow(21), { guest: undefined }, /not known/],
  ['a mount root itself', add('/media'), {}, undefined],
  ['below a mount root', add('/srv/more'), {}, undefined],
  ['beside a mount root', add('/srvmore'), {}, /not below/],
  ['at the root', add('/more'), {}, /not below/],
  ['over a mount', add('/srv/data'), {}, /cover or lie inside/],
  ['beside a mount of a similar name', add('/srv/data2'), {}, undefined],
  ['in a guest whose mounts are unknown', add('/srv/more'), { guest: undefined }, /mounts of the guest are not known/],
];
for (const [name, effect, facts, expected] of rows)
  test(`range: ${name}`, () => {
    const texts = rangeBreaches(effect, makeFacts(facts), policy).map((breach) => breach.text);
    if (expected === undefined) assert.deepEqual(texts, []);
    else assert.match(texts.join('; '), expected);
  });

test('root sets the factors: overcommit, daily growth, mount roots', () => {
  const wide = makePolicy({ limits: { overcommit: 2, growPercentPerDay: 500 }, mountRoots: ['/opt'] });
  assert.deepEqual(rangeBreaches(grow(120), makeFacts(), wide), []);
  assert.deepEqual(rangeBreaches(add('/opt/x'), makeFacts(), wide), []);
  assert.equal(rangeBreaches(add('/srv/x'), makeFacts(), wide).length, 1);
});

test('what cannot be known is told apart from what is too much', () => {
  const breaches = rangeBreaches(provision({ cores: 99 }), makeFacts({ storages: new Map() }), policy);
  assert.deepEqual(new Set(breaches.map((breach) => breach.unknown)), new Set([false, true]));
});
