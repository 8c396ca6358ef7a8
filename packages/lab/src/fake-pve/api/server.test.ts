import assert from 'node:assert/strict';
import { Agent, request, type RequestOptions } from 'node:https';
import { request as plainRequest } from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { ApiResponse } from '../core.ts';
import { makeCertificates } from './certificates.ts';
import type { WireRequest } from './dispatch.ts';
import { serve, type RunningServer } from './server.ts';

interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly connection: string;
  readonly body: string;
}

function call(options: RequestOptions, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const out = request({ host: 'localhost', family: 4, agent: false, ...options }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => (text += chunk));
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          reason: answer.statusMessage ?? '',
          connection: answer.headers.connection ?? '',
          body: text,
        }),
      );
    });
    out.on('error', reject);
    out.end(body);
  });
}

const answers: Record<string, ApiResponse> = {
  '/ok': {
    status: 200,
    reason: 'OK',
    body: { data: 'ű' },
    headers: { 'content-type': 'application/json;charset=UTF-8' },
  },
  '/bad': { status: 500, reason: 'storage ’x’ is gone', body: { data: null, message: 'gone\n' } },
  '/drop': { status: 0, reason: 'connection dropped', body: null, dropped: true },
};

describe('HTTPS server of a fake node', () => {
  let server: RunningServer;
  let ca = '';
  const seen: WireRequest[] = [];
  before(async () => {
    const certificates = await makeCertificates({ now: () => Date.now() });
    ca = certificates.ca;
    const wire = (request: WireRequest): Promise<ApiResponse> => {
      seen.push(request);
      return Promise.resolve(answers[request.target.split('?')[0] ?? ''] ?? { status: 501, reason: 'no', body: null });
    };
    server = await serve({ wire }, { port: 0, ...certificates });
  });
  after(() => server.close());

  test('the hundredth answer on a connection says that it ends, and the next request gets a new one', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const closing: number[] = [];
      for (let nth = 1; nth <= 201; nth++) {
        const answer = await call({ port: server.port, path: '/ok', ca, agent });
        assert.equal(answer.status, 200, `request ${nth}`);
        if (answer.connection.toLowerCase() === 'close') closing.push(nth);
      }
      assert.deepEqual(closing, [100, 200]);
    } finally {
      agent.destroy();
    }
  });

  test('answers over TLS that the CA vouches for, and closes after an error', async () => {
    const ok = await call({ port: server.port, path: '/ok?a=1', ca });
    assert.equal(ok.status, 200);
    assert.deepEqual(JSON.parse(ok.body), { data: 'ű' });
    const bad = await call({ port: server.port, path: '/bad', ca });
    assert.deepEqual([bad.status, bad.connection, bad.reason], [500, 'close', 'storage ?x? is gone']);
  });

  test('hands body and headers on as they came', async () => {
    await call({ port: server.port, path: '/ok', ca, method: 'POST', headers: { 'x-test': 'yes' } }, 'a=1&b=2');
    const last = seen.at(-1);
    assert.deepEqual([last?.method, last?.body, last?.headers['x-test']], ['POST', 'a=1&b=2', 'yes']);
  });

  test('a dropped connection is no answer', async () => {
    await assert.rejects(call({ port: server.port, path: '/drop', ca }), { code: 'ECONNRESET' });
  });

  test('is not trusted without its CA', async () => {
    await assert.rejects(call({ port: server.port, path: '/ok' }), /self-signed|unable to verify|unable to get/i);
  });

  test('sends plain HTTP to HTTPS', async () => {
    const location = await new Promise((resolve, reject) => {
      const out = plainRequest({ host: '127.0.0.1', port: server.port, path: '/x', agent: false }, (answer) => {
        answer.resume();
        resolve([answer.statusCode, answer.headers.location]);
      });
      out.on('error', reject);
      out.end();
    });
    assert.deepEqual(location, [301, `https://127.0.0.1:${server.port}/x`]);
  });

  test('an expired leaf is refused', async () => {
    const expired = await makeCertificates({ now: () => Date.now() }, { notAfter: Date.now() - 1000 });
    const old = await serve({ wire: () => Promise.resolve(answers['/ok'] as ApiResponse) }, { port: 0, ...expired });
    await assert.rejects(call({ port: old.port, path: '/ok', ca: expired.ca }), { code: 'CERT_HAS_EXPIRED' });
    await old.close();
  });
});
