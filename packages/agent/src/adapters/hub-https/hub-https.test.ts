import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:https';
import type { ServerOptions } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createPlainServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { hostId } from '@felhom/protocol';
import type { PollAnswer, PollRequest } from '@felhom/protocol';
import { digest } from '@felhom/protocol';
import { expiredServer, validServer } from './certificates.fixture.ts';
import { createHubHttps, spkiOf } from './index.ts';
import type { ServerTrust } from './index.ts';

const request: PollRequest = {
  v: 1,
  hostId: hostId.parse('alpha'),
  hostEpoch: 'e'.repeat(32),
  agentVersion: '0.1.0',
  sequence: 1,
  held: { is: 'never-received' },
  reportDigest: digest.parse('0'.repeat(64)),
  taken: [],
};
const good: PollAnswer = {
  v: 1,
  desired: { is: 'unchanged' },
  sendReport: false,
  sendHeld: false,
  envelopes: [],
  auditCount: 0,
};
const canary = 'canary-key-that-must-not-show';
const json = { 'content-type': 'application/json; charset=utf-8' };
const problem = { 'content-type': 'application/problem+json' };
type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function answering(status: number, headers: Record<string, string>, body: string): Handler {
  return (_, response) => void response.writeHead(status, headers).end(body);
}

async function poll(
  t: TestContext,
  handler: Handler,
  options: { maxAnswerBytes?: number; answerTimeoutMs?: number; connectTimeoutMs?: number; signal?: AbortSignal } = {},
) {
  const server = createPlainServer((incoming, response) => {
    incoming.resume();
    handler(incoming, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const hub = createHubHttps({ url: `http://127.0.0.1:${port}`, apiKey: canary, now: () => 0, ...options });
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await hub.close();
  });
  return hub.poll(request, options.signal ?? new AbortController().signal);
}

async function pollTls(
  t: TestContext,
  server: ServerOptions,
  trust: ServerTrust,
  now: number,
  certificateSeen: (endsAt: number) => void,
) {
  const https = createServer(server, answering(200, json, JSON.stringify(good)));
  await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve));
  const { port } = https.address() as AddressInfo;
  const hub = createHubHttps({
    url: `https://localhost:${port}`,
    apiKey: canary,
    trust,
    now: () => now,
    certificateSeen,
  });
  t.after(async () => {
    https.closeAllConnections();
    https.close();
    await hub.close();
  });
  return hub.poll(request, new AbortController().signal);
}

const rows: { name: string; handler: Handler; code: string }[] = [
  {
    name: 'wrong key',
    handler: answering(401, problem, '{"title":"no"}'),
    code: 'hub.unauthorized',
  },
  { name: 'key of another host', handler: answering(403, problem, '{}'), code: 'hub.forbidden' },
  { name: 'slow down', handler: answering(429, { 'retry-after': '7' }, ''), code: 'hub.throttled' },
  { name: 'failing hub', handler: answering(503, {}, ''), code: 'hub.unavailable' },
  { name: 'a problem', handler: answering(409, problem, '{"detail":"x"}'), code: 'hub.refused' },
  {
    name: 'HTML with 200',
    handler: answering(200, { 'content-type': 'text/html' }, '<html>'),
    code: 'hub.not-a-hub',
  },
  {
    name: 'HTML with 404',
    handler: answering(404, { 'content-type': 'text/html' }, ''),
    code: 'hub.not-a-hub',
  },
  { name: 'a redirect', handler: answering(302, { location: 'https://x' }, ''), code: 'hub.not-a-hub' },
  { name: 'no content type', handler: answering(200, {}, '{}'), code: 'hub.not-a-hub' },
  {
    name: 'HTML that says JSON',
    handler: answering(200, json, '<html>'),
    code: 'hub.unreadable-answer',
  },
  {
    name: 'the request in its error',
    handler: (r, response) =>
      answering(400, problem, JSON.stringify({ detail: `bad ${r.headers.authorization ?? ''}` }))(r, response),
    code: 'hub.refused',
  },
  { name: 'brackets only', handler: answering(200, json, '['.repeat(3_000_000)), code: 'hub.unreadable-answer' },
  {
    name: 'objects only',
    handler: answering(200, json, '{"v":1,"a":'.repeat(200_000)),
    code: 'hub.unreadable-answer',
  },
  {
    name: 'a prototype',
    handler: answering(200, json, JSON.stringify(good).replace('{', '{"__proto__":{"sendHeld":true},')),
    code: 'hub.unreadable-answer',
  },
  { name: 'empty JSON', handler: answering(200, json, ''), code: 'hub.unreadable-answer' },
  { name: 'version 2', handler: answering(200, json, '{"v":2}'), code: 'hub.unreadable-answer' },
  {
    name: 'an extra field',
    handler: answering(200, json, JSON.stringify({ ...good, scratch: true })),
    code: 'hub.unreadable-answer',
  },
  {
    name: 'what is no gzip',
    handler: answering(200, { ...json, 'content-encoding': 'gzip' }, JSON.stringify(good)),
    code: 'hub.unreadable-answer',
  },
  {
    name: 'half of a gzip',
    handler: (_, response) => {
      const packed = gzipSync(JSON.stringify(good));
      response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(packed.subarray(0, packed.length - 12));
    },
    code: 'hub.unreadable-answer',
  },
  { name: 'hung up on', handler: (r) => void r.socket.destroy(), code: 'hub.unreachable' },
  {
    name: 'cut in the middle',
    handler: (_, response) => {
      response.writeHead(200, { ...json, 'content-length': '500' });
      response.write('{"v":1', () => response.destroy());
    },
    code: 'hub.unreachable',
  },
];

