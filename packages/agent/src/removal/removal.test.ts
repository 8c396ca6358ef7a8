import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { digest, guestName, guestUid, vmid, volumeId } from '@felhom/protocol';
import { memoryJournal } from '../guests/test/memory-journal.ts';
import { hostPolicy } from '../host-policy.ts';
import { beginRemoval, cancelRemoval, liveDestroys, planRemoval } from './removal.ts';
import type { Removal, RemovalOrder } from './removal.ts';
import { createRemovalStore } from './removal-store.ts';

const policy = hostPolicy.shape.removal.parse({});
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const order: RemovalOrder = {
  guest: { uid: guestUid.parse('a'.repeat(26)), incarnation: 1, name: guestName.parse('photos') },
  vmid: vmid.parse(9000),
  jobId: 'j'.repeat(26),
  kind: 'guest-decommission',
  signed: digest.parse('0'.repeat(64)),
  lossSet: [volumeId.parse('local:9000/vm-9000-disk-0.raw')],
  backups: 'keep',
  by: ['ada'],
  coolOffMinutes: undefined,
  servedBefore: true,
};
const before = { running: true, onboot: true, protection: false, linksDown: { net0: false } };

function begun(change: Partial<RemovalOrder> = {}, others: readonly Removal[] = []): Removal {
  const answer = beginRemoval({ ...order, ...change }, policy, 1000, others);
  return answer.is === 'begun' ? answer.removal : assert.fail(answer.why.text);
}
const entering: Removal = { ...begun(), stage: 'quarantine' };
const shut: Removal = { ...entering, quarantinedAtElapsed: 10 * hour, before };
const freeing = (value: Removal, at: number): Removal => ({ ...value, stage: 'freeing', freeingAtElapsed: at });
const freed = (value: Removal, at: number): Removal => ({ ...value, stage: 'freed', freedAtElapsed: at });

const orders: readonly { name: string; change: Partial<RemovalOrder>; expect: string; coolOffMs?: number }[] = [
  { name: "the host's own cool-off", change: {}, expect: 'begun', coolOffMs: hour },
  { name: 'a longer one', change: { coolOffMinutes: 90 }, expect: 'begun', coolOffMs: 90 * minute },
  { name: 'a shorter one by one', change: { coolOffMinutes: 59 }, expect: 'job.more-people' },
  { name: 'none, by one', change: { coolOffMinutes: 0 }, expect: 'job.more-people' },
  {
    name: 'none, by one who signed twice',
    change: { coolOffMinutes: 0, by: ['ada', 'ada'] },
    expect: 'job.more-people',
  },
  { name: 'none, by two', change: { coolOffMinutes: 0, by: ['ada', 'bob'] }, expect: 'begun', coolOffMs: 0 },
  { name: 'of what never served', change: { servedBefore: false }, expect: 'begun', coolOffMs: 0 },
  { name: 'with its backups', change: { backups: 'delete' }, expect: 'job.not-built' },
];
for (const { name, change, expect, coolOffMs } of orders)
  test(`a removal begins: ${name} → ${expect}`, () => {
    const answer = beginRemoval({ ...order, ...change }, policy, 1000, []);
    assert.equal(answer.is === 'begun' ? answer.is : answer.why.code, expect);
    if (answer.is === 'begun') assert.equal(answer.removal.coolOffMs, coolOffMs);
    else if (expect === 'job.more-people') assert.equal(answer.missing, 1);
  });

test('a guest is removed once at a time', () => {
  const again = (other: Removal) => beginRemoval({ ...order, jobId: 'k'.repeat(26) }, policy, 5000, [other]).is;
  assert.equal(again(begun()), 'refused');
  assert.equal(again(shut), 'refused');
  assert.equal(again({ ...shut, stage: 'cancelled' }), 'begun');
  assert.equal(again({ ...shut, guest: { ...order.guest, uid: guestUid.parse('b'.repeat(26)) } }), 'begun');
});

