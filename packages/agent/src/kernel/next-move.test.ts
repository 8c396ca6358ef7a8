import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { Reason } from '@felhom/protocol';
import { foldSaga } from './fold.ts';
import type { SagaLog } from './fold.ts';
import type { Move } from './next-move.ts';
import { backOffMs, isPastPivot, nextMove } from './next-move.ts';
import { planRecovery } from './recovery.ts';
import { createRegistry } from './registry.ts';
import type { JournaledOutcome, SagaRecord, UnreadableRecord } from './records.ts';
import type { AnySaga, Step } from './saga.ts';
import { done } from './saga.ts';

const why: Reason = { code: 'test', text: 'because', retry: 'later' };
const acts = {
  run: async () => done({}),
  probe: async () => ({ is: 'never-happened' }) as const,
};
const undo = async () => done(undefined);
type AnyStep = Step<unknown, object, unknown>;

/** a read only · b with undo · c without undo · d pivot at its intent · e pivot at its outcome · f the rest */
const steps: readonly AnyStep[] = [
  { name: 'a', readOnly: true, run: acts.run },
  { name: 'b', ...acts, undo },
  { name: 'c', ...acts },
  { name: 'd', ...acts, undo, pivot: 'at-outcome' },
  { name: 'e', ...acts },
];
const saga: AnySaga = {
  name: 'table',
  version: 1,
  parseParams: (raw) => raw,
  lanes: () => [],
  steps,
  attemptCap: 3,
};
const atIntent: AnySaga = { ...saga, steps: [{ name: 'p', ...acts, undo, pivot: 'at-intent' }] };

type Short =
  | `intent ${string}`
  | `done ${string}`
  | `refused ${string}`
  | `unknown ${string}`
  | `never ${string}`
  | `handle ${string}`
  | `undo ${string}`
  | `undone ${string}`
  | `undo-unknown ${string}`
  | `undo-refused ${string}`
  | 'parked'
  | 'resumed'
  | 'ended'
  | 'strange';

const common = { v: 1, at: 0, saga: 's' } as const;
const outcome = (step: string, answer: JournaledOutcome): SagaRecord => ({
  ...common,
  kind: 'step-outcome',
  step,
  outcome: answer,
});
const undone = (step: string, answer: JournaledOutcome): SagaRecord => ({
  ...common,
  kind: 'undo-outcome',
  step,
  outcome: answer,
});

function recordOf(short: Short, at: number): SagaRecord | UnreadableRecord {
  const [verb, step = ''] = short.split(' ');
  const records: Readonly<Record<string, SagaRecord | UnreadableRecord>> = {
    intent: { ...common, kind: 'step-intent', step },
    done: outcome(step, { is: 'done', value: {} }),
    refused: outcome(step, { is: 'refused', why }),
    unknown: outcome(step, { is: 'unknown', why }),
    never: outcome(step, { is: 'never-happened' }),
    handle: { ...common, kind: 'step-handle', step, handle: 'UPID' },
    undo: { ...common, kind: 'undo-intent', step },
    undone: undone(step, { is: 'done', value: null }),
    'undo-unknown': undone(step, { is: 'unknown', why }),
    'undo-refused': undone(step, { is: 'refused', why }),
    parked: { ...common, kind: 'saga-parked', step: 'b', why },
    resumed: { ...common, kind: 'saga-resumed', by: 'anna' },
    ended: { ...common, kind: 'saga-ended', end: { is: 'completed' } },
    strange: { kind: 'unreadable', saga: 's', text: 'record version 2' },
  };
  const record = records[verb ?? ''];
  assert.ok(record !== undefined, short);
  return record.kind === 'unreadable' ? record : { ...record, at };
}

const begun: SagaRecord = {
  ...common,
  kind: 'saga-started',
  name: 'table',
  version: 1,
  params: null,
  lanes: ['guest:a'],
  purpose: 'change',
};

function logOf(shorts: readonly Short[]): SagaLog {
  const log = foldSaga([begun, ...shorts.map((short, at) => recordOf(short, at + 1))]);
  assert.ok(log !== undefined);
  return log;
}