for (const row of rows)
  test(`a hub that answers: ${row.name} → ${row.code}`, async (t) => {
    const answer = await poll(t, row.handler);
    assert.equal(answer.is, 'failed');
    if (answer.is !== 'failed') return;
    assert.equal(answer.why.code, row.code);
    assert.match(answer.why.text, /^cannot poll hub http:\/\/127\.0\.0\.1:\d+: ./);
    assert.doesNotMatch(JSON.stringify(answer), new RegExp(canary));
  });

test('the wish of a throttling hub is handed on', async (t) => {
  const answer = await poll(t, answering(429, { 'retry-after': '7' }, ''));
  assert.equal(answer.is === 'failed' ? answer.retryAfterSeconds : undefined, 7);
});

test('a good answer; the key travels in the header', async (t) => {
  let authorization: string | undefined;
  const answer = await poll(t, (incoming, response) => {
    authorization = incoming.headers.authorization;
    answering(200, json, JSON.stringify(good))(incoming, response);
  });
  assert.deepEqual(answer, { is: 'answered', answer: good });
  assert.equal(authorization, `Bearer ${canary}`);
});

test('a body of 100 MB is cut off at the limit, not taken in', async (t) => {
  let sent = 0;
  const answer = await poll(t, (_, response) => {
    response.writeHead(200, json);
    const chunk = Buffer.alloc(65_536, 0x20);
    const more = (): void => {
      while (sent < 100_000_000 && !response.destroyed) {
        sent += chunk.length;
        if (!response.write(chunk)) {
          response.once('drain', more);
          return;
        }
      }
      response.end();
    };
    more();
  });
  assert.equal(answer.is === 'failed' ? answer.why.code : answer.is, 'hub.answer-too-large');
  assert.match(answer.is === 'failed' ? answer.why.text : '', /larger than 6291456 bytes/);
  assert.ok(sent < 50_000_000, `${sent} bytes were sent`);
});

test('a compressed answer is read, and one that becomes too much is cut off at the limit', async (t) => {
  const packed = (text: string | Buffer): Handler => {
    const bytes = gzipSync(text);
    return (_, response) => void response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(bytes);
  };
  assert.deepEqual(await poll(t, packed(JSON.stringify(good))), { is: 'answered', answer: good });
  const answer = await poll(t, packed(Buffer.alloc(50_000_000, 0x20)));
  assert.equal(answer.is === 'failed' ? answer.why.code : answer.is, 'hub.answer-too-large');
});

/** Several polls on one client; answers what arrived, encoding and all, and the last answer. */
async function pollsTo(t: TestContext, question: PollRequest, polls: number, statusOf: (encoding: string) => number) {
  const heard: { readonly encoding: string; readonly bytes: Buffer }[] = [];
  const server = createPlainServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const encoding = incoming.headers['content-encoding'] ?? 'none';
      heard.push({ encoding, bytes: Buffer.concat(chunks) });
      const status = statusOf(encoding);
      if (status === 200) answering(200, json, JSON.stringify(good))(incoming, response);
      else answering(status, problem, '{"title":"no"}')(incoming, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const hub = createHubHttps({ url: `http://127.0.0.1:${port}`, apiKey: canary, now: () => 0 });
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await hub.close();
  });
  let last: string | undefined;
  for (let nth = 0; nth < polls; nth += 1) {
    const answer = await hub.poll(question, new AbortController().signal);
    last = answer.is === 'failed' ? answer.why.code : answer.is;
  }
  return { heard, last };
}

/** As texts of people are. */
const words = Array.from({ length: 900 }, (_, nth) => `word ${nth * 7919}`).join(' ');
const large: PollRequest = { ...request, heldText: words };

