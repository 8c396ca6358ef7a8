import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StorageTarget } from '@felhom/protocol';
import type { DeclaredTarget } from '../storage-manifest.ts';
import { findingsOf } from './findings.ts';
import type { Cause, Standing } from './standing.ts';
import { usbTarget } from './test/target-bench.ts';

const now = 1_800_000_000_000;

const rows: readonly (readonly [
  role: StorageTarget['role'],
  cause: Cause,
  key: string,
  severity: string,
  says: RegExp,
])[] = [
  ['vzdump-target', 'unreachable', 'storage.unreachable', 'warning', /taken up again by itself/],
  ['bulk-data', 'unreachable', 'storage.unreachable', 'critical', /Guests have volumes there.*stop those guests/],
  ['primary', 'unreachable', 'storage.unreachable', 'critical', /Guests have volumes there/],
  ['vzdump-target', 'hung', 'storage.hung', 'critical', /^Unplug the disk/],
  ['bulk-data', 'hung', 'storage.hung', 'critical', /Guests have volumes on it.*restart of the host/],
  ['vzdump-target', 'absent', 'storage.disconnected', 'warning', /Plug the disk in again/],
  ['bulk-data', 'absent', 'storage.disconnected', 'critical', /Plug the disk in again/],
];

for (const [role, cause, key, severity, says] of rows)
  test(`a target that is away: ${cause}, as ${role}`, () => {
    const { target, ...rest } = usbTarget();
    const declared: DeclaredTarget = { ...rest, target: { ...target, role } };
    const standing: Standing = { state: 'disconnected', cause, why: 'it does not answer', since: 5, drops: [] };
    const [found, ...more] = findingsOf([{ declared, standing }], now);
    assert.deepEqual(more, []);
    assert.deepEqual([found?.key, found?.severity, found?.since], [key, severity, 5]);
    assert.match(found?.advice.text ?? '', says);
  });
