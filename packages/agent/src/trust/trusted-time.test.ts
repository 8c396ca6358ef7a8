import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { challenge } from '@felhom/protocol';
import type { StoredDocument } from '../kernel/journal.ts';
import { createTrustedTime } from './index.ts';
import type { TrustedTime } from './index.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const window = 10 * minute;
const y2026 = Date.UTC(2026, 0, 1);
const y2038 = Date.UTC(2038, 0, 19);

/** A machine whose true time only passes; its wall clock is a lie of `wrongBy`, its boot clock begins at each boot. */
function createMachine(trueStart = y2026) {
  let trueTime = trueStart;
  let wrongBy = 0;
  let bootedAt = trueStart - hour;
  let document: StoredDocument | undefined;
  let drawn = 0;
  let writes = 0;
  const parts = {
    store: {
      get: () => document,
      put: (put: StoredDocument) => {
        writes += 1;
        document = structuredClone(put);
      },
    },
    clock: { now: () => trueTime + wrongBy, bootMs: () => trueTime - bootedAt },
    random: {
      bytes: (count: number) =>
        createHash('sha512')
          .update(`${(drawn += 1)}`)
          .digest()
          .subarray(0, count),
    },
  };
  return {
    open: (): TrustedTime => createTrustedTime(parts),
    pass: (ms: number) => (trueTime += ms),
    setClock: (wall: number) => (wrongBy = wall - trueTime),
    fixClock: () => (wrongBy = 0),
    now: () => trueTime,
    reboot: (downMs = minute) => {
      trueTime += downMs;
      bootedAt = trueTime - 20_000;
    },
    copyStore: () => document,
    putStore: (copy: StoredDocument | undefined) => (document = copy),
    writes: () => writes,
  };
}

/** Old by at least what passed, and by no more than a window more. */
function assertAge(age: number | undefined, passed: number): void {
  assert.ok(age !== undefined && age >= passed && age < passed + window, `${age} for ${passed}`);
}

test('a challenge ages with elapsed time, and is worth nothing after seven days', () => {
  const machine = createMachine();
  const time = machine.open();
  const issued = time.challenge();
  assert.equal(challenge.safeParse(issued).success, true);
  assert.equal(time.ageOf(issued), 0);
  for (const ms of [1, window, day, 5 * day]) machine.pass(ms);
  assert.equal(time.ageOf(issued), 6 * day + window + 1);
  machine.pass(day - window - 1);
  assert.equal(time.ageOf(issued), 7 * day);
  machine.pass(1);
  assert.equal(time.ageOf(issued), undefined);
});

test('within ten minutes it is the same one; then another', () => {
  const machine = createMachine();
  const time = machine.open();
  const first = time.challenge();
  machine.pass(window - 1);
  assert.equal(time.challenge(), first);
  machine.pass(1);
  assert.notEqual(time.challenge(), first);
});

test('what this host did not issue', () => {
  const machine = createMachine();
  const time = machine.open();
  machine.pass(hour);
  const issued = time.challenge();
  const [number = '', mac = ''] = issued.split('.');
  const flipped = `${mac.slice(0, -1)}${mac.endsWith('0') ? '1' : '0'}`;
  for (const forged of [
    `${number}.${flipped}`,
    `${Number(number) - 1}.${mac}`,
    `${Number(number) + 1}.${mac}`,
    `0${issued}`,
    `${issued}0`,
    `${issued}\n`,
    ` ${issued}`,
    '',
    '.',
    `-1.${mac}`,
    `9999999999999.${mac}`,
    `99999999999999.${mac}`,
  ])
    assert.equal(time.ageOf(forged), undefined, forged);
  assert.equal(time.ageOf(issued), 0);
});

test('one that comes from the future of a store that was put back counts when its time has come', () => {
  const machine = createMachine();
  const time = machine.open();
  const copy = machine.copyStore();
  machine.pass(3 * hour);
  const issued = time.challenge();
  // The clock is set back, so that the old store cannot know what passed; nothing was saved since.
  machine.putStore(copy);
  machine.reboot(0);
  machine.setClock(y2026 + minute);
  const again = machine.open();
  assert.equal(again.ageOf(issued), undefined);
  machine.pass(3 * hour);
  assertAge(again.ageOf(issued), 0);
});

