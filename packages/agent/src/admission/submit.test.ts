/** The door with the real journal, lanes and runner behind it; only the world is a table. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { guestName, guestUid } from '@felhom/protocol';
import {
  dataVolume,
  effects,
  evidences,
  factsFor,
  hour,
  makeDesired,
  makeGuest,
  makePolicy,
  makeRecord,
  now,
  ref,
} from '../../test/gate-facts.ts';
import { openJournalOn } from '../adapters/sqlite-journal/index.ts';
import { defaultBounds } from '../adapters/sqlite-journal/journal-on.ts';
import type { JournalBounds } from '../adapters/sqlite-journal/journal-on.ts';
import type { Effect } from '../authority/effects.ts';
import type { GateFacts } from '../authority/facts.ts';
import { isGuestEffect } from '../authority/gate-table.ts';
import { createFence, createLanes, createRegistry, createRunner, done, refused } from '../kernel/index.ts';
import type { Clock, Outcome, SagaDefinition } from '../kernel/index.ts';
import { noCrashPoints } from '../kernel/index.ts';
import { createAuditLog } from '../audit/index.ts';
import { createAuditTrail } from './audit-trail.ts';
import { createAdmission } from './submit.ts';
import type { SagaChoice, Submission } from './submit.ts';

interface Work {
  readonly lane: string;
  readonly what: string;
}
type Needs = Map<string, PromiseWithResolvers<Outcome<object>>>;

const define = (name: string, purpose: 'change' | 'protection'): SagaDefinition<Work, object, Needs> => ({
  name,
  version: 1,
  purpose,
  parseParams: (raw) => raw as Work,
  lanes: ({ lane }) => [lane, 'storage:fast'],
  attemptCap: 1,
  steps: [
    {
      name: 'work',
      pivot: 'at-intent',
      run: (ctx) => {
        const end = Promise.withResolvers<Outcome<object>>();
        ctx.needs.set(ctx.params.lane, end);
        return end.promise;
      },
      probe: async () => ({ is: 'never-happened' }),
    },
  ],
});
const work = define('work', 'change');
const backup = define('backup', 'protection');

const laneOf = (effect: Effect): string =>
  `guest:${effect.kind === 'guest-provision' ? effect.desired.name : 'guest' in effect ? effect.guest.name : ''}`;

/** A machine: what it is told of the world can be replaced; `boot` again is a restart on the same disk. */
function machine() {
  const disk = new DatabaseSync(':memory:');
  let at = now;
  const clock: Clock = {
    now: () => at,
    monotonicMs: () => 0,
    bootMs: () => 0,
    sleep: () => new Promise(() => undefined),
  };
  let seed = 0;
  const random = { bytes: (count: number) => new Uint8Array(count).fill((seed += 1)) };
  const world: {
    facts: Partial<GateFacts>;
    gather: () => Promise<void>;
    asked: number;
    purpose: 'change' | 'protection';
  } = {
    facts: {},
    gather: async () => undefined,
    asked: 0,
    purpose: 'change',
  };
  const boot = (bounds: Partial<JournalBounds> = {}) => {
    const journal = openJournalOn(disk, { clock, random, bounds: { ...defaultBounds, ...bounds } });
    const ends: Needs = new Map();
    const runner = createRunner({
      journal,
      crashPoints: noCrashPoints,
      fence: createFence(journal, clock),
      lanes: createLanes(clock, (lane) => (lane.startsWith('storage:') ? 10 : 1)),
      clock,
      random,
      registry: createRegistry([work, backup]),
    });
    runner.resumeAll(() => ends);
    const audit = createAuditTrail(journal, createAuditLog(journal));
    const admission = createAdmission({
      factsFor: async (effect) => {
        world.asked += 1;
        await world.gather();
        return done(factsFor(effect, world.facts));
      },
      sagaFor: (effect): SagaChoice =>
        effect.kind === 'marker-repair'
          ? { is: 'not-supported', why: 'nobody wrote it' }
          : {
              is: 'saga',
              definition: world.purpose === 'change' ? work : backup,
              params: { lane: laneOf(effect), what: effect.kind } satisfies Work,
            },
      needsOf: () => ends,
      runner,
      audit,
      clock,
    });
    const submit = (
      effect: Effect,
      evidence = evidences['desired-state'] as (typeof evidences)[keyof typeof evidences],
    ) => admission.submit(effect, evidence, new AbortController().signal);
    return { admission, submit, runner, audit, journal, ends };
  };
  return { boot, world, pass: (ms: number) => (at += ms) };
}

