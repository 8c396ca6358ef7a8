import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BackupRecord } from './backup-record.ts';
import { dueBackups, intoWindow } from './due.ts';
import type { DueGuest, DueInput, Dues, DueVerdict } from './due.ts';
import { at, day, hour, nameOf, record, tierOf, uidOf } from './test/builders.ts';

const minute = 60_000;
const nightly = tierOf('03:00');
const since = at('2026-11-01T00:00:00Z');

function guestOf(more: Partial<DueGuest> = {}): DueGuest {
  return { uid: uidOf('a'), name: nameOf('cloud'), tiers: [nightly], since, canHoldStill: false, ...more };
}
function dues(more: Partial<DueInput> = {}): Dues {
  return dueBackups({
    now: at('2026-11-26T03:05:00Z'),
    guests: [guestOf()],
    records: [],
    failures: [],
    announced: [],
    graceMs: 10 * minute,
    nodeBusy: false,
    inHand: [],
    heldStorages: new Set(),
    away: () => undefined,
    ...more,
  });
}
const verdict = ({ decisions }: Dues): DueVerdict => decisions[0]?.verdict ?? assert.fail('no decision');
const words = (one: DueVerdict): string =>
  [
    one.is,
    'why' in one ? one.why : '',
    'slot' in one ? `slot ${new Date(one.slot).toISOString().slice(5, 16)}` : '',
    'until' in one ? `until ${new Date(one.until).toISOString().slice(5, 16)}` : '',
    'nextAt' in one ? `next ${new Date(one.nextAt).toISOString().slice(5, 16)}` : '',
  ]
    .filter((word) => word !== '')
    .join(' ');
const taken = (iso: string, more: Partial<BackupRecord> = {}): BackupRecord => record('one', at(iso), more);

