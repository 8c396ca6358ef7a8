import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId } from '@felhom/protocol';
import { followMass } from './mass-silence.ts';
import type { JudgedHost, MassIncident } from './mass-silence.ts';

const now = 10_000_000;
const windowMs = 159_000;
const grace = () => 300_000;
type Is = 'up' | 'late' | 'silent' | 'unknown';

function host(index: number, is: Is, ago: number, more: { alerted?: boolean; windowMs?: number } = {}): JudgedHost {
  return {
    hostId: hostId.parse(`h${index}`),
    liveness: { is, lastContactAt: now - ago, windowMs: more.windowMs ?? windowMs },
    alerted: more.alerted ?? false,
  };
}
const hosts = (...groups: [count: number, is: Is, ago: number, more?: { alerted?: boolean; windowMs?: number }][]) =>
  groups.flatMap(([count, is, ago, more], group) =>
    Array.from({ length: count }, (_, index) => host(group * 1000 + index, is, ago, more)),
  );

const beginnings: [name: string, hosts: JudgedHost[], members: number | undefined][] = [
  ['nobody is silent', hosts([10, 'up', 5000]), undefined],
  ['one of ten', hosts([1, 'silent', 160_000], [9, 'up', 5000]), undefined],
  [
    'the first is silent, the others late: the hub hears nobody',
    hosts([1, 'silent', 160_000], [9, 'late', 140_000]),
    10,
  ],
  ['half of ten are silent or late', hosts([5, 'silent', 160_000], [5, 'up', 5000]), undefined],
  ['more than half of ten', hosts([1, 'silent', 160_000], [5, 'late', 130_000], [4, 'up', 5000]), 6],
  ['both of two', hosts([2, 'silent', 160_000]), undefined],
  ['all of three', hosts([3, 'silent', 160_000]), 3],
  ['late ones alone are no reason yet', hosts([10, 'late', 150_000]), undefined],
  [
    'those that were silent before do not count',
    hosts([8, 'silent', 9e6, { alerted: true }], [2, 'silent', 160_000]),
    undefined,
  ],
  [
    'slow hosts that cannot be late yet neither hide nor make it',
    hosts([1, 'silent', 160_000], [3, 'late', 140_000], [50, 'up', 170_000, { windowMs: 3_600_000 }]),
    4,
  ],
  [
    'slow hosts that were heard since say that the hub can be reached',
    hosts([1, 'silent', 160_000], [3, 'late', 140_000], [50, 'up', 20_000, { windowMs: 3_600_000 }]),
    undefined,
  ],
  [
    'of hosts that the hub waits for after its own absence nothing follows',
    hosts([3, 'silent', 160_000], [40, 'unknown', 9e6]),
    3,
  ],
];
for (const [name, given, members] of beginnings)
  test(`many at once: ${name}`, () => {
    assert.equal(followMass(undefined, given, now, grace)?.members.length, members);
  });

const ids = (count: number) => Array.from({ length: count }, (_, index) => hostId.parse(`h${index}`));
const incident: MassIncident = { since: now - 1_000_000, members: ids(10), most: 10 };

const courses: [name: string, before: MassIncident, hosts: JudgedHost[], after: object | undefined][] = [
  ['it stays', incident, hosts([10, 'silent', 2e6]), { members: ids(10), most: 10 }],
  ['it grows', { ...incident, members: ids(9), most: 9 }, hosts([10, 'silent', 2e6]), { members: ids(10), most: 10 }],
  [
    'late ones do not join',
    { ...incident, members: ids(9), most: 9 },
    hosts([9, 'silent', 2e6], [1, 'late', 1e5]),
    { members: ids(9), most: 9 },
  ],
  ['a restart of the hub changes nothing', incident, hosts([10, 'unknown', 2e6]), { members: ids(10), most: 10 }],
  [
    'half are back: the others get time',
    incident,
    hosts([5, 'silent', 2e6], [5, 'up', 0]),
    { members: ids(5), most: 10, recedingAt: now },
  ],
  [
    'within that time',
    { ...incident, recedingAt: now - 300_000 },
    hosts([5, 'silent', 2e6], [5, 'up', 0]),
    { members: ids(5), most: 10, recedingAt: now - 300_000 },
  ],
  [
    'after it everybody stands alone',
    { ...incident, recedingAt: now - 300_001 },
    hosts([5, 'silent', 2e6], [5, 'up', 0]),
    undefined,
  ],
  [
    'it comes again before it was over',
    { ...incident, members: ids(5), recedingAt: now - 9 },
    hosts([6, 'silent', 160_000], [4, 'late', 140_000]).map((one, index) => ({
      ...one,
      hostId: ids(10)[index] ?? one.hostId,
    })),
    { members: ids(10), most: 10 },
  ],
  ['all are back', incident, hosts([10, 'up', 0]), undefined],
  [
    'a silence while it recedes is a trouble of its own',
    { ...incident, members: ids(2), recedingAt: now - 9 },
    hosts([3, 'silent', 2e6], [4, 'up', 0]),
    { members: ids(2), most: 10, recedingAt: now - 9 },
  ],
];
for (const [name, before, given, after] of courses)
  test(`many at once, later: ${name}`, () => {
    const expected = after === undefined ? undefined : { since: before.since, ...after };
    assert.deepEqual(followMass(before, given, now, grace), expected);
  });
