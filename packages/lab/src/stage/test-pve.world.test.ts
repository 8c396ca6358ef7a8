/**
 * The suite for real nodes, run against the fake one over real HTTPS: what passes there and not here, or here and not
 * there, is a fault of the fake or of the suite.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { openStage } from './stage.ts';

const root = resolve(import.meta.dirname, '../../../..');

test('npm run test:pve passes against the fake node', { timeout: 300_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-test-pve-'));
  const stage = await openStage({ folder, pace: { restoreMs: 400, startMs: 100, stopMs: 50, allocateMs: 20 } });
  t.after(async () => {
    await stage.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const { policy, token } = stage.pve;
  const golden = policy.goldens['debian-13'];
  assert.ok(golden !== undefined);
  const suite = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'scripts/test-pve.ts'], {
    cwd: root,
    env: {
      PATH: process.env['PATH'],
      FELHOM_PVE_OPT_IN: 'yes-create-and-destroy-guests',
      FELHOM_PVE_URL: stage.server.url,
      FELHOM_PVE_TOKEN_FILE: stage.place.token,
      FELHOM_PVE_CA_FILE: stage.place.nodeCa,
      FELHOM_PVE_NODE: policy.node,
      FELHOM_PVE_STORAGE: 'guests',
      FELHOM_PVE_BRIDGE: 'vmbr0',
      FELHOM_PVE_POOL: policy.pool,
      FELHOM_PVE_ARCHIVE: golden.archive,
      FELHOM_PVE_VMIDS: `${policy.vmids.guests.from}-${policy.vmids.guests.to}`,
      FELHOM_PVE_HELPER: JSON.stringify([
        process.execPath,
        resolve(import.meta.dirname, '../host-helper/main.ts'),
        stage.place.controlSocket,
      ]),
      FELHOM_PVE_STATE: join(folder, 'suite'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((done) => suite.once('exit', (code) => done(code)));
  const [out, err, code] = await Promise.all([text(suite.stdout), text(suite.stderr), ended]);
  assert.equal(code, 0, `${out}\n${err}`);
  assert.doesNotMatch(out + err, new RegExp(token.slice(token.indexOf('=') + 1)), 'the token secret was printed');
  assert.deepEqual(
    stage.pve.node.guests.ids().filter((vmid) => vmid <= policy.vmids.guests.to),
    [],
    'the suite left a guest behind',
  );
});