const toC: readonly Short[] = ['intent a', 'done a', 'intent b', 'done b'];
const toD: readonly Short[] = [...toC, 'intent c', 'done c'];
const toE: readonly Short[] = [...toD, 'intent d', 'done d'];
const run = (step: string, waitMs = 0): Move => ({ is: 'run', step, waitMs });
const probe = (step: string, waitMs = 0): Move => ({ is: 'probe', step, waitMs });
const back = (step: string, waitMs = 0): Move => ({ is: 'undo', step, waitMs });
const unwound: Move = { is: 'finish', end: { is: 'unwound', why } };

const rows: readonly { readonly name: string; readonly given: readonly Short[]; readonly expect: Move | 'parks' }[] = [
  { name: 'nothing yet: the first step runs', given: [], expect: run('a') },
  { name: 'a read-only step that lost its outcome simply runs again', given: ['intent a'], expect: run('a') },
  {
    name: 'a read-only step that knows nothing runs again, later',
    given: ['intent a', 'unknown a'],
    expect: run('a', 1000),
  },
  { name: 'a done step gives way to the next', given: ['intent a', 'done a'], expect: run('b') },
  {
    name: 'an intent without an outcome is asked about, never repeated',
    given: ['intent a', 'done a', 'intent b'],
    expect: probe('b'),
  },
  { name: 'also with a handle', given: ['intent a', 'done a', 'intent b', 'handle b'], expect: probe('b') },
  {
    name: 'unknown is asked about again, later',
    given: [...toC, 'intent c', 'unknown c', 'unknown c'],
    expect: probe('c', 2000),
  },
  { name: 'never happened: it may run', given: [...toC, 'intent c', 'never c'], expect: run('c', 1000) },
  {
    name: 'a second attempt without an outcome is asked about too',
    given: [...toC, 'intent c', 'never c', 'intent c'],
    expect: probe('c', 1000),
  },
  { name: 'unknown before any intent: decide again, later', given: [...toC, 'unknown c'], expect: run('c', 1000) },
  {
    name: 'unknown too often: parked, never unwound',
    given: [...toC, 'intent c', 'unknown c', 'unknown c', 'unknown c'],
    expect: 'parks',
  },
  {
    name: 'a resume begins the count again',
    given: [...toC, 'intent c', 'unknown c', 'unknown c', 'unknown c', 'parked', 'resumed'],
    expect: probe('c'),
  },
  { name: 'done begins it again too', given: ['intent a', 'unknown a', 'unknown a', 'done a'], expect: run('b') },
  { name: 'refused before its intent: back over the steps before', given: [...toC, 'refused c'], expect: back('b') },
  { name: 'refused with nothing touched: over at once', given: ['refused a'], expect: unwound },
  {
    name: 'refused: back from its own intent on',
    given: ['intent a', 'done a', 'intent b', 'refused b'],
    expect: back('b'),
  },
  { name: 'a step without undo is passed by', given: [...toC, 'intent c', 'refused c'], expect: back('b') },
  {
    name: 'an undo without an outcome is done again',
    given: [...toC, 'intent c', 'refused c', 'undo b'],
    expect: back('b'),
  },
  {
    name: 'an undo that knows nothing is done again, later',
    given: [...toC, 'intent c', 'refused c', 'undo b', 'undo-unknown b'],
    expect: back('b', 1000),
  },
  {
    name: 'an undo that was refused too',
    given: [...toC, 'intent c', 'refused c', 'undo b', 'undo-refused b', 'undo b', 'undo-unknown b'],
    expect: back('b', 2000),
  },
  {
    name: 'but not for ever',
    given: [...toC, 'refused c', 'undo b', 'undo-refused b', 'undo-refused b', 'undo-refused b'],
    expect: 'parks',
  },
  { name: 'all undone: over', given: [...toC, 'refused c', 'undo b', 'undone b'], expect: unwound },
  {
    name: 'the pivot itself refused: still back, last first',
    given: [...toD, 'intent d', 'refused d'],
    expect: back('d'),
  },
  { name: '… then the step before', given: [...toD, 'intent d', 'refused d', 'undo d', 'undone d'], expect: back('b') },
  { name: 'refused past the pivot: again, later', given: [...toE, 'intent e', 'refused e'], expect: run('e', 1000) },
  {
    name: 'refused past the pivot too often: parked, not back',
    given: [...toE, 'refused e', 'refused e', 'refused e'],
    expect: 'parks',
  },
  { name: 'all done: over', given: [...toE, 'intent e', 'done e'], expect: { is: 'finish', end: { is: 'completed' } } },
  { name: 'parked: nothing', given: ['intent a', 'parked'], expect: { is: 'rest' } },
  { name: 'ended: nothing', given: ['intent a', 'ended'], expect: { is: 'rest' } },
  { name: 'a record of another release: parked', given: ['intent a', 'strange'], expect: 'parks' },
  { name: 'a step of another release: parked', given: ['intent a', 'done a', 'intent zebra'], expect: 'parks' },
];