test('over a restart elapsed time goes on', () => {
  const machine = createMachine();
  const issued = machine.open().challenge();
  machine.pass(2 * hour);
  assertAge(machine.open().ageOf(issued), 2 * hour);
  machine.reboot(3 * hour);
  const time = machine.open();
  assertAge(time.ageOf(issued), 5 * hour);
  assert.deepEqual(time.standing(), { is: 'steady' });
});

test('a restart with the clock set back does not make a challenge younger', () => {
  const machine = createMachine();
  const issued = machine.open().challenge();
  machine.pass(2 * hour);
  machine.setClock(machine.now() - 2 * hour);
  const age = machine.open().ageOf(issued);
  assertAge(age, 2 * hour);
});

test('a clock that jumps to 2038 and back while the agent runs: held in between, nothing is void', () => {
  const machine = createMachine();
  const time = machine.open();
  const issued = time.challenge();
  machine.pass(hour);
  machine.setClock(y2038);
  assert.equal(time.standing().is, 'jumped');
  time.save();
  assertAge(time.ageOf(issued), hour);
  machine.fixClock();
  // The mark went up by what passed and an hour at most, so it is ahead for an hour at most.
  assert.equal(time.standing().is, 'jumped');
  machine.pass(hour);
  assert.deepEqual(time.standing(), { is: 'steady' });
  assertAge(time.ageOf(issued), 2 * hour);
});

test('restarts in a row under a clock of 2038 do not add up', () => {
  const machine = createMachine();
  machine.open().save();
  machine.setClock(y2038);
  for (let at = 0; at < 500; at += 1) {
    machine.pass(minute);
    machine.open().save();
  }
  const issued = machine.open().challenge();
  machine.fixClock();
  machine.pass(minute);
  const time = machine.open();
  // Behind what it showed before: nothing issued until now counts.
  assert.equal(time.ageOf(issued), undefined);
  assert.equal(time.standing().is, 'jumped');
  machine.pass(hour);
  assert.deepEqual(time.standing(), { is: 'steady' });
});

test('reboots in a row under a clock of 2038 cost an hour each, and root can end it', () => {
  const machine = createMachine();
  machine.open().save();
  machine.setClock(y2038);
  for (let at = 0; at < 10; at += 1) {
    machine.reboot();
    machine.open().save();
  }
  machine.fixClock();
  machine.reboot();
  const time = machine.open();
  assert.equal(time.standing().is, 'jumped');
  const issued = time.challenge();
  time.reset();
  assert.deepEqual(time.standing(), { is: 'steady' });
  assert.equal(time.ageOf(issued), undefined);
  assert.deepEqual(machine.open().standing(), { is: 'steady' });
});

test('a clock set back between two lives voids, also where the high-water mark lags behind a long absence', () => {
  const machine = createMachine();
  machine.open();
  machine.reboot(3 * day);
  const issued = machine.open().challenge();
  machine.setClock(machine.now() - day);
  machine.reboot();
  const time = machine.open();
  assert.equal(time.ageOf(issued), undefined);
  assert.deepEqual(time.standing(), { is: 'steady' });
});

test("root's word that the clock is right counts in the life in which it jumped", () => {
  const machine = createMachine();
  const time = machine.open();
  machine.setClock(machine.now() + 2 * hour);
  assert.equal(time.standing().is, 'jumped');
  time.reset();
  assert.deepEqual(time.standing(), { is: 'steady' });
});

test('a clock at 1970 after a reboot voids what was issued before, and holds', () => {
  const machine = createMachine();
  const issued = machine.open().challenge();
  machine.pass(day);
  machine.reboot();
  machine.setClock(90_000);
  const time = machine.open();
  assert.equal(time.ageOf(issued), undefined);
  assert.equal(time.standing().is, 'jumped');
  const later = time.challenge();
  machine.pass(hour);
  assertAge(time.ageOf(later), hour);
  // Time comes from the network: a jump as well, within this life.
  machine.fixClock();
  assert.equal(time.standing().is, 'jumped');
  // After a restart the clock is where it should be, and what was issued meanwhile still counts.
  machine.pass(minute);
  const again = machine.open();
  assert.deepEqual(again.standing(), { is: 'steady' });
  assert.ok((again.ageOf(later) ?? day) >= hour);
});

