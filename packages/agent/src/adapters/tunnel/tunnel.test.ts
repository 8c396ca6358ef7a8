import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Outcome } from '../../kernel/saga.ts';
import { systemRandom } from '../system-clock/index.ts';
import { createDeclaredIngress, createInternetProbe, createTunnelEndpoint } from './index.ts';

const never = new AbortController().signal;
const saidBy = <T>(outcome: Outcome<T>) => (outcome.is === 'done' ? outcome.value : outcome.why.code);

async function cloudflared(t: TestContext, answer: RequestListener) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return createTunnelEndpoint({ port: (server.address() as AddressInfo).port, answerMs: 200 });
}
const saying = (status: number, body: string) => (t: TestContext) =>
  cloudflared(t, (_, response) => void response.writeHead(status).end(body));

test('readiness: connections are counted, also where there are none', async (t) => {
  for (const [status, body, want] of [
    [200, '{"status":200,"readyConnections":4,"connectorId":"c"}', 4],
    [503, '{"status":503,"readyConnections":0}', 0],
    [200, 'OK\n', 'tunnel.not-told'],
    [404, '404 page not found\n', 'tunnel.not-told'],
    [200, `{"readyConnections":1,"x":"${'x'.repeat(300_000)}"}`, 'tunnel.not-told'],
  ] as const)
    assert.equal(saidBy(await (await saying(status, body)(t)).connections(never)), want);
});

test('one that hangs or is not there does not answer', async (t) => {
  const hanging = await cloudflared(t, () => {});
  assert.equal(saidBy(await hanging.connections(never)), 'tunnel.not-told');
  const nobody = createTunnelEndpoint({ port: 1 });
  assert.equal(saidBy(await nobody.ingress(never)), 'tunnel.not-told');
});

test('the ingress that is in force', async (t) => {
  const config = {
    ingress: [
      { hostname: 'photos.example', path: null, service: 'http://10.98.0.5:80', originRequest: {} },
      { path: '/a', service: 'http_status:404' },
    ],
    'warp-routing': { enabled: true },
    originRequest: {},
  };
  assert.deepEqual(saidBy(await (await saying(200, JSON.stringify({ version: 3, config }))(t)).ingress(never)), {
    rules: [
      { hostname: 'photos.example', path: '', service: 'http://10.98.0.5:80' },
      { hostname: '', path: '/a', service: 'http_status:404' },
    ],
    privateNetworks: true,
  });
  const bare = await saying(200, '{"version":-1,"config":{"ingress":null,"warp-routing":{}}}')(t);
  assert.deepEqual(saidBy(await bare.ingress(never)), { rules: [], privateNetworks: false });
});

test('the ingress that root declared; no file is no tunnel, an unreadable one is not known', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-tunnel-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'tunnel.yml');
  const read = async () => saidBy(await createDeclaredIngress(file)());
  assert.equal(await read(), undefined);
  writeFileSync(
    file,
    'tunnel: 1\ningress:\n  - hostname: photos.example\n    service: http://10.98.0.5:80\n  - service: http_status:404\n',
  );
  assert.deepEqual(await read(), [
    { hostname: 'photos.example', path: '', service: 'http://10.98.0.5:80' },
    { hostname: '', path: '', service: 'http_status:404' },
  ]);
  for (const text of ['ingress: yes\n', '- a\n', '{', 'a: &a [1]\nb: *a\n']) {
    writeFileSync(file, text);
    assert.equal(await read(), 'host.not-told', text);
  }
  rmSync(file);
  assert.equal(saidBy(await createDeclaredIngress(folder)()), 'host.not-told');
  chmodSync(folder, 0o700);
});

/** A name server that answers every question with this code; `undefined`: with silence. */
async function nameServer(t: TestContext, code: number | undefined) {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (question, from) => {
    const label = question.subarray(13, 13 + (question[12] ?? 0)).toString();
    asked.push(label);
    if (code === undefined) return;
    const answer = Buffer.from(question);
    answer.writeUInt16BE(0x8180 | code, 2);
    socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  t.after(() => socket.close());
  return { asked, servers: [`127.0.0.1:${socket.address().port}`] };
}

test('whether the internet answers: no such name is an answer, a failure and silence are none', async (t) => {
  for (const [name, code, want] of [
    ['NXDOMAIN', 3, true],
    ['no address of this name', 0, true],
    ['SERVFAIL', 2, false],
    ['REFUSED', 5, false],
    ['silence', undefined, false],
  ] as const) {
    const { servers, asked } = await nameServer(t, code);
    const probe = createInternetProbe({ random: systemRandom(), servers, answerMs: 250 });
    assert.equal(await probe(never), want, name);
    await probe(never);
    assert.notEqual(asked[0], asked.at(-1), 'a cache on the way could answer');
  }
});

test('an abort ends the question', async (t) => {
  const { servers } = await nameServer(t, undefined);
  const stop = new AbortController();
  const probing = createInternetProbe({ random: systemRandom(), servers, answerMs: 60_000 })(stop.signal);
  setImmediate(() => stop.abort());
  assert.equal(await probing, false);
});