const plans: readonly {
  name: string;
  removal: Removal;
  elapsedMs: number;
  destroyed?: readonly number[];
  perDay?: number;
  expect: string;
}[] = [
  { name: 'cooling off', removal: begun(), elapsedMs: 1000 + hour - 1, expect: `wait ${1000 + hour} job.not-yet` },
  { name: 'cooled off', removal: begun(), elapsedMs: 1000 + hour, expect: 'quarantine' },
  { name: 'what never served', removal: begun({ servedBefore: false }), elapsedMs: 1000, expect: 'free' },
  { name: 'on its way into quarantine', removal: entering, elapsedMs: 99 * day, expect: 'quarantine' },
  { name: 'in quarantine', removal: shut, elapsedMs: 81 * hour, expect: `wait ${82 * hour} job.not-yet` },
  { name: 'after quarantine', removal: shut, elapsedMs: 82 * hour, expect: 'free' },
  {
    name: 'after another one today',
    removal: shut,
    elapsedMs: 82 * hour,
    destroyed: [70 * hour],
    expect: `wait ${94 * hour} job.damper`,
  },
  { name: 'after another one yesterday', removal: shut, elapsedMs: 94 * hour, destroyed: [70 * hour], expect: 'free' },
  {
    name: 'with room for two a day',
    removal: shut,
    elapsedMs: 82 * hour,
    destroyed: [70 * hour],
    perDay: 2,
    expect: 'free',
  },
  {
    name: 'after two with room for two',
    removal: shut,
    elapsedMs: 82 * hour,
    destroyed: [80 * hour, 70 * hour],
    perDay: 2,
    expect: `wait ${94 * hour} job.damper`,
  },
  { name: 'being freed', removal: freeing(shut, 82 * hour), elapsedMs: 83 * hour, expect: 'free' },
  { name: 'freed', removal: freed(shut, 82 * hour), elapsedMs: 83 * hour, expect: 'over' },
  {
    name: 'cancelled, and not back yet',
    removal: { ...shut, stage: 'lifting' },
    elapsedMs: 830 * hour,
    expect: 'stays',
  },
  { name: 'cancelled', removal: { ...shut, stage: 'cancelled' }, elapsedMs: 83 * hour, expect: 'over' },
];
for (const { name, removal, elapsedMs, destroyed = [], perDay = 1, expect } of plans)
  test(`what is next: ${name} → ${expect}`, () => {
    const plan = planRemoval(removal, { elapsedMs, destroyedAtElapsed: destroyed, perDay });
    assert.equal(plan.is === 'wait' ? `wait ${plan.untilElapsedMs} ${plan.why.code}` : plan.is, expect);
  });

test('no rolling day sees more destroys than its share', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 }),
      fc.integer({ min: 1, max: 3 }),
      (hours, perDay) => {
        let elapsedMs = 82 * hour;
        const destroyed: number[] = [];
        for (const step of hours) {
          elapsedMs += step * hour;
          if (planRemoval(shut, { elapsedMs, destroyedAtElapsed: destroyed, perDay }).is === 'free')
            destroyed.push(elapsedMs);
        }
        for (const at of destroyed)
          assert.ok(destroyed.filter((other) => other > at - day && other <= at).length <= perDay);
      },
    ),
  );
});

test('what counts for the day: guests that served, from the beginning of their freeing', () => {
  const trial = freeing(begun({ servedBefore: false }), 3);
  assert.deepEqual(liveDestroys([begun(), freeing(shut, 5), freed(freeing(shut, 6), 9), trial]), [5, 6]);
});

for (const [name, removal, expect] of [
  ['cooling off', begun(), 'cancelled'],
  ['on its way into quarantine', entering, 'job.busy'],
  ['in quarantine', shut, 'cancelled, to be lifted'],
  ['half in quarantine, given up there', { ...entering, before: shut.before }, 'cancelled, to be lifted'],
  ['cancelled, and not back yet', { ...shut, stage: 'lifting' }, 'cancelled, to be lifted'],
  ['being freed', freeing(shut, 5), 'job.changed'],
  ['freed', freed(shut, 5), 'job.changed'],
] as const)
  test(`cancelling: ${name} → ${expect}`, () => {
    const answer = cancelRemoval(removal);
    assert.equal(
      answer.is === 'refused' ? answer.why.code : answer.lift ? 'cancelled, to be lifted' : answer.is,
      expect,
    );
    // Until the guest is back it is over for nobody.
    if (answer.is === 'cancelled') assert.equal(answer.removal.stage, answer.lift ? 'lifting' : 'cancelled');
  });

test('the store keeps what it was given, and throws on what it cannot read', () => {
  const journal = memoryJournal();
  const store = createRemovalStore(journal);
  store.put(shut);
  assert.deepEqual(store.byJob(order.jobId), shut);
  assert.deepEqual(store.openOf(order.guest.uid), shut);
  store.put(freed(shut, 5));
  assert.equal(store.openOf(order.guest.uid), undefined);
  assert.equal(store.all().length, 1);
  store.remove(order.jobId);
  assert.deepEqual(store.all(), []);
  journal.put({ key: 'removal/x', v: 1, body: { v: 2 } });
  assert.throws(() => store.all(), /cannot read removal\/x/);
});

test('fractions of hours and minutes are fine in the policy, less than nothing is not', () => {
  const parse = (removal: object) => hostPolicy.shape.removal.safeParse(removal).success;
  assert.ok(parse({ coolOffMinutes: 0.05, quarantineHours: 0.001 }));
  for (const wrong of [{ coolOffMinutes: -1 }, { quarantineHours: 721 }, { perDay: 0 }, { other: 1 }])
    assert.ok(!parse(wrong), JSON.stringify(wrong));
});
