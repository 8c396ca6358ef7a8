import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Upid, Vmid } from '@felhom/protocol';
import type { TaskRow } from '../ports/proxmox.ts';
import { findingOfLock, isStale, watchLocks } from './judge-locks.ts';
import type { LockLook, LockMemory } from './judge-locks.ts';

const vmid = 9001 as Vmid;
const locked = (lock: string | undefined) => ({ vmid, name: 'photos', lock });
const look = (change: Partial<LockLook> = {}): LockLook => ({
  rows: [locked('backup')],
  running: [],
  inHand: new Set(),
  ...change,
});

/** Looks every minute; tells at which of them the lock counts as stale. */
function staleAt(looks: readonly LockLook[]): readonly number[] {
  let memory: LockMemory = new Map();
  return looks.flatMap((one, at) => {
    const moment = { now: at * 60_000, monotonicMs: at * 60_000 };
    memory = watchLocks(one, memory, moment);
    return [...memory.values()].some((lock) => isStale(lock, moment)) ? [at] : [];
  });
}

test('a lock that nothing works under is told after two minutes', () => {
  assert.deepEqual(staleAt([look(), look(), look(), look()]), [2, 3]);
});

test('a lock is not stale while a task, or work of ours, may hold it', () => {
  const task = (type: string, id: string) => look({ running: [{ type, id }] });
  for (const [name, held] of [
    ['its own', task('vzdump', '9001')],
    ['a backup of many guests', task('vzdump', '')],
    ['a start of all', task('startall', '')],
    ['a move to another guest', task('move_volume', '9001-mp0>9002-mp0')],
    ['a move from another guest', task('move_volume', '9002-mp0>9001-mp0')],
    ['work of ours', look({ inHand: new Set([vmid]) })],
    ['none is there', look({ rows: [locked(undefined)] })],
  ] as const)
    assert.deepEqual(staleAt([held, held, held, held]), [], name);
  for (const other of [task('vzdump', '19001'), task('aptupdate', ''), task('imgdel', '9002@store')])
    assert.deepEqual(staleAt([other, other, other]), [2]);
});

test('the time begins anew with another lock, or when something worked in between', () => {
  const other = look({ rows: [locked('snapshot')] });
  assert.deepEqual(staleAt([look(), look(), other, other, other]), [4]);
  const held = look({ running: [{ type: 'vzdump', id: '9001' }] });
  assert.deepEqual(staleAt([look(), look(), held, look(), look(), look()]), [5]);
});

test('somebody who mounted a guest has an hour', () => {
  const looks = Array.from({ length: 62 }, () => look({ rows: [locked('mounted')] }));
  assert.deepEqual(staleAt(looks), [60, 61]);
});

test('the finding says which lock, since when, how its task ended, and what to do', () => {
  const last: TaskRow = {
    upid: 'UPID:pve1:00007A67:0003CC74:6B04CBDC:vzdump:9001:root@pam:' as Upid,
    type: 'vzdump',
    id: '9001',
    user: 'root@pam',
    startTime: 1,
    endTime: 2,
    status: 'unexpected\n status',
  };
  const stale = { vmid, name: 'photos', lock: 'backup', since: 0, seenAt: 77 };
  const finding = findingOfLock(stale, last);
  assert.equal(finding.subject, 'photos');
  assert.equal(finding.since, 77);
  assert.match(finding.text, /CT 9001 is locked \(backup\).*vzdump by root@pam, ended with: unexpected status\./);
  assert.equal(finding.advice.command, 'pct unlock 9001');
  assert.equal(findingOfLock({ ...stale, lock: 'mounted' }, undefined).advice.command, 'pct unmount 9001');
  assert.match(findingOfLock({ ...stale, lock: 'rollback' }, undefined).advice.text, /repeat the rollback/);
  // A lock of a later Proxmox is told too.
  assert.match(findingOfLock({ ...stale, lock: 'frozen', name: '' }, undefined).text, /\(frozen\)/);
});
