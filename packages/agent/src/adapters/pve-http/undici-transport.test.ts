import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { createServer as createPlainServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { expiredServer, validServer } from '../hub-https/certificates.fixture.ts';
import { spkiOf } from '../https/index.ts';
import type { ServerTrust } from '../https/index.ts';
import type { RawAnswer, RawRequest, Transport } from './transport.ts';
import type { Clock } from '../../kernel/clock.ts';
import { createPveClient } from './pve-client.ts';
import { createPveHttps, failureOf } from './undici-transport.ts';

const never = new AbortController().signal;
const get: RawRequest = {
  method: 'GET',
  path: '/version',
  body: undefined,
  headers: { authorization: 'PVEAPIToken=t' },
};
const post: RawRequest = { ...get, method: 'POST', path: '/nodes/n/lxc', body: 'a=b' };
const trust: ServerTrust = { ca: validServer.cert };
const now = () => Date.UTC(2030, 0);

async function listen(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function setUp(t: TestContext, answer: RequestListener, options: { maxAnswerBytes?: number } = {}) {
  const server = createServer(validServer, answer);
  let connections = 0;
  server.on('secureConnection', () => (connections += 1));
  const port = await listen(t, server);
  const transport: Transport = createPveHttps({ url: `https://localhost:${port}`, trust, now, ...options });
  t.after(() => transport.close());
  return { transport, connections: () => connections };
}

const good = (_: IncomingMessage, answer: ServerResponse): void => {
  answer.setHeader('content-type', 'application/json;charset=UTF-8');
  answer.end('{"data":null}');
};
const failureKind = (raw: RawAnswer): string =>
  raw.is === 'failed' ? raw.failure.is : `answered ${raw.answer.status}`;

test('a request arrives as Proxmox wants it: path, header, length, form; the reason phrase comes back', async (t) => {
  const seen: string[] = [];
  const { transport } = await setUp(t, (request, answer) => {
    const { authorization, 'content-length': length, 'transfer-encoding': coding } = request.headers;
    seen.push([request.method, request.url, authorization, length, coding].join(' '));
    answer.writeHead(500, 'CT 1 already exists', { connection: 'close' });
    answer.end();
  });
  const raw = await transport.send(post, never);
  assert.deepEqual(raw.is === 'answered' && [raw.answer.status, raw.answer.reason], [500, 'CT 1 already exists']);
  await transport.send({ ...post, method: 'DELETE', path: '/x?purge=1', body: undefined }, never);
  await transport.send({ ...post, body: undefined }, never);
  assert.deepEqual(seen, [
    'POST /api2/json/nodes/n/lxc PVEAPIToken=t 3 ',
    'DELETE /api2/json/x?purge=1 PVEAPIToken=t  ',
    'POST /api2/json/nodes/n/lxc PVEAPIToken=t 0 ',
  ]);
});

test('reads share connections, each write has its own', async (t) => {
  const { transport, connections } = await setUp(t, good);
  for (let n = 0; n < 8; n += 1) await transport.send(get, never);
  const reading = connections();
  assert.ok(reading <= 2, `${reading} connections for 8 reads`);
  for (let n = 0; n < 3; n += 1) await transport.send(post, never);
  assert.equal(connections(), reading + 3);
});

test('a connection that breaks before the answer is lost, half an answer too', async (t) => {
  const cut = await setUp(t, (request) => request.socket.destroy());
  assert.equal(failureKind(await cut.transport.send(post, never)), 'lost');
  const half = await setUp(t, (request, answer) => {
    answer.writeHead(200, { 'content-length': '100' });
    answer.write('{"data"', () => request.socket.destroy());
  });
  assert.equal(failureKind(await half.transport.send(get, never)), 'lost');
});

test('nobody there: proven not sent', async (t) => {
  const server = createPlainServer();
  const port = await listen(t, server);
  server.close();
  await once(server, 'close');
  const transport = createPveHttps({ url: `https://127.0.0.1:${port}`, trust, now });
  t.after(() => transport.close());
  assert.equal(failureKind(await transport.send(post, never)), 'not-sent');
});

test('an answer above the limit is not taken in', async (t) => {
  const { transport } = await setUp(t, (_, answer) => answer.end('x'.repeat(5_000)), { maxAnswerBytes: 1_000 });
  assert.equal(failureKind(await transport.send(get, never)), 'too-large');
});

test('aborting ends the waiting', async (t) => {
  const stop = new AbortController();
  const { transport } = await setUp(t, () => stop.abort());
  assert.equal(failureKind(await transport.send(get, stop.signal)), 'aborted');
});

test('only https may carry the token', () => {
  assert.throws(() => createPveHttps({ url: 'http://localhost:8006', trust, now }), /only https/);
});

const pin = spkiOf(new X509Certificate(validServer.cert));
const expiredPin = spkiOf(new X509Certificate(expiredServer.cert));
const trustRows = [
  { name: 'its CA', server: validServer, trust, expect: 'answered' },
  { name: 'another CA', server: validServer, trust: { ca: expiredServer.cert }, expect: 'untrusted' },
  { name: 'its public key', server: validServer, trust: { spkiSha256: pin }, expect: 'answered' },
  { name: 'another public key', server: validServer, trust: { spkiSha256: expiredPin }, expect: 'pin-mismatch' },
  { name: 'its public key, expired', server: expiredServer, trust: { spkiSha256: expiredPin }, expect: 'expired' },
  { name: 'its CA, expired', server: expiredServer, trust: { ca: expiredServer.cert }, expect: 'expired' },
];
for (const row of trustRows)
  test(`trust by ${row.name}: ${row.expect}, and nothing is written to a server that is not trusted`, async (t) => {
    let requests = 0;
    const server = createServer(row.server, (request, answer) => {
      requests += 1;
      good(request, answer);
    });
    server.on('tlsClientError', () => {});
    const port = await listen(t, server);
    const transport = createPveHttps({ url: `https://localhost:${port}`, trust: row.trust, now });
    t.after(() => transport.close());
    const raw = await transport.send(get, never);
    const found =
      raw.is === 'answered' ? 'answered' : raw.failure.is === 'untrusted' ? raw.failure.why : raw.failure.is;
    assert.equal(found, row.expect);
    assert.equal(requests, row.expect === 'answered' ? 1 : 0);
  });

test('errors of socket and TLS: what they prove', () => {
  const coded = (code: string): Error =>
    Object.assign(new Error('outer'), { cause: Object.assign(new Error(code), { code }) });
  const rows = [
    ['ECONNREFUSED', 'not-sent'],
    ['UND_ERR_CONNECT_TIMEOUT', 'not-sent'],
    ['ENOTFOUND', 'not-sent'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'not-sent'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'untrusted'],
    ['CERT_NOT_YET_VALID', 'untrusted'],
    ['ECONNRESET', 'lost'],
    ['UND_ERR_SOCKET', 'lost'],
    ['EPIPE', 'lost'],
  ] as const;
  for (const [code, is] of rows) assert.equal(failureOf(coded(code)).is, is, code);
  assert.equal(failureOf('not an error').is, 'lost');
});

test('a kept-alive connection that the server closed while it idled costs a read nothing', async (t) => {
  let requests = 0;
  const served = new WeakSet<Socket>();
  const { transport } = await setUp(t, (request, answer) => {
    requests += 1;
    if (served.has(request.socket)) {
      request.socket.destroy();
      return;
    }
    served.add(request.socket);
    answer.setHeader('content-type', 'application/json;charset=UTF-8');
    answer.end('{"data":{"version":"9.2.11","release":"9.2"}}');
  });
  const still: Clock = {
    now: () => 0,
    monotonicMs: () => 0,
    bootMs: () => 0,
    sleep: (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  };
  const pve = createPveClient({ transport, clock: still, node: 'pve1', token: 'felhom@pve!agent=00000000-1111' });
  for (let n = 0; n < 6; n += 1) assert.equal((await pve.facts.version(never)).is, 'done');
  assert.ok(requests > 6, 'at least one request met a closed connection');
});
