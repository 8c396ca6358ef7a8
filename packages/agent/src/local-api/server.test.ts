import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { connect as tcpConnect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { createBridgePorts } from '../adapters/bridge-ports/index.ts';
import { fakeKernel } from '../adapters/bridge-ports/test/fake-kernel.ts';
import type { FakePeer } from '../adapters/bridge-ports/test/fake-kernel.ts';
import { openLocalCa } from '../adapters/local-ca/index.ts';
import { systemClock } from '../adapters/system-clock/index.ts';
import { hostPolicy } from '../host-policy.ts';
import { createLocalApi } from './api.ts';
import { serveLocalApi } from './server.ts';
import type { LocalServerLimits } from './server.ts';
import { fakeDesk, keptLog, tokenA, tokenB } from './test/fake-desk.ts';

/** Loopback addresses stand for guests: the kernel's tables say who is behind them. */
const fromA = '127.0.4.104';
const fromB = '127.0.4.105';
const fromLan = '127.0.4.1';
const peers: readonly FakePeer[] = [
  { address: fromA, mac: 'bc:24:11:00:01:04', at: ['veth104i0'] },
  { address: fromB, mac: 'bc:24:11:00:01:05', at: ['fwpr105p0'] },
  { address: fromLan, mac: 'bc:24:11:00:00:01', at: ['enp3s0'] },
];
/** Nothing here waits as long; a test that would is broken. */
const patience = { timeout: 60_000 };

async function world(
  test: TestContext,
  options: {
    readonly limits?: Partial<LocalServerLimits>;
    readonly answers?: Parameters<typeof fakeDesk>[0];
    readonly policy?: object;
  } = {},
) {
  const directory = mkdtempSync(join(tmpdir(), 'local-api-'));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  const kernel = fakeKernel(directory);
  kernel.show(peers);
  const clock = systemClock();
  const opened = await openLocalCa({ directory, address: '127.0.0.1', clock });
  assert.ok(opened.is === 'loaded');
  const ca = opened.value;
  const shown = { now: ca.secureContext(), isNew: false };
  const { desk, asked } = fakeDesk(options.answers);
  const { log, lines } = keptLog();
  const policy = hostPolicy.shape.localApi.parse({ connections: 2, concurrent: 4, ...options.policy });
  const api = createLocalApi({ desk, policy, clock, log, version: '1' });
  const server = await serveLocalApi({
    listen: { address: '127.0.0.1', port: 0 },
    api,
    ports: createBridgePorts({ ...kernel, clock }),
    authority: {
      secureContext: () => shown.now,
      renew: async () => {
        const { isNew } = shown;
        shown.isNew = false;
        return Promise.resolve(isNew);
      },
    },
    clock,
    log,
    limits: { checkMs: 20, ...options.limits },
  });
  test.after(() => server.close());
  const to = { host: '127.0.0.1', port: server.port, family: 4 };
  const tls = async (from = fromA): Promise<TLSSocket> => {
    const socket = tlsConnect({ ...to, localAddress: from, ca: [...ca.trusted()] } as ConnectionOptions);
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    test.after(() => socket.destroy());
    return socket;
  };
  const tcp = (from: string): Socket => {
    const socket = tcpConnect({ ...to, localAddress: from });
    socket.on('error', () => undefined);
    test.after(() => socket.destroy());
    return socket;
  };
  const get = async (sent: Sent = {}): Promise<{ status: number; body: string }> =>
    fetchFrom({ ...to, ca: [...ca.trusted()] }, sent);
  return { ca, server, asked, lines, tls, tcp, get, shown, kernel, to };
}

interface Sent {
  readonly from?: string;
  readonly token?: string;
  readonly method?: string;
  readonly path?: string;
  readonly body?: string;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
}

async function fetchFrom(to: object, sent: Sent): Promise<{ status: number; body: string }> {
  const { from = fromA, token = tokenA, method = 'GET', path = '/v1/storage', body, headers, agent } = sent;
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        ...to,
        localAddress: from,
        method,
        path,
        agent: agent ?? false,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString() }));
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** Everything that comes until the other end closes. */
async function untilClosed(socket: Socket): Promise<string> {
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(parts).toString();
}

const head = (lines: string): string => `${lines}\r\nHost: x\r\nAuthorization: Bearer ${tokenA}\r\n`;

