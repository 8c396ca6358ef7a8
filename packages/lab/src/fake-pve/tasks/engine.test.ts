import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createSimClock } from '../../simulation/sim-clock.ts';
import { die, type Task } from '../core.ts';
import { createTaskRoom, exitStatusOf } from './engine.ts';
import { decodeUpid } from './upid.ts';

const who = { user: 'a@pve', token: 't', full: 'a@pve!t' };

function room() {
  const clock = createSimClock(Date.UTC(2026, 0, 1));
  return { clock, tasks: createTaskRoom('pve1', clock, { int: () => 1 }, clock.now() - 60_000) };
}

describe('workers', () => {
  test('a UPID carries node, times, type, id and the whole token', () => {
    const { tasks } = room();
    const upid = tasks.fork(who, 'vzstart', '101', () => Promise.resolve());
    const parts = decodeUpid(upid);
    assert.match(upid, /^UPID:pve1:[0-9A-F]{8}:00001770:6955B900:vzstart:101:a@pve!t:$/);
    assert.equal(parts?.user, 'a@pve!t');
  });

  test('the exit status is the last line', async () => {
    const { clock, tasks } = room();
    const ends: [body: (task: Task) => Promise<void>, status: string][] = [
      [() => Promise.resolve(), 'OK'],
      [async () => die('no such thing'), 'no such thing'],
      [async () => die('two\nlines'), 'two lines'],
      [
        async (task) => {
          task.warn('careful');
        },
        'WARNINGS: 1',
      ],
    ];
    for (const [body, status] of ends) {
      const upid = tasks.fork(who, 'vzstart', '101', body);
      assert.equal(tasks.find(upid)?.exitStatus, undefined);
      await clock.settle();
      assert.equal(tasks.find(upid)?.exitStatus, status);
    }
  });

  test('a killed worker runs neither its rest nor its finally, and its lock is free', async () => {
    const { clock, tasks } = room();
    const ran: string[] = [];
    const upid = tasks.fork(who, 'vzrestore', '101', (task) =>
      tasks.withGuestLock(101, 10, async () => {
        try {
          task.log('half way');
          await task.work(1000);
          ran.push('rest');
        } finally {
          ran.push('finally');
        }
      }),
    );
    await clock.settle();
    tasks.kill(upid);
    await clock.advance(5000);
    assert.deepEqual(ran, []);
    assert.equal(tasks.find(upid)?.exitStatus, 'unexpected status');
    assert.equal(await tasks.withGuestLock(101, 10, () => Promise.resolve('mine')), 'mine');
  });

  test('an abort interrupts once, so that the body can clean up', async () => {
    const { clock, tasks } = room();
    const upid = tasks.fork(who, 'vzdump', '101', async (task) => {
      try {
        await task.work(1000);
      } catch (error) {
        await task.work(10);
        die(`cleaned up after: ${(error as Error).message}`);
      }
    });
    await clock.settle();
    tasks.abort(upid);
    await clock.advance(100);
    assert.equal(tasks.find(upid)?.exitStatus, 'cleaned up after: interrupted by signal');
  });

  test('who waits too long for a guest is told so', async () => {
    const { clock, tasks } = room();
    tasks.fork(who, 'vzrestore', '101', (task) => tasks.withGuestLock(101, 10, () => task.work(60_000)));
    const late = tasks.fork(who, 'vzstart', '101', () => tasks.withGuestLock(101, 10, () => Promise.resolve()));
    await clock.advance(10_001);
    assert.deepEqual(tasks.find(late)?.lines, [
      'trying to acquire lock...',
      "TASK ERROR: can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout",
    ]);
  });

  test('who waits in time gets the lock', async () => {
    const { clock, tasks } = room();
    tasks.fork(who, 'vzrestore', '101', (task) => tasks.withGuestLock(101, 10, () => task.work(5000)));
    const next = tasks.fork(who, 'vzstart', '101', () => tasks.withGuestLock(101, 10, () => Promise.resolve()));
    await clock.advance(6000);
    assert.deepEqual(tasks.find(next)?.lines, ['trying to acquire lock...', ' OK', 'TASK OK']);
  });

  test('traps spring at a line: stall, then go on', async () => {
    const { clock, tasks } = room();
    tasks.trap({ type: 'vzdump', atLine: /half/, action: 'stall' });
    const upid = tasks.fork(who, 'vzdump', '101', async (task) => {
      task.log('half way');
      await task.work(10);
      task.log('done');
    });
    await clock.advance(1000);
    assert.deepEqual(tasks.find(upid)?.lines, ['half way']);
    tasks.release(upid);
    await clock.advance(1000);
    assert.equal(tasks.find(upid)?.exitStatus, 'OK');
  });

  test('a trap kills at its line and only the task it is meant for', async () => {
    const { clock, tasks } = room();
    tasks.trap({ type: 'vzrestore', id: '102', atLine: /extract/, action: 'kill' });
    const body = async (task: Task): Promise<void> => {
      task.log('extracting');
      await task.work(10);
    };
    const spared = tasks.fork(who, 'vzrestore', '101', body);
    const killed = tasks.fork(who, 'vzrestore', '102', body);
    await clock.advance(100);
    assert.deepEqual(
      [spared, killed].map((upid) => tasks.find(upid)?.exitStatus),
      ['OK', 'unexpected status'],
    );
  });
});

// Recorded: a start that a rollback forked was missing from the list three seconds after it had ended.
test('what a worker forked is taken for running until the next scan', async () => {
  const nestedTask = async (): Promise<ReturnType<typeof room> & { inner: string }> => {
    const made = room();
    let inner = '';
    made.tasks.fork(who, 'vzrollback', '101', async () => {
      inner = made.tasks.fork(who, 'vzstart', '101', (task) => task.work(100));
    });
    await made.clock.advance(1000);
    return { ...made, inner };
  };
  const late = await nestedTask();
  assert.equal(late.tasks.find(late.inner)?.exitStatus, 'OK');
  assert.deepEqual([late.tasks.all()[0]?.upid, late.tasks.all()[0]?.indexed], [late.inner, undefined]);
  await late.clock.advance(10_000);
  assert.equal(late.tasks.all().find(({ upid }) => upid === late.inner)?.indexed !== undefined, true);

  const next = await nestedTask();
  next.tasks.fork(who, 'vzstop', '101', () => Promise.resolve());
  assert.equal(next.tasks.find(next.inner)?.indexed !== undefined, true);
});

test('status of a log', () => {
  const cases: [string | undefined, string][] = [
    ['TASK OK', 'OK'],
    ['TASK WARNINGS: 3', 'WARNINGS: 3'],
    ['TASK ERROR: gone', 'gone'],
    ['half way', 'unexpected status'],
    [undefined, 'unexpected status'],
  ];
  for (const [line, status] of cases) assert.equal(exitStatusOf(line), status);
});
