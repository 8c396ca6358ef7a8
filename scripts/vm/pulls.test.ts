import assert from 'node:assert/strict';
import { test } from 'node:test';
import { betweenWords } from './pulls.ts';

const kernel = {
  MESSAGE: 'usb 2-1: USB disconnect, device number 3',
  __MONOTONIC_TIMESTAMP: '5000900',
  __REALTIME_TIMESTAMP: '9000900',
  _SOURCE_MONOTONIC_TIMESTAMP: '5000000',
};
/** Received 40 ms after it was sent. */
const agent = {
  MESSAGE: 'storage target',
  FELHOM_TARGET: 'backup-1',
  FELHOM_STATE: 'disconnected',
  __MONOTONIC_TIMESTAMP: '5240000',
  __REALTIME_TIMESTAMP: '9240000',
  _SOURCE_REALTIME_TIMESTAMP: '9200000',
};
const journal = (...entries: readonly object[]): string =>
  entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');

test('counted is from when the kernel wrote to when the agent sent, not when journald got to it', () => {
  assert.equal(betweenWords(journal({ MESSAGE: 'other' }, kernel, agent), 'backup-1'), 200);
});

test('nothing is made up where one of the two said nothing, or spoke of another target', () => {
  assert.throws(() => betweenWords(journal(kernel), 'backup-1'), /the agent said nothing/);
  assert.throws(() => betweenWords(journal(kernel, agent), 'backup-2'), /the agent said nothing/);
  assert.throws(() => betweenWords(journal(agent), 'backup-1'), /the kernel said nothing/);
});
