import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digest, operation, reason } from '@felhom/protocol';
import type { GuestUid, Operation } from '@felhom/protocol';
import { done, refused } from '../kernel/index.ts';
import type { DocumentWrite, SagaRecord, SagaStatus } from '../kernel/index.ts';
import { createOperations } from './operations.ts';
import type { NewOperation, Operations } from './operations.ts';
import { Bench, other, uid } from './test/bench.ts';

const request = digest.parse('1'.repeat(64));

class Desk extends Bench {
  status: SagaStatus[] = [];
  sagas = 0;
  begun = 0;
  readonly operations: Operations = createOperations({
    documents: this.documents(),
    journal: { recordsOf: (saga) => this.journal.recordsOf(saga) },
    runner: { status: () => this.status },
    clock: this.clock,
    random: this.random,
  });

  write(write: DocumentWrite): void {
    if ('put' in write) this.journal.put(write.put);
  }

  ask(over: Partial<NewOperation> = {}) {
    return this.operations.begin({ guest: uid, kind: 'snapshot', key: undefined, ...over }, async (atStart) => {
      this.begun++;
      const saga = `saga-${++this.sagas}`;
      atStart(saga).forEach((write) => this.write(write));
      this.status.push(statusOf(saga));
      return done({ saga, fresh: true });
    });
  }

  records(saga: string, ...records: readonly Record<string, unknown>[]): void {
    const common = { v: 1, at: this.now, saga };
    const all = [{ kind: 'saga-started', name: 'x', version: 1, params: {}, lanes: [], purpose: 'change' }, ...records];
    this.journal.append(all.map((record) => ({ ...common, ...record }) as unknown as SagaRecord));
  }
}

const statusOf = (id: string, over: Partial<SagaStatus> = {}): SagaStatus => ({
  id,
  name: 'x',
  version: 1,
  doing: 'running',
  step: 'take',
  progress: undefined,
  lanes: [],
  since: 0,
  lastAt: 0,
  movedAt: 0,
  parked: undefined,
  ...over,
});

async function asked(desk: Desk, over: Partial<NewOperation> = {}): Promise<Operation> {
  const answer = await desk.ask(over);
  return answer.is === 'done' ? operation.parse(answer.value) : assert.fail();
}

const found = (desk: Desk, guest: GuestUid, id: string): Operation | string => {
  const answer = desk.operations.find(guest, id);
  return answer.is === 'done' ? operation.parse(answer.value) : answer.why.code;
};

test('an operation is found by its guest and its id, and by no other guest', async () => {
  const desk = new Desk();
  const { id } = await asked(desk);
  assert.equal((found(desk, uid, id) as Operation).state, 'running');
  assert.equal(found(desk, other, id), 'operation.unknown');
  assert.equal(found(desk, uid, 'a'.repeat(26)), 'operation.unknown');
  assert.equal(found(desk, uid, `../${other}/${id}`), 'operation.unknown');
});

test('the same key is the same operation for a day, also asked twice at once and after a restart', async () => {
  const desk = new Desk();
  const key = { text: 'key-1234', request };
  const [first, second] = await Promise.all([asked(desk, { key }), asked(desk, { key })]);
  assert.deepEqual([first.id === second.id, desk.begun], [true, 1]);
  desk.journal = desk.journal.reopen();
  assert.equal((await asked(desk, { key })).id, first.id);
  const elsewise = await desk.ask({ key: { ...key, request: digest.parse('2'.repeat(64)) } });
  assert.equal(elsewise.is === 'refused' && elsewise.why.code, 'local.key-reused');
  assert.notEqual((await asked(desk, { key, guest: other })).id, first.id, "another guest's key is its own");
  desk.now += 86_400_000;
  assert.notEqual((await asked(desk, { key })).id, first.id);
});

test('what was refused leaves nothing, and may be asked again with the same key', async () => {
  const desk = new Desk();
  const key = { text: 'key-1234', request };
  const answer = await desk.operations.begin({ guest: uid, kind: 'backup', key }, async () =>
    refused(reason('operation.due-first', 'cannot: later')),
  );
  assert.equal(answer.is, 'refused');
  assert.deepEqual(desk.journal.list('operation/'), []);
  assert.equal((await asked(desk, { key })).state, 'running');
});

const why = reason('guest.no-space', 'cannot: full');
const standings: readonly (readonly [string, (desk: Desk) => void, Partial<Operation>])[] = [
  [
    'waits for its lanes',
    (d) => void (d.status = [statusOf('saga-1', { doing: 'waiting-for-lanes' })]),
    { state: 'queued' },
  ],
  ['is at work', () => {}, { state: 'running', text: 'take' }],
  [
    'has the state of the guest',
    (d) => d.records('saga-1', { kind: 'step-outcome', step: 'a', outcome: { is: 'done', value: { capturedAt: 5 } } }),
    { state: 'captured' },
  ],
  [
    'is done',
    (d) => {
      d.status = [];
      const outcome = { is: 'done', value: { checkpoint: 'felhom-1' } };
      d.records(
        'saga-1',
        { kind: 'step-outcome', step: 'a', outcome },
        { kind: 'saga-ended', end: { is: 'completed' } },
      );
    },
    { state: 'done', checkpoint: 'felhom-1' },
  ],
  [
    'was taken back',
    (d) => {
      d.status = [];
      d.records('saga-1', { kind: 'saga-ended', end: { is: 'unwound', why } });
    },
    { state: 'failed', code: 'guest.no-space' },
  ],
  ['was lost before it began', (d) => void (d.status = []), { state: 'failed', code: 'operation.unknown' }],
];
for (const [name, given, expect] of standings)
  test(`an operation that ${name} is ${expect.state}`, async () => {
    const desk = new Desk();
    const { id } = await asked(desk);
    given(desk);
    const seen = found(desk, uid, id) as Operation;
    for (const key of Object.keys(expect) as (keyof Operation)[]) assert.equal(seen[key], expect[key]);
    assert.equal(seen.id, id);
  });

test('how it ended is known when the journal has forgotten the saga', async () => {
  const desk = new Desk();
  const { id } = await asked(desk);
  desk.status = [];
  desk.records('saga-1', { kind: 'saga-ended', end: { is: 'completed' } });
  assert.equal((found(desk, uid, id) as Operation).state, 'done');
  desk.journal.recordsOf = () => [];
  assert.equal((found(desk, uid, id) as Operation).state, 'done');
});

test('the list is bounded; what is at work and what a quota counts stays', async () => {
  const desk = new Desk();
  const backup = await asked(desk, { kind: 'backup', tier: 'local' });
  desk.now += 1;
  const working = await asked(desk);
  const kept = desk.status.find(({ id }) => id === 'saga-2');
  for (let turn = 0; turn < 100; turn++) {
    desk.now += 1;
    desk.status = kept === undefined ? [] : [kept];
    await asked(desk);
  }
  assert.ok(desk.journal.list('operation/').length <= 66);
  for (const { id } of [backup, working]) assert.notEqual(found(desk, uid, id), 'operation.unknown');
  assert.equal(desk.operations.usedBy(uid).onDemandToday, 1);
  desk.now += 3_600_000;
  assert.equal(desk.operations.usedBy(uid).tasksThisHour, 0);
});
