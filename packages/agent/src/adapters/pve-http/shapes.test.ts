import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { z } from 'zod';
import * as shapes from './shapes.ts';

test('guest rows: numbers come as numbers or strings, keys are left out, tags split on any separator', () => {
  assert.deepEqual(
    shapes.guestRows.parse([
      {
        vmid: '9001',
        status: 'running',
        name: 'a',
        tags: 'x;y,z',
        cpus: '1.5',
        maxmem: 5,
        maxdisk: 6,
        uptime: 7,
        lock: 'backup',
      },
      { vmid: 9002, status: 'odd' },
    ]),
    [
      {
        vmid: 9001,
        name: 'a',
        status: 'running',
        lock: 'backup',
        tags: ['x', 'y', 'z'],
        cpus: 1.5,
        maxMemBytes: 5,
        maxDiskBytes: 6,
        uptimeSeconds: 7,
      },
      {
        vmid: 9002,
        name: '',
        status: 'unknown',
        lock: undefined,
        tags: [],
        cpus: 0,
        maxMemBytes: 0,
        maxDiskBytes: 0,
        uptimeSeconds: 0,
      },
    ],
  );
});

test('pending changes: a deletion is one whatever its number', () => {
  assert.deepEqual(
    shapes.pendingChanges.parse([
      { key: 'mp0', value: 'x', delete: 1 },
      { key: 'cores', value: 1, pending: 2 },
    ]),
    [
      { key: 'mp0', value: 'x', pending: undefined, delete: true },
      { key: 'cores', value: '1', pending: '2', delete: false },
    ],
  );
});

test('store items: backups and volumes', () => {
  const [item] = shapes.storeItems.parse([
    { volid: 'l:backup/x', content: 'backup', vmid: '100', ctime: 5, protected: 1 },
  ]);
  assert.deepEqual(item, {
    volid: 'l:backup/x',
    content: 'backup',
    vmid: 100,
    sizeBytes: 0,
    ctime: 5,
    notes: undefined,
    protected: true,
  });
});

test('storages: flags are flags, content is a list', () => {
  const [row] = shapes.storageRows.parse([
    { storage: 'local', type: 'dir', content: 'backup,rootdir', active: 0, enabled: 1, total: '9', avail: 4 },
  ]);
  assert.deepEqual(row, {
    storage: 'local',
    type: 'dir',
    content: ['backup', 'rootdir'],
    active: false,
    enabled: true,
    totalBytes: 9,
    availableBytes: 4,
  });
});

test('a UPID is one, with or without a guest in it', () => {
  for (const good of [
    'UPID:pve1:00000AC9:000B069F:6B04DE5C:vzrestore:9003:felhom@pve!agent:',
    'UPID:p:0000000A:1000B069F:6B04DE5C:vzdump::root@pam:',
  ])
    assert.ok(shapes.upid.safeParse(good).success, good);
  for (const bad of ['OK', '', 'UPID:pve1:1:2:3:vzstart:1:u@p:', 'UPID:pve1:00000AC9:000B069F:6B04DE5C:vzstart:1:u@p'])
    assert.ok(!shapes.upid.safeParse(bad).success, bad);
});

test('permissions: what is listed is held, whether it propagates or not', () => {
  const held = shapes.permissions.parse({ '/vms/1': { 'VM.Audit': 0 }, '/': {} });
  assert.deepEqual([...(held.get('/vms/1') ?? [])], ['VM.Audit']);
  assert.equal(held.get('/')?.size, 0);
});

interface Recorded {
  readonly as?: string;
  readonly method?: string;
  readonly path?: string;
  readonly params?: Readonly<Record<string, unknown>> | null;
  readonly status?: number;
  readonly body?: { readonly data?: unknown };
}

const read: [RegExp, z.ZodType][] = [
  [/^\/version$/, shapes.version],
  [/^\/access\/permissions$/, shapes.permissions],
  [/^\/nodes\/[^/]+\/time$/, shapes.nodeTime],
  [/^\/nodes\/[^/]+\/apt\/versions$/, shapes.packageVersions],
  [/^\/nodes\/[^/]+\/lxc$/, shapes.guestRows],
  [/^\/nodes\/[^/]+\/lxc\/\d+\/config$/, shapes.guestConfig],
  [/^\/nodes\/[^/]+\/lxc\/\d+\/pending$/, shapes.pendingChanges],
  [/^\/nodes\/[^/]+\/lxc\/\d+\/status\/current$/, shapes.guestStatus],
  [/^\/nodes\/[^/]+\/tasks$/, shapes.taskRows],
  [/^\/nodes\/[^/]+\/tasks\/[^/]+\/status$/, shapes.taskState],
  [/^\/nodes\/[^/]+\/tasks\/[^/]+\/log$/, shapes.taskLog],
  [/^\/nodes\/[^/]+\/storage$/, shapes.storageRows],
  [/^\/nodes\/[^/]+\/storage\/[^/]+\/content$/, shapes.storeItems],
];
const started =
  /^(?:POST|PUT|DELETE) \/nodes\/[^/]+\/lxc(?:$|\/\d+$|\/\d+\/resize$|\/\d+\/status\/(?:start|stop|shutdown)$)/;
test('disks: words of smartctl, what is left becomes what is worn, and no number is made up', () => {
  const disk = (row: Record<string, unknown>) => shapes.diskRows.parse([{ devpath: '/dev/sda', ...row }])[0];
  // As recorded of a virtual machine.
  const bare = { model: 'unknown', serial: 'unknown', health: 'UNKNOWN', wearout: 'N/A' };
  assert.deepEqual(disk(bare), {
    device: 'sda',
    model: 'unknown',
    serial: 'unknown',
    health: 'unknown',
    wornPercent: undefined,
  });
  const words = ['PASSED', 'OK', 'FAILED!', 'SMART Disabled', undefined].map((health) => disk({ health })?.health);
  assert.deepEqual(words, ['passed', 'passed', 'failed', 'unknown', 'unknown']);
  const worn = [100, '97', 0, -3, '', null, undefined].map((wearout) => disk({ wearout })?.wornPercent);
  assert.deepEqual(worn, [0, 3, 100, 100, undefined, undefined, undefined]);
});

const recordings = process.env['FELHOM_PVE_EXCHANGES'] ?? '../shared/pve/exchanges';

test(
  'every recorded answer to a call of ours can be read',
  { skip: existsSync(recordings) ? false : `no recordings in ${recordings}` },
  () => {
    let answers = 0;
    for (const file of readdirSync(recordings).filter((name) => name.endsWith('.json')))
      for (const call of JSON.parse(readFileSync(join(recordings, file), 'utf8')) as Recorded[]) {
        if (call.status !== 200 || call.path === undefined || call.params?.['download'] !== undefined) continue;
        const shape = started.test(`${call.method} ${call.path}`)
          ? shapes.upid
          : call.method === 'GET' && read.find(([path]) => path.test(call.path ?? ''))?.[1];
        if (shape === undefined || shape === false) continue;
        answers += 1;
        const parsed = shape.safeParse(call.body?.data);
        assert.ok(parsed.success, `${file} ${call.method} ${call.path}: ${parsed.error?.message}`);
      }
    assert.ok(answers > 300, `only ${answers} answers found`);
  },
);