const rows: readonly { name: string; given: Partial<DueInput>; is: string }[] = [
  { name: 'never backed up, a slot passed', given: {}, is: 'take nobody-to-ask slot 11-26T03:00' },
  {
    name: 'a guest waits for its first slot',
    given: { guests: [guestOf({ since: at('2026-11-26T03:01:00Z') })] },
    is: 'not-due next 11-27T03:00',
  },
  { name: 'covered', given: { records: [taken('2026-11-26T03:00:00Z')] }, is: 'not-due next 11-27T03:00' },
  {
    name: 'covered by one of an earlier VMID',
    given: { records: [taken('2026-11-26T03:00:00Z', { incarnation: 7 })] },
    is: 'not-due next 11-27T03:00',
  },
  {
    name: 'one that was late covers the slots that had passed when it began',
    given: { records: [taken('2026-11-26T03:01:00Z', { slot: at('2026-11-24T03:00:00Z') })] },
    is: 'not-due next 11-27T03:00',
  },
  {
    name: 'a copy on demand covers nothing',
    given: { records: [taken('2026-11-26T03:01:00Z', { class: 'on-demand' })] },
    is: 'take nobody-to-ask slot 11-26T03:00',
  },
  {
    name: 'nor does one of another tier or another guest',
    given: {
      records: [
        taken('2026-11-26T03:01:00Z', { tier: 'offsite' }),
        taken('2026-11-26T03:01:00Z', { guest: uidOf('b') }),
      ],
    },
    is: 'take nobody-to-ask slot 11-26T03:00',
  },
  {
    name: 'after a week of downtime the newest slot, once',
    given: { records: [taken('2026-11-19T03:00:00Z')], now: at('2026-11-26T11:00:00Z') },
    is: 'take nobody-to-ask slot 11-26T03:00',
  },
  {
    name: 'within the jitter it waits',
    given: {
      guests: [guestOf({ tiers: [tierOf('03:00', { jitterMs: 6 * hour })] })],
      records: [taken('2026-11-25T03:00:00Z')],
      now: at('2026-11-26T03:00:00Z'),
    },
    is: 'wait not-yet slot 11-26T03:00 until 11-26T03:48',
  },
  {
    name: 'a slot that was missed before does not wait for the jitter of the newest',
    given: {
      guests: [guestOf({ tiers: [tierOf('03:00', { jitterMs: 6 * hour })] })],
      records: [taken('2026-11-20T03:00:00Z')],
      now: at('2026-11-26T03:00:00Z'),
    },
    is: 'take nobody-to-ask slot 11-25T03:00',
  },
  {
    name: 'oftener than the shortest interval waits for it',
    given: { guests: [guestOf({ tiers: [tierOf('minutely')] })], records: [taken('2026-11-26T02:30:00Z')] },
    is: 'wait not-yet slot 11-26T03:05 until 11-26T03:30',
  },
  {
    name: 'oftener than the jitter is taken all the same',
    given: {
      guests: [guestOf({ tiers: [tierOf('minutely', { jitterMs: 20 * minute })] })],
      records: [taken('2026-11-26T02:00:00Z')],
    },
    is: 'take nobody-to-ask slot 11-26T02:56',
  },
  {
    name: 'outside its window it waits for it',
    given: {
      guests: [guestOf({ tiers: [tierOf('03:00', { window: { from: 22 * 60, to: 3 * 60 } })] })],
      records: [taken('2026-11-25T22:00:00Z')],
    },
    is: 'wait window slot 11-26T03:00 until 11-26T22:00',
  },
  {
    name: 'beyond the signed floor no window holds it up',
    given: {
      guests: [guestOf({ tiers: [tierOf('03:00', { window: { from: 22 * 60, to: 3 * 60 }, maxIntervalMs: day })] })],
      records: [taken('2026-11-24T22:00:00Z')],
    },
    is: 'take nobody-to-ask slot 11-26T03:00',
  },
  {
    name: 'a schedule that is rarer than the floor is taken by the floor',
    given: {
      guests: [guestOf({ tiers: [tierOf('weekly', { maxIntervalMs: day })] })],
      records: [taken('2026-11-25T03:00:00Z')],
    },
    is: 'take nobody-to-ask slot 11-26T03:00',
  },
  {
    name: 'also one that never elapses, for a guest without any',
    given: {
      guests: [guestOf({ tiers: [tierOf('2026-02-30', { maxIntervalMs: day })], since: at('2026-11-25T03:00:00Z') })],
    },
    is: 'take nobody-to-ask slot 11-26T03:00',
  },
  {
    name: 'the floor after a long downtime counts from the last one',
    given: {
      guests: [guestOf({ tiers: [tierOf('2026-02-30', { maxIntervalMs: day })] })],
      records: [taken('2026-11-26T03:01:00Z', { slot: at('2026-11-20T03:00:00Z') })],
    },
    is: 'not-due next 11-27T03:01',
  },
  {
    name: 'the night in which the clocks are set back takes one backup, not two',
    given: {
      guests: [guestOf({ tiers: [tierOf('03:00 Europe/Budapest', { maxIntervalMs: day })] })],
      records: [taken('2026-10-24T01:00:00Z')],
      now: at('2026-10-25T01:30:00Z'),
    },
    is: 'not-due next 10-25T02:00',
  },
  {
    name: 'after a failure it backs off',
    given: {
      failures: [{ guest: uidOf('a'), tier: 'nightly', attempts: 3, at: at('2026-11-26T03:04:00Z'), text: '' }],
    },
    is: 'wait back-off slot 11-26T03:00 until 11-26T03:24',
  },
  {
    name: 'six hours at most',
    given: {
      failures: [{ guest: uidOf('a'), tier: 'nightly', attempts: 900, at: at('2026-11-26T03:00:00Z'), text: '' }],
    },
    is: 'wait back-off slot 11-26T03:00 until 11-26T09:00',
  },
  {
    name: 'and then it is tried again',
    given: {
      failures: [{ guest: uidOf('a'), tier: 'nightly', attempts: 1, at: at('2026-11-26T03:00:00Z'), text: '' }],
    },
    is: 'take nobody-to-ask slot 11-26T03:00',
  },
  { name: 'not while a vzdump runs', given: { nodeBusy: true }, is: 'wait node-busy slot 11-26T03:00' },
  { name: 'not while it is under way', given: { inHand: [{ guest: uidOf('a'), tier: 'nightly' }] }, is: 'in-hand' },
  {
    name: 'a controller is asked first',
    given: { guests: [guestOf({ canHoldStill: true })] },
    is: 'announce slot 11-26T03:00',
  },
  {
    name: 'but not while a vzdump runs',
    given: { guests: [guestOf({ canHoldStill: true })], nodeBusy: true },
    is: 'wait node-busy slot 11-26T03:00',
  },
];

