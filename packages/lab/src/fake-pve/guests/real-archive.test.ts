// Restores of archives as they are: with the storage room and real tar members, so that both rooms agree about them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSimClock } from '../../simulation/sim-clock.ts';
import { createSimRandom } from '../../simulation/sim-random.ts';
import { createFakePve } from '../node.ts';
import type { PlacedArchive } from '../storage/index.ts';
import { MemoryDisk, directoryMember, fileMember, placeArchive } from '../storage/index.ts';
import { upidOf } from './bench-node.fixture.ts';

const HONEST = 'hostname: honest\nmemory: 64\nrootfs: local:100/vm-100-disk-0.raw,size=1G\nunprivileged: 1\n';
const SLY = 'dev0: /dev/sda\nhostname: sly\nmemory: 64\nrootfs: local:100/vm-100-disk-0.raw,size=1G\nunprivileged: 1\n';

async function restored(archive: PlacedArchive, params: Record<string, unknown> = {}) {
  const clock = createSimClock();
  const disk = new MemoryDisk(() => Math.floor(clock.now() / 1000));
  const node = createFakePve({ clock, random: createSimRandom(3), disk });
  const ostemplate = await placeArchive(node.storage, 'local', 100, clock.now(), archive);
  const order = { vmid: 101, ostemplate, restore: 1, storage: 'local', ...params };
  const call = node.handle({ method: 'POST', path: '/nodes/pve1/lxc', params: order, as: 'root@pam' });
  const upid = upidOf(await clock.runUntil(call));
  await clock.runUntil(node.tasks.settled(upid));
  return { node, status: node.tasks.find(upid)?.exitStatus, lines: node.tasks.find(upid)?.lines ?? [] };
}

test('what the preview of an archive shows need not be what a restore takes', async () => {
  const rawMembers = [
    directoryMember('./etc'),
    directoryMember('./etc/vzdump'),
    fileMember('etc/vzdump/pct.conf', SLY),
    fileMember('./etc/vzdump/pct.conf', HONEST),
  ];
  const { node, status } = await restored({ config: HONEST, rawMembers });
  assert.equal(status, 'OK');
  const { active } = node.guests.config(101);
  assert.deepEqual([active.get('hostname'), active.get('dev0')], ['sly', '/dev/sda']);
});

test('a root filesystem that is too small fails late and leaves nothing', async () => {
  const files = [directoryMember('./'), fileMember('./big', 'x'.repeat(3_000_000))];
  const { node, status, lines } = await restored({ config: HONEST, files }, { rootfs: 'local:0.001' });
  assert.match(status ?? '', /^unable to restore CT 101 - command 'lxc-usernsexec .* tar xpf .*' failed: exit code 2$/);
  assert.match(lines.join('\n'), /No space left on device/);
  assert.deepEqual([node.guests.exists(101), node.storage.volumesOf(101)], [false, []]);
});

test('the firewall file of the archive becomes the one of the guest', async () => {
  const { node } = await restored({ config: HONEST, firewall: '[OPTIONS]\nenable: 1\n' });
  assert.equal(node.guests.firewall(101), '[OPTIONS]\nenable: 1\n');
});
