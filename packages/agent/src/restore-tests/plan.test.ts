import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import type {
  Digest,
  GuestName,
  GuestUid,
  HostId,
  ReportedRestoreTest,
  StorageId,
  Vmid,
  VolumeId,
} from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { BackupRecord } from '../catalogue/index.ts';
import { hostPolicy } from '../host-policy.ts';
import { dueTests, planTests } from './plan.ts';
import type { TestFacts } from './plan.ts';

const day = 86_400_000;
const now = 1_795_481_000_000;
const ago = (days: number): number => now - days * day;

const guestOf = (name: string, change: Partial<GuestRecord> = {}): GuestRecord => ({
  uid: name.padEnd(26, 'a') as GuestUid,
  incarnation: 1,
  marker: 'm',
  name: name as GuestName,
  vmid: 9001 as Vmid,
  golden: 'debian-13',
  volumes: [
    {
      key: 'rootfs',
      name: 'rootfs',
      volid: 'guests:vm-9001-disk-0' as VolumeId,
      sizeGiB: 8,
      ctime: undefined,
      carriedOver: false,
    },
  ],
  servedAt: ago(100),
  configDigest: '',
  createdAt: ago(100),
  scratch: false,
  ...change,
});

let drawn = 0;
const backupOf = (name: string, tier: string, days: number, change: Partial<BackupRecord> = {}): BackupRecord => ({
  id: `b${name}${tier}`.padEnd(14, 'a') + String.fromCharCode(97 + (drawn++ % 26)) + 'a',
  guest: name.padEnd(26, 'a') as GuestUid,
  incarnation: 1,
  vmid: 9001 as Vmid,
  tier,
  storage: 'backup' as StorageId,
  archive: `backup:backup/${name}-${tier}-${days}` as VolumeId,
  class: 'scheduled',
  consistency: 'app',
  mode: 'snapshot',
  startedAt: ago(days),
  takenAt: ago(days),
  sizeBytes: 1,
  sha256: 'd' as Digest,
  protected: false,
  warnings: [],
  risk: { tokenCanRestore: true, refusals: [], comesBackEmpty: [], devices: false },
  massChange: false,
  ...change,
});

const testOf = (backup: BackupRecord, days: number, verdict: ReportedRestoreTest['evidence']['verdict']) =>
  ({
    digest: 'e' as Digest,
    signature: '',
    evidence: {
      v: 1,
      host: 'h' as HostId,
      test: 't',
      guest: backup.guest,
      name: 'x' as GuestName,
      tier: backup.tier,
      backup: { id: backup.id, archive: backup.archive, sha256: backup.sha256, takenAt: backup.takenAt },
      verdict,
      grade: 'proven',
      text: '',
      startedAt: ago(days),
      endedAt: ago(days),
      timings: {},
    },
  }) satisfies ReportedRestoreTest;

const policy = hostPolicy.parse({
  v: 1,
  node: 'pve',
  pool: 'felhom',
  vmids: { guests: { from: 9000, to: 9019 }, scratch: { from: 9800, to: 9809 } },
  bridges: ['vmbr0'],
  storages: ['guests'],
  goldens: {},
});

const facts = (change: Partial<TestFacts>): TestFacts => ({
  now,
  guests: [guestOf('web')],
  backups: [],
  tests: [],
  everyDays: () => 7,
  policy,
  testing: false,
  backingUp: false,
  nodeTrouble: undefined,
  freeBytes: 100 * 2 ** 30,
  freeScratch: 10,
  away: () => undefined,
  ...change,
});

const [web1, web5, webFar] = [backupOf('web', 'local', 1), backupOf('web', 'local', 5), backupOf('web', 'far', 3)];
const mail = backupOf('mail', 'local', 2);
const both = [guestOf('web'), guestOf('mail')];