for (const { name, given, expect } of rows)
  test(`next move: ${name}`, () => {
    const move = nextMove(saga, logOf(given));
    if (expect === 'parks') {
      assert.equal(move.is, 'park');
      assert.match(move.is === 'park' ? move.why.text : '', /felhom-agent journal resume s$/);
    } else assert.deepEqual(move, expect);
  });

test('a pivot at its intent closes the way back before anything happened', () => {
  assert.equal(isPastPivot(atIntent, logOf([])), false);
  assert.deepEqual(nextMove(atIntent, logOf(['refused p'])), unwound);
  assert.deepEqual(nextMove(atIntent, logOf(['intent p', 'refused p'])), run('p', 1000));
  assert.equal(nextMove(atIntent, logOf(['intent p', 'refused p', 'refused p', 'refused p'])).is, 'park');
});

test('back-off doubles and ends at five minutes', () => {
  assert.deepEqual([0, 1, 2, 3, 9, 10, 60].map(backOffMs), [0, 1000, 2000, 4000, 256_000, 300_000, 300_000]);
});

const plans: readonly { readonly name: string; readonly given: readonly Short[]; readonly expect: string }[] = [
  { name: 'nothing happened', given: [], expect: 'resume a' },
  { name: 'an intent is open', given: ['intent a', 'done a', 'intent b'], expect: 'resume b' },
  { name: 'a task is known', given: ['intent a', 'done a', 'intent b', 'handle b'], expect: 'await-handle b UPID' },
  {
    name: 'the handle of an attempt before the last counts no more',
    given: ['intent a', 'done a', 'intent b', 'handle b', 'never b', 'intent b'],
    expect: 'resume b',
  },
  { name: 'on its way back', given: [...toC, 'intent c', 'refused c'], expect: 'unwind b' },
  { name: 'back, and only the end is unwritten', given: ['refused a'], expect: 'unwind undefined' },
  { name: 'done, and only the end is unwritten', given: [...toE, 'intent e', 'done e'], expect: 'resume undefined' },
  { name: 'parked before', given: ['intent a', 'parked'], expect: 'stay-parked b' },
  { name: 'at its cap when the power went', given: ['unknown a', 'unknown a', 'unknown a'], expect: 'park a' },
  { name: 'with a record of another release', given: ['intent a', 'strange'], expect: 'park ' },
];

for (const { name, given, expect } of plans)
  test(`recovery: ${name}`, () => {
    const [recovery] = planRecovery([logOf(given)], createRegistry([saga]));
    assert.ok(recovery !== undefined);
    const { plan } = recovery;
    assert.equal(
      [plan.is, plan.step, ...(plan.is === 'await-handle' ? [plan.handle] : [])]
        .join(' ')
        .replace(/ $/, plan.step === undefined ? ' undefined' : ' '),
      expect,
    );
  });