describe('the server of the local API', patience, () => {
  it('shows a chain that a guest can check with nothing but the pin', async (test) => {
    const { to, ca, get } = await world(test);
    const socket = tlsConnect({ ...to, localAddress: fromA, rejectUnauthorized: false } as ConnectionOptions);
    await once(socket, 'secureConnect');
    assert.equal(socket.getProtocol(), 'TLSv1.3');
    const { issuerCertificate } = socket.getPeerCertificate(true);
    const leaf = new X509Certificate(socket.getPeerCertificate().raw);
    const authority = new X509Certificate(issuerCertificate.raw);
    const spki = authority.publicKey.export({ type: 'spki', format: 'der' });
    assert.equal(createHash('sha256').update(spki).digest('hex'), ca.spkiSha256());
    assert.ok(leaf.verify(authority.publicKey));
    socket.destroy();
    assert.equal((await get()).status, 200);
  });

  it('drops a peer that is no guest before a byte of TLS', async (test) => {
    const { tcp, get, kernel } = await world(test);
    for (const from of [fromLan, '127.0.4.77']) {
      const socket = tcp(from);
      assert.equal(await untilClosed(socket), '', from);
    }
    await assert.rejects(get({ from: fromLan }), /ECONNRESET|socket hang up|EPIPE/);
    assert.equal((await get()).status, 200);
    kernel.show([...peers.slice(1), { address: fromA, mac: 'bc:24:11:00:01:04', at: ['veth104i0', 'veth107i0'] }]);
    await test.waitFor(async () => assert.rejects(get(), /ECONNRESET|socket hang up|EPIPE/), {
      timeout: 5000,
      interval: 20,
    });
  });

  it("refuses the token of another guest, and a connection whose port became another's", async (test) => {
    const { get, kernel, asked } = await world(test);
    assert.equal((await get({ token: tokenB })).status, 401);
    assert.equal((await get({ from: fromB, token: tokenB })).status, 200);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    test.after(() => agent.destroy());
    assert.equal((await get({ agent })).status, 200);
    kernel.show([{ address: fromA, mac: 'bc:24:11:00:99:99', at: ['veth105i0'] }]);
    await test.waitFor(async () => assert.equal((await get({ agent })).status, 401), { timeout: 5000, interval: 20 });
    assert.ok(asked.length >= 2);
  });

  describe('cuts off who is slow', () => {
    it('at the handshake', async (test) => {
      const { tcp, get } = await world(test, { limits: { handshakeMs: 50 } });
      assert.equal(await untilClosed(tcp(fromA)), '');
      assert.equal((await get()).status, 200);
    });
    it('with its head', async (test) => {
      const { tls, asked } = await world(test, { limits: { headersMs: 50 } });
      const socket = await tls();
      socket.write('GET /v1/storage HTTP/1.1\r\nX-a: ');
      const drip = setInterval(() => socket.write('a'), 10);
      test.after(() => clearInterval(drip));
      await untilClosed(socket);
      assert.equal(asked.length, 0);
    });
    it('with its body', async (test) => {
      const { tls, asked } = await world(test, { limits: { headersMs: 50, requestMs: 100 } });
      const socket = await tls();
      socket.write(
        `${head('POST /v1/backup HTTP/1.1')}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`,
      );
      const drip = setInterval(() => socket.write(' '), 10);
      test.after(() => clearInterval(drip));
      await untilClosed(socket);
      assert.equal(asked.length, 0);
    });
    it('between requests', async (test) => {
      const { tls } = await world(test, { limits: { keepAliveMs: 50 } });
      const socket = await tls();
      socket.write(`${head('GET /v1/storage HTTP/1.1')}\r\n`);
      assert.match(await untilClosed(socket), /^HTTP\/1\.1 200 /);
    });
    it('and says nothing at all', async (test) => {
      const { tls } = await world(test, { limits: { idleMs: 50 } });
      await untilClosed(await tls());
    });
  });

  describe('cuts off who sends too much', () => {
    it('in a body that says so', async (test) => {
      const { tls, asked } = await world(test);
      const socket = await tls();
      socket.write(`${head('POST /v1/backup HTTP/1.1')}Content-Length: 999999999\r\n\r\n`);
      assert.match(await untilClosed(socket), /^HTTP\/1\.1 413 [^]*local\.too-large/);
      assert.equal(asked.length, 0);
    });
    it('in a body that never says', async (test) => {
      const { tls, asked } = await world(test);
      const socket = await tls();
      socket.write(`${head('POST /v1/manifest HTTP/1.1')}Transfer-Encoding: chunked\r\n\r\n`);
      const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
      const pump = (): void => {
        while (!socket.destroyed && socket.write(chunk));
      };
      socket.on('drain', pump);
      pump();
      await untilClosed(socket);
      // A megabyte, and what was on its way.
      assert.ok(socket.bytesWritten < 16 * 1_048_576, `${socket.bytesWritten} bytes were taken`);
      assert.equal(asked.length, 0);
    });
    it('without a token: no byte of the body is taken', async (test) => {
      const { tls } = await world(test);
      const socket = await tls();
      socket.write('POST /v1/manifest HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n');
      assert.match(await untilClosed(socket), /^HTTP\/1\.1 401 /);
    });
    it('in its head', async (test) => {
      const { tls, asked } = await world(test);
      for (const lines of [`X-a: ${'a'.repeat(9000)}\r\n`, 'X-a: a\r\n'.repeat(2000)]) {
        const socket = await tls();
        socket.write(`${head('GET /v1/storage HTTP/1.1')}${lines}\r\n`);
        await untilClosed(socket);
      }
      assert.equal(asked.length, 0);
    });
    it('in one connection', async (test) => {
      const { tls, asked } = await world(test, { limits: { requestsPerSocket: 2 } });
      const socket = await tls();
      const request = `${head('GET /v1/storage HTTP/1.1')}\r\n`;
      const answers: string[] = [];
      for (let n = 0; n < 2; n++) {
        socket.write(request);
        const [answer] = (await once(socket, 'data')) as [Buffer];
        answers.push(/Connection: (\S+)/i.exec(answer.toString())?.[1] ?? '');
      }
      assert.deepEqual(answers, ['keep-alive', 'close']);
      socket.write(request);
      assert.equal(await untilClosed(socket), '');
      assert.equal(asked.length, 2);
    });
    it('requests', async (test) => {
      const { tls, asked } = await world(test, { policy: { requestsPerMinute: 10 } });
      const socket = await tls();
      socket.write(`${head('GET /v1/storage HTTP/1.1')}\r\n`.repeat(12));
      const answers: readonly string[] = (await untilClosed(socket)).match(/HTTP\/1\.1 \d+/g) ?? [];
      assert.ok(answers.includes('HTTP/1.1 429'), answers.join());
      assert.ok(asked.length <= 10);
    });
    it('connections', async (test) => {
      const { tls, tcp, get } = await world(test);
      const first = await tls();
      await tls();
      assert.equal(await untilClosed(tcp(fromA)), '');
      assert.equal((await get({ from: fromB, token: tokenB })).status, 200);
      first.destroy();
      await test.waitFor(async () => assert.equal((await get()).status, 200), { timeout: 5000, interval: 20 });
    });
    it('of everything, whoever it is', async (test) => {
      const { tls, tcp } = await world(test, { limits: { connections: 1 } });
      await tls();
      assert.equal(await untilClosed(tcp(fromB)), '');
    });
  });

  it('takes a whole manifest, asked for first', async (test) => {
    const { get, asked } = await world(test);
    const samples = Array.from({ length: 200 }, (_, at) => ({
      path: `${'d'.repeat(100)}/${at}`,
      sizeBytes: at,
      sha256: '0'.repeat(64),
    }));
    const volumes = Array.from({ length: 20 }, (_, at) => ({ path: `/mnt/${at}`, files: 200, bytes: 1, samples }));
    const body = JSON.stringify({ v: 1, at: 1, volumes });
    assert.ok(body.length > 700_000 && body.length < 1_048_576);
    const sent: Sent = { method: 'POST', path: '/v1/manifest', body };
    assert.equal((await get({ ...sent, headers: { expect: '100-continue' } })).status, 200);
    assert.equal(asked.length, 1);
  });

  it('is not upset by noise, nor by who hangs up', async (test) => {
    const { tcp, tls, get, lines } = await world(test, { policy: { connections: 16 } });
    const noise = tcp(fromA);
    noise.write(Buffer.alloc(4096, 0x16));
    await untilClosed(noise);
    for (const text of ['GET / HTTP/9.9\r\n\r\n', '\0\0\0\0', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n']) {
      const socket = await tls();
      socket.write(text);
      await untilClosed(socket);
    }
    for (const text of [
      head('GET /v1/storage HTTP/1.1'),
      `${head('POST /v1/backup HTTP/1.1')}Content-Length: 9\r\n\r\n{`,
    ]) {
      const socket = await tls();
      socket.write(text);
      socket.destroy();
      await once(socket, 'close');
    }
    const upgrade = await get({ headers: { connection: 'upgrade', upgrade: 'h2c' } });
    assert.equal(upgrade.status, 200);
    assert.deepEqual(lines, []);
  });

  it('shows a renewed certificate to whoever comes next', async (test) => {
    const { shown, get, tls, ca } = await world(test, {
      limits: { renewMs: 10 },
      policy: { connections: 16, requestsPerMinute: 6000 },
    });
    const old = await tls();
    const serial = (socket: TLSSocket): string => socket.getPeerCertificate().serialNumber;
    const before = serial(old);
    await ca.beginChange();
    await ca.finishChange();
    shown.now = ca.secureContext();
    shown.isNew = true;
    await test.waitFor(
      async () => {
        const socket = await tls(fromB);
        const shows = serial(socket);
        socket.destroy();
        assert.notEqual(shows, before);
      },
      { timeout: 5000, interval: 20 },
    );
    old.write(`${head('GET /v1/storage HTTP/1.1')}Connection: close\r\n\r\n`);
    assert.match(await untilClosed(old), /^HTTP\/1\.1 200 /);
    assert.equal((await get()).status, 200);
  });

  it('stops with a poll open, and tells whoever waits', async (test) => {
    const heard = Promise.withResolvers<void>();
    const waiting = Promise.withResolvers<void>();
    const { server, get, tcp } = await world(test, {
      answers: {
        controller: async ({ call }) => {
          call?.signal.addEventListener('abort', () => heard.resolve());
          waiting.resolve();
          return new Promise(() => undefined);
        },
      },
    });
    const poll = get({ path: '/v1/controller?wait=50' });
    const ended = assert.rejects(poll);
    await waiting.promise;
    await server.close();
    await Promise.all([ended, heard.promise]);
    const [error] = (await once(tcp(fromA), 'error').catch((reason: unknown) => [reason])) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });
});