for (const row of rows)
  test(row.name, () => {
    assert.equal(words(verdict(dues(row.given))), row.is);
  });

test('a due backup has the same id after a restart, and each slot another', () => {
  const id = (given: Partial<DueInput>): string => {
    const one = verdict(dues(given));
    return 'id' in one ? one.id : assert.fail(one.is);
  };
  assert.match(id({}), /^[a-z2-7]{26}$/);
  assert.equal(id({}), id({ now: at('2026-11-26T09:00:00Z') }));
  assert.notEqual(id({}), id({ now: at('2026-11-27T09:00:00Z') }));
  assert.notEqual(id({}), id({ guests: [guestOf({ uid: uidOf('b') })] }));
  assert.notEqual(id({}), id({ guests: [guestOf({ tiers: [{ ...nightly, name: 'other' }] })] }));
});

test('the jitter is the same for a guest every night, differs between guests and stays below its most', () => {
  const tier = tierOf('03:00', { jitterMs: hour });
  const until = (letter: string, night: string): number => {
    const one = verdict(
      dues({
        guests: [guestOf({ uid: uidOf(letter), tiers: [tier], since: at(night) - 2 * hour })],
        now: at(night),
      }),
    );
    return 'until' in one ? one.until - at(night) : 0;
  };
  const letters = 'abcdefghij'.split('');
  const jitters = letters.map((letter) => until(letter, '2026-11-26T03:00:00Z'));
  assert.deepEqual(
    letters.map((letter) => until(letter, '2026-11-27T03:00:00Z')),
    jitters,
  );
  assert.ok(new Set(jitters).size >= 8);
  assert.ok(jitters.every((jitter) => jitter >= 0 && jitter <= hour));
});

test('the grace runs out, and does not begin again after a wait for the node', () => {
  const guests = [guestOf({ canHoldStill: true })];
  const at0 = at('2026-11-26T03:05:00Z');
  const look = (after: number, nodeBusy: boolean, before?: Dues): Dues =>
    dues({ guests, now: at0 + after, nodeBusy, announced: before?.announced ?? [] });
  const first = look(0, false);
  const shown = verdict(first);
  assert.equal(shown.is === 'announce' && shown.graceUntil, at0 + 10 * minute);
  const still = look(9 * minute, false, first);
  assert.equal(verdict(still).is, 'announce');
  const over = look(10 * minute, false, still);
  assert.equal(words(verdict(over)), 'take grace-over slot 11-26T03:00');
  const busy = look(11 * minute, true, over);
  assert.equal(verdict(busy).is, 'wait');
  assert.equal(verdict(look(12 * minute, false, busy)).is, 'take');
  // Who was interrupted before its grace ran out gets all of it again.
  const interrupted = look(5 * minute, true, first);
  assert.deepEqual(interrupted.announced, []);
  const again = verdict(look(20 * minute, false, interrupted));
  assert.equal(again.is === 'announce' && again.graceUntil, at0 + 30 * minute);
});

test('an announced one keeps its slot and its grace when the next slot comes', () => {
  const guests = [guestOf({ canHoldStill: true, tiers: [tierOf('*:0/5', { minIntervalMs: 5 * minute })] })];
  const first = dues({ guests });
  const later = dues({ guests, now: at('2026-11-26T03:14:00Z'), announced: first.announced });
  assert.deepEqual(later.announced, first.announced);
  assert.equal(verdict(dues({ guests, now: at('2026-11-26T03:16:00Z'), announced: later.announced })).is, 'take');
});

test('a rolled back clock neither throws nor announces what is to come', () => {
  const guests = [guestOf({ canHoldStill: true })];
  const first = dues({ guests });
  const back = dues({ guests, now: at('2026-11-20T00:00:00Z'), announced: first.announced });
  assert.equal(words(verdict(back)), 'announce slot 11-19T03:00');
});

