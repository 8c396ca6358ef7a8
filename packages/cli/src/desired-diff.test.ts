import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backupPlan, backupTier, desiredGuest } from '@felhom/protocol';
import type { BackupPlan, DesiredGuest } from '@felhom/protocol';
import { createStyle } from '@felhom/terminal';
import { diffContent, diffDesired, planOfHost } from './desired-diff.ts';
import type { Verdict } from './desired-diff.ts';
import { renderDiff } from './render-diff.ts';

type Input = Record<string, unknown>;
function guest(patch: Input = {}): DesiredGuest {
  return desiredGuest.parse({
    name: 'web',
    golden: 'debian-13',
    hostname: 'web',
    cores: 2,
    memoryMiB: 1024,
    swapMiB: 512,
    rootfs: { storage: 'local', sizeGiB: 8 },
    volumes: [{ name: 'data', path: '/data', storage: 'local', sizeGiB: 10, backup: true }],
    networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
    ...patch,
  });
}
const volume = { name: 'data', path: '/data', storage: 'local', sizeGiB: 10, backup: true };
const network = { name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' };

const rows: [name: string, patch: Input, field: string, verdict: Verdict][] = [
  ['golden', { golden: 'debian-14' }, 'golden', 'finding'],
  ['hostname', { hostname: 'other' }, 'hostname', 'signed'],
  ['cores up', { cores: 4 }, 'cores', 'ranged'],
  ['cores down', { cores: 1 }, 'cores', 'signed'],
  ['memory up', { memoryMiB: 10_240 }, 'memoryMiB', 'ranged'],
  ['memory down, fewer digits', { memoryMiB: 256 }, 'memoryMiB', 'signed'],
  ['swap down', { swapMiB: 0 }, 'swapMiB', 'signed'],
  ['rootfs grows', { rootfs: { storage: 'local', sizeGiB: 16 } }, 'rootfs.sizeGiB', 'ranged'],
  ['rootfs shrinks', { rootfs: { storage: 'local', sizeGiB: 4 } }, 'rootfs.sizeGiB', 'signed'],
  ['rootfs moves', { rootfs: { storage: 'other', sizeGiB: 8 } }, 'rootfs.storage', 'signed'],
  ['volume grows', { volumes: [{ ...volume, sizeGiB: 20 }] }, 'volumes.data.sizeGiB', 'ranged'],
  ['volume shrinks', { volumes: [{ ...volume, sizeGiB: 5 }] }, 'volumes.data.sizeGiB', 'signed'],
  ['volume moves', { volumes: [{ ...volume, storage: 'other' }] }, 'volumes.data.storage', 'signed'],
  ['mount path', { volumes: [{ ...volume, path: '/srv' }] }, 'volumes.data.path', 'signed'],
  ['backup off', { volumes: [{ ...volume, backup: false }] }, 'volumes.data.backup', 'signed'],
  ['volume gone', { volumes: [] }, 'volumes.data', 'signed'],
  ['volume new', { volumes: [volume, { ...volume, name: 'bulk', path: '/bulk' }] }, 'volumes.bulk', 'ranged'],
  ['bridge', { networks: [{ ...network, bridge: 'vmbr1' }] }, 'networks.eth0.bridge', 'signed'],
  ['vlan', { networks: [{ ...network, vlan: 7 }] }, 'networks.eth0.vlan', 'signed'],
  ['address', { networks: [{ ...network, ipv4: { address: '10.0.0.2/24' } }] }, 'networks.eth0.ipv4', 'signed'],
  ['firewall', { networks: [{ ...network, firewall: false }] }, 'networks.eth0.firewall', 'signed'],
  ['network new', { networks: [network, { ...network, name: 'eth1' }] }, 'networks.eth1', 'signed'],
  ['nameserver', { nameservers: ['1.1.1.1'] }, 'nameservers', 'signed'],
  ['stopped', { power: 'stopped' }, 'power', 'signed'],
  ['startup', { startup: { order: 3 } }, 'startup', 'ranged'],
  ['timezone', { timezone: 'Europe/Berlin' }, 'timezone', 'ranged'],
  ['tags', { tags: ['a'] }, 'tags', 'unsigned'],
  ['label', { label: 'shop' }, 'label', 'unsigned'],
  ['a controller', { controller: { role: 'apps' } }, 'controller', 'ranged'],
  ['fewer tiers', { backup: { tiers: ['nas'] } }, 'backup', 'ranged'],
  ['apps not held still', { backup: { appConsistent: false } }, 'backup', 'ranged'],
];
for (const [name, patch, field, verdict] of rows)
  test(`one change, ${name}: ${verdict}`, () => {
    const changes = diffDesired([guest()], [guest(patch)]);
    assert.deepEqual(
      changes.map((change) => [change.kind, change.field, change.verdict]),
      [['change', field, verdict]],
    );
  });

test('starting again and backing up again need nobody', () => {
  const before = guest({ power: 'stopped', volumes: [{ ...volume, backup: false }] });
  assert.deepEqual(
    diffDesired([before], [guest()]).map((change) => change.verdict),
    ['unsigned', 'unsigned'],
  );
});

const bulk = { name: 'media', path: '/media', storage: 'local', sizeGiB: 10, backup: false };
const byController = { is: 'controller', target: 'usb' };
const byNobody = { is: 'none', acknowledged: true };
const owns: readonly (readonly [name: string, from: object | undefined, to: object | undefined, verdict: Verdict])[] = [
  ['undecided → a target', undefined, byController, 'unsigned'],
  ['undecided → nobody', undefined, byNobody, 'unsigned'],
  ['nobody → a target', byNobody, byController, 'unsigned'],
  ['a target → another', byController, { ...byController, target: 'nas' }, 'unsigned'],
  ['a target → nobody', byController, byNobody, 'signed'],
  ['a target → undecided', byController, undefined, 'signed'],
];
for (const [name, from, to, verdict] of owns)
  test(`who backs up a bulk volume, ${name}: ${verdict}`, () => {
    const of = (ownBackup: object | undefined) => [guest({ volumes: [{ ...bulk, ownBackup }] })];
    const changes = diffDesired(of(from), of(to));
    assert.deepEqual(
      changes.map((change) => [change.field, change.verdict]),
      [['volumes.media.ownBackup', verdict]],
    );
  });

const tier = { name: 'nas', target: 'nas', schedule: '03:00', keep: { days: 7 } };
const planOf = (patch: Input = {}): BackupPlan => backupPlan.parse({ tiers: [{ ...tier, ...patch }] });
const tiers: readonly (readonly [name: string, patch: Input, field: string, from: string, to: string])[] = [
  ['target', { target: 'usb' }, 'tiers.nas.target', 'nas', 'usb'],
  ['schedule', { schedule: '04:00' }, 'tiers.nas.schedule', '03:00', '04:00'],
  ['jitter', { jitterMinutes: 5 }, 'tiers.nas.jitterMinutes', '0', '5'],
  ['window', { window: { from: '01:00', to: '05:00' } }, 'tiers.nas.window', '', '01:00-05:00'],
  ['keep', { keep: { days: 3, weeks: 4 } }, 'tiers.nas.keep', '7 days, 2 on demand', '3 days, 4 weeks, 2 on demand'],
  ['restore-tests', { restoreTestEveryDays: 30 }, 'tiers.nas.restoreTestEveryDays', '7', '30'],
];
for (const [name, patch, field, from, to] of tiers)
  test(`the backup plan: ${name}`, () => {
    const changes = diffContent({ guests: [], backups: planOf() }, { guests: [], backups: planOf(patch) });
    assert.deepEqual(changes, [{ guest: planOfHost, kind: 'change', field, from, to, verdict: 'ranged' }]);
  });

test('the backup plan: every field of a tier shows up, and tiers that come and go are told whole', () => {
  assert.deepEqual(
    new Set(tiers.map(([, , field]) => field.split('.')[2])),
    new Set(Object.keys(backupTier.shape).filter((key) => key !== 'name')),
  );
  const none = { guests: [], backups: backupPlan.parse({}) };
  const text = renderDiff(diffContent(none, { guests: [], backups: planOf() }), createStyle(false));
  assert.match(text, /~ backup plan of the host\n {2}tiers.nas {2}\(none\) → target nas, schedule 03:00, /);
  const gone = diffContent({ guests: [], backups: planOf() }, none);
  assert.deepEqual(
    gone.map(({ field, verdict }) => [field, verdict]),
    [['tiers.nas', 'ranged']],
  );
});

test('a guest of the name "backups" is not taken for the plan', () => {
  const of = (patch: Input, graceMinutes: number) => ({
    guests: [guest({ name: 'backups', ...patch })],
    backups: backupPlan.parse({ graceMinutes }),
  });
  const text = renderDiff(diffContent(of({}, 10), of({ cores: 4 }, 20)), createStyle(false));
  assert.match(text, /~ backups\n {2}cores [^]*~ backup plan of the host\n {2}graceMinutes/);
});

test('every field of a guest that is changed shows up', () => {
  const covered = new Set(rows.map(([, , field]) => field.split('.')[0] ?? ''));
  assert.deepEqual(covered, new Set(Object.keys(desiredGuest.shape).filter((key) => key !== 'name')));
});

test('order does not matter, nor do guests that stay the same', () => {
  const [a, b] = [guest({ name: 'a' }), guest({ name: 'b', tags: ['x', 'y'] })];
  assert.deepEqual(diffDesired([a, b], [guest({ name: 'b', tags: ['y', 'x'] }), a]), []);
});

test('the text says what comes, what goes, and that a guest that goes stays', () => {
  const changes = diffDesired([guest({ name: 'old' }), guest()], [guest({ memoryMiB: 512 }), guest({ name: 'new' })]);
  assert.equal(
    renderDiff(changes, createStyle(false)),
    [
      '+ new  debian-13, 2 cores, 1024 MiB, rootfs 8 GiB on local, /data 10 GiB (made by itself, inside the ranges of the host)',
      '- old  not wanted any more (it stays until people sign its removal: felhom approve)',
      '~ web',
      '  memoryMiB  1024 → 512  blocked until it is signed',
      '3 differences; 2 need a signature.',
      '',
    ].join('\n'),
  );
  assert.equal(renderDiff([], createStyle(false)), 'No differences.\n');
});
