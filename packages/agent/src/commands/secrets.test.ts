/**
 * The whole service, pointed at servers that fail in every way and show the request in their errors. Afterwards
 * everything that it wrote, said and answered is searched for the two secrets it holds.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { askAgent } from '../admin-socket/client.ts';
import type { AdminRoutes } from '../admin-socket/server.ts';
import { expiredServer, validServer } from '../adapters/hub-https/certificates.fixture.ts';
import { exitCodes, runService } from './run.ts';

const tokenSecret = 'canary0a-1111-2222-3333-444444444444';
const hubKey = 'canary0b-key-of-this-host';
const secretFiles = new Set(['token', 'hub.key']);

type Failure = (seen: string, response: ServerResponse) => void;

const failures: Readonly<Record<string, Failure>> = {
  'a 401 that shows the request': (seen, response) => {
    response.writeHead(401, `no ${seen}`, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ data: null, message: seen }));
  },
  'a 403 with a problem that shows the request': (seen, response) => {
    response.writeHead(403, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ title: seen, detail: seen }));
  },
  'a 400 that names it as a parameter': (seen, response) => {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ data: null, errors: { authorization: seen } }));
  },
  'a page of a proxy': (seen, response) => {
    response.writeHead(502, { 'content-type': 'text/html' });
    response.end(`<pre>${seen}</pre>`);
  },
  'an answer that does not read': (seen, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(`{"data":${seen}`);
  },
  'an answer of another shape': (seen, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ v: 1, data: [{ [seen]: seen }], [seen]: seen }));
  },
  'a connection that breaks': (_, response) => void response.destroy(),
};

const routes = [
  'GET /v1/status',
  'GET /v1/plan',
  'GET /v1/doctor',
  'GET /v1/journal',
] as const satisfies readonly (keyof AdminRoutes)[];

for (const [name, failure] of Object.entries(failures))
  test(`no secret shows after ${name}`, (t) => search(t, validServer, failure));
test('no secret shows after a certificate that has expired', (t) => search(t, expiredServer, () => undefined));

async function search(t: TestContext, identity: typeof validServer, failure: Failure): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-secrets-'));
  const asked = { pve: Promise.withResolvers<void>(), hub: Promise.withResolvers<void>() };
  const server = createServer(identity, (request: IncomingMessage, response) => {
    request.resume();
    failure(request.headers.authorization ?? '', response);
    asked[request.url === '/v1/poll' ? 'hub' : 'pve'].resolve();
  });
  // Without a handshake nothing is asked.
  server.on('tlsClientError', () => {
    asked.pve.resolve();
    asked.hub.resolve();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  t.after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  const said: string[] = [];
  const stop = new AbortController();
  const configFile = configure(folder, `https://localhost:${port}`, identity.cert);
  const running = runService(configFile, { write: (text) => said.push(text) }, stop.signal);
  await Promise.all([asked.pve.promise, asked.hub.promise]);
  for (const route of routes) said.push(JSON.stringify(await askAgent(join(folder, 'agent.sock'), route)));
  stop.abort(new Error('the test is over'));
  assert.equal(await running, exitCodes.stopped);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && !secretFiles.has(entry.name))
      said.push(readFileSync(join(entry.parentPath, entry.name), 'latin1'));
  const all = said.join('\n');
  assert.match(all, /agent started/);
  assert.match(all, /"check":/, 'the doctor was asked');
  for (const secret of [tokenSecret, hubKey])
    assert.equal(all.includes(secret), false, all.slice(Math.max(0, all.indexOf(secret) - 300)).slice(0, 400));
}

function configure(folder: string, url: string, ca: string): string {
  const place = (name: string, content: unknown): string => {
    const file = join(folder, name);
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 });
    return file;
  };
  const trust = { caFile: place('ca.pem', ca) };
  mkdirSync(join(folder, 'state'), { mode: 0o700 });
  return place('agent.yaml', {
    v: 1,
    host: 'alpha',
    stateDirectory: join(folder, 'state'),
    adminSocket: join(folder, 'agent.sock'),
    policyFile: place('policy.yaml', {
      v: 1,
      node: 'pve1',
      pool: 'felhom',
      vmids: { guests: { from: 9000, to: 9019 }, scratch: { from: 9020, to: 9029 } },
      bridges: ['vmbr0'],
      storages: ['local'],
      goldens: {},
    }),
    proxmox: { url, tokenFile: place('token', `felhom@pve!agent=${tokenSecret}\n`), trust },
    desired: { hub: { url, keyFile: place('hub.key', hubKey), trust } },
  });
}
