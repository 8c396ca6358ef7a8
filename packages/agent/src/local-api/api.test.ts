import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { errorCatalogue, localProblem, localRoutes, reason } from '@felhom/protocol';
import type { ErrorCode, LocalRouteName } from '@felhom/protocol';
import { hostPolicy } from '../host-policy.ts';
import { done, refused, unknown } from '../kernel/index.ts';
import type { PeerPort } from '../ports/bridge-ports.ts';
import { createLocalApi } from './api.ts';
import type { LocalApi } from './api.ts';
import type { LocalDesk } from './desk.ts';
import { openApiDocument } from './openapi.ts';
import type { LocalResponse } from './response.ts';
import { claimA, fakeDesk, guestA, guestB, keptLog, portOf, stillClock, tokenA, tokenB } from './test/fake-desk.ts';

const policy = hostPolicy.shape.localApi.parse({ requestsPerMinute: 20, concurrent: 2, connections: 2 });
const idle = new AbortController().signal;

interface Sent {
  readonly method?: string;
  readonly target?: string;
  readonly token?: string | null;
  readonly port?: PeerPort;
  readonly body?: unknown;
  readonly raw?: string;
  readonly type?: string;
  readonly key?: string;
  readonly signal?: AbortSignal;
}

function world(options: Parameters<typeof fakeDesk>[0] = {}) {
  const { desk, asked } = fakeDesk(options);
  const { log, lines } = keptLog();
  const clock = stillClock();
  const api = createLocalApi({ desk, policy, clock, log, version: '1.2.3' });
  return { api, asked, lines, clock, send: async (sent: Sent) => send(api, sent) };
}

async function send(api: LocalApi, sent: Sent): Promise<LocalResponse & { readonly json: Record<string, unknown> }> {
  const { method = 'GET', target = '/v1/storage', token = tokenA, port = portOf(104), body, type, key, raw } = sent;
  const bytes = Buffer.from(raw ?? (body === undefined ? '' : JSON.stringify(body)));
  const response = await api.handle(
    {
      method,
      target,
      headers: {
        authorization: token === null ? undefined : `Bearer ${token}`,
        'content-type': type ?? 'application/json',
        'idempotency-key': key,
      },
      readBody: async (limit) => Promise.resolve(bytes.length > limit ? 'too-large' : bytes),
      port,
    },
    sent.signal ?? idle,
  );
  const json = JSON.parse(response.body) as Record<string, unknown>;
  if (response.status >= 400) {
    const problem = localProblem.parse(json);
    assert.equal(problem.status, response.status);
    assert.ok(problem.code in errorCatalogue);
    assert.equal(response.headers['content-type'], 'application/problem+json');
  }
  return { ...response, json };
}