test('recovery: what one release does not know parks alone', () => {
  const strict: AnySaga = {
    ...saga,
    name: 'strict',
    parseParams: () => {
      throw new TypeError('no vmid');
    },
  };
  const logs = [
    { ...logOf([]), id: '1', name: 'gone' },
    { ...logOf([]), id: '2', version: 7 },
    { ...logOf([]), id: '3', name: 'strict' },
    { ...logOf([]), id: '4' },
    { ...logOf(['ended']), id: '5' },
  ];
  const found = planRecovery(logs, createRegistry([saga, strict]));
  assert.deepEqual(
    found.map(({ log, plan }) => [log.id, plan.is]),
    [
      ['1', 'park'],
      ['2', 'park'],
      ['3', 'park'],
      ['4', 'resume'],
    ],
  );
  const texts = found.map(({ plan }) => ('why' in plan ? plan.why.text : ''));
  assert.match(texts[0] ?? '', /gone@1.*no such saga/);
  assert.match(texts[2] ?? '', /parameters do not parse: no vmid/);
});

const anyShort: fc.Arbitrary<Short> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('intent', 'done', 'refused', 'unknown', 'never', 'handle', 'undo', 'undone', 'undo-unknown'),
      fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    )
    .map((words) => words.join(' ') as Short),
  fc.constantFrom<Short>('parked', 'resumed'),
);

test('property: every pile of records, in whatever order, has exactly one legal move', () => {
  fc.assert(
    fc.property(fc.array(anyShort, { maxLength: 30 }), (shorts) => {
      const log = logOf(shorts);
      const move = nextMove(saga, log);
      if (move.is === 'undo') {
        assert.ok(!isPastPivot(saga, log), 'back over the pivot');
        assert.ok((log.steps.get(move.step)?.run.intents ?? 0) > 0, 'undo of what was never meant');
      }
      if (move.is === 'probe') assert.ok((log.steps.get(move.step)?.run.intents ?? 0) > 0, 'nothing to ask about');
      if (move.is === 'run') {
        const passage = log.steps.get(move.step)?.run;
        const undecided =
          (passage?.intents ?? 0) > 0 && (passage?.outcome === undefined || passage.outcome.is === 'unknown');
        assert.ok(!undecided || move.step === 'a', 'ran again what may have happened');
      }
      if (move.is === 'finish' && move.end.is === 'completed')
        for (const { name } of steps) assert.equal(log.steps.get(name)?.run.outcome?.is, 'done');
    }),
    { seed: 20_260_101, numRuns: 2000 },
  );
});

/** What a runner may write for a move, given the world's answer. */
function answersTo(move: Move, answer: number): readonly Short[] {
  const pick = <T>(from: readonly T[]): T => from[answer % from.length] as T;
  switch (move.is) {
    case 'run':
      return [
        `intent ${move.step}`,
        pick<Short>([`done ${move.step}`, `done ${move.step}`, `refused ${move.step}`, `unknown ${move.step}`]),
      ];
    case 'probe':
      return [pick<Short>([`done ${move.step}`, `never ${move.step}`, `unknown ${move.step}`, `refused ${move.step}`])];
    case 'undo':
      return [
        `undo ${move.step}`,
        pick<Short>([`undone ${move.step}`, `undone ${move.step}`, `undo-unknown ${move.step}`]),
      ];
    case 'finish':
    case 'park':
    case 'rest':
      return [];
  }
}

test('property: whatever the world answers, a saga ends or parks, and every prefix of its journal can be taken up', () => {
  const ends = new Set<string>();
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(11)), (answers) => {
      const written: Short[] = [];
      for (let turn = 0; turn < 200; turn += 1) {
        const move = nextMove(saga, logOf(written));
        if (move.is === 'finish' || move.is === 'park') {
          ends.add(move.is === 'finish' ? move.end.is : move.is);
          for (let cut = 0; cut <= written.length; cut += 1) {
            const [recovery] = planRecovery([logOf(written.slice(0, cut))], createRegistry([saga]));
            assert.ok(recovery !== undefined);
            if (cut < written.length) assert.notEqual(recovery.plan.is, 'park');
          }
          return;
        }
        written.push(...answersTo(move, answers.next().value));
      }
      assert.fail(`did not end: ${written.join(', ')}`);
    }),
    { seed: 7, numRuns: 300 },
  );
  assert.deepEqual([...ends].toSorted(), ['completed', 'park', 'unwound']);
});
