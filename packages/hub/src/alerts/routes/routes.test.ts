import assert from 'node:assert/strict';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { validServer } from '../../certificates.fixture.ts';
import type { Message } from '../message.ts';
import { route as routeSchema } from '../settings.ts';
import type { Route } from '../settings.ts';
import { mailServer } from './mail-server.fixture.ts';
import { cutToBytes } from './ntfy.ts';
import type { Sender } from './sender.ts';
import { createSenders } from './senders.ts';
import { webhookBody } from './webhook.ts';

const canary = 'canary-3f9c-do-not-show';
const at = Date.parse('2026-01-10T12:00:00Z');
const never = new AbortController().signal;
const message: Message = {
  v: 1,
  kind: 'opened',
  severity: 'critical',
  at,
  subject: '[felhom] alert: alpha — szürke',
  text: 'The host did not poll.\n.\nHost: alpha',
};
const outgoing = { id: 'd'.repeat(32), message };

interface Request {
  readonly method: string | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

async function receiver(t: TestContext, answer: (response: ServerResponse, times: number) => void) {
  const requests: Request[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      requests.push({ method: request.method, headers: request.headers, body });
      answer(response, requests.length);
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    if (server.listening) await new Promise((ended) => void server.close(ended));
  };
  t.after(stop);
  return { requests, stop, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}

function files(t: TestContext): (name: string, text: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-routes-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return (name, text) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
}

function senderOf(route: object, timeoutMs = 20_000): Sender {
  const parsed: Route = routeSchema.parse(route);
  return createSenders({ routes: { ops: parsed } }, { timeoutMs }).get('ops') ?? assert.fail('no sender');
}

test('a webhook is signed so that a receiver can tell it from others, and names its delivery', async (t) => {
  const { requests, url } = await receiver(t, (response) => response.writeHead(204).end());
  const secretFile = files(t)('secret', `${canary}\n`);
  const sent = await senderOf({ type: 'webhook', url, secretFile })(outgoing, at, never);
  assert.deepEqual(sent, { is: 'delivered' });
  const [request] = requests;
  assert.ok(request !== undefined);
  assert.equal(request.headers['felhom-delivery'], outgoing.id);
  const [, seconds, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers['felhom-signature'])) ?? [];
  assert.equal(Number(seconds), at / 1000);
  const expected = createHmac('sha256', canary).update(`${seconds}.${request.body}`).digest();
  assert.ok(timingSafeEqual(expected, Buffer.from(mac ?? '', 'hex')));
  assert.equal(request.body, webhookBody('ops', outgoing));
  const body = JSON.parse(request.body) as Record<string, unknown>;
  assert.deepEqual([body['v'], body['delivery'], body['kind'], body['route']], [1, outgoing.id, 'opened', 'ops']);
  assert.ok(!JSON.stringify(request).includes(canary));
});

const answers: [name: string, answer: (response: ServerResponse) => void, expect: RegExp | undefined][] = [
  ['200', (response) => void response.end('thanks'), undefined],
  ['500 with words', (response) => void response.writeHead(500).end(canary), /^it answered with status 500$/],
  ['403', (response) => void response.writeHead(403).end(), /status 403/],
  [
    'a redirect',
    (response) => void response.writeHead(307, { location: '/elsewhere' }).end(),
    /redirect \(status 307\)/,
  ],
  ['no answer', () => undefined, /did not answer within 0.3 s/],
  ['a connection that ends', (response) => void response.destroy(), /cannot be reached \(UND_ERR_SOCKET\)/],
  [
    'a good status whose body never ends',
    (response) => {
      response.writeHead(200);
      response.write('slow');
    },
    undefined,
  ],
];
for (const [name, answer, expect] of answers)
  test(`over HTTP: ${name} → ${expect === undefined ? 'delivered' : 'failed'}`, async (t) => {
    const { requests, url } = await receiver(t, answer);
    const secretFile = files(t)('secret', canary);
    const timeoutMs = name === 'no answer' ? 300 : 20_000;
    const sent = await senderOf({ type: 'webhook', url, secretFile }, timeoutMs)(outgoing, at, never);
    if (expect === undefined) assert.deepEqual(sent, { is: 'delivered' });
    else assert.match(sent.is === 'failed' ? sent.text : assert.fail('delivered'), expect);
    assert.equal(requests.length, 1, 'one try is one request, and nothing is followed');
    assert.ok(!JSON.stringify(sent).includes(canary));
  });

test('nothing listens, or the secret is not there: said without the address', async (t) => {
  const secretFile = files(t)('secret', canary);
  const { url, stop } = await receiver(t, (response) => void response.end());
  await stop();
  const closed = await senderOf({ type: 'webhook', url, secretFile })(outgoing, at, never);
  assert.match(closed.is === 'failed' ? closed.text : '', /^it cannot be reached \(ECONNREFUSED\)$/);
  const missing = await senderOf({ type: 'webhook', url, secretFile: '/no/such' })(outgoing, at, never);
  assert.deepEqual(missing, { is: 'failed', text: 'cannot read the secretFile: ENOENT' });
  const twoLines = await senderOf({
    type: 'webhook',
    url,
    secretFile: files(t)('two', 'a\nb'),
  })(outgoing, at, never);
  assert.match(twoLines.is === 'failed' ? twoLines.text : '', /^cannot use the secretFile/);
});

test('aborting a try is no verdict on it', async (t) => {
  const { url } = await receiver(t, () => undefined);
  const secretFile = files(t)('secret', canary);
  const stopping = new AbortController();
  const sending = senderOf({ type: 'webhook', url, secretFile })(outgoing, at, stopping.signal);
  stopping.abort();
  await assert.rejects(sending);
});

test('ntfy gets its topic, a title beyond ASCII, a priority and the token', async (t) => {
  const { requests, url } = await receiver(t, (response) => void response.end());
  const tokenFile = files(t)('token', canary);
  const send = senderOf({ type: 'ntfy', url, topic: 'felhom-ops', tokenFile });
  assert.deepEqual(await send(outgoing, at, never), { is: 'delivered' });
  await send({ id: 'x', message: { ...message, kind: 'recovered' } }, at, never);
  const [alert, over] = requests.map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  assert.deepEqual(alert, {
    topic: 'felhom-ops',
    title: message.subject,
    message: message.text,
    priority: 5,
    tags: ['rotating_light'],
  });
  assert.equal(over?.['priority'], 3);
  assert.equal(requests[0]?.headers.authorization, `Bearer ${canary}`);
  assert.ok(requests.every(({ body }) => !body.includes(canary)));
});

test('a text for ntfy is cut between characters', () => {
  assert.equal(cutToBytes('short', 100), 'short');
  for (let most = 10; most < 20; most += 1) {
    const cut = cutToBytes('á€😀'.repeat(20), most);
    assert.ok(Buffer.byteLength(cut) <= most && cut.isWellFormed() && !cut.includes('\ufffd') && cut.endsWith('…'));
  }
});

function mailRoute(port: number, more: object = {}): object {
  return {
    type: 'smtp',
    host: 'localhost',
    port,
    security: 'none',
    from: 'hub@ops.example',
    to: ['ann@ops.example', 'bob@ops.example'],
    ...more,
  };
}

test('mail on loopback: both recipients, one message id for every try, dots and letters as they were', async (t) => {
  const server = await mailServer(t, { startTls: 'absent' });
  const send = senderOf(mailRoute(server.port));
  assert.deepEqual(await send(outgoing, at, never), { is: 'delivered' });
  assert.deepEqual(await send(outgoing, at, never), { is: 'delivered' });
  assert.deepEqual(server.dialogue.filter((line) => line.startsWith('RCPT')).slice(0, 2), [
    'RCPT TO:<ann@ops.example>',
    'RCPT TO:<bob@ops.example>',
  ]);
  assert.equal(server.mails.length, 2);
  for (const mail of server.mails) {
    assert.match(mail, /^Message-ID: <d{32}@ops\.example>$/m);
    assert.match(mail, /^Auto-Submitted: auto-generated$/m);
    assert.match(mail, /^Date: Sat, 10 Jan 2026 12:00:00 \+0000$/m);
    assert.match(mail, /^\.\.$/m, 'a lone dot is stuffed');
  }
});

test('mail with STARTTLS: nothing but the greeting goes in the clear, and the certificate is checked', async (t) => {
  const server = await mailServer(t, { startTls: 'offered', auth: 'taken' });
  const put = files(t);
  const secrets = { userFile: put('user', 'felhom'), passwordFile: put('password', `${canary}\n`) };
  const trusted = senderOf(
    mailRoute(server.port, { security: 'starttls', caFile: put('ca', validServer.cert), ...secrets }),
  );
  assert.deepEqual(await trusted(outgoing, at, never), { is: 'delivered' });
  assert.equal(server.mails.length, 1);
  assert.ok(server.dialogue.indexOf('STARTTLS') < server.dialogue.findIndex((line) => line.startsWith('AUTH')));
  server.dialogue.length = 0;
  const untrusted = await senderOf(mailRoute(server.port, { security: 'starttls', ...secrets }))(outgoing, at, never);
  assert.match(untrusted.is === 'failed' ? untrusted.text : '', /^the mail did not go through \(/);
  assert.ok(!server.dialogue.some((line) => line.startsWith('AUTH') || line.startsWith('MAIL')));
});

for (const startTls of ['refused', 'absent'] as const)
  test(`mail: STARTTLS is ${startTls}: no password and no mail goes out`, async (t) => {
    const server = await mailServer(t, { startTls, auth: 'taken' });
    const put = files(t);
    const secrets = { userFile: put('user', 'felhom'), passwordFile: put('password', canary) };
    const sent = await senderOf(mailRoute(server.port, { security: 'starttls', ...secrets }))(outgoing, at, never);
    assert.equal(sent.is, 'failed');
    assert.deepEqual(server.mails, []);
    assert.ok(!server.dialogue.some((line) => /^(AUTH|MAIL)/.test(line)), server.dialogue.join('|'));
    assert.ok(!JSON.stringify(sent).includes(canary));
  });

test('mail: what a server says about a refused password is not repeated', async (t) => {
  const server = await mailServer(t, { startTls: 'absent', auth: 'refused' });
  const put = files(t);
  const secrets = { userFile: put('user', 'felhom'), passwordFile: put('password', canary) };
  const sent = await senderOf(mailRoute(server.port, secrets))(outgoing, at, never);
  assert.deepEqual(sent, { is: 'failed', text: 'the mail did not go through (EAUTH, status 535)' });
});

test('mail: a server that says nothing ends with the time for one try', async (t) => {
  const server = await mailServer(t, { startTls: 'absent', mute: true });
  const sent = await senderOf(mailRoute(server.port), 300)(outgoing, at, never);
  assert.deepEqual(sent, { is: 'failed', text: 'the mail server did not finish within 0.3 s' });
  const stopping = new AbortController();
  const sending = senderOf(mailRoute(server.port))(outgoing, at, stopping.signal);
  stopping.abort();
  await assert.rejects(sending);
});