describe('what a request gets', () => {
  const other: PeerPort = { is: 'other', port: 'enp3s0' };
  const twoPorts: PeerPort = { is: 'ambiguous', mac: 'bc:24:11:00:00:01' };
  const manifest = { v: 1, at: 1, volumes: [{ path: '/', files: 1, bytes: 1, samples: [] }] };
  const deep = `{"a":${'['.repeat(20)}${']'.repeat(20)}}`;
  const post = { method: 'POST' } as const;
  const rows: readonly [what: string, sent: Sent, status: number, code?: ErrorCode][] = [
    ['its own storage', {}, 200],
    ['work: an operation', { ...post, target: '/v1/snapshot', body: { purpose: 'update' } }, 202],
    ['a lease', { ...post, target: '/v1/quiesce', body: { seconds: 60 } }, 200],
    ['the end of a lease, without a body', { method: 'DELETE', target: '/v1/quiesce' }, 200],
    ['an operation by its id', { target: `/v1/operations/${'a'.repeat(26)}` }, 200],
    ['a long poll', { target: '/v1/controller?generation=3&wait=50' }, 200],
    ['a manifest', { ...post, target: '/v1/manifest', body: manifest }, 200],
    [
      'a redemption, without a token',
      { ...post, token: null, target: '/v1/bootstrap/redeem', body: { claim: claimA } },
      200,
    ],
    ['the document, without a token', { token: null, target: '/v1/openapi.json' }, 200],

    ['no token', { token: null }, 401, 'local.unauthorized'],
    ['an unknown token', { token: `felhom1_${'x'.repeat(43)}` }, 401, 'local.unauthorized'],
    ['a token that is none', { token: '../../etc/passwd' }, 401, 'local.unauthorized'],
    ["another guest's token", { token: tokenB }, 401, 'local.unauthorized'],
    ["its own token from another's port", { port: portOf(105) }, 401, 'local.unauthorized'],
    ["a port of nobody's", { port: portOf(999) }, 401, 'local.unauthorized'],
    ['the LAN', { port: other }, 401, 'local.unauthorized'],
    ['nowhere', { port: { is: 'unknown' } }, 401, 'local.unauthorized'],
    ['the document, from the LAN', { port: other, target: '/v1/openapi.json' }, 401, 'local.unauthorized'],
    ['a MAC at two ports', { port: twoPorts }, 503, 'local.port-unclear'],
    [
      'a redemption with a MAC at two ports',
      { ...post, port: twoPorts, token: null, target: '/v1/bootstrap/redeem', body: { claim: claimA } },
      503,
      'local.port-unclear',
    ],

    ['another route', { target: '/v1/guests' }, 404, 'local.no-route'],
    ['a route in capitals', { target: '/v1/Storage' }, 404, 'local.no-route'],
    ['a route with a slash more', { target: '/v1/storage/' }, 404, 'local.no-route'],
    ['a path that climbs', { target: '/v1/../v1/storage' }, 404, 'local.no-route'],
    ['a path in percents', { target: '/v1/%73torage' }, 404, 'local.no-route'],
    ['a whole address', { target: 'https://other/v1/storage' }, 404, 'local.no-route'],
    ['another id', { target: '/v1/operations/1' }, 404, 'local.no-route'],
    ['another version', { target: '/v2/storage' }, 404, 'local.unknown-version'],
    ['a path without end', { target: `/v1/${'a'.repeat(600)}` }, 413, 'local.too-large'],
    ['another method', { method: 'PUT' }, 405, 'local.wrong-method'],
    ['a longer poll', { target: '/v1/backup/due?wait=51' }, 400, 'local.unreadable'],
    ['a query twice', { target: '/v1/backup/due?wait=1&wait=2' }, 400, 'local.unreadable'],
    ['another query', { target: '/v1/storage?guest=b' }, 400, 'local.unreadable'],
    ['a query that is __proto__', { target: '/v1/storage?__proto__=1' }, 400, 'local.unreadable'],

    ['a body with a GET', { body: {} }, 413, 'local.too-large'],
    [
      'a body too large',
      { ...post, target: '/v1/snapshot', raw: `{"a":"${'x'.repeat(17_000)}"}` },
      413,
      'local.too-large',
    ],
    ['no JSON', { ...post, target: '/v1/snapshot', raw: '{"purpose":' }, 400, 'local.unreadable'],
    ['no UTF-8', { ...post, target: '/v1/snapshot', raw: '\ud800' }, 400, 'local.unreadable'],
    ['JSON without end', { ...post, target: '/v1/snapshot', raw: deep }, 400, 'local.unreadable'],
    [
      'another field',
      { ...post, target: '/v1/snapshot', body: { purpose: 'update', guest: guestB } },
      400,
      'local.unreadable',
    ],
    ['another value', { ...post, target: '/v1/rollback', body: { checkpoint: '../104' } }, 400, 'local.unreadable'],
    ['an array', { ...post, target: '/v1/snapshot', body: [] }, 400, 'local.unreadable'],
    ['a form', { ...post, target: '/v1/backup', raw: 'tier=a', type: 'text/plain' }, 400, 'local.unreadable'],
    ['a key that is none', { ...post, target: '/v1/backup', body: {}, key: 'short' }, 400, 'local.unreadable'],
  ];
  for (const [what, sent, status, code] of rows)
    it(`${what}: ${code ?? status}`, async () => {
      const { send: ask, asked } = world();
      const { status: got, json, headers } = await ask(sent);
      assert.equal(got, status, JSON.stringify(json));
      if (code !== undefined) {
        assert.equal(json['code'], code);
        assert.equal(asked.length, 0, 'the desk was asked');
        assert.equal('retry-after' in headers, status === 503);
      }
    });

  it('every route of the table reaches the desk as the guest of the token', async () => {
    for (const name of Object.keys(localRoutes) as LocalRouteName[]) {
      if (name === 'openapi') continue;
      const { path, method } = localRoutes[name];
      const { send: ask, asked } = world();
      const bodies: Partial<Record<LocalRouteName, unknown>> = {
        snapshot: { purpose: 'deploy' },
        rollback: { checkpoint: 'felhom-1' },
        bulk: { volume: 'data', at: 1, snapshot: 's', sizeBytes: 1, files: 1 },
        controllerStatus: { generation: 1, digest: null, health: 'healthy', restarts: 0, quiesced: false },
        manifest,
        quiesce: { seconds: 1 },
        consent: { confirmation: 'yes' },
      };
      const body = method === 'POST' ? (bodies[name] ?? {}) : undefined;
      const { status, json } = await ask({ method, target: path.replace('{id}', 'a'.repeat(26)), body });
      assert.equal(status, localRoutes[name].ok, `${name} ${JSON.stringify(json)}`);
      assert.deepEqual(
        asked.map((one) => [one.route, one.guest]),
        [[name, guestA]],
      );
    }
  });

  it('JSON is not parsed deeper than any schema is, wherever brackets stand in a text', async () => {
    const { send: ask } = world();
    const of = async (raw: string): Promise<unknown> =>
      (await ask({ method: 'POST', target: '/v1/consent/break-glass', raw })).json['detail'] ?? 'read';
    assert.match(String(await of(deep)), /nested/);
    assert.equal(await of(JSON.stringify({ confirmation: `\\"${'['.repeat(100)}` })), 'read');
  });

  it('hands the desk what is in path, query and key', async () => {
    const { send: ask, asked } = world();
    await ask({ target: `/v1/operations/${'q'.repeat(26)}` });
    await ask({ target: '/v1/controller?generation=7&wait=20' });
    await ask({ method: 'POST', target: '/v1/backup', body: {}, key: 'abcdefgh' });
    assert.deepEqual(
      asked.map(({ call }) => [call?.id, call?.query, call?.idempotencyKey]),
      [
        ['q'.repeat(26), {}, undefined],
        [undefined, { generation: 7, wait: 20 }, undefined],
        [undefined, {}, 'abcdefgh'],
      ],
    );
  });
});

