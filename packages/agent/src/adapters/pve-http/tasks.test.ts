import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Upid, Vmid } from '@felhom/protocol';
import { createIdleClock } from '../../../test/idle-clock.ts';
import { badParameter, down, failedWith, ok, scriptedPve } from '../../../test/scripted-pve.ts';
import { createPveClient } from './pve-client.ts';
import { fractionOf, verdictOf } from './task-verdict.ts';
import type { RawAnswer, RawRequest } from './transport.ts';

const never = new AbortController().signal;
const upid = 'UPID:pve1:000008FE:000B0480:6B04DE57:vzrestore:9001:felhom@pve!agent:' as Upid;
const running = ok({ status: 'running' });
const ended = (exitstatus?: string): RawAnswer => ok({ status: 'stopped', exitstatus });

/** `state` answers look number n; the log holds `lines` at that moment. */
function setUp(state: (look: number) => RawAnswer, lines: (look: number) => readonly string[] = () => []) {
  const clock = createIdleClock();
  let look = 0;
  const transport = scriptedPve((request: RawRequest) => {
    if (request.path.includes('/status')) {
      look += 1;
      return state(look);
    }
    const start = Number(/start=(\d+)/.exec(request.path)?.[1] ?? 0);
    const all = lines(look).map((t, at) => ({ n: at + 1, t }));
    return all.length === 0 ? ok([{ n: 1, t: 'no content' }], 1) : ok(all.slice(start, start + 500), all.length);
  });
  const pve = createPveClient({ transport, clock, node: 'pve1', token: 'felhom@pve!agent=00000000-1111' });
  return { clock, transport, tasks: pve.tasks };
}

test('exit status: what it means', () => {
  const rows = [
    ['OK', { is: 'ok' }],
    ['WARNINGS: 3', { is: 'warnings', count: 3 }],
    ['WARNINGS: many', { is: 'failed', exitStatus: 'WARNINGS: many' }],
    ['unexpected status', { is: 'died' }],
    [undefined, { is: 'died' }],
    ['unable to open file', { is: 'died' }],
    ['unable to restore CT 1 - no', { is: 'failed', exitStatus: 'unable to restore CT 1 - no' }],
    ['job errors', { is: 'failed', exitStatus: 'job errors' }],
  ] as const;
  for (const [text, verdict] of rows) assert.deepEqual(verdictOf(text), verdict);
});

test('progress: only percentages that mean progress', () => {
  const rows = [
    ['INFO:  45% (1.2 GiB of 2.6 GiB) in 3s', 0.45],
    ['progress 12% (read 5 bytes)', 0.12],
    ['transferred 1.0 GiB of 4.0 GiB (25.00%)', 0.25],
    ['/dev/x: 317/65536 files (0.0% non-contiguous), 13475/262144 blocks', undefined],
    ['progress 250% (x)', undefined],
    ['Creating filesystem', undefined],
  ] as const;
  for (const [line, fraction] of rows) assert.equal(fractionOf(line), fraction, line);
});

test('the end of a task is seen soon, measured by how long it took, and a long one is not asked all the time', async () => {
  const short = setUp((look) => (look < 3 ? running : ended('OK')));
  assert.deepEqual(await short.clock.until(short.tasks.wait(upid, {}, never)), {
    is: 'done',
    value: { verdict: { is: 'ok' }, logTail: [] },
  });
  assert.equal(short.clock.monotonicMs(), 100);
  assert.equal(short.transport.requests.length, 3, 'the log of a good task that nobody watches is not read');
  for (const [takesMs, mostCalls] of [
    [400, 10],
    [1_600, 25],
    [16_000, 50],
    [600_000, 350],
  ] as const) {
    const task = setUp(() => (task.clock.monotonicMs() < takesMs ? running : ended('OK')));
    await task.clock.until(task.tasks.wait(upid, {}, never));
    const lateMs = task.clock.monotonicMs() - takesMs;
    assert.ok(lateMs <= Math.min(2_000, Math.max(50, takesMs / 8)), `${takesMs} ms, seen ${lateMs} ms late`);
    assert.ok(task.transport.requests.length <= mostCalls, `${takesMs} ms, ${task.transport.requests.length} calls`);
  }
});

test('the log is read once a second at most, however often the task is looked at', async () => {
  const task = setUp(
    () => (task.clock.monotonicMs() < 5_000 ? running : ended('OK')),
    () => ['begun'],
  );
  await task.clock.until(task.tasks.wait(upid, { onProgress: () => undefined }, never));
  const logs = task.transport.requests.filter((request) => request.path.includes('/log'));
  assert.ok(logs.length >= 3 && logs.length <= 6, `${logs.length} reads of the log`);
});

test('each line of the log is told once, the tail comes with a failure', async () => {
  const all = Array.from({ length: 30 }, (_, n) => `line ${n + 1}`);
  const { tasks, clock } = setUp(
    (look) => (look < 4 ? running : ended('boom')),
    (look) => all.slice(0, [0, 0, 3, 3, 30][look]),
  );
  const told: string[] = [];
  const end = await clock.until(tasks.wait(upid, { onProgress: (line) => told.push(line) }, never));
  assert.deepEqual(told, all);
  assert.deepEqual(end, {
    is: 'done',
    value: { verdict: { is: 'failed', exitStatus: 'boom' }, logTail: all.slice(-20) },
  });
});

test('died is looked at twice before it is believed', async () => {
  const healed = setUp((look) => ended(look === 1 ? 'unexpected status' : 'OK'));
  const good = await healed.clock.until(healed.tasks.wait(upid, {}, never));
  assert.deepEqual(good.is === 'done' && good.value.verdict, { is: 'ok' });
  const dead = setUp(() => ended('unexpected status'));
  const bad = await dead.clock.until(dead.tasks.wait(upid, {}, never));
  assert.deepEqual(bad.is === 'done' && bad.value.verdict, { is: 'died' });
  assert.equal(dead.clock.monotonicMs(), 1_000);
});