async function started(submission: Promise<Submission>) {
  const answer = await submission;
  assert.equal(answer.is, 'started', JSON.stringify(answer));
  assert.ok(answer.is === 'started');
  return answer;
}

/** Lets the runner reach the step, then ends it. */
async function finish(ends: Needs, lane: string, outcome: Outcome<object> = done({})): Promise<void> {
  for (let turns = 0; !ends.has(lane); turns += 1) {
    assert.ok(turns < 100, `nothing works on ${lane}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  ends.get(lane)?.resolve(outcome);
  ends.delete(lane);
}
const why = { code: 'x', text: 'cannot: broken', retry: 'operator' } as const;
const provision = (name: string, change: Record<string, unknown> = {}): Effect => ({
  kind: 'guest-provision',
  desired: makeDesired({ name, hostname: name, ...change }),
});

test('what is allowed is started, audited, and ends', async () => {
  const { boot } = machine();
  const { submit, audit, ends } = boot();
  const { saga, ended } = await started(submit(effects['cpu-up']));
  const [entry] = audit.since(0);
  assert.deepEqual(entry?.answer, { is: 'started', saga });
  assert.deepEqual(
    [entry.kind, entry.guest, entry.evidence, entry.row, entry.group],
    ['cpu-up', 'photos', 'desired-state', 'capacity-up', 'capacity'],
  );
  assert.deepEqual(entry.effect, effects['cpu-up']);
  await finish(ends, 'guest:photos');
  assert.equal((await ended).is, 'completed');
  await started(submit(effects['cpu-up']));
});

test('the same effect on its way is not begun twice, however often and however close it is asked for', async () => {
  const { boot } = machine();
  const { submit, runner } = boot();
  const answers = await Promise.all([submit(effects['cpu-up']), submit(effects['cpu-up']), submit(effects['cpu-up'])]);
  assert.deepEqual(
    answers.map(({ is }) => is),
    ['started', 'already-running', 'already-running'],
  );
  // What was observed may move on the way; what is asked for is the same.
  const again = await submit({ kind: 'cpu-up', guest: ref, from: 3, to: 4 });
  assert.equal(again.is, 'already-running');
  assert.equal(runner.status().length, 1);
});

test('another effect on a guest at work is busy and names the holder; another guest goes on', async () => {
  const { boot } = machine();
  const { submit } = boot();
  const { saga } = await started(submit(effects['cpu-up']));
  assert.deepEqual(await submit(effects['memory-up']), { is: 'busy', lane: 'guest:photos', holder: saga });
  await started(submit(provision('mail')));
});

test('a parked saga refuses with the command that resolves it, for its own effect and for others', async () => {
  const { boot, world } = machine();
  const { submit, ends, runner } = boot();
  const { ended } = await started(submit(effects['cpu-up']));
  await finish(ends, 'guest:photos', refused(why));
  assert.equal((await ended).is, 'parked');
  const command = runner.status()[0]?.parked?.command ?? 'none';
  for (const effect of [effects['cpu-up'], effects['memory-up']]) {
    const answer = await submit(effect);
    assert.ok(answer.is === 'refused');
    assert.equal(answer.why.code, 'gate.lane-parked');
    assert.ok(answer.why.text.includes(command), answer.why.text);
  }
  world.purpose = 'protection';
  await started(submit(effects['backup-flag-on']));
});

test('what only a signature allows is blocked, remembered and audited once, and nothing runs', async () => {
  const { boot, pass } = machine();
  const { submit, admission, audit, runner } = boot();
  const first = await submit(effects['guest-remove']);
  assert.ok(first.is === 'blocked');
  pass(hour);
  const second = await submit(effects['guest-remove']);
  assert.ok(second.is === 'blocked');
  assert.equal(second.action.digest, first.action.digest);
  assert.equal(second.action.since, now, 'it is as old as the first time it was asked for');
  assert.deepEqual(
    admission.blocked.list().map(({ action, lastSeen }) => [action.digest, lastSeen]),
    [[first.action.digest, now + hour]],
  );
  assert.deepEqual(
    audit.since(0).map(({ answer }) => answer.is),
    ['blocked'],
  );
  assert.equal(runner.status().length, 0);
});

test('a blocked action stays visible while its guest is at work', async () => {
  const { boot } = machine();
  const { submit } = boot();
  await started(submit(effects['cpu-up']));
  assert.equal((await submit(effects['volume-remove'])).is, 'blocked');
});

test('blocked actions follow the passes: gone when a whole pass no longer asks, kept when it could not tell', async () => {
  const { boot } = machine();
  const { submit, admission } = boot();
  const { blocked } = admission;
  blocked.beginPass();
  await submit(effects['guest-remove']);
  await submit(effects['volume-remove']);
  blocked.endPass();
  assert.equal(blocked.list().length, 2);
  blocked.beginPass();
  await submit(effects['volume-remove']);
  assert.equal(blocked.list().length, 2, 'not before the pass ended');
  blocked.endPass();
  assert.deepEqual(
    blocked.list().map(({ action }) => action.document.verb),
    ['volume-remove'],
  );
  blocked.beginPass();
  blocked.endPass(new Set([`${ref.uid}.${ref.incarnation}`]));
  assert.equal(blocked.list().length, 1);
  const [seen] = blocked.list();
  assert.ok(seen !== undefined);
  assert.equal(blocked.find(seen.action.digest)?.action.digest, seen.action.digest);
  blocked.beginPass();
  blocked.endPass();
  assert.equal(blocked.list().length, 0);
});

test('a restart knows since when an action is blocked, unless it was past in between', async () => {
  const { boot, pass, world } = machine();
  const first = boot();
  await first.submit(effects['guest-remove']);
  await first.submit(effects['guest-stop']);
  // The guest turns out to be foreign: the removal is refused, so the block of it is past.
  world.facts = { guest: makeGuest({ identity: { is: 'foreign', why: 'stale-marker' } }) };
  await first.submit(effects['guest-remove']);
  world.facts = {};
  pass(hour);
  const { submit } = boot();
  const stop = await submit(effects['guest-stop']);
  const remove = await submit(effects['guest-remove']);
  assert.ok(stop.is === 'blocked' && remove.is === 'blocked');
  assert.equal(stop.action.since, now);
  assert.equal(remove.action.since, now + hour);
});

test('a refusal is audited when it begins, not in every pass; another answer is audited again', async () => {
  const { boot, world } = machine();
  const { submit, audit } = boot();
  world.facts = { policy: makePolicy({ hold: { host: true } }) };
  for (let i = 0; i < 3; i += 1) assert.equal((await submit(effects['cpu-up'])).is, 'refused');
  world.facts = { policy: undefined };
  assert.equal((await submit(effects['cpu-up'])).is, 'refused');
  assert.deepEqual(
    audit.since(0).map(({ answer }) => (answer.is === 'refused' ? answer.code : answer.is)),
    ['gate.on-hold', 'gate.policy-unreadable'],
  );
});

const small = (name: string, cores = 1): Effect =>
  provision(name, { cores, memoryMiB: 128, volumes: [], rootfs: { storage: 'fast', sizeGiB: 4 } });

test('effects of one pass share one budget: what is under way is counted before it is seen', async () => {
  const { boot, world } = machine();
  const { submit } = boot();
  world.facts = { policy: makePolicy({ limits: { guests: 10, cores: 8, memoryMiB: 16_384, blastRadius: 10 } }) };
  // 4 cores are taken; two guests of 2 fit, a third does not.
  const answers = await Promise.all(['a', 'b', 'c'].map((name) => submit(small(name, 2))));
  assert.deepEqual(
    answers.map(({ is }) => is),
    ['started', 'started', 'refused'],
  );
});

test('effects of one pass share one storage', async () => {
  const { boot, world } = machine();
  const { submit } = boot();
  world.facts = { policy: makePolicy({ limits: { guests: 10, blastRadius: 10 } }) };
  // 28 of 100 GiB are promised, each guest wants 28.
  const answers = await Promise.all(['a', 'b', 'c'].map((name) => submit(provision(name))));
  assert.deepEqual(
    answers.map(({ is }) => is),
    ['started', 'started', 'refused'],
  );
});

const manyGuests = { policy: makePolicy({ limits: { guests: 10, blastRadius: 2 } }) };

test('the blast radius holds within one pass, over a restart, and opens after a day', async () => {
  const { boot, pass, world } = machine();
  world.facts = manyGuests;
  const first = boot();
  const answers = await Promise.all(['a', 'b', 'c'].map((name) => first.submit(small(name))));
  assert.deepEqual(
    answers.map(({ is }) => is),
    ['started', 'started', 'blocked'],
  );
  pass(23 * hour);
  const second = boot();
  assert.equal((await second.submit(small('c'))).is, 'blocked');
  pass(hour);
  assert.equal((await second.submit(small('c'))).is, 'started');
});

test('a flood of refused nonsense does not make a restarted agent forget what it touched', async () => {
  const { boot, world } = machine();
  world.facts = manyGuests;
  const first = boot({ keepFacts: 5 });
  await first.submit(small('a'));
  await first.submit(small('b'));
  for (let n = 0; n < 20; n += 1) await first.submit(provision('x', { golden: `none.${n}` }));
  assert.ok(first.audit.since(0).every(({ answer }) => answer.is === 'refused'));
  assert.equal((await boot().submit(small('c'))).is, 'blocked');
});

test('a guest grows by half within a day, in how many parts and over how many restarts ever', async () => {
  const { boot, world, pass } = machine();
  const grow = (from: number, to: number): Extract<Effect, { kind: 'volume-grow' | 'volume-shrink' }> => ({
    kind: 'volume-grow',
    guest: ref,
    volume: 'data',
    volid: dataVolume,
    from,
    to,
  });
  const first = boot();
  const { ended } = await started(first.submit(grow(20, 30)));
  await finish(first.ends, 'guest:photos');
  await ended;
  world.facts = { guest: makeGuest({ sizeGiB: 38 }) };
  assert.equal((await boot().submit(grow(30, 35))).is, 'blocked', 'fifteen of twenty-eight are too many');
  const another = guestUid.parse('bbbbbbbbbbbbbbbbbbbbbbbbbb');
  world.facts = { guest: makeGuest({ record: makeRecord({ uid: another }) }) };
  const elsewhere: Effect = { ...grow(20, 30), guest: { ...ref, uid: another } };
  assert.equal((await boot().submit(elsewhere)).is, 'started', 'another guest has its own half');
  world.facts = { guest: makeGuest({ sizeGiB: 38 }) };
  pass(24 * hour);
  assert.notEqual((await boot().submit(grow(30, 35))).is, 'blocked');
});

test('a growth that was refused by the node took nothing of the day, and may be tried again', async () => {
  const { boot, world } = machine();
  const grow: Effect = { kind: 'volume-grow', guest: ref, volume: 'data', volid: dataVolume, from: 20, to: 30 };
  world.facts = { guest: makeGuest({ sizeGiB: 28 }) };
  const first = boot();
  const { ended } = await started(first.submit(grow));
  await finish(first.ends, 'guest:photos');
  await ended;
  assert.equal((await boot().submit(grow)).is, 'started', 'it is still as small as before');
});

test('after a restart an open saga is still the one that carries out its effect, and still counts', async () => {
  const { boot, world } = machine();
  world.facts = { policy: makePolicy({ limits: { guests: 2, blastRadius: 10 } }) };
  const first = boot();
  const { saga } = await started(first.submit(provision('mail')));
  await new Promise((resolve) => setImmediate(resolve));
  const second = boot();
  assert.deepEqual(await second.submit(provision('mail')), { is: 'already-running', saga });
  assert.equal((await second.submit(provision('b'))).is, 'refused', 'one on record and one under way are two');
});

test('facts that grew old while they were gathered decide nothing', async () => {
  const { boot, world } = machine();
  const { submit, ends } = boot();
  const { saga, ended } = await started(submit(effects['cpu-up']));
  const gate = Promise.withResolvers<void>();
  world.gather = () => gate.promise;
  const late = submit(effects['memory-up']);
  await finish(ends, 'guest:photos');
  await ended;
  gate.resolve();
  assert.deepEqual(await late, { is: 'busy', lane: 'guest:photos', holder: saga });
  await started(submit(effects['memory-up']));
});

test('facts that another saga overtook decide nothing either', async () => {
  const { boot, world } = machine();
  const { submit, ends } = boot();
  const gate = Promise.withResolvers<void>();
  world.gather = () => gate.promise;
  const late = submit(effects['memory-up']);
  world.gather = async () => undefined;
  const { saga, ended } = await started(submit(effects['cpu-up']));
  await finish(ends, 'guest:photos');
  await ended;
  gate.resolve();
  assert.deepEqual(await late, { is: 'busy', lane: 'guest:photos', holder: saga });
});

test('facts that cannot be gathered refuse with their own reason', async () => {
  const { boot, world } = machine();
  const { admission } = boot();
  world.gather = async () => undefined;
  const broken = createAdmission({
    factsFor: async () => ({ is: 'unknown', why }),
    sagaFor: () => ({ is: 'not-supported', why: 'x' }),
    needsOf: () => undefined,
    runner: boot().runner,
    audit: boot().audit,
    clock: { now: () => now },
  });
  const { signal } = new AbortController();
  assert.deepEqual(await broken.submit(effects['cpu-up'], evidences['desired-state'], signal), { is: 'refused', why });
  assert.equal(admission.blocked.list().length, 0);
});

test('what nobody can carry out is refused, and what was given up does not begin', async () => {
  const { boot } = machine();
  const { submit, admission, runner } = boot();
  const unsupported = await submit(effects['marker-repair']);
  assert.ok(unsupported.is === 'refused');
  assert.equal(unsupported.why.code, 'gate.not-built');
  const answer = await admission.submit(effects['cpu-up'], evidences['desired-state'], AbortSignal.abort());
  assert.equal(answer.is, 'refused');
  assert.equal(runner.status().length, 0);
});

test('a start that cannot be audited does not happen', async () => {
  const { boot } = machine();
  const { runner, audit, ends } = boot();
  const admission = createAdmission({
    factsFor: async (effect) => done(factsFor(effect)),
    sagaFor: () => ({ is: 'saga', definition: work, params: { lane: 'guest:photos', what: '' } satisfies Work }),
    needsOf: () => ends,
    runner,
    audit: {
      ...audit,
      append: () => {
        throw new Error('disk full');
      },
    },
    clock: { now: () => now },
  });
  const { signal } = new AbortController();
  await assert.rejects(admission.submit(effects['cpu-up'], evidences['desired-state'], signal), /disk full/);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(runner.status().length, 0);
  assert.equal(ends.size, 0);
});

test('a preview says what the gate says and leaves no trace', async () => {
  const { boot, world } = machine();
  const { admission, audit, runner } = boot();
  const { signal } = new AbortController();
  for (const effect of Object.values(effects).filter(isGuestEffect)) {
    const seen = await admission.preview(effect, evidences['desired-state'], signal);
    assert.equal(seen.is, 'done');
  }
  assert.equal(audit.since(0).length, 0);
  assert.equal(runner.status().length, 0);
  assert.equal(admission.blocked.list().length, 0);
  assert.ok(world.asked > 0);
});

test('tear-down of scratch and compensation do not count against the blast radius', async () => {
  const { boot, world } = machine();
  world.facts = { guest: makeGuest({ record: makeRecord({ servedAt: undefined, name: guestName.parse('photos') }) }) };
  const { submit, audit } = boot();
  await started(submit(effects['guest-remove'], evidences.scratch));
  assert.equal(audit.since(0)[0]?.group, undefined);
  assert.deepEqual(audit.state().touches, []);
});
