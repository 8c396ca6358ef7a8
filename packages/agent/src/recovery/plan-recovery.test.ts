import { test } from 'node:test';
import assert from 'node:assert/strict';
import { desiredGuest } from '@felhom/protocol';
import type { GuestName, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { hostPolicy } from '../host-policy.ts';
import { betweenLooksMs } from './lost.ts';
import type { LossLook } from './lost.ts';
import { betweenRecoveriesMs, planRecovery } from './plan-recovery.ts';
import type { RecoveryFacts } from './plan-recovery.ts';
import type { Recovery } from './recovery-store.ts';
import { copy, day, hour, targets, uid } from './test/copies.ts';

const now = 100 * day;
const photos = 'photos' as GuestName;
const record = {
  uid,
  incarnation: 1,
  marker: 'b'.repeat(16),
  name: photos,
  vmid: 9000,
  golden: 'debian-1',
  volumes: [
    {
      key: 'rootfs',
      name: 'rootfs',
      volid: 'fast:vm-9000-disk-0',
      sizeGiB: 8,
      ctime: undefined,
      carriedOver: false,
    },
  ],
  servedAt: 1,
  configDigest: 'd',
  createdAt: 1,
  scratch: false,
} as unknown as GuestRecord;
const policy = hostPolicy.parse({
  v: 1,
  node: 'pve1',
  pool: 'felhom',
  vmids: { guests: { from: 9000, to: 9019 }, scratch: { from: 9800, to: 9809 } },
  bridges: ['vmbr0'],
  storages: ['fast'],
  goldens: {},
  backups: { targets: { ...targets } },
});
const gone: LossLook = {
  at: 0,
  vmidFree: true,
  listed: [],
  permissions: 'p',
  running: [],
  foreignDestroy: undefined,
};
const looked = (over: Partial<LossLook> = {}): RecoveryFacts['memory'] => ({
  looks: new Map([[uid, [gone, { ...gone, at: betweenLooksMs, ...over }]]]),
  permissions: { text: 'p', at: 0 },
});
const proven = { at: 1, evidence: 'e' as never, rtoMs: 1 };
const facts: RecoveryFacts = {
  now,
  policy,
  registry: [record],
  desired: [],
  memory: looked(),
  permissionsSound: true,
  catalogue: [copy('a', 'fast', now - hour, { proven })],
  recoveries: [],
  inFlight: new Set(),
  removing: new Set(),
};
const back: Recovery = {
  guest: uid,
  name: photos,
  incarnation: 2,
  from: 9000 as Vmid,
  to: 9001 as Vmid,
  tier: 'local',
  archive: 'fast:backup/a' as VolumeId,
  sha256: '0'.repeat(64) as Recovery['sha256'],
  takenAt: now - day,
  proven: true,
  startedAt: now - hour,
  at: now - hour,
  emptied: [],
  notes: [],
};
const others = [copy('b', 'fast', now, { guest: 'b'.repeat(26) as never, proven })];

interface Row {
  readonly name: string;
  readonly over: Partial<RecoveryFacts>;
  readonly effects: number;
  readonly keys: readonly string[];
}
const rows: readonly Row[] = [
  { name: 'it is lost', over: {}, effects: 1, keys: ['guest.lost'] },
  { name: 'it was seen', over: { memory: { looks: new Map(), permissions: undefined } }, effects: 0, keys: [] },
  { name: 'seen gone once', over: { memory: looked({ at: 1 }) }, effects: 0, keys: ['guest.perhaps-lost'] },
  {
    name: 'something has its VMID',
    over: { memory: looked({ vmidFree: false }) },
    effects: 0,
    keys: ['guest.not-visible'],
  },
  {
    name: 'its volumes are there',
    over: { memory: looked({ listed: ['fast:vm-9000-disk-0' as VolumeId] }) },
    effects: 0,
    keys: ['guest.config-gone'],
  },
  {
    name: 'somebody destroyed it',
    over: { memory: looked({ foreignDestroy: { by: 'root@pam', agoMs: 1 } }) },
    effects: 0,
    keys: ['guest.destroyed-by-others'],
  },
  { name: 'a saga works on it', over: { inFlight: new Set([photos]) }, effects: 0, keys: [] },
  { name: 'it is being removed', over: { removing: new Set([photos]) }, effects: 0, keys: ['guest.lost'] },
  {
    name: 'it is on hold',
    over: { policy: { ...policy, hold: { host: false, guests: [photos] } } },
    effects: 0,
    keys: ['guest.lost'],
  },
  {
    name: 'the host is on hold',
    over: { policy: { ...policy, hold: { host: true, guests: [] } } },
    effects: 0,
    keys: ['guest.lost'],
  },
  {
    name: 'root wants no automatic recovery',
    over: { policy: { ...policy, recovery: { ...policy.recovery, automatic: false } } },
    effects: 0,
    keys: ['guest.lost'],
  },
  {
    name: 'it came back less than a day ago',
    over: { recoveries: [{ ...back, at: now - betweenRecoveriesMs + 1 }] },
    effects: 0,
    keys: ['recovery.came-back', 'guest.lost'],
  },
  {
    name: 'it came back a day ago',
    over: { recoveries: [{ ...back, at: now - betweenRecoveriesMs }] },
    effects: 1,
    keys: ['recovery.came-back', 'guest.lost'],
  },
  { name: 'there is no backup of it', over: { catalogue: others }, effects: 0, keys: ['guest.lost-without-backup'] },
  {
    name: 'its only backup is corrupt',
    over: { catalogue: [copy('a', 'fast', 1, { proven, integrity: { at: 2, is: 'corrupt', text: 'x' } })] },
    effects: 0,
    keys: ['recovery.skipped.a', 'guest.lost-without-backup'],
  },
  { name: 'a scratch guest', over: { registry: [{ ...record, scratch: true }] }, effects: 0, keys: [] },
];
for (const { name, over, effects, keys } of rows)
  test(`${name}: ${effects === 0 ? 'stays gone' : 'comes back'}, ${keys.join(', ') || 'nothing to say'}`, () => {
    const plan = planRecovery({ ...facts, ...over });
    assert.equal(plan.effects.length, effects);
    assert.deepEqual(
      plan.findings.map(({ key }) => key),
      keys,
    );
    for (const { advice, subject } of plan.findings) {
      assert.ok(advice.text.length > 0);
      assert.equal(subject, photos);
    }
  });

test('the effect names the bytes of the backup and the guest of today', () => {
  assert.deepEqual(planRecovery(facts).effects, [
    {
      kind: 'guest-recover',
      guest: { uid, incarnation: 1, name: photos },
      tier: 'local',
      backup: { archive: 'fast:backup/a.tar.zst', sha256: '0'.repeat(64) },
    },
  ]);
});

test('that only an unproven backup is left is said', () => {
  const plan = planRecovery({ ...facts, catalogue: [copy('a', 'fast', now)] });
  assert.match(plan.findings[0]?.text ?? '', /no restore-test has proven/);
});

test('bulk that desired state leaves out of backups does not hold a recovery up', () => {
  const usb = 'usb:9000/vm-9000-disk-2.raw' as VolumeId;
  const [rootfs] = record.volumes;
  assert.ok(rootfs !== undefined);
  const registry = [{ ...record, volumes: [rootfs, { ...rootfs, key: 'mp0', name: 'photos', volid: usb }] }];
  const desired = [
    desiredGuest.parse({
      name: photos,
      golden: 'debian-1',
      hostname: 'photos',
      cores: 1,
      memoryMiB: 512,
      rootfs: { storage: 'fast', sizeGiB: 8 },
      volumes: [{ name: 'photos', path: '/srv/photos', storage: 'usb', sizeGiB: 1, backup: false }],
      networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
    }),
  ];
  const survived = { ...facts, registry, memory: looked({ listed: [usb] }) };
  const both = {
    ...survived,
    memory: {
      ...survived.memory,
      looks: new Map([
        [
          uid,
          [
            { ...gone, listed: [usb] },
            { ...gone, listed: [usb], at: betweenLooksMs },
          ],
        ],
      ]),
    },
  };
  assert.equal(planRecovery({ ...both, desired }).effects.length, 1);
  assert.equal(planRecovery({ ...both, desired: [] }).effects.length, 0, 'and without desired state it does');
});

test('what came back empty is critical for a week', () => {
  const lossy = { ...back, emptied: ['/srv/photos (photos): gone, came back empty'] };
  const seen = { looks: new Map(), permissions: undefined };
  const keys = (at: number) =>
    planRecovery({ ...facts, memory: seen, recoveries: [{ ...lossy, at }] }).findings.map(({ key, severity }) => [
      key,
      severity,
    ]);
  assert.deepEqual(keys(now - hour), [
    ['recovery.came-back', 'warning'],
    ['recovery.bulk-lost', 'critical'],
  ]);
  assert.deepEqual(keys(now - 8 * day), []);
});
