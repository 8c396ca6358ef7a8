import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { askAgent } from './client.ts';
import { type AdminRoutes, openAdminSocket } from './server.ts';

const routes: AdminRoutes = {
  'GET /v1/status': () => ({ state: 'fine' }),
  'GET /v1/plan': () => Promise.reject(new Error('cannot reach Proxmox')),
  'GET /v1/doctor': () => Promise.resolve([]),
  'GET /v1/journal': (limit) => ({ limit }),
  'GET /v1/version': () => ({ version: '0' }),
  'POST /v1/wake': () => ({ woken: true }),
  'POST /v1/resume': (saga) => ({ resumed: saga }),
  'POST /v1/abandon': (saga) => ({ abandoned: saga }),
};

async function open(t: TestContext): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-socket-'));
  const file = join(folder, 'agent.sock');
  const socket = await openAdminSocket(file, routes);
  t.after(async () => {
    await socket.close();
    rmSync(folder, { recursive: true });
  });
  return file;
}

test('a route answers, and only its owner can open the socket', async (t) => {
  const file = await open(t);
  assert.deepEqual(await askAgent(file, 'GET /v1/status'), { is: 'answered', body: { state: 'fine' } });
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('a failing route answers with its reason', async (t) => {
  const answer = await askAgent(await open(t), 'GET /v1/plan');
  assert.deepEqual(answer, { is: 'failed', why: 'cannot answer GET /v1/plan: cannot reach Proxmox' });
});

test('the journal limit is clamped, nonsense falls back', async (t) => {
  const file = await open(t);
  assert.deepEqual(await askAgent(file, 'GET /v1/journal', '?limit=99999'), { is: 'answered', body: { limit: 1000 } });
  assert.deepEqual(await askAgent(file, 'GET /v1/journal', '?limit=x'), { is: 'answered', body: { limit: 50 } });
});

test('an agent that is not running is told apart', async () => {
  assert.deepEqual(await askAgent('/nonexistent/agent.sock', 'GET /v1/status'), { is: 'not-running' });
});

test('a living socket is not taken over, a left-over file is', async (t) => {
  const file = await open(t);
  await assert.rejects(openAdminSocket(file, routes), /another agent answers there/);
  const left = join(mkdtempSync(join(tmpdir(), 'felhom-socket-')), 'left.sock');
  writeFileSync(left, '');
  const socket = await openAdminSocket(left, routes);
  assert.equal((await askAgent(left, 'GET /v1/version')).is, 'answered');
  await socket.close();
});
