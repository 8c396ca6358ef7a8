/** Sides are upgraded one after the other: what an older one sends reads, and what it is sent it can read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportedTarget } from './host-state.ts';
import { storageView } from './local-api.ts';
import { report } from './report.ts';

/** As agents sent it before they told of storage, disks and tunnel. */
const olderReport = {
  v: 1,
  versions: { agent: '0.1.0', node: '26' },
  startedAt: 1,
  converged: true,
  hold: false,
  guests: [],
  sagas: [],
  parked: [],
  findings: [],
  blocked: [],
  jobs: [],
  strangers: [],
  trust: { is: 'none' },
  breakGlass: { is: 'closed' },
  audit: [],
  cut: { guests: 0, sagas: 0, parked: 0, findings: 0, blocked: 0, jobs: 0, strangers: 0, audit: 0 },
};

test('the report of an older agent reads, and shows nothing that it did not tell', () => {
  const { targets, disks, tunnel, tunnelDeclared } = report.parse(olderReport);
  assert.deepEqual([targets, disks, tunnel, tunnelDeclared], [[], [], { is: 'none' }, undefined]);
});

test('a target of an older agent has no binding', () => {
  const target = {
    name: 'usb1',
    type: 'usb',
    storage: 'usb1',
    role: 'vzdump-target',
    class: 'slow',
    identity: 'x',
    offsite: false,
    state: 'attached',
    since: 1,
    why: '',
  };
  assert.equal(reportedTarget.parse(target).binding, undefined);
});

const olderStorage = {
  classes: [],
  volumes: [
    { name: 'data', path: '/srv', class: 'fast', sizeBytes: 1, backup: true, ownBackup: 'in-guest-backup' } as const,
  ],
  checkpoint: { by: 'none', why: '' } as const,
  restore: { possible: false, why: '' },
};

test('storage as an older agent tells it reads; no state is put in that an older controller would refuse', () => {
  assert.deepEqual(storageView.parse(olderStorage), olderStorage);
});
