import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestDisk } from './guest-disk.ts';
import { causes } from './standing.ts';
import type { Standing } from './standing.ts';
import { usbTarget } from './test/target-bench.ts';

const usb = usbTarget();
const attached: Standing = { state: 'attached', why: '', since: 5, appearance: '8:17 2', drops: [], wellSince: 5 };
const minute = 60_000;
const now = 100 * minute;

test('attached: another word after each time that it was away', () => {
  const disk = guestDisk(usb, attached, now);
  assert.deepEqual([disk?.state, disk?.flapping, disk?.since], ['attached', false, 5]);
  assert.notEqual(disk?.attachment, guestDisk(usb, { ...attached, since: 6 }, now)?.attachment);
  assert.notEqual(disk?.attachment, guestDisk(usb, { ...attached, appearance: '8:17 3' }, now)?.attachment);
});

test('what is wrong with its entry alone takes nothing from a guest that runs', () => {
  const states = Object.fromEntries(
    causes.map((cause) => [cause, guestDisk(usb, { ...attached, state: 'disconnected', cause }, now)?.state]),
  );
  for (const cause of causes) {
    const unclear = ['not-asked', 'definition-missing', 'definition-differs', 'definition-other'].includes(cause);
    assert.equal(states[cause], cause === 'in-use' ? 'in-use' : unclear ? 'unclear' : 'away', cause);
  }
  assert.equal(guestDisk(usb, undefined, now)?.state, 'unclear');
});

test('after a second drop it has to stay, after a third longer', () => {
  const flaps = (...ago: readonly number[]): boolean | undefined =>
    guestDisk(usb, { ...attached, drops: ago.map((minutes) => now - minutes * minute) }, now)?.flapping;
  assert.equal(flaps(1), false);
  assert.equal(flaps(8, 4), true);
  assert.equal(flaps(8, 6), false);
  assert.equal(flaps(10, 8, 6), true);
  // Noted under a clock that was ahead.
  assert.equal(flaps(-400_000, -399_999), false);
});

test('out of use, or no disk: nobody’s', () => {
  assert.equal(guestDisk({ ...usb, state: 'decommissioned' }, attached, now), undefined);
  const share = {
    type: 'nfs',
    name: 'nas',
    storage: usb.target.storage,
    role: 'bulk-data',
    class: 'slow',
    offsite: false,
    server: 'nas',
    export: '/x',
  } as const;
  assert.equal(guestDisk({ ...usb, target: share }, attached, now), undefined);
});
