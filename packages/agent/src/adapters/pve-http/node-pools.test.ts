import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failedWith, ok, scriptedPve } from '../../../test/scripted-pve.ts';
import { systemClock } from '../system-clock/index.ts';
import { createPveClient } from './pve-client.ts';
import type { RawAnswer } from './transport.ts';

const never = new AbortController().signal;

async function told(answers: Readonly<Record<string, RawAnswer>>, states: Readonly<Record<string, string>>) {
  const transport = scriptedPve(({ path }) => {
    const asked = path.replace(/^.*\/disks\//, '');
    return answers[asked] ?? failedWith(500, 'zfsutils-linux not installed');
  });
  const client = createPveClient({
    transport,
    node: 'pve1',
    token: `felhom@pve!agent=${'a'.repeat(36)}`,
    clock: systemClock(),
  });
  const pools = await client.pools(async () => new Map(Object.entries(states))).pools(never);
  return { pools, asked: transport.requests.map(({ path }) => path.replace(/^.*\/disks\//, '')) };
}
const list = ok([{ name: 'rpool', health: 'ONLINE', size: '1000', alloc: '250', free: '750', frag: 1, dedup: 1 }]);
const thin = ok([{ lv: 'data', vg: 'pve', lv_size: 200, used: 50, metadata_size: 100, metadata_used: 10 }]);

test('where there is neither ZFS nor a thin pool one question is asked, and nothing is told', async () => {
  assert.deepEqual(await told({ lvmthin: ok([]) }, {}), { pools: [], asked: ['lvmthin'] });
});

test('the kernel and Proxmox together', async () => {
  const { pools } = await told(
    { lvmthin: thin, zfs: list, 'zfs/rpool': ok({ name: 'rpool', errors: 'No known data errors' }) },
    { rpool: 'DEGRADED' },
  );
  assert.deepEqual(pools, [
    { is: 'zfs', name: 'rpool', health: 'DEGRADED', usedPercent: 25, errors: 'No known data errors' },
    { is: 'lvm-thin', name: 'pve/data', usedPercent: 25, metadataPercent: 10 },
  ]);
});

test('a token without the right for it: the kernel’s word stays', async () => {
  const no = failedWith(403, 'Permission check failed (/, Sys.Audit)');
  const { pools } = await told({ lvmthin: no, zfs: no }, { rpool: 'FAULTED' });
  assert.deepEqual(pools, [{ is: 'zfs', name: 'rpool', health: 'FAULTED', usedPercent: undefined, errors: undefined }]);
});

test('beside a pool that hangs nobody is asked about any', async () => {
  const { pools, asked } = await told({ lvmthin: ok([]), zfs: list }, { rpool: 'ONLINE', usb: 'SUSPENDED' });
  assert.deepEqual(asked, ['lvmthin']);
  assert.deepEqual(
    pools.map((pool) => pool.is === 'zfs' && pool.health),
    ['ONLINE', 'SUSPENDED'],
  );
});