describe('what the desk says', () => {
  const text = 'cannot do it: storage nas of guest 107 is full';
  const rows: readonly ['refused' | 'unknown', ErrorCode, number, boolean, string][] = [
    ['refused', 'local.timeout', 503, true, text],
    ['refused', 'guest.restore-failed', 503, true, errorCatalogue['guest.restore-failed'].title],
    ['refused', 'pve.storage-offline', 503, true, errorCatalogue['pve.storage-offline'].title],
    ['refused', 'pve.busy', 409, true, errorCatalogue['pve.busy'].title],
    ['refused', 'gate.out-of-range', 409, false, errorCatalogue['gate.out-of-range'].title],
    ['refused', 'pve.snapshot-absent', 422, false, errorCatalogue['pve.snapshot-absent'].title],
    ['unknown', 'pve.timeout', 503, true, errorCatalogue['pve.timeout'].title],
  ].map(([is, code, status, again, detail]) => [is, code, status, again, detail]) as never;
  for (const [is, code, status, again, detail] of rows)
    it(`${is} ${code} is ${status}`, async () => {
      const outcome = is === 'refused' ? refused(reason(code, text)) : unknown(reason(code, text));
      const { send: ask } = world({ storage: async () => Promise.resolve(outcome) });
      const { status: got, json, headers } = await ask({});
      assert.deepEqual([got, json['code'], json['detail'], 'retry-after' in headers], [status, code, detail, again]);
    });

  it('a desk that throws, or says what no schema knows, is a mistake of the agent and tells nothing', async () => {
    const secret = `felhom1_${'S'.repeat(43)}`;
    for (const storage of [
      async () => Promise.reject(new Error(`no such token ${secret}`)),
      async () => Promise.resolve(done({ classes: [], owner: secret })),
    ]) {
      const { send: ask, lines } = world({ storage });
      const { status, body } = await ask({});
      assert.equal(status, 500);
      assert.equal(lines.length, 1);
      assert.ok(!body.includes('SSSS') && !lines.join('').includes('SSSS'), lines.join(''));
    }
  });

  it('a desk that never answers is given up after the wait, and keeps the place of the request', async () => {
    let signal: AbortSignal | undefined;
    const stuck = async (): Promise<never> => new Promise(() => undefined);
    const { send: ask, clock } = world({
      backupDue: async ({ call }) => {
        signal = call?.signal;
        return stuck();
      },
    });
    const poll = (): Promise<LocalResponse> => ask({ target: '/v1/backup/due?wait=50' });
    const first = poll();
    await turns();
    clock.pass(64_999);
    assert.equal(signal?.aborted, false);
    clock.pass(1);
    assert.equal((await first).status, 503);
    assert.equal(signal?.aborted, true);
    const second = poll();
    await turns();
    assert.equal((await ask({})).status, 429);
    clock.pass(65_000);
    await second;
    assert.equal((await ask({})).status, 429);
  });

  it('tells the desk that the guest hung up', async () => {
    const gone = new AbortController();
    let heard = false;
    const { send: ask } = world({
      controller: async ({ call }) =>
        new Promise((resolve) => {
          call?.signal.addEventListener('abort', () => {
            heard = true;
            resolve(unknown(reason('local.timeout', 'cannot wait: the guest hung up')));
          });
        }),
    });
    const poll = ask({ target: '/v1/controller?wait=50', signal: gone.signal });
    await turns();
    gone.abort();
    await poll;
    assert.ok(heard);
  });
});

