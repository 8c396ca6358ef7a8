import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest, StorageId } from '@felhom/protocol';
import { reason } from '@felhom/protocol';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { ArchiveDigest, KeyTest } from '../ports/host-helper.ts';
import type { StoreItem } from '../ports/proxmox.ts';
import { findingOfIntegrity, nextToReRead, reRead } from './integrity.ts';
import { recordOfTest } from './test/records.ts';

const day = 86_400_000;
const budget = { bytesPerStorage: 100, everyMs: day };
const record = (id: string, takenAt: number, extra: Parameters<typeof recordOfTest>[0] = {}) =>
  recordOfTest({ id: id.repeat(16), takenAt, sizeBytes: 60, ...extra });
const picked = (records: Parameters<typeof nextToReRead>[0], now = 10 * day): string =>
  nextToReRead(records, now, budget)
    .map(({ id }) => id[0])
    .join('');

test('the one that was read longest ago comes first, as many as fit', () => {
  const read = { at: 5 * day, is: 'ok', text: '' } as const;
  const usb = { storage: 'usb' as StorageId };
  const cases: readonly [what: string, records: Parameters<typeof nextToReRead>[0], expected: string][] = [
    ['none', [], ''],
    ['oldest', [record('b', 2 * day), record('a', day)], 'a'],
    ['read since', [record('a', day, { integrity: read }), record('b', 2 * day)], 'b'],
    ['two that fit', [record('a', day, { sizeBytes: 40 }), record('b', 2 * day)], 'ab'],
    [
      'a smaller one behind a large one',
      [record('a', day), record('b', 2 * day), record('c', 3 * day, { sizeBytes: 40 })],
      'ac',
    ],
    ['one larger than the budget', [record('a', day, { sizeBytes: 1_000 }), record('b', 2 * day)], 'a'],
    ['each storage has its own', [record('a', day), record('b', 2 * day, usb)], 'ab'],
    ['too young', [record('a', 9.5 * day)], ''],
    ['corrupt ones too', [record('a', day, { integrity: { ...read, is: 'corrupt' } })], 'a'],
  ];
  for (const [what, records, expected] of cases) assert.equal(picked(records), expected, what);
});

const base = recordOfTest({ device: 'disk-1' });
const bytes: ArchiveDigest = { kind: 'file', sizeBytes: base.sizeBytes, sha256: base.sha256, device: 'disk-1' };
const listed: StoreItem = {
  volid: base.archive,
  content: 'backup',
  vmid: base.vmid,
  sizeBytes: base.sizeBytes,
  ctime: 1,
  notes: undefined,
  protected: false,
};
const absent = refused(reason('helper.no-archive', 'cannot read it: there is no such archive'));
const busy = refused(reason('helper.busy', 'cannot read it: the storage does not answer'));

const looks: Readonly<
  Record<
    string,
    [
      items: Outcome<readonly StoreItem[]>,
      read: Outcome<ArchiveDigest>,
      expected: string,
      extra?: { encrypted?: string; key?: KeyTest },
    ]
  >
> = {
  'as it was': [done([listed]), done(bytes), 'ok'],
  'hidden from the token': [done([]), done(bytes), 'ok'],
  gone: [done([]), absent, 'missing backup.missing'],
  'listed and not to be read': [done([listed]), absent, 'corrupt backup.damaged'],
  'other bytes': [done([listed]), done({ ...bytes, sha256: 'cd'.repeat(32) as Digest }), 'corrupt backup.damaged'],
  'another device': [done([listed]), done({ ...bytes, device: 'disk-2' }), 'corrupt backup.damaged'],
  'found damaged by the server': [done([{ ...listed, verified: 'failed' }]), done(bytes), 'corrupt backup.damaged'],
  'storage away': [done([]), busy, 'nobody could look'],
  'list unknown': [unknown(reason('pve.timeout', 'x')), done(bytes), 'nobody could look'],
  'its key opens it': [done([listed]), done(bytes), 'ok', { encrypted: 'aa', key: { is: 'opens', fingerprint: 'aa' } }],
  'another key': [
    done([listed]),
    done(bytes),
    'corrupt backup.wrong-key',
    { encrypted: 'aa', key: { is: 'wrong-key', text: 'missing key' } },
  ],
};

for (const [name, [items, read, expected, extra]] of Object.entries(looks))
  test(`read again: ${name}`, async () => {
    const looked = recordOfTest({
      device: 'disk-1',
      ...(extra?.encrypted === undefined ? {} : { encrypted: extra.encrypted }),
    });
    const needs = {
      stores: { contents: () => Promise.resolve(items) },
      helper: {
        archiveDigest: () => Promise.resolve(read),
        keyTest: () => Promise.resolve(done<KeyTest>(extra?.key ?? { is: 'not-encrypted' })),
      },
    };
    const found = await reRead(needs, looked, 77, new AbortController().signal);
    const integrity = found.is === 'done' ? found.value : undefined;
    const finding = integrity === undefined ? undefined : findingOfIntegrity({ ...looked, integrity });
    const said =
      integrity === undefined ? 'nobody could look' : [integrity.is, finding?.code].filter(Boolean).join(' ');
    assert.equal(said, expected);
    if (integrity !== undefined) assert.equal(integrity.at, 77);
  });

test('what was not read again is no finding', () => {
  assert.equal(findingOfIntegrity(base), undefined);
});