test('the longest overdue goes first, one at a time, and none while a controller has its grace', () => {
  const guests = ['a', 'b', 'c'].map((letter) =>
    guestOf({ uid: uidOf(letter), name: nameOf(letter), tiers: [tierOf(`0${'abc'.indexOf(letter) + 1}:00`)] }),
  );
  const all = dues({ guests: guests.toReversed() });
  assert.deepEqual(
    all.decisions.map(({ name, verdict: one }) => `${name} ${words(one)}`),
    ['a take nobody-to-ask slot 11-26T01:00', 'b wait queue slot 11-26T02:00', 'c wait queue slot 11-26T03:00'],
  );
  const asked = dues({ guests: guests.map((guest) => ({ ...guest, canHoldStill: guest.name !== 'b' })) });
  assert.deepEqual(
    asked.decisions.map(({ verdict: one }) => one.is),
    ['announce', 'wait', 'wait'],
  );
});

test('nobody is asked to hold still for a storage that something else works on', () => {
  const heldStorages = new Set([nightly.storage]);
  const asked = { guests: [guestOf({ canHoldStill: true })], heldStorages };
  assert.equal(words(verdict(dues(asked))), 'wait node-busy slot 11-26T03:00');
  assert.equal(words(verdict(dues({ ...asked, heldStorages: new Set(['elsewhere']) }))), 'announce slot 11-26T03:00');
  // Who holds nothing still may wait in the queue.
  assert.match(words(verdict(dues({ heldStorages }))), /^take/);
});

test('nobody is asked to hold still behind a backup that is taken now, or waits for its turn', () => {
  const guests = ['a', 'b'].map((letter) =>
    guestOf({
      uid: uidOf(letter),
      name: nameOf(letter),
      tiers: [tierOf(`0${'ab'.indexOf(letter) + 1}:00`)],
      canHoldStill: letter === 'b',
    }),
  );
  const said = (given: Partial<DueInput>): readonly string[] =>
    dues({ guests, ...given }).decisions.map(({ name, verdict: one }) => `${name} ${words(one)}`);
  assert.deepEqual(said({}), ['a take nobody-to-ask slot 11-26T01:00', 'b wait queue slot 11-26T02:00']);
  assert.deepEqual(said({ inHand: [{ guest: uidOf('a'), tier: 'nightly' }] }), [
    'b wait node-busy slot 11-26T02:00',
    'a in-hand',
  ]);
  // One that does not answer keeps others waiting for a minute only, or a guest could hold up everybody.
  const both = guests.map((guest) => ({ ...guest, canHoldStill: true }));
  const first = dues({ guests: both });
  const after = (ms: number) =>
    said({ guests: both, now: at('2026-11-26T10:00:00Z') + ms, announced: first.announced });
  const asked = at('2026-11-26T10:00:00Z') - (first.announced[0]?.at ?? 0);
  assert.match(after(59_000 - asked)[1] ?? '', /^b wait queue/);
  assert.match(after(60_000 - asked)[1] ?? '', /^b announce/);
  // And what is longer overdue does not come between.
  const { announced } = dues({ guests: guests.slice(1) });
  assert.deepEqual(said({ announced }), ['b announce slot 11-26T02:00', 'a wait queue slot 11-26T01:00']);
});

test('what is not due comes last, the next one first', () => {
  const guests = ['a', 'b', 'c'].map((letter, i) =>
    guestOf({ uid: uidOf(letter), name: nameOf(letter), tiers: [tierOf(`0${5 - i}:00`)] }),
  );
  const { decisions } = dues({
    guests,
    records: [record('b', at('2026-11-26T03:00:00Z'), { guest: uidOf('b') }), record('a', at('2026-11-26T03:00:00Z'))],
  });
  assert.deepEqual(
    decisions.map(({ name, verdict: one }) => `${name} ${one.is}`),
    ['c take', 'b not-due', 'a not-due'],
  );
});

test('a window follows the zone and may lie across midnight', () => {
  const tier = tierOf('03:00 Europe/Budapest', { window: { from: 23 * 60, to: 5 * 60 } });
  assert.equal(intoWindow(tier, at('2026-11-26T22:30:00Z')), at('2026-11-26T22:30:00Z'));
  assert.equal(intoWindow(tier, at('2026-11-26T03:59:59Z')), at('2026-11-26T03:59:59Z'));
  assert.equal(intoWindow(tier, at('2026-11-26T04:00:10Z')), at('2026-11-26T22:00:00Z'));
});