const turns: readonly [string, Partial<TestFacts>, readonly string[]][] = [
  ['nothing to test', {}, []],
  ['the newest copy of the tier', { backups: [web5, web1] }, [web1.archive]],
  ['each tier for itself', { backups: [web1, webFar] }, [webFar.archive, web1.archive]],
  [
    'never tested ones first, then the longest untested',
    { guests: both, backups: [web1, webFar, mail], tests: [testOf(web1, 20, 'passed'), testOf(webFar, 30, 'passed')] },
    [mail.archive, webFar.archive, web1.archive],
  ],
  ['tested lately', { backups: [web1], tests: [testOf(web5, 6, 'passed')] }, []],
  ['tested as long ago as it may', { backups: [web1], tests: [testOf(web5, 7, 'passed')] }, [web1.archive]],
  ['an unproven test is one', { backups: [web1], tests: [testOf(web5, 2, 'unproven')] }, []],
  [
    'a skipped test is none',
    { backups: [web1], tests: [testOf(web5, 2, 'skipped'), testOf(web5, 8, 'passed')] },
    [web1.archive],
  ],
  ['a skipped one is not tried again at once', { backups: [web1], tests: [testOf(web5, 0.5, 'skipped')] }, []],
  ['one that failed, and a newer copy since', { backups: [web1], tests: [testOf(web5, 2, 'failed')] }, [web1.archive]],
  ['one that failed a moment ago', { backups: [web1], tests: [testOf(web5, 0.5, 'failed')] }, []],
  ['one that failed, and no newer copy', { backups: [web5], tests: [testOf(web5, 2, 'failed')] }, []],
  [
    'a tier that is no more',
    { backups: [web1, webFar], everyDays: (_guest, tier) => (tier === 'far' ? undefined : 7) },
    [web1.archive],
  ],
  ['a guest that is no more', { guests: [], backups: [web1] }, []],
  ['a scratch guest is no guest', { guests: [guestOf('web', { scratch: true })], backups: [web1] }, []],
  [
    'a copy known to be bad is no copy',
    { backups: [web5, { ...web1, integrity: { at: now, is: 'corrupt', text: '' } }] },
    [web5.archive],
  ],
];
for (const [name, change, want] of turns)
  test(`whose turn: ${name}`, () => {
    assert.deepEqual(
      dueTests(facts(change)).map(({ backup }) => backup.archive),
      want,
    );
    assert.equal(planTests(facts(change)).next?.backup.archive, want[0]);
  });

const skips: readonly [string, Partial<TestFacts>, string, RegExp][] = [
  ['a backup runs', { backingUp: true }, 'restore-test.not-now', /a backup runs/],
  ['the node is not fit', { nodeTrouble: reason('gate.node-check', 'no rights') }, 'restore-test.not-now', /no rights/],
  ['no VMID', { freeScratch: 0 }, 'restore-test.no-room', /VMID/],
  ['no room', { freeBytes: 2 ** 30 }, 'restore-test.no-room', /1 GiB free, at least 16 are required/],
  ['room unknown', { freeBytes: undefined }, 'restore-test.no-room', /unknown/],
];
for (const [name, change, code, text] of skips)
  test(`skipped: ${name}`, () => {
    const plan = planTests(facts({ backups: [web1, webFar], ...change }));
    assert.equal(plan.next, undefined);
    assert.deepEqual(
      plan.skipped.map(({ tier, why }) => [tier, why.code]),
      [
        ['far', code],
        ['local', code],
      ],
    );
    assert.match(plan.skipped[0]?.why.text ?? '', text);
  });

test('never two at once, and that is no reason to tell anybody', () => {
  assert.deepEqual(planTests(facts({ backups: [web1], testing: true })), { next: undefined, skipped: [] });
});

test('a guest without room does not keep the next one from its turn', () => {
  const big = guestOf('web', { volumes: [{ ...guestOf('web').volumes[0]!, sizeGiB: 500 }] });
  const plan = planTests(facts({ guests: [big, guestOf('mail')], backups: [web5, mail] }));
  assert.equal(plan.next?.backup.archive, mail.archive);
  assert.deepEqual(
    plan.skipped.map(({ guest }) => guest.name),
    ['web'],
  );
});

test('the scratch storage is the one of the policy, else the first that guests may lie on', () => {
  const plan = (change: object) =>
    planTests(facts({ backups: [web1], policy: { ...policy, ...change } })).next?.storage;
  assert.equal(plan({}), 'guests');
  assert.equal(plan({ restoreTests: { ...policy.restoreTests, storage: 'slow' } }), 'slow');
});
