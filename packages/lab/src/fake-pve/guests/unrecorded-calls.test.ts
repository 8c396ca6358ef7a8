// What no recording shows: answers that follow from Proxmox's sources and from the wording of recorded neighbours.
// Rows are marked with where they come from; none of them was seen on a real node in exactly this form.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGENT, benchWithGuest, dataOf, GOLDEN, GUEST_CONFIG, said } from './bench-node.fixture.ts';

type Params = Record<string, unknown>;

test('create and restore: refusals before the UPID, from the source', async () => {
  const paths = 'Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.';
  const base = { vmid: 105, ostemplate: GOLDEN, restore: 1, storage: 'files' };
  const rows: [cite: string, params: Params, as: string, status: number, text: string][] = [
    [
      'maximum',
      { ...base, vmid: 1_000_000_000 },
      AGENT,
      400,
      'vmid: invalid format - value does not look like a valid VM ID\n',
    ],
    ['minimum', { ...base, bwlimit: -1 }, AGENT, 400, 'bwlimit: value must have a minimum value of 0'],
    [
      'requires',
      { vmid: 105, ostemplate: GOLDEN, unique: 1 },
      AGENT,
      400,
      "restore: missing property - 'unique' requires this property",
    ],
    ['missing', { vmid: 105 }, AGENT, 400, 'ostemplate: property is missing and it is not optional'],
    [
      'maxLength',
      { ...base, ostemplate: `files:${'x'.repeat(250)}` },
      AGENT,
      400,
      'ostemplate: value may only be 255 characters long',
    ],
    [
      'pve-poolid',
      { ...base, pool: 'a/b/c/d' },
      AGENT,
      400,
      "pool: invalid format - pool name 'a/b/c/d' nested too deeply (max levels = 3)\n",
    ],
    [
      'pve-storage-id',
      { ...base, storage: 'x' },
      AGENT,
      400,
      "storage: invalid format - storage ID 'x' cannot be shorter than 2 characters\n",
    ],
    [
      'parse_volname',
      { ...base, ostemplate: 'files:junk' },
      AGENT,
      500,
      "unable to parse directory volume name 'junk'",
    ],
    ['a bare size is a path to a token', { ...base, rootfs: '2' }, AGENT, 500, paths],
    ['and a size to root', { ...base, rootfs: '2' }, 'root@pam', 200, 'OK'],
    [
      'the id is looked at before the pool',
      { ...base, vmid: 101, pool: 'nosuch' },
      AGENT,
      500,
      "CT 101 already exists on node 'pve1'",
    ],
    [
      'the pool before the options',
      { ...base, pool: 'nosuch', dev0: '/dev/fuse' },
      AGENT,
      403,
      "Permission check failed (pool 'nosuch' does not exist)",
    ],
    [
      'the options before the archive',
      { ...base, ostemplate: 'nosuch:x', dev0: '/dev/fuse' },
      AGENT,
      403,
      'Permission check failed (configuring device passthrough is only allowed for root@pam)',
    ],
    [
      'the archive before the disks',
      { ...base, ostemplate: 'nosuch:x', mp0: 'files:1,mp=/a' },
      AGENT,
      500,
      "storage 'nosuch' does not exist",
    ],
    ['unused is ignored', { ...base, unused0: 'files:vm-105-disk-9' }, AGENT, 200, 'OK'],
  ];
  for (const [cite, params, as, status, text] of rows) {
    const { call, node } = await benchWithGuest();
    node.storage.archives.set(GOLDEN, { first: GUEST_CONFIG });
    const answer = await call('POST', '/lxc', params, as);
    assert.deepEqual([cite, answer.status, said(answer)], [cite, status, text]);
  }
});