describe('how much a guest may ask', () => {
  it('so many a minute, of which another guest notices nothing', async () => {
    const { send: ask, clock, api } = world();
    for (let n = 0; n < 20; n++) assert.equal((await ask({})).status, 200);
    const refusal = await ask({});
    assert.deepEqual(
      [refusal.status, refusal.json['code'], refusal.headers['retry-after']],
      [429, 'local.too-many-requests', '3'],
    );
    assert.equal((await ask({ token: tokenB, port: portOf(105) })).status, 200);
    clock.pass(3000);
    assert.equal((await ask({})).status, 200);
    assert.equal((await ask({})).status, 429);
    assert.deepEqual(api.findings(), []);
    for (let n = 0; n < 100; n++) await ask({});
    assert.deepEqual(
      api.findings().map(({ key, subject }) => [key, subject]),
      [['local-api.flood', guestA]],
    );
    clock.pass(3_600_000);
    assert.deepEqual(api.findings(), []);
    // An hour of silence saves up no more than a minute's requests.
    for (let n = 0; n < 20; n++) assert.equal((await ask({})).status, 200);
    assert.equal((await ask({})).status, 429);
  });

  it('a refused request costs as much as any: tokens cannot be guessed faster', async () => {
    const { send: ask } = world();
    const statuses: number[] = [];
    for (let n = 0; n < 25; n++) statuses.push((await ask({ token: null })).status);
    assert.deepEqual(statuses, [...Array<number>(20).fill(401), ...Array<number>(5).fill(429)]);
  });

  it('two redemptions, where twenty questions are allowed', async () => {
    const { send: ask, asked } = world();
    const redeem: Sent = { method: 'POST', target: '/v1/bootstrap/redeem', body: { claim: claimA }, token: null };
    for (const status of [200, 200, 429]) assert.equal((await ask(redeem)).status, status);
    assert.equal(asked.length, 2);
  });

  it('so many at once', async () => {
    const waiting: (() => void)[] = [];
    const { send: ask } = world({
      controller: async () =>
        new Promise((resolve) =>
          waiting.push(() =>
            resolve(done({ generation: 0, image: null, config: {}, directive: 'run', outward: true })),
          ),
        ),
    });
    const polls = [1, 2].map(async () => ask({ target: '/v1/controller?wait=50' }));
    await turns();
    assert.equal((await ask({})).json['code'], 'local.too-many-at-once');
    assert.equal((await ask({ token: tokenB, port: portOf(105) })).status, 200);
    for (const go of waiting) go();
    for (const poll of polls) assert.equal((await poll).status, 200);
    assert.equal((await ask({})).status, 200);
  });

  it('so many connections, and new ones no faster than requests', () => {
    const { api, clock } = world();
    const [first, second] = [api.connect(portOf(104)), api.connect(portOf(104))];
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(api.connect(portOf(104)), undefined);
    assert.ok(api.connect(portOf(105)) !== undefined);
    first.closed();
    api.connect(portOf(104))?.closed();
    api.connect(portOf(104))?.closed();
    assert.equal(api.connect(portOf(104)), undefined);
    clock.pass(3000);
    assert.ok(api.connect(portOf(104)) !== undefined);
    for (const port of [portOf(999), { is: 'unknown' }, { is: 'other', port: 'enp3s0' }] as const)
      assert.equal(api.connect(port), undefined);
  });

  it('a finding for a token of somebody else, and for a MAC at two ports', async () => {
    const { send: ask, api } = world();
    await ask({ token: tokenB });
    await ask({ token: tokenB });
    api.connect({ is: 'ambiguous', mac: 'bc:24:11:00:00:01' });
    const found = api.findings();
    assert.deepEqual(
      found.map(({ key, subject, severity }) => [key, subject, severity]),
      [
        ['local-api.foreign-token', guestA, 'critical'],
        ['local-api.ambiguous-mac', 'bc:24:11:00:00:01', 'warning'],
      ],
    );
    assert.match(found[0]?.text ?? '', /2 times/);
    assert.ok(!JSON.stringify(found).includes('BBBBBBBB'));
  });
});

