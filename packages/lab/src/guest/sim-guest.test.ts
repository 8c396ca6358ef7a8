import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkLedger } from '@felhom/controller';
import { MemoryDisk } from '../fake-pve/storage/index.ts';
import { createSimClock } from '../simulation/sim-clock.ts';
import { diskGuestFiles, startSimGuest } from './index.ts';
import type { SimTransport } from './index.ts';

const token = `felhom1_${'t'.repeat(43)}`;

function world() {
  const clock = createSimClock();
  const nowSeconds = (): number => Math.floor(clock.now() / 1000);
  const disk = new MemoryDisk(nowSeconds);
  for (const path of ['/d/root', '/d/data']) disk.createVolume(path, 1e9, nowSeconds());
  const mounts = new Map([
    ['/', '/d/root'],
    ['/srv/data', '/d/data'],
  ]);
  const files = diskGuestFiles(disk, mounts, nowSeconds);
  const asked: string[] = [];
  const state = { due: [] as unknown[], captured: false, until: 0, silent: false };
  const transport: SimTransport = (method, path) => {
    const route = `${method} ${path.split('?')[0]}`;
    asked.push(route);
    if (state.silent) return new Promise(() => undefined);
    const now = clock.now();
    const operation = { id: 'b'.repeat(26), kind: 'backup', state: 'running', text: '', createdAt: now, at: now };
    const answers: Record<string, () => [number, unknown]> = {
      'POST /v1/bootstrap/redeem': () => [
        200,
        { token, guest: 'g'.repeat(26), name: 'shop', ca: ['x'], identity: 'fresh' },
      ],
      'GET /v1/controller': () => [200, { generation: 0, image: null, config: {}, directive: 'run', outward: true }],
      'GET /v1/backup/due': () => [200, { due: state.due }],
      'GET /v1/storage': () => [
        200,
        { classes: [], volumes: [], checkpoint: { by: 'none', why: '' }, restore: { possible: false, why: '' } },
      ],
      'POST /v1/quiesce': () => [200, { lease: 'q'.repeat(26), until: now + 120_000 }],
      'POST /v1/backup': () => [202, operation],
      'GET /v1/backup/status': () => [
        200,
        {
          current: { operation: operation.id, tier: 'local', state: 'running', captured: state.captured, text: '' },
          tiers: [],
        },
      ],
      'POST /v1/manifest': () => [200, { digest: '0'.repeat(64) }],
    };
    const [status, body] = answers[route]?.() ?? [200, {}];
    return Promise.resolve({ status, body: JSON.stringify(body) });
  };
  let seed = 0;
  const random = { bytes: (count: number) => Uint8Array.from({ length: count }, () => (seed = (seed * 5 + 7) % 256)) };
  const start = (environment: Record<string, string> = {}) =>
    startSimGuest({
      files,
      clock,
      random,
      transport,
      environment,
      ledgerMs: 5_000,
    });
  const due = (): unknown => ({
    id: 'd'.repeat(26),
    tier: 'local',
    scope: 'guest',
    since: clock.now(),
    graceUntil: clock.now() + 3_600_000,
  });
  return { clock, files, asked, state, start, due };
}

test('a guest in the simulation redeems, works, stands still for a backup and goes on', async () => {
  const { clock, files, asked, state, start, due } = world();
  const guest = start();
  await clock.advance(30_000);
  assert.equal(guest.failed(), undefined);
  assert.ok(asked.includes('POST /v1/controller/status'));
  const before = await checkLedger(files, '/srv/data/ledger');
  assert.ok(before.count > 2);
  state.due = [due()];
  await clock.advance(20_000);
  const standing = await checkLedger(files, '/srv/data/ledger');
  assert.equal(standing.is, 'agrees');
  await clock.advance(20_000);
  assert.equal((await checkLedger(files, '/srv/data/ledger')).count, standing.count);
  state.captured = true;
  state.due = [];
  await clock.advance(30_000);
  assert.ok((await checkLedger(files, '/srv/data/ledger')).count > standing.count + 2);
  assert.ok((await guest.controller()?.health())?.quiesced === false);
});

test('killed while its apps stand still, its next start lets them go on before it asks anybody', async () => {
  const { clock, files, state, start, due } = world();
  const guest = start();
  await clock.advance(30_000);
  state.due = [due()];
  await clock.advance(20_000);
  guest.kill();
  const standing = await checkLedger(files, '/srv/data/ledger');
  await clock.advance(600_000);
  assert.equal((await checkLedger(files, '/srv/data/ledger')).count, standing.count, 'a dead guest wrote');
  state.silent = true;
  start();
  await clock.advance(20_000);
  assert.ok((await checkLedger(files, '/srv/data/ledger')).count > standing.count);
});

test('a host that never answers keeps no guest waiting for ever', async () => {
  const { clock, asked, state, start } = world();
  start();
  await clock.advance(30_000);
  state.silent = true;
  await clock.advance(60_000);
  asked.length = 0;
  await clock.advance(600_000);
  assert.ok(asked.length > 3, asked.join('\n'));
});

test('only looked at, it asks nobody and writes nothing but what it must', async () => {
  const { clock, asked, files, start } = world();
  start({ FELHOM_IDENTITY: 'test' });
  await clock.advance(60_000);
  assert.deepEqual(asked, []);
  assert.equal((await checkLedger(files, '/srv/data/ledger')).is, 'empty');
});
