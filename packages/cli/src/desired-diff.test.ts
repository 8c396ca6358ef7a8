import assert from 'node:assert/strict';
import { test } from 'node:test';
import { desiredGuest } from '@felhom/protocol';
import type { DesiredGuest } from '@felhom/protocol';
import { createStyle } from '@felhom/terminal';
import { diffDesired } from './desired-diff.ts';
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
