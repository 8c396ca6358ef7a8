/** When root is asked, what is kept of its answers, and what that makes of a guest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestName, GuestUid, Vmid, VolumeId } from '@felhom/protocol';
import { reason } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { done, refused } from '../kernel/index.ts';
import type { Outcome, StoredDocument } from '../kernel/index.ts';
import type { GuestDisk } from '../ports/guest-disks.ts';
import type { GuestMounts } from '../ports/host-helper.ts';
import type { WitnessSample } from '../ports/guest-witness.ts';
import { createStaleMounts } from './stale-mounts.ts';

const never = new AbortController().signal;
const minute = 60_000;

const recordOf = (n: number): GuestRecord => ({
  uid: `u${n}` as GuestUid,
  incarnation: 1,
  marker: 'm',
  name: `guest${n}` as GuestName,
  vmid: (9000 + n) as Vmid,
  golden: 'g',
  volumes: [
    { key: 'mp0', name: 'photos', volid: 'usb1:x' as VolumeId, sizeGiB: 1, ctime: undefined, carriedOver: false },
  ],
  servedAt: 1,
  configDigest: '',
  createdAt: 1,
  scratch: false,
});
const record = recordOf(1);

const mountsAre = (state: 'live' | 'dead' | 'unknown'): Outcome<GuestMounts> =>
  done({ running: true, mounts: [{ path: '/srv/photos', target: 'usb-1', state, why: state }] });

function bench() {
  const kept = new Map<string, StoredDocument>();
  const world = {
    now: 1_000_000_000,
    disk: { target: 'usb-1', state: 'attached', attachment: 'a1', flapping: false, since: 1, why: '' } as GuestDisk,
    boot: 'b1',
    sample: undefined as WitnessSample | undefined,
    answer: mountsAre('live'),
    meanwhile: () => {},
    asked: [] as number[],
    upSince: 500_000_000,
    running: true,
  };
  const make = () =>
    createStaleMounts({
      documents: {
        get: (key) => kept.get(key),
        put: (write) => void kept.set(write.key, { ...write, at: 0 } as StoredDocument),
        remove: (key) => void kept.delete(key),
      },
      clock: { now: () => world.now },
      helper: {
        guestMounts: async (vmid) => {
          world.asked.push(vmid);
          world.meanwhile();
          return world.answer;
        },
      },
      witness: {
        sample: async () =>
          world.sample ?? {
            is: 'seen',
            boot: world.boot,
            frozen: false,
            init: true,
            units: new Map(),
            facts: [],
            oomKills: 0,
          },
      },
      diskOf: (storage) => (storage === 'usb1' ? world.disk : undefined),
    });
  let mounts = make();
  const round = async (...records: readonly GuestRecord[]): Promise<string> => {
    const { running, upSince } = world;
    const guests = (records.length === 0 ? [record] : records).map((one) => ({
      record: one,
      wanted: true,
      busy: false,
      held: false,
      due: () => true,
      restarts: [],
      running,
      upSince,
    }));
    const found = await mounts.round(guests, never);
    return [...found.effects.map(({ kind }) => kind), ...found.findings.map(({ key }) => key)].join(' ');
  };
  return {
    world,
    round,
    reliance: async () => (await mounts.reliance(record, never))('usb1'),
    couldNotStop: () => mounts.couldNotStop(record.uid),
    forget: () => mounts.forget(record.uid),
    restartAgent: () => (mounts = make()),
    nextAt: async () =>
      (
        await mounts.round(
          [
            {
              record,
              wanted: true,
              busy: false,
              held: false,
              due: () => true,
              restarts: [],
              running: true,
              upSince: 1,
            },
          ],
          never,
        )
      ).nextAt,
  };
}

test('asked once per attachment and start, also over a restart of the agent', async () => {
  const { world, round, restartAgent } = bench();
  for (let passes = 0; passes < 5; passes += 1) assert.equal(await round(), '');
  restartAgent();
  await round();
  assert.equal(world.asked.length, 1);
  world.disk = { ...world.disk, attachment: 'a2' };
  await round();
  await round();
  assert.equal(world.asked.length, 2);
  world.boot = 'b2';
  await round();
  await round();
  assert.equal(world.asked.length, 3);
});

test('a dead mount is known over a restart of the agent, until it is another start', async () => {
  const { world, round, restartAgent, reliance } = bench();
  world.answer = mountsAre('dead');
  assert.equal(await round(), 'guest-remount guest.stale-mount');
  assert.equal(await reliance(), 'stale');
  restartAgent();
  world.answer = refused(reason('helper.refused', 'no'));
  assert.equal(await round(), 'guest-remount guest.stale-mount');
  world.boot = 'b2';
  world.answer = mountsAre('live');
  assert.equal(await round(), '');
  assert.equal(await reliance(), 'attached');
  assert.equal(world.asked.length, 2);
});

test('the helper does not tell: said, and asked again after a while', async () => {
  const { world, round, nextAt } = bench();
  world.answer = refused(reason('helper.absent', 'there is none'));
  assert.equal(await round(), 'guest.mounts-unknown');
  assert.equal(await round(), 'guest.mounts-unknown');
  assert.equal(world.asked.length, 1);
  assert.equal(await nextAt(), world.now + 10 * minute);
  world.now += 10 * minute;
  world.answer = mountsAre('live');
  assert.equal(await round(), '');
});

test('the disk went while root was asked: the answer is of no time', async () => {
  const { world, round } = bench();
  world.meanwhile = () => (world.disk = { ...world.disk, state: 'away', attachment: 'away since 2', why: 'pulled' });
  world.answer = mountsAre('dead');
  assert.equal(await round(), 'guest.volume-away');
  world.meanwhile = () => {};
  world.disk = { ...world.disk, state: 'attached', attachment: 'a2' };
  assert.equal(await round(), 'guest-remount guest.stale-mount');
});

test('a guest that does not run, is just beginning to, or went down meanwhile', async () => {
  const { world, round } = bench();
  world.running = false;
  assert.equal(await round(), '');
  world.running = true;
  world.boot = '';
  assert.equal(await round(), '');
  assert.equal(world.asked.length, 0);
  world.boot = 'b1';
  world.answer = done({ running: false, mounts: [] });
  await round();
  world.answer = mountsAre('dead');
  assert.equal(await round(), 'guest-remount guest.stale-mount');
});

test('a control group that tells nothing: the time of the start tells them apart', async () => {
  const { world, round } = bench();
  world.sample = { is: 'unreadable', text: 'EACCES' };
  world.answer = mountsAre('dead');
  await round();
  world.upSince += 4_000;
  assert.equal(await round(), 'guest-remount guest.stale-mount');
  assert.equal(world.asked.length, 1);
  world.upSince += 10 * minute;
  world.answer = mountsAre('live');
  assert.equal(await round(), '');
});

test('one that would not go down is left to people, for as long as it is that start', async () => {
  const { world, round, couldNotStop, restartAgent } = bench();
  world.answer = mountsAre('dead');
  await round();
  couldNotStop();
  restartAgent();
  assert.equal(await round(), 'guest.stale-mount');
  world.boot = 'b2';
  assert.equal(await round(), 'guest-remount guest.stale-mount');
});

test('started since the last round, by whomever: it is not told of what it had before', async () => {
  const { world, round, reliance, restartAgent } = bench();
  world.answer = mountsAre('dead');
  await round();
  assert.equal(await reliance(), 'stale');
  world.boot = 'b2';
  assert.equal(await reliance(), 'attached');
  // A reboot of the host: another attachment as well, and nobody has looked.
  world.answer = mountsAre('live');
  await round();
  world.disk = { ...world.disk, attachment: 'a2' };
  restartAgent();
  assert.equal(await reliance(), 'stale', 'the start is the one that had the disk of before');
  world.boot = 'b3';
  assert.equal(await reliance(), 'attached');
});

test('starts that do not help: three at one attachment, also over a restart of the agent, and anew at the next', async () => {
  const { world, round, restartAgent } = bench();
  world.answer = mountsAre('dead');
  for (const boot of ['b1', 'b2', 'b3']) {
    world.boot = boot;
    assert.equal(await round(), 'guest-remount guest.stale-mount', boot);
    restartAgent();
  }
  world.boot = 'b4';
  assert.equal(await round(), 'guest.stale-mount');
  world.boot = 'b5';
  assert.equal(await round(), 'guest.stale-mount');
  world.disk = { ...world.disk, attachment: 'a2' };
  assert.equal(await round(), 'guest-remount guest.stale-mount');
});

test('many guests at once: a few questions per pass, and the rest soon', async () => {
  const { world, round } = bench();
  const records = Array.from({ length: 10 }, (_, n) => recordOf(n));
  for (const asked of [4, 8, 10, 10]) {
    await round(...records);
    assert.equal(world.asked.length, asked);
  }
});

test('nothing is left of a guest that is forgotten', async () => {
  const { world, round, forget } = bench();
  await round();
  forget();
  await round();
  assert.equal(world.asked.length, 2);
});