describe('an idempotency key', () => {
  const backup = (key: string, more: Sent = {}): Sent => ({
    method: 'POST',
    target: '/v1/backup',
    body: {},
    key,
    ...more,
  });

  it('is the same operation for a day, at once or later, and for its guest alone', async () => {
    const { send: ask, asked, clock } = world();
    const [one, two] = await Promise.all([ask(backup('abcdefgh')), ask(backup('abcdefgh'))]);
    assert.deepEqual(one.json, two.json);
    assert.equal(asked.length, 1);
    await ask(backup('abcdefgh', { token: tokenB, port: portOf(105) }));
    assert.equal(asked.length, 2);
    clock.pass(24 * 3_600_000 - 1);
    await ask(backup('abcdefgh'));
    assert.equal(asked.length, 2);
    clock.pass(1);
    await ask(backup('abcdefgh'));
    assert.equal(asked.length, 3);
  });

  it('is refused for another request', async () => {
    const { send: ask, asked } = world();
    await ask(backup('abcdefgh'));
    const other = await ask(backup('abcdefgh', { body: { tier: 'local' } }));
    assert.deepEqual([other.status, other.json['code']], [422, 'local.key-reused']);
    assert.equal(asked.length, 1);
  });

  it('asks again where nothing was done, or nobody knows', async () => {
    const why = reason('pve.timeout', 'cannot tell');
    const { send: ask, asked } = world({ backup: async () => Promise.resolve(unknown(why)) });
    await ask(backup('abcdefgh'));
    await ask(backup('abcdefgh'));
    assert.deepEqual(
      asked.map(({ call }) => call?.idempotencyKey),
      ['abcdefgh', 'abcdefgh'],
    );
  });

  it('a hundred of them, then the oldest is forgotten', async () => {
    const { send: ask, asked, clock } = world();
    for (let n = 0; n <= 100; n++) {
      await ask(backup(`key-${String(n).padStart(4, '0')}`));
      clock.pass(3000);
    }
    await ask(backup('key-0100'));
    assert.equal(asked.length, 101);
    await ask(backup('key-0000'));
    assert.equal(asked.length, 102);
  });
});

