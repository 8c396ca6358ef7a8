import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Upid } from '@felhom/protocol';
import type { TaskRow } from '../ports/proxmox.ts';
import { findingsOfTasks, foreignFailures, taskWindowSeconds } from './judge-tasks.ts';

const own = 'felhom@pve!agent';
const now = 1_000_000;
const task = (change: Partial<TaskRow>): TaskRow => ({
  upid: `UPID:pve1:0000:0000:0000:${change.type ?? 'vzdump'}:${change.id ?? '101'}:root@pam:` as Upid,
  type: 'vzdump',
  id: '101',
  user: 'root@pam',
  startTime: now - 100,
  endTime: now - 50,
  status: 'job errors',
  ...change,
});
const causes = (rows: readonly TaskRow[]) => foreignFailures(rows, own, now).map(({ type, id }) => `${type} ${id}`);

test('which failures are told', () => {
  for (const [name, row, want] of [
    ['a backup that Proxmox planned', task({}), true],
    ['killed', task({ status: 'unexpected status' }), true],
    ['our own', task({ user: own }), false],
    ['another token of the same user', task({ user: 'felhom@pve!other' }), true],
    ['went well', task({ status: 'OK' }), false],
    ['went well with warnings', task({ status: 'WARNINGS: 3' }), false],
    ['runs', task({ status: undefined, endTime: undefined }), false],
    ['a console that was closed', task({ type: 'vncproxy' }), false],
    ['long ago', task({ endTime: now - taskWindowSeconds - 1 }), false],
  ] as const)
    assert.equal(causes([row]).length === 1, want, name);
});

test('one per cause, the newest; never more than a person reads', () => {
  const twice = [task({ startTime: 5 }), task({ startTime: 9, status: 'again' }), task({ id: '102', startTime: 7 })];
  assert.deepEqual(
    foreignFailures(twice, own, now).map(({ status }) => status),
    ['again', 'job errors'],
  );
  const many = Array.from({ length: 500 }, (_, at) => task({ id: String(at) }));
  assert.equal(causes(many).length, 20);
});

test('one that went well since has settled it', () => {
  const [failure] = foreignFailures([task({})], own, now);
  assert.ok(failure !== undefined);
  const tell = (...later: readonly TaskRow[]) => findingsOfTasks([failure], later).length;
  assert.equal(tell(failure), 1);
  assert.equal(tell(task({ startTime: now, status: 'OK' })), 0);
  assert.equal(tell(task({ startTime: now, status: 'WARNINGS: 1' })), 0);
  assert.equal(tell(task({ startTime: now - 200, status: 'OK' })), 1, 'before it');
  assert.equal(tell(task({ startTime: now, status: 'OK', id: '102' })), 1, 'of another guest');
  assert.equal(tell(task({ startTime: now, status: undefined, endTime: undefined })), 1, 'not yet');
});

test('the finding', () => {
  const [backup, dialog] = findingsOfTasks([task({ status: 'a\nb' }), task({ type: 'vzstart', id: '' })], []);
  assert.equal(backup?.severity, 'warning');
  assert.equal(backup.subject, 'vzdump 101');
  assert.equal(backup.text, 'A task of root@pam failed: vzdump 101: a b.');
  assert.equal(backup.since, (now - 50) * 1000);
  // Whoever pressed start has seen it.
  assert.deepEqual([dialog?.severity, dialog?.subject], ['info', 'vzstart']);
});