for (const [name, step, is] of [
  ['an hour forward', hour, 'steady'],
  ['more than an hour forward', hour + 1, 'jumped'],
  ['five minutes back', -5 * minute, 'steady'],
  ['more than five minutes back, behind its mark', -5 * minute - 1, 'jumped'],
  ['more than an hour back', -hour - 1, 'jumped'],
] as const)
  test(`a step of the clock: ${name}: ${is}`, () => {
    const machine = createMachine();
    const time = machine.open();
    machine.setClock(machine.now() + step);
    assert.equal(time.standing().is, is);
  });

test('a store that was rolled back: what was issued since ages as it should, and voiding ends it', () => {
  const machine = createMachine();
  const before = machine.open().challenge();
  const copy = machine.copyStore();
  machine.pass(5 * hour);
  const time = machine.open();
  const after = time.challenge();
  machine.pass(hour);
  machine.putStore(copy);
  const again = machine.open();
  assertAge(again.ageOf(before), 6 * hour);
  assertAge(again.ageOf(after), hour);
  again.voidAll();
  assert.equal(again.ageOf(before), undefined);
  assert.equal(again.ageOf(after), undefined);
  assert.equal(again.ageOf(again.challenge()) !== undefined, true);
  assert.equal(machine.open().ageOf(after), undefined);
});

test('a store that does not read is begun anew; nothing issued before counts', () => {
  const machine = createMachine();
  const issued = machine.open().challenge();
  machine.putStore({ key: 'trusted-time', v: 1, body: { elapsedMs: -1 } });
  const time = machine.open();
  assert.equal(time.ageOf(issued), undefined);
  assert.equal(time.elapsedMs(), 0);
});

test('it writes once when it opens, then at most once a minute', () => {
  const machine = createMachine();
  const time = machine.open();
  for (let second = 0; second < 150; second += 1) {
    machine.pass(1000);
    time.challenge();
    time.standing();
    time.elapsedMs();
  }
  assert.equal(machine.writes(), 3);
  time.save();
  assert.equal(machine.writes(), 4);
});

type Event =
  | { readonly do: 'pass' | 'reboot'; readonly ms: number }
  | { readonly do: 'clock'; readonly ms: number }
  | { readonly do: 'restart' };
const events: fc.Arbitrary<Event[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constantFrom('pass' as const, 'reboot' as const), ms: fc.integer({ min: 0, max: 3 * day }) }),
    fc.record({ do: fc.constant('clock' as const), ms: fc.integer({ min: 0, max: 2 * y2038 }) }),
    fc.record({ do: fc.constant('restart' as const) }),
  ),
  { maxLength: 25 },
);

test('whatever clock and restarts do: elapsed never goes back, and while it runs never lies', () => {
  fc.assert(
    fc.property(events, (list) => {
      const machine = createMachine();
      let time = machine.open();
      let last = time.elapsedMs();
      for (const event of list) {
        const before = machine.now();
        if (event.do === 'pass') machine.pass(event.ms);
        else if (event.do === 'clock') machine.setClock(event.ms);
        else {
          if (event.do === 'reboot') {
            time.save();
            machine.reboot(event.ms);
          }
          time = machine.open();
        }
        const elapsed = time.elapsedMs();
        assert.ok(elapsed >= last, `${elapsed} after ${last}`);
        if (event.do === 'pass') assert.equal(elapsed - last, machine.now() - before);
        last = elapsed;
        const issued = time.challenge();
        assertAge(time.ageOf(issued), 0);
      }
    }),
    { numRuns: 200 },
  );
});

test('what has to wait is not hurried by a wall clock that was set, and counts on over restarts and reboots', () => {
  const machine = createMachine();
  machine.open().save();
  machine.pass(hour);
  machine.open().save();
  machine.setClock(y2038);
  const jumped = machine.open();
  assert.equal(jumped.waitedMs(), hour);
  assert.ok(jumped.elapsedMs() > 365 * day, 'while challenges age by it');
  jumped.save();
  machine.reboot(3 * hour);
  const rebooted = machine.open();
  assert.ok(rebooted.waitedMs() >= hour && rebooted.waitedMs() < hour + minute, `${rebooted.waitedMs()}`);
  machine.pass(hour);
  assert.ok(rebooted.waitedMs() >= 2 * hour);
});
