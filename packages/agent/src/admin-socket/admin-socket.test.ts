import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
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
  'GET /v1/statement': () => ({}),
  'GET /v1/audit': (from) => ({ from }),
  'GET /v1/consents': () => [],
  'POST /v1/envelope': (text) => ({ text }),
  'POST /v1/reset-clock': () => ({}),
  'POST /v1/break-glass-close': () => Promise.resolve({}),
  'POST /v1/consent': (guest, given) => ({ guest, given }),
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

test('an envelope comes as a body, and one that is larger than any is refused', async (t) => {
  const file = await open(t);
  assert.deepEqual(await askAgent(file, 'POST /v1/envelope', '', '{"v":1}'), {
    is: 'answered',
    body: { text: '{"v":1}' },
  });
  const large = await askAgent(file, 'POST /v1/envelope', '', 'x'.repeat(70_000));
  assert.equal(large.is, 'failed');
  assert.equal((await askAgent(file, 'GET /v1/version')).is, 'answered');
});

test('an agent that is not running is told apart', async () => {
  assert.deepEqual(await askAgent('/nonexistent/agent.sock', 'GET /v1/status'), { is: 'not-running' });
});

test('a living socket is not taken over, one that a crash left is', async (t) => {
  const file = await open(t);
  await assert.rejects(openAdminSocket(file, routes), /another agent answers there/);
  const folder = mkdtempSync(join(tmpdir(), 'felhom-socket-'));
  const left = join(folder, 'left.sock');
  const dead = createServer().listen(join(folder, 'dead.sock'));
  await once(dead, 'listening');
  renameSync(join(folder, 'dead.sock'), left);
  dead.close();
  const socket = await openAdminSocket(left, routes);
  assert.equal((await askAgent(left, 'GET /v1/version')).is, 'answered');
  await socket.close();
  rmSync(folder, { recursive: true });
});

test('a request line that is no address is answered, not died of', async (t) => {
  const file = await open(t);
  for (const path of ['//', '//[', '*', '/v1/status/../../x']) assert.equal(await statusOf(file, path), 404, path);
  assert.equal((await askAgent(file, 'GET /v1/version')).is, 'answered');
});

test('what lies in the place of the socket and is none is named, not removed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-socket-'));
  const precious = join(folder, 'precious');
  writeFileSync(precious, 'photos');
  symlinkSync(precious, join(folder, 'link'));
  for (const place of [folder, precious, join(folder, 'link')])
    await assert.rejects(openAdminSocket(place, routes), /cannot listen on .*: it is there and is no socket/);
  assert.equal(readFileSync(precious, 'utf8'), 'photos');
  rmSync(folder, { recursive: true });
});

function statusOf(socketPath: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath, () =>
      socket.end(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`),
    );
    socket.once('error', reject);
    socket.once('data', (data: Buffer) => resolve(Number(data.toString('latin1').split(' ')[1])));
  });
}