it('tokens and claims are in no answer but the redemption, and in no line of the log', async () => {
  const { desk } = fakeDesk();
  const { log, lines } = keptLog();
  const api = createLocalApi({ desk: leaky(desk), policy, clock: stillClock(), log, version: '1' });
  const texts: string[] = [];
  const tries: Sent[] = [
    {},
    { token: tokenB },
    { target: `/v1/${tokenA}` },
    { target: `/v1/storage?${tokenA}=1` },
    { method: tokenA },
    { method: 'POST', target: '/v1/snapshot', raw: `{"purpose":"${tokenA}"}` },
    { method: 'POST', target: '/v1/snapshot', raw: `{"${tokenA}":1}` },
    { method: 'POST', target: '/v1/snapshot', raw: tokenA },
    { method: 'POST', target: '/v1/snapshot', raw: '{}', type: tokenA },
    { method: 'POST', target: '/v1/backup', body: {}, key: `${tokenA} ${tokenA}` },
    { method: 'POST', target: '/v1/bootstrap/redeem', raw: `{"claim":"${claimA}x"}` },
    { method: 'POST', target: '/v1/controller/status', body: { digest: tokenA, config: { [tokenA]: claimA } } },
  ];
  for (const one of tries) texts.push((await send(api, one)).body);
  texts.push(...lines, JSON.stringify(api.findings()));
  assert.ok(lines.length > 0);
  for (const text of texts)
    for (const secret of [tokenA, tokenB, claimA]) assert.ok(!text.includes(secret), `${text} shows ${secret}`);
});

/** One whose bugs quote what they were given. */
function leaky(desk: LocalDesk): LocalDesk {
  return {
    ...desk,
    authenticate: desk.authenticate,
    guestAtPort: desk.guestAtPort,
    redeem: desk.redeem,
    storage: async () => Promise.reject(new Error(`no ${tokenA}, no ${claimA}`)),
  };
}

describe('the document', () => {
  it('has every route and method, and no reference that leads nowhere', () => {
    const document = openApiDocument('1.2.3') as {
      openapi: string;
      paths: Record<string, Record<string, { responses: object; security: object[] }>>;
    };
    assert.equal(document.openapi, '3.1.0');
    for (const { path, method, ok, auth } of Object.values(localRoutes)) {
      const operation = document.paths[path]?.[method.toLowerCase()];
      assert.ok(operation !== undefined && String(ok) in operation.responses, `${method} ${path}`);
      assert.equal(operation.security.length, auth === 'token' ? 1 : 0);
    }
    const text = JSON.stringify(document);
    const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => (match[1] ?? '').split('/'));
    for (const reference of references)
      assert.ok(
        reference.reduce<unknown>((at, part) => (at as Record<string, unknown>)?.[part], document) !== undefined,
        reference.join('/'),
      );
    assert.match(text, /"pattern":"\^\[A-Za-z0-9_-\]\{8,64\}\$"/);
    assert.match(text, /0-9a-f\]\{64\}/);
  });
});

/** Until what was started has got as far as it can without the clock. */
async function turns(): Promise<void> {
  for (let n = 0; n < 20; n++) await Promise.resolve();
}
