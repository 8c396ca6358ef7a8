import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asidePlan, callValues, missingAfter } from './restore-values.ts';
import type { AsidePlan } from './restore-values.ts';
import { viewOf } from '../guests/pve-config.ts';
import type { GuestUid } from '@felhom/protocol';

const live: Readonly<Record<string, string>> = {
  arch: 'amd64',
  cores: '4',
  cpulimit: '2',
  description: `felhom:${'a'.repeat(26)}.1.old\nPhotos of the house`,
  env: 'FELHOM_CLAIM=secret',
  features: 'nesting=1,keyctl=1',
  hostname: 'photos',
  memory: '2048',
  mp0: 'guests:vm-9000-disk-1,mp=/srv/data,backup=1,size=3G',
  mp1: 'bulk:9000/vm-9000-disk-0.raw,mp=/srv/photos,backup=0,size=4G',
  nameserver: '10.0.0.1',
  net0: 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:0A,ip=10.0.0.7/24,gw=10.0.0.1,type=veth',
  onboot: '1',
  ostype: 'debian',
  rootfs: 'guests:vm-9000-disk-0,size=8G',
  startup: 'order=2',
  swap: '0',
  tags: 'family',
  unprivileged: '1',
};
const archived = [
  'arch: amd64',
  'cores: 1',
  'hostname: once',
  'memory: 512',
  'mp0: guests:vm-9000-disk-1,mp=/srv/data,backup=1,size=1G',
  'mp1: bulk:9000/vm-9000-disk-0.raw,mp=/srv/photos,backup=0,size=4G',
  'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:FF,ip=10.0.0.66/24,type=veth',
  'net1: name=eth1,bridge=vmbr0,hwaddr=BC:24:11:00:00:FE,ip=dhcp,type=veth',
  'ostype: debian',
  'rootfs: guests:vm-9000-disk-0,size=10G',
  'searchdomain: old.example',
  'swap: 0',
  'unprivileged: 1',
];
const configOf = (values: Readonly<Record<string, string>>) => ({ digest: 'd', lock: undefined, values });

function planned(): AsidePlan {
  const verdict = asidePlan('photos', configOf(live), archived.join('\n'));
  assert.ok(verdict.is === 'possible', JSON.stringify(verdict));
  return verdict.plan;
}

test('settings are those of the guest as it is, never those of its backup; bulk is not made anew', () => {
  const marker = { uid: 'a'.repeat(26) as GuestUid, incarnation: 2, marker: 'new' };
  assert.deepEqual(callValues(planned(), marker), {
    hostname: 'photos',
    cores: '4',
    memory: '2048',
    swap: '0',
    cpulimit: '2',
    nameserver: '10.0.0.1',
    startup: 'order=2',
    onboot: '0',
    protection: '0',
    rootfs: 'guests:10',
    mp0: 'guests:3,mp=/srv/data,backup=1',
    net0: 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:0A,ip=10.0.0.7/24,gw=10.0.0.1,link_down=1',
    net1: 'name=eth1,bridge=vmbr0,link_down=1',
    description: `felhom:${'a'.repeat(26)}.2.new\nPhotos of the house`,
  });
});

test('afterwards tags come, and what only the backup had goes', () => {
  const view = viewOf(
    configOf({ net0: live['net0'] ?? '', net1: 'name=eth1', searchdomain: 'old.example', tags: 'x' }),
  );
  assert.deepEqual(missingAfter(planned(), ['searchdomain', 'tags'], view), {
    set: { tags: 'family' },
    delete: ['searchdomain', 'net1'],
  });
});

const refusals = [
  ['a device', { ...live, dev0: '/dev/dri/renderD128' }, archived, /dev0/],
  ['a volume that is not in the backup', live, archived.filter((line) => !line.startsWith('mp0')), /come back empty/],
  [
    'a volume that was bulk then',
    live,
    archived.map((line) => line.replace('backup=1', 'backup=0')),
    /come back empty/,
  ],
  [
    'a volume that only the backup has',
    live,
    [...archived, 'mp5: guests:vm-9000-disk-5,mp=/srv/more,backup=1,size=1G'],
    /has no volume any more/,
  ],
] as const;

for (const [name, values, backup, problem] of refusals)
  test(`refused beside itself: ${name}`, () => {
    const verdict = asidePlan('photos', configOf(values), backup.join('\n'));
    assert.match(verdict.is === 'refused' ? verdict.why.text : '', problem);
  });