test('clone, template, move and resize: refusals, from the source', async () => {
  const thin = GUEST_CONFIG.replaceAll('files:', 'thin:');
  const bind = `${GUEST_CONFIG}mp1: /srv,mp=/b\n`;
  const base = 'POST';
  const rows: [
    cite: string,
    config: string,
    method: 'POST' | 'PUT',
    path: string,
    params: Params,
    status: number,
    text: string,
  ][] = [
    [
      'clone: newid first',
      `${GUEST_CONFIG}lock: backup\n`,
      base,
      'clone',
      { newid: 101 },
      500,
      "CT 101 already exists on node 'pve1'",
    ],
    ['clone: lock', `${GUEST_CONFIG}lock: backup\n`, base, 'clone', { newid: 105 }, 500, 'CT is locked (backup)'],
    [
      'clone: snapshot',
      GUEST_CONFIG,
      base,
      'clone',
      { newid: 105, snapname: 'nosuch' },
      500,
      "snapshot 'nosuch' does not exist",
    ],
    [
      'clone: storage',
      GUEST_CONFIG,
      base,
      'clone',
      { newid: 105, storage: 'nosuch' },
      500,
      "storage 'nosuch' does not exist",
    ],
    [
      'clone: linked with storage',
      GUEST_CONFIG,
      base,
      'clone',
      { newid: 105, full: 0, storage: 'thin' },
      500,
      "parameter 'storage' not allowed for linked clones",
    ],
    [
      'clone: linked without base',
      thin,
      base,
      'clone',
      { newid: 105, full: 0 },
      500,
      "Linked clone feature for 'thin:vm-101-disk-0' is not available",
    ],
    ['clone: linked from a template', `${thin}template: 1\n`, base, 'clone', { newid: 105 }, 200, 'OK'],
    ['clone: bind', bind, base, 'clone', { newid: 105 }, 500, "unable to clone mountpint 'mp1' (type bind)"],
    [
      'template: dir',
      GUEST_CONFIG,
      base,
      'template',
      {},
      500,
      "Directory storage 'files' does not support container templates!",
    ],
    [
      'template: twice',
      `${thin}template: 1\n`,
      base,
      'template',
      {},
      500,
      "you can't convert a template to a template",
    ],
    [
      'move: neither',
      GUEST_CONFIG,
      base,
      'move_volume',
      { volume: 'mp0' },
      400,
      "storage: both 'storage' and 'target-vmid' missing, either needs to be set|target-vmid: both 'storage' and 'target-vmid' missing, either needs to be set",
    ],
    [
      'move: to itself',
      GUEST_CONFIG,
      base,
      'move_volume',
      { volume: 'mp0', 'target-vmid': 101 },
      400,
      'target-vmid: must be different than source VMID to move disk to another container',
    ],
    [
      'move: unknown guest',
      GUEST_CONFIG,
      base,
      'move_volume',
      { volume: 'mp0', 'target-vmid': 999 },
      500,
      'could not find CT 999',
    ],
    [
      'move: unknown volume',
      GUEST_CONFIG,
      base,
      'move_volume',
      { volume: 'mp9', storage: 'thin' },
      500,
      'format error',
    ],
    [
      'resize: pattern',
      GUEST_CONFIG,
      'PUT',
      'resize',
      { disk: 'mp0', size: '1GB' },
      400,
      'size: value does not match the regex pattern',
    ],
    [
      'resize: negative',
      GUEST_CONFIG,
      'PUT',
      'resize',
      { disk: 'mp0', size: '-1G' },
      400,
      'size: value does not match the regex pattern',
    ],
    [
      'resize: missing',
      GUEST_CONFIG,
      'PUT',
      'resize',
      { disk: 'mp0' },
      400,
      'size: property is missing and it is not optional',
    ],
    ['resize: bytes', GUEST_CONFIG, 'PUT', 'resize', { disk: 'mp0', size: '1' }, 500, 'unable to shrink disk size'],
    [
      'resize: the same in another unit',
      GUEST_CONFIG,
      'PUT',
      'resize',
      { disk: 'mp0', size: '1024M' },
      500,
      'disk is already at specified size',
    ],
    ['resize: bind', bind, 'PUT', 'resize', { disk: 'mp1', size: '2G' }, 500, "unable to parse volume ID '/srv'"],
    [
      'snapshot: reserved',
      GUEST_CONFIG,
      base,
      'snapshot',
      { snapname: 'vzdump' },
      500,
      "unable to use snapshot name 'vzdump' (reserved name)",
    ],
    [
      'start: bad timeout',
      GUEST_CONFIG,
      base,
      'status/shutdown',
      { timeout: -1 },
      400,
      'timeout: value must have a minimum value of 0',
    ],
  ];
  for (const [cite, config, method, path, params, status, text] of rows) {
    const { call } = await benchWithGuest(config);
    const answer = await call(method, `/lxc/101/${path}`, params, AGENT);
    assert.deepEqual([cite, answer.status, said(answer)], [cite, status, text]);
  }
});

test('a full clone from a snapshot has the config of then, from the source', async () => {
  const { call, run, config } = await benchWithGuest(GUEST_CONFIG.replaceAll('files:', 'thin:'));
  await run('POST', '/lxc/101/snapshot', { snapname: 'then' });
  await call('PUT', '/lxc/101/config', { memory: 999, description: 'now' });
  await run('POST', '/lxc/101/clone', { newid: 105, full: 1, snapname: 'then' });
  const copy = await config(105);
  assert.deepEqual(
    [copy['memory'], copy['parent'], copy['snaptime'], copy['description'], copy['lock']],
    [256, undefined, undefined, undefined, undefined],
  );
  assert.equal(dataOf(await call('GET', '/lxc/101/config'))['lock'], undefined);
});