test('a large poll is compressed, a small one is not, and one that would look like a bomb is not either', async (t) => {
  const sent = await pollsTo(t, large, 1, () => 200);
  assert.equal(sent.heard[0]?.encoding, 'gzip');
  assert.deepEqual(JSON.parse(gunzipSync(sent.heard[0].bytes).toString('utf8')), large);
  assert.ok(sent.heard[0].bytes.length < JSON.stringify(large).length / 2);
  const others = [request, { ...request, heldText: 'a'.repeat(1_000_000) }];
  for (const other of others)
    assert.deepEqual(
      (await pollsTo(t, other, 1, () => 200)).heard.map(({ encoding }) => encoding),
      ['none'],
    );
});

const older: [name: string, status: (encoding: string) => number, heard: string[], last: string][] = [
  ['says 415', (encoding) => (encoding === 'gzip' ? 415 : 200), ['gzip', 'none', 'none', 'none'], 'answered'],
  [
    'takes it for broken JSON',
    (encoding) => (encoding === 'gzip' ? 400 : 200),
    ['gzip', 'none', 'none', 'none'],
    'answered',
  ],
  ['refuses the poll itself', () => 400, ['gzip', 'none', 'gzip', 'none', 'gzip', 'none'], 'hub.refused'],
  ['fails', () => 503, ['gzip', 'gzip', 'gzip'], 'hub.unavailable'],
];
for (const [name, status, encodings, last] of older)
  test(`a hub that does not take compressed polls and ${name}: three polls are ${encodings.join(', ')}`, async (t) => {
    const sent = await pollsTo(t, large, 3, status);
    assert.deepEqual(
      sent.heard.map(({ encoding }) => encoding),
      encodings,
    );
    assert.equal(sent.last, last);
  });

test('a hub that takes its time beyond the limit is a timeout', async (t) => {
  const answer = await poll(t, () => undefined, { answerTimeoutMs: 50 });
  assert.equal(answer.is === 'failed' ? answer.why.code : answer.is, 'hub.timeout');
});

test('a hub that drips its answer is a timeout too', async (t) => {
  const dripping = (_: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, json);
    const drip = setInterval(() => response.write(' '), 20);
    response.once('close', () => clearInterval(drip));
  };
  const answer = await poll(t, dripping, { answerTimeoutMs: 100, connectTimeoutMs: 50 });
  assert.equal(answer.is === 'failed' ? answer.why.code : answer.is, 'hub.timeout');
});

test('an abort ends the request', async (t) => {
  const stop = new AbortController();
  const answer = await poll(t, () => stop.abort(), { signal: stop.signal });
  assert.equal(answer.is, 'failed');
});

test('nobody listens', async () => {
  const server = createPlainServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const hub = createHubHttps({ url: `http://127.0.0.1:${port}`, apiKey: canary, now: () => 0 });
  const answer = await hub.poll(request, new AbortController().signal);
  await hub.close();
  assert.equal(answer.is === 'failed' ? answer.why.code : answer.is, 'hub.unreachable');
  assert.match(answer.is === 'failed' ? answer.why.text : '', /ECONNREFUSED/);
});

const in2030 = Date.UTC(2030, 0);
const validPin = spkiOf(new X509Certificate(validServer.cert));
const expiredPin = spkiOf(new X509Certificate(expiredServer.cert));
const tlsRows: { name: string; server: ServerOptions; trust: ServerTrust; expect: string }[] = [
  { name: 'its CA', server: validServer, trust: { ca: validServer.cert }, expect: 'answered' },
  { name: 'its public key', server: validServer, trust: { spkiSha256: validPin }, expect: 'answered' },
  { name: 'the key of another', server: validServer, trust: { spkiSha256: expiredPin }, expect: 'hub.pin-mismatch' },
  {
    name: 'the CA of another',
    server: validServer,
    trust: { ca: expiredServer.cert },
    expect: 'hub.certificate-untrusted',
  },
  {
    name: 'its CA, expired',
    server: expiredServer,
    trust: { ca: expiredServer.cert },
    expect: 'hub.certificate-expired',
  },
  {
    name: 'its public key, expired',
    server: expiredServer,
    trust: { spkiSha256: expiredPin },
    expect: 'hub.certificate-expired',
  },
];
for (const row of tlsRows)
  test(`a hub known by ${row.name} → ${row.expect}`, async (t) => {
    const ends: number[] = [];
    const answer = await pollTls(t, row.server, row.trust, in2030, (endsAt) => ends.push(endsAt));
    assert.equal(answer.is === 'failed' ? answer.why.code : answer.is, row.expect);
    assert.deepEqual(ends, row.expect === 'answered' ? [Date.UTC(2099, 11, 31)] : [], 'only of a server that is known');
  });

test('a key never travels in the clear or to a server that nobody named', () => {
  const now = () => 0;
  assert.throws(() => createHubHttps({ url: 'http://hub.example', apiKey: canary, now }), /only https/);
  assert.throws(() => createHubHttps({ url: 'https://hub.example', apiKey: canary, now }), /no trust/);
});