test('a fresh UPID may be unknown for a moment, an old one is lost', async () => {
  const gone = badParameter('upid', 'no such task');
  const fresh = setUp((look) => (look < 3 ? gone : ended('OK')));
  const good = await fresh.clock.until(fresh.tasks.wait(upid, {}, never));
  assert.deepEqual(good.is === 'done' && good.value.verdict, { is: 'ok' });
  const old = setUp(() => gone);
  const lost = await old.clock.until(old.tasks.wait(upid, {}, never));
  assert.deepEqual(lost.is === 'done' && lost.value.verdict, { is: 'lost' });
  assert.deepEqual(await old.clock.until(old.tasks.status(upid, never)), {
    is: 'done',
    value: { is: 'ended', end: { verdict: { is: 'lost' }, logTail: [] } },
  });
});

test('an outage does not end the wait; patience does', async () => {
  const back = setUp((look) => (look < 8 ? down : ended('OK')));
  assert.equal((await back.clock.until(back.tasks.wait(upid, {}, never))).is, 'done');
  const away = setUp(() => down);
  const outcome = await away.clock.until(away.tasks.wait(upid, {}, never));
  assert.equal(outcome.is === 'unknown' && outcome.why.code, 'pve.patience-over');
  assert.ok(away.clock.monotonicMs() >= 600_000 && away.clock.monotonicMs() < 640_000);
});

test('patience begins anew with every answer', async () => {
  const { tasks, clock } = setUp((look) => (look === 45 ? running : look < 80 ? down : ended('OK')));
  const end = await clock.until(tasks.wait(upid, {}, never));
  assert.equal(end.is, 'done');
  assert.ok(clock.monotonicMs() > 1_000_000, 'longer than the patience of 600 s, but never at a stretch');
});

test('a refusal while waiting proves nothing about the task', async () => {
  const { tasks, clock } = setUp(() => failedWith(403, 'Permission check failed (/nodes/pve1, Sys.Audit)'));
  assert.equal((await clock.until(tasks.wait(upid, {}, never))).is, 'unknown');
});

test('a task without a new line for stallMs is told of, and waited for all the same', async () => {
  const task = setUp(
    () => (task.clock.monotonicMs() < 29_000 ? running : ended('OK')),
    () => ['begun'],
  );
  let stalls = 0;
  const end = await task.clock.until(task.tasks.wait(upid, { stallMs: 10_000, onStall: () => (stalls += 1) }, never));
  assert.equal(end.is, 'done');
  assert.equal(stalls, 2, '29 s without a line are two stalls of 10 s');
});

test('aborting the wait leaves the task alone', async () => {
  const { tasks, clock, transport } = setUp(() => running);
  const stop = new AbortController();
  const waiting = tasks.wait(upid, {}, stop.signal);
  await clock.until(clock.sleep(5_000, never));
  stop.abort();
  const outcome = await clock.until(waiting);
  assert.equal(outcome.is === 'unknown' && outcome.why.code, 'pve.aborted');
  assert.ok(transport.requests.every((request) => request.method === 'GET'));
});

test('finding a lost UPID asks for running tasks too and reads every page', async () => {
  const row = (n: number) => ({
    upid,
    type: 'vzrestore',
    id: '9001',
    user: 'felhom@pve',
    tokenid: 'agent',
    starttime: n,
    status: 'RUNNING',
  });
  const clock = createIdleClock();
  const transport = scriptedPve((_, count) => ok(Array.from({ length: count === 1 ? 500 : 3 }, (_, n) => row(n))));
  const { tasks } = createPveClient({ transport, clock, node: 'pve1', token: 'felhom@pve!agent=00000000-1111' });
  const found = await clock.until(tasks.find({ vmid: 9001 as Vmid, type: 'vzrestore', sinceSeconds: 5 }, never));
  assert.equal(found.is === 'done' && found.value.length, 503);
  assert.deepEqual(found.is === 'done' && [found.value[0]?.user, found.value[0]?.status], [
    'felhom@pve!agent',
    undefined,
  ]);
  assert.equal(
    transport.requests[1]?.path,
    '/nodes/pve1/tasks?source=all&vmid=9001&typefilter=vzrestore&since=5&start=500&limit=500',
  );
});

test('those that run, and those that ended badly', async () => {
  const row = (more: object) => ({ upid, type: 'vzdump', id: '', user: 'root@pam', starttime: 1, ...more });
  const rows = [
    row({ status: 'RUNNING' }),
    row({ status: 'OK', endtime: 2 }),
    row({ status: 'job errors', endtime: 2 }),
  ];
  const clock = createIdleClock();
  const transport = scriptedPve(() => ok(rows));
  const { tasks } = createPveClient({ transport, clock, node: 'pve1', token: 'felhom@pve!agent=00000000-1111' });
  const running = await clock.until(tasks.find({ only: 'running' }, never));
  assert.equal(
    running.is === 'done' && running.value.length,
    1,
    'the list of active tasks holds ended ones for a while',
  );
  const failed = await clock.until(tasks.find({ only: 'failed', sinceSeconds: 9 }, never));
  assert.equal(failed.is, 'done');
  assert.deepEqual(
    transport.requests.map(({ path }) => path),
    [
      '/nodes/pve1/tasks?source=active&start=0&limit=500',
      '/nodes/pve1/tasks?source=archive&errors=1&since=9&start=0&limit=500',
    ],
  );
});
