/** Every way in which a guest and its disks can stand, and what that calls for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestName, GuestUid } from '@felhom/protocol';
import type { GuestDisk } from '../ports/guest-disks.ts';
import { askAgainMs, judgeGuest, keepersOf, relianceOf } from './judge-guest.ts';
import type { DiskUser, GuestOnDisks, Known } from './judge-guest.ts';

const now = 1_000_000_000;
const minute = 60_000;

const usb: GuestDisk = { target: 'usb-1', state: 'attached', attachment: 'a2', flapping: false, since: 5, why: '' };
const known: Known = {
  storage: 'usb1',
  attachment: 'a2',
  boot: 'b1',
  state: 'dead',
  why: 'gone',
  vain: 0,
  at: now,
  since: 7,
};
const dead: GuestOnDisks = {
  guest: { uid: 'u' as GuestUid, incarnation: 1, name: 'photos' as GuestName },
  wanted: true,
  busy: false,
  held: false,
  due: () => true,
  keptBy: [],
  boot: 'b1',
  volumes: [{ volume: 'bulk', storage: 'usb1' }],
  known: [known],
  restarts: [],
  stuck: undefined,
};

interface Case {
  readonly name: string;
  readonly sight?: Partial<GuestOnDisks>;
  readonly disk?: Partial<GuestDisk>;
  readonly other?: Partial<GuestDisk>;
  /** `ask`, `restart`, and the keys of the findings. */
  readonly is: string;
  readonly advice?: RegExp;
}

const two = { volumes: [...dead.volumes, { volume: 'more', storage: 'usb2' }] };

const cases: readonly Case[] = [
  { name: 'never asked', sight: { known: [] }, is: 'ask' },
  { name: 'asked at an earlier attachment', disk: { attachment: 'a3' }, is: 'ask' },
  { name: 'asked before its last start', sight: { boot: 'b2' }, is: 'ask' },
  { name: 'asked about another disk', sight: { known: [{ ...known, storage: 'usb2' }] }, is: 'ask' },
  { name: 'live', sight: { known: [{ ...known, state: 'live' }] }, is: '' },
  {
    name: 'not told: after a while again',
    sight: { known: [{ ...known, state: 'unknown' }] },
    is: 'guest.mounts-unknown',
  },
  {
    name: 'not told, long ago',
    sight: { known: [{ ...known, state: 'unknown', at: now - askAgainMs }] },
    is: 'ask guest.mounts-unknown',
  },
  {
    name: 'not told, under a clock that went back',
    sight: { known: [{ ...known, state: 'unknown', at: now + minute }] },
    is: 'ask guest.mounts-unknown',
  },
  { name: 'dead', is: 'restart guest.stale-mount', advice: /restarted by itself now/ },
  { name: 'dead, and its mount is in use', disk: { state: 'in-use' }, is: 'restart guest.stale-mount' },
  {
    name: 'dead, and not to run',
    sight: { wanted: false },
    is: 'guest.stale-mount',
    advice: /does not want it to run/,
  },
  { name: 'dead, other work on it', sight: { busy: true }, is: 'guest.stale-mount', advice: /no other work/ },
  {
    name: 'dead, the disk comes and goes',
    disk: { flapping: true },
    is: 'guest.stale-mount',
    advice: /comes and goes/,
  },
  {
    name: 'dead, restarted often',
    sight: { restarts: [1, 2, 3] },
    is: 'guest.stale-mount',
    advice: /restarted 3 times within the hour/,
  },
  {
    name: 'dead, restarted three times at this attachment',
    sight: { known: [{ ...known, vain: 3 }] },
    is: 'guest.stale-mount',
    advice: /restarted 3 times .* dead still/,
  },
  { name: 'dead, restarted twice in vain', sight: { known: [{ ...known, vain: 2 }] }, is: 'restart guest.stale-mount' },
  {
    name: 'dead, on hold',
    sight: { held: true },
    is: 'guest.stale-mount',
    advice: /^It is restarted by itself once the hold is over/,
  },
  {
    name: 'dead, and a try that failed is to wait',
    sight: { due: () => false },
    is: 'restart guest.stale-mount',
    advice: /^Restarting it failed/,
  },
  {
    name: 'dead, its mount kept by another',
    sight: { keptBy: ['bbb', 'ccc'] },
    disk: { state: 'in-use' },
    is: 'guest.stale-mount',
    advice: /kept in use by guest bbb, ccc,/,
  },
  { name: 'dead, restarted twice', sight: { restarts: [1, 2] }, is: 'restart guest.stale-mount' },
  {
    name: 'dead, and it could not be stopped',
    sight: { stuck: { boot: 'b1', at: 1 } },
    is: 'guest.stale-mount',
    advice: /Restart the host/,
  },
  {
    name: 'dead, could not be stopped at an earlier start',
    sight: { stuck: { boot: 'b0', at: 1 } },
    is: 'restart guest.stale-mount',
  },
  {
    name: 'the disk is away',
    disk: { state: 'away', attachment: 'away since 5', why: 'pulled' },
    is: 'guest.volume-away',
  },
  { name: 'nobody has looked yet', disk: { state: 'unclear', attachment: '' }, is: '' },
  {
    name: 'dead, and another of its disks is away',
    sight: two,
    other: { state: 'away', attachment: 'away since 6' },
    is: 'guest.stale-mount guest.volume-away',
    advice: /usb-2 is not attached/,
  },
  {
    name: 'dead, and another of its disks was not looked at',
    sight: two,
    other: { state: 'unclear', attachment: '' },
    is: 'guest.stale-mount',
    advice: /usb-2 is being looked at/,
  },
  { name: 'dead, and not asked about another disk', sight: two, other: {}, is: 'ask guest.stale-mount' },
];

