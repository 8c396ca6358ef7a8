import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestUid, Vmid } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { SeenConfig } from '../guests/index.ts';
import { createVolumeStates } from './volume-states.ts';

const uid = 'a'.repeat(26) as GuestUid;
const vmid = 104 as Vmid;
const never = new AbortController().signal;
const record = {
  uid,
  vmid,
  volumes: [{ volid: 'usb1:104/vm-104-disk-1.raw', name: 'photos' }],
} as unknown as GuestRecord;
const config = {
  is: 'present',
  view: {
    disks: [
      { key: 'rootfs', volid: 'local:104/vm-104-disk-0.raw', path: '' },
      { key: 'mp0', volid: 'usb1:104/vm-104-disk-1.raw', path: '/srv/photos' },
      { key: 'mp1', volid: 'local:104/by-hand.raw', path: '/srv/more' },
    ],
  },
} as unknown as SeenConfig;

function bench() {
  const world = { known: true, state: 'attached' as 'attached' | 'away' | 'stale' };
  const states = createVolumeStates({
    registry: { byUid: (asked) => (world.known && asked === uid ? record : undefined) },
    mounts: { reliance: async () => (storage) => (storage === 'usb1' ? world.state : 'attached') },
  });
  const told = async (): Promise<string> => {
    const answer = await states.of(uid, never);
    if (answer.is !== 'done') return answer.why.code;
    return answer.value.volumes.map(({ name, path, ...rest }) => [name, path, JSON.stringify(rest)].join(' ')).join();
  };
  return { world, states, told };
}

test('the volumes as the last pass saw them; a state only where it is not attached', async () => {
  const { world, states, told } = bench();
  assert.equal(await told(), 'pve.guest-absent');
  states.saw({ problem: undefined, seen: new Map([[vmid, config]]) });
  assert.equal(await told(), 'rootfs / {},photos /srv/photos {},mp1 /srv/more {}');
  world.state = 'away';
  assert.equal(await told(), 'rootfs / {},photos /srv/photos {"state":"away"},mp1 /srv/more {}');
  world.known = false;
  assert.equal(await told(), 'guest.unknown-uid');
});

test('a pass that could not look takes nothing back: a disk that went is told while Proxmox hangs', async () => {
  const { world, states, told } = bench();
  states.saw({ problem: undefined, seen: new Map([[vmid, config]]) });
  world.state = 'stale';
  states.saw({ problem: 'it does not answer', seen: new Map() });
  assert.match(await told(), /photos \/srv\/photos \{"state":"stale"\}/);
});
