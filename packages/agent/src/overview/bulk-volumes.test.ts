import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestName, GuestUid, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { PassReport } from '../reconcile/index.ts';
import { reportFacts } from './index.ts';

type Seen = PassReport['observation']['seen'] extends ReadonlyMap<infer _, infer One> ? One : never;

const vmid = 9000 as Vmid;
const uid = 'a'.repeat(26) as GuestUid;
const disk = (volid: string, backup: boolean) => ({ volid: volid as VolumeId, backup });
const present = (...disks: readonly ReturnType<typeof disk>[]): Seen =>
  ({ is: 'present', view: { disks } }) as unknown as Seen;

/** Of a report, what it says of the one guest. */
function guestWith(seen: Seen | undefined) {
  const pass = {
    at: 1,
    converged: true,
    findings: [],
    guests: [{ name: 'web' as GuestName, uid, vmid, status: 'running', drift: [], held: false }],
    observation: { pending: new Map(), seen: new Map(seen === undefined ? [] : [[vmid, seen]]) },
  } as unknown as PassReport;
  const record = {
    uid,
    incarnation: 1,
    volumes: [{ volid: 'local:9000/root.raw' as VolumeId }],
  } as unknown as GuestRecord;
  const facts = reportFacts({
    versions: { agent: '0', node: '26', proxmox: undefined },
    startedAt: 1,
    now: 1,
    policy: undefined,
    pass,
    passHolds: true,
    sagas: [],
    stepsOf: () => [],
    blocked: [],
    findings: [],
    signed: { jobs: [], trust: { is: 'none' }, breakGlass: { is: 'closed' }, consents: [], releases: [], audit: [] },
    protection: { backups: [], bulk: [], copies: [], restoreTests: [], restores: [], queue: [] },
    host: { targets: [], disks: [], tunnel: { is: 'none' } },
    strangers: [],
    records: [record],
    lossOf: () => undefined,
  });
  return facts.guests[0];
}

const rows: readonly (readonly [name: string, seen: Seen | undefined, bulk: readonly string[] | undefined])[] = [
  ['sorted', present(disk('b:2', false), disk('local:9000/root.raw', true), disk('a:1', false)), ['a:1', 'b:2']],
  ['none of it', present(disk('local:9000/root.raw', true)), []],
  ['what is no volume leaves it open', present(disk('/srv/media', false)), undefined],
  ['a config that was not read leaves it open', { is: 'unreadable', why: 'x' }, undefined],
  ['a guest that is gone leaves it open', { is: 'absent' }, undefined],
  ['a guest that was not looked at leaves it open', undefined, undefined],
];
for (const [name, seen, bulk] of rows)
  test(`bulk volumes of a guest: ${name}`, () => {
    const guest = guestWith(seen);
    assert.deepEqual(guest?.bulkVolumes, bulk);
    assert.deepEqual(guest?.volumes, ['local:9000/root.raw']);
  });