for (const { name, sight, disk, other, is, advice } of cases)
  test(`a guest on a disk: ${name}`, () => {
    const disks = new Map<string, GuestDisk>([['usb1', { ...usb, ...disk }]]);
    if (other !== undefined) disks.set('usb2', { ...usb, target: 'usb-2', ...other });
    const judged = judgeGuest({ ...dead, ...sight }, (storage) => disks.get(storage), now);
    const keys = judged.findings.map(({ key }) => key).toSorted();
    const did = [...(judged.ask ? ['ask'] : []), ...(judged.effect === undefined ? [] : ['restart']), ...keys];
    assert.equal(did.join(' '), is);
    if (advice !== undefined)
      assert.match(judged.findings.find(({ key }) => key === 'guest.stale-mount')?.advice.text ?? '', advice);
    for (const { text } of judged.findings) assert.match(text, /guest photos.*(?:bulk|more)/);
  });

test('what is not on a declared disk is nobody’s matter here', () => {
  assert.deepEqual(
    judgeGuest(dead, () => undefined, now),
    {
      ask: false,
      effect: undefined,
      goes: false,
      findings: [],
      nextAt: undefined,
    },
  );
});

test('the effect names the disks; what could not be told is looked at again in time', () => {
  const { effect } = judgeGuest(dead, () => usb, now);
  assert.deepEqual(effect, { kind: 'guest-remount', guest: dead.guest, targets: ['usb-1'] });
  const unknown = judgeGuest({ ...dead, known: [{ ...known, state: 'unknown' }] }, () => usb, now);
  assert.equal(unknown.nextAt, now + askAgainMs);
});

const user = (name: string, goes: boolean, ...inUse: readonly string[]): DiskUser => ({
  name: name as GuestName,
  inUse,
  goes,
});
const keeping: readonly (readonly [string, readonly DiskUser[], string])[] = [
  ['alone on it', [user('a', true, 'usb1')], ''],
  ['all go', [user('a', true, 'usb1'), user('b', true, 'usb1')], ''],
  ['one stays', [user('a', true, 'usb1'), user('b', false, 'usb1'), user('c', true, 'usb1')], 'a: b; c: b'],
  ['one stays on another disk', [user('a', true, 'usb1'), user('b', false, 'usb2')], ''],
  ['one on no such disk', [user('a', true, 'usb1'), user('b', false)], ''],
  [
    'kept by one that is kept itself',
    [user('a', true, 'usb1'), user('b', true, 'usb1', 'usb2'), user('c', false, 'usb2')],
    'a: b; b: c',
  ],
];
for (const [name, users, is] of keeping)
  test(`who keeps a disk in use: ${name}`, () => {
    const kept = [...keepersOf(users)].filter(([one]) => users.some((each) => each.name === one && each.goes));
    assert.equal(
      kept
        .map(([one, by]) => `${one}: ${by.join()}`)
        .toSorted()
        .join('; '),
      is,
    );
  });

const relied: readonly (readonly [
  string,
  Parameters<typeof relianceOf>[1],
  Partial<Known> | 'none',
  string | undefined,
  string,
])[] = [
  ['no disk of ours', undefined, {}, 'b1', 'attached'],
  ['away', { ...usb, state: 'away' }, {}, 'b1', 'away'],
  ['back, its mount in use', { ...usb, state: 'in-use' }, 'none', 'b1', 'stale'],
  ['not looked at', { ...usb, state: 'unclear' }, {}, 'b1', 'attached'],
  ['dead', usb, {}, 'b1', 'stale'],
  ['live', usb, { state: 'live' }, 'b1', 'attached'],
  ['not told', usb, { state: 'unknown' }, 'b1', 'attached'],
  ['live before it was pulled, not asked since', usb, { state: 'live', attachment: 'a1' }, 'b1', 'stale'],
  ['the same, and nobody has seen its start', usb, { state: 'live', attachment: 'a1' }, undefined, 'stale'],
  ['started since', usb, { attachment: 'a1' }, 'b2', 'attached'],
  ['never asked', usb, 'none', 'b1', 'attached'],
];
for (const [name, disk, last, boot, is] of relied)
  test(`can it be relied on: ${name}`, () => {
    assert.equal(relianceOf('usb1', disk, last === 'none' ? [] : [{ ...known, ...last }], boot), is);
  });
