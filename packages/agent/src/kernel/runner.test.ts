import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { AnySaga, SagaDefinition, Step } from './saga.ts';
import { done, refused, unknown } from './saga.ts';
import { createRegistry } from './registry.ts';
import { toyMachine } from './test/toy-machine.ts';
import { because, toySaga } from './test/toy-saga.ts';
import type { ToyNeeds } from './test/toy-saga.ts';
import { emptyWorld } from './test/toy-world.ts';

const params = { colour: 'red', lane: 'guest:a' };
type AnyStep = Step<null, Record<string, unknown>, ToyNeeds>;

/** A saga of the given steps on lane `guest:x`. */
const sagaOf = (...steps: AnyStep[]): SagaDefinition<null, Record<string, unknown>, ToyNeeds> => ({
  name: 'probe-me',
  version: 1,
  parseParams: () => null,
  lanes: () => ['guest:x'],
  steps,
  attemptCap: 3,
});

/** Waits for a condition, a turn of the event loop at a time. */
async function until(holds: () => boolean): Promise<void> {
  for (let turns = 0; turns < 1000; turns += 1) {
    if (holds()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.fail('it never came true');
}

test('the journal of a saga tells its story in order', async () => {
  const boot = toyMachine().boot();
  const { id, ended } = boot.runner.start(toySaga, params, boot.needs);
  assert.equal((await ended).is, 'completed');
  assert.deepEqual(
    boot.journal.recordsOf(id).map((record) => ('step' in record ? `${record.kind} ${record.step}` : record.kind)),
    [
      'saga-started',
      'step-intent look',
      'step-outcome look',
      'step-intent place',
      'step-handle place',
      'step-outcome place',
      'step-intent paint',
      'step-outcome paint',
      'step-intent light',
      'step-outcome light',
      'step-intent ring',
      'step-outcome ring',
      'saga-ended',
    ],
  );
  assert.deepEqual(boot.runner.status(), []);
});

test('a step sees exactly what a replay would see', async () => {
  const seen: unknown[] = [];
  const saga = sagaOf({
    name: 'a',
    intend: async () => done({ when: new Date(0), nothing: undefined, list: [1, undefined] }),
    run: async (ctx) => {
      seen.push(ctx.state);
      return done({});
    },
    probe: async () => ({ is: 'never-happened' }),
  });
  const boot = toyMachine(emptyWorld(), [saga]).boot();
  await boot.runner.start(saga, null, boot.needs).ended;
  assert.deepEqual(seen, [{ when: '1970-01-01T00:00:00.000Z', list: [1, null] }]);
});

test('an exception is no answer: the step is asked about, and what it did is not done twice', async () => {
  let effects = 0;
  const saga = sagaOf({
    name: 'a',
    run: async () => {
      effects += 1;
      throw new TypeError('undefined is not a volume');
    },
    probe: async () => (effects > 0 ? done({ found: true }) : { is: 'never-happened' }),
  });
  const boot = toyMachine(emptyWorld(), [saga]).boot();
  const { id, ended } = boot.runner.start(saga, null, boot.needs);
  assert.deepEqual(await ended, { is: 'completed', state: { found: true } });
  assert.equal(effects, 1);
  assert.match(JSON.stringify(boot.journal.recordsOf(id)), /its run threw: undefined is not a volume/);
});

/** Unsettled for as long as `dark` says so. */
function darkSaga() {
  const switches = { dark: true, runs: 0 };
  const saga = sagaOf({
    name: 'a',
    run: async () => {
      switches.runs += 1;
      return unknown(because('no answer'));
    },
    probe: async () => (switches.dark ? unknown(because('still dark')) : done({})),
  });
  return { saga, switches };
}

test('what cannot be settled parks: its lane closed for changes, open for protection, with the command that helps', async () => {
  const { saga, switches } = darkSaga();
  const backup: AnySaga = {
    ...saga,
    name: 'backup',
    purpose: 'protection',
    steps: [{ name: 'b', readOnly: true, run: async () => done({}) }],
  };
  const machine = toyMachine(emptyWorld(), [saga, backup]);
  const boot = machine.boot();
  const { id, ended } = boot.runner.start(saga, null, boot.needs);
  const end = await ended;
  assert.equal(end.is, 'parked');
  assert.match(end.is === 'parked' ? end.why.text : '', new RegExp(`after 3 attempts: still dark.*resume ${id}$`));
  assert.equal(switches.runs, 1);
  assert.equal(boot.lanes.isParked('guest:x'), true);
  const [status] = boot.runner.status();
  assert.deepEqual(
    [status?.doing, status?.step, status?.parked?.command],
    ['parked', 'a', `felhom-agent journal resume ${id}`],
  );
  assert.equal((await boot.runner.start(backup, null, boot.needs).ended).is, 'completed');

  // A restart keeps it parked and its lane closed; the operator's word sets it going again.
  const next = machine.boot();
  assert.equal(next.lanes.isParked('guest:x'), true);
  switches.dark = false;
  const resumed = next.runner.resume(id, 'anna');
  assert.ok(resumed.is === 'done');
  assert.equal((await resumed.value.ended).is, 'completed');
  assert.deepEqual(next.lanes.queue(), []);
  assert.equal(next.runner.resume(id, 'anna').is, 'refused');
});

test('an abandoned saga ends as it stands and frees its lane', async () => {
  const { saga } = darkSaga();
  const boot = toyMachine(emptyWorld(), [saga]).boot();
  const { id, ended } = boot.runner.start(saga, null, boot.needs);
  assert.equal(boot.runner.abandon(id, 'anna').is, 'refused');
  await ended;
  assert.equal(boot.runner.abandon(id, 'anna').is, 'done');
  assert.deepEqual([boot.lanes.queue(), boot.journal.openSagas()], [[], []]);
});

/** A saga that waits until it is told to stop waiting. */
const patient = sagaOf({
  name: 'wait',
  run: async (ctx, signal) => {
    ctx.recordHandle('task');
    ctx.progress({ text: 'half of it', fraction: 0.5 });
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    return done({});
  },
  probe: async (ctx) => done({ found: ctx.handle }),
});

test('a sign of life is another word of the step; the same word again is none', async () => {
  const moved: (number | undefined)[] = [];
  const saga = sagaOf({
    name: 'talk',
    run: async (ctx, signal) => {
      for (const text of ['a line', 'a line', 'another']) {
        await ctx.clock.sleep(1000, signal);
        ctx.progress({ text });
        moved.push(boot.runner.status()[0]?.movedAt);
      }
      return done({});
    },
    probe: async () => ({ is: 'never-happened' }),
  });
  const boot = toyMachine(emptyWorld(), [saga]).boot();
  assert.equal((await boot.runner.start(saga, null, boot.needs).ended).is, 'completed');
  const [first = 0, again, another] = moved;
  assert.deepEqual([again, another], [first, first + 2000]);
});

test('stopping stops the waiting; the saga is open, and the next start takes it up', async () => {
  const machine = toyMachine(emptyWorld(), [patient]);
  const boot = machine.boot();
  const { id, ended } = boot.runner.start(patient, null, boot.needs);
  await until(() => boot.runner.status()[0]?.progress !== undefined);
  assert.deepEqual(boot.runner.status()[0]?.progress, { text: 'half of it', fraction: 0.5 });
  await boot.runner.stop(because('shutting down'));
  assert.deepEqual(await ended, { is: 'left-open', why: because('shutting down') });
  assert.equal(boot.journal.recordsOf(id).at(-1)?.kind, 'step-handle');

  assert.deepEqual(await machine.boot().finish(), [{ is: 'completed', state: { found: 'task' } }]);
});

test('an operator parks a saga where it stands', async () => {
  const boot = toyMachine(emptyWorld(), [patient]).boot();
  const { id, ended } = boot.runner.start(patient, null, boot.needs);
  await until(() => boot.runner.status()[0]?.progress !== undefined);
  assert.equal((await boot.runner.park(id, 'anna')).is, 'done');
  assert.equal((await ended).is, 'left-open');
  assert.equal(boot.runner.status()[0]?.doing, 'parked');
  assert.equal(boot.lanes.isParked('guest:x'), true);
  const resumed = boot.runner.resume(id, 'anna');
  assert.equal(resumed.is === 'done' ? (await resumed.value.ended).is : resumed.is, 'completed');
});

test('one at a time per lane; a waiter is visible, and can be withdrawn without a trace', async () => {
  const boot = toyMachine(emptyWorld(), [patient]).boot();
  void boot.runner.start(patient, null, boot.needs);
  const patience = new AbortController();
  const second = boot.runner.start(patient, null, boot.needs, patience.signal);
  await until(() => boot.runner.status().some(({ doing }) => doing === 'waiting-for-lanes'));
  patience.abort(because('asked for something else'));
  const end = await second.ended;
  assert.equal(end.is, 'unwound');
  assert.match(end.is === 'unwound' ? end.why.text : '', /withdrawn before it began: asked for something else/);
  assert.deepEqual(boot.journal.recordsOf(second.id), []);
  await boot.runner.stop(because('end of test'));
});

test('a host that was suspended changes nothing more until it looked again', async () => {
  const effects: string[] = [];
  let wakeUp: () => void = () => undefined;
  const saga = sagaOf(
    {
      name: 'a',
      run: () => new Promise((resolve) => (wakeUp = () => resolve(done({})))),
      probe: async () => done({}),
    },
    {
      name: 'b',
      run: async () => {
        effects.push('b');
        return done({});
      },
      probe: async () => (effects.length > 0 ? done({}) : { is: 'never-happened' }),
    },
  );
  const machine = toyMachine(emptyWorld(), [saga]);
  const boot = machine.boot();
  const { ended } = boot.runner.start(saga, null, boot.needs);
  await until(() => boot.runner.status()[0]?.step === 'a');
  machine.clock.suspend(31_000);
  wakeUp();
  const end = await ended;
  assert.match(end.is === 'left-open' ? end.why.text : end.is, /the host was suspended/);
  assert.deepEqual(effects, []);
  assert.equal((await machine.boot().finish())[0]?.is, 'completed');
  assert.deepEqual(effects, ['b']);
});

test('a journal that fails stops everything and claims nothing', async () => {
  const halts: string[] = [];
  const machine = toyMachine();
  const boot = machine.boot();
  const place = boot.runner.start(toySaga, params, boot.needs);
  const other = boot.runner.start(toySaga, { ...params, lane: 'guest:b' }, boot.needs);
  boot.power.cut();
  for (const { ended } of [place, other]) halts.push((await ended).is);
  assert.ok(
    halts.every((is) => is === 'left-open' || is === 'unwound'),
    halts.join(),
  );
  assert.deepEqual([...machine.world.things], []);
});

test('a saga that this release does not know parks alone, on the lanes it had', async () => {
  const { saga } = darkSaga();
  const machine = toyMachine(emptyWorld(), [toySaga, saga]);
  const first = machine.boot({ at: 'toy/paint/run/after-intent' });
  void first.runner.start(saga, null, first.needs);
  await first.runner.start(toySaga, params, first.needs).ended;
  assert.equal(first.power.crashedAt, 'toy/paint/run/after-intent');

  const older = machine.reboot([toySaga]);
  assert.deepEqual((await older.finish()).map(({ is }) => is).toSorted(), ['completed', 'parked']);
  assert.equal(older.lanes.isParked('guest:x'), true);
  assert.equal(older.lanes.isParked('guest:a'), false);
  const [parked] = older.runner.status();
  assert.match(parked?.parked?.why.text ?? '', /this release has no such saga; install the release that wrote it/);
  assert.equal(older.runner.resume(parked?.id ?? '', 'anna').is, 'refused');

  const newer = machine.reboot([toySaga, saga]);
  assert.equal(newer.runner.resume(parked?.id ?? '', 'anna').is, 'done');
});

/** A call that closes the way back and may land late: `landsAfter` probes it is there. */
function rollback(barrier: AnyStep['barrier']) {
  const seen = { runs: 0, probes: 0, landsAfter: Infinity };
  const step: AnyStep = {
    name: 'rollback',
    pivot: 'at-intent',
    run: async () => {
      seen.runs += 1;
      return seen.runs === 1 ? unknown(because('596')) : done({});
    },
    probe: async () => {
      seen.probes += 1;
      return seen.probes > seen.landsAfter ? done({ landed: true }) : { is: 'never-happened' };
    },
    ...(barrier === undefined ? {} : { barrier }),
  };
  return { saga: sagaOf(step), seen };
}

test('a call that closes the way back is not repeated without a barrier', async () => {
  const { saga, seen } = rollback(undefined);
  const boot = toyMachine(emptyWorld(), [saga]).boot();
  const end = await boot.runner.start(saga, null, boot.needs).ended;
  assert.equal(end.is, 'parked');
  assert.match(end.is === 'parked' ? end.why.text : '', /without a barrier it may still land/);
  assert.equal(seen.runs, 1);
});

test('behind its barrier it is asked about again, and only then repeated', async () => {
  const { saga, seen } = rollback(async () => done(undefined));
  const boot = toyMachine(emptyWorld(), [saga]).boot();
  assert.equal((await boot.runner.start(saga, null, boot.needs).ended).is, 'completed');
  assert.deepEqual([seen.runs, seen.probes], [2, 2]);
});

test('what lands while the barrier is waited for is found and not repeated', async () => {
  const { saga, seen } = rollback(async () => done(undefined));
  seen.landsAfter = 1;
  const boot = toyMachine(emptyWorld(), [saga]).boot();
  assert.deepEqual(await boot.runner.start(saga, null, boot.needs).ended, { is: 'completed', state: { landed: true } });
  assert.equal(seen.runs, 1);
});

test('a barrier that is not settled leaves it unknown', async () => {
  const { saga, seen } = rollback(async () => refused(because('the lock is still held')));
  const boot = toyMachine(emptyWorld(), [saga]).boot();
  const end = await boot.runner.start(saga, null, boot.needs).ended;
  assert.match(end.is === 'parked' ? end.why.text : end.is, /the lock is still held/);
  assert.equal(seen.runs, 1);
});

test('undo of a step that was undone finds nothing to do', async () => {
  const world = emptyWorld();
  world.refusals.set('paint', 1);
  world.lostAnswers.set('remove', 1);
  const boot = toyMachine(world).boot();
  assert.equal((await boot.runner.start(toySaga, params, boot.needs).ended).is, 'unwound');
  assert.equal(world.effects.filter((effect) => effect === 'remove').length, 1);
});

const bad: readonly { readonly name: string; readonly saga: Partial<AnySaga>; readonly says: RegExp }[] = [
  { name: 'no steps', saga: { steps: [] }, says: /no steps/ },
  {
    name: 'a step that cannot be probed',
    saga: { steps: [{ name: 'a', run: async () => done({}) }] },
    says: /has no probe/,
  },
  { name: 'the same step twice', saga: { steps: [patient.steps[0]!, patient.steps[0]!] }, says: /is there twice/ },
  { name: 'no attempts', saga: { attemptCap: 0 }, says: /attemptCap/ },
  { name: 'a name that is no name', saga: { name: 'Bring Up' }, says: /lower-case/ },
  {
    name: 'a read-only pivot',
    saga: { steps: [{ name: 'a', readOnly: true, pivot: 'at-intent', run: async () => done({}) }] },
    says: /no pivot/,
  },
];

for (const { name, saga, says } of bad)
  test(`a saga with ${name} is not registered`, () => {
    assert.throws(() => createRegistry([{ ...patient, ...saga }]), says);
  });

test('a saga that is not registered, or whose parameters do not parse, does not start', () => {
  const boot = toyMachine().boot();
  assert.throws(() => boot.runner.start(patient, null, boot.needs), /not registered/);
  assert.throws(() => boot.runner.start(toySaga, {} as typeof params, boot.needs), /no colour/);
});

test('a fence that is lost inside a step ends the run, also where the probe cannot settle anything', async () => {
  const machine = toyMachine(emptyWorld(), []);
  let probes = 0;
  const saga = sagaOf({
    name: 'a',
    run: async () => {
      machine.clock.suspend(31_000);
      return unknown(because('the call was held back'));
    },
    probe: async () => {
      probes += 1;
      return unknown(because('the barrier was held back'));
    },
  });
  const boot = machine.reboot([saga]);
  const end = await boot.runner.start(saga, null, boot.needs).ended;
  assert.equal(end.is, 'left-open', 'a parked saga would say that the agent restarts, and it would not');
  assert.equal(probes, 0, 'barriers write; an agent without its fence must not');
});
