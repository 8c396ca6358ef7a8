import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { get } from 'node:https';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import {
  digestOfReport,
  digestOfText,
  hostAnswer,
  hostId,
  hostList,
  maxPollRequestBytes,
  pollAnswerKind,
  parseVersioned,
  problem as problemSchema,
} from '@felhom/protocol';
import type { HeldReference, Report } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { validServer } from './certificates.fixture.ts';
import { composePage } from './dashboard/dashboard.ts';
import { createHub } from './hub.ts';
import type { HubOptions } from './hub.ts';
import { runHub } from './program.ts';
import { openSqliteStore } from './store/sqlite.ts';

/** Counts up, so that every key differs and every run is the same. */
function testRandom(): (count: number) => Uint8Array {
  let seed = 1;
  return (count) => Uint8Array.from({ length: count }, () => (seed = (seed * 48_271) % 2_147_483_647) & 255);
}

const report: Report = emptyReport({
  guests: [{ name: 'web', vmid: 9000, status: 'running', drift: [], pending: [], held: false }],
});
const guest = {
  name: 'web',
  golden: 'debian-13',
  hostname: 'web',
  cores: 1,
  memoryMiB: 512,
  rootfs: { storage: 'local', sizeGiB: 4 },
  networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
};
const alpha = hostId.parse('alpha');

async function world(t: TestContext, options: Partial<HubOptions> = {}) {
  let now = 1_000_000;
  const lines: string[] = [];
  const store = openSqliteStore(':memory:');
  const hub = createHub({
    store,
    now: () => now,
    random: testRandom(),
    log: { write: (line) => void lines.push(line) },
    logLevel: 'debug',
    ...options,
  });
  t.after(() => hub.close());
  const { token } = await hub.createOperator('admin', 'operator');
  const reader = await hub.createOperator('viewer', 'reader');
  const { apiKey } = await hub.createHost(alpha);
  let sequence = 0;

  async function call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, body?: object, as = token) {
    const response = await hub.app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${as}` },
      ...(body === undefined ? {} : { payload: body }),
    });
    return {
      status: response.statusCode,
      headers: response.headers,
      text: response.body,
      json: () => response.json<unknown>(),
      code: () => problemSchema.parse(response.json()).code,
    };
  }
  async function poll(held: HeldReference = { is: 'never-received' }, more: object = {}, as = apiKey) {
    sequence += 1;
    return call(
      'POST',
      '/v1/poll',
      {
        v: 1,
        hostId: 'alpha',
        hostEpoch: 'e'.repeat(32),
        agentVersion: '0.1.0',
        sequence,
        held,
        reportDigest: digestOfReport(report),
        ...more,
      },
      as,
    );
  }
  async function pollOk(held?: HeldReference, more?: object) {
    const answer = await poll(held, more);
    assert.equal(answer.status, 200, answer.text);
    const parsed = parseVersioned(pollAnswerKind, answer.json());
    return parsed.is === 'ok' ? parsed.value : assert.fail(parsed.text);
  }
  const put = (base: object | null, guests: object[] = [guest], more: object = {}) =>
    call('PUT', '/v1/hosts/alpha/desired', { v: 1, base, guests, ...more });
  async function host() {
    return hostAnswer.parse((await call('GET', '/v1/hosts/alpha')).json()).host;
  }
  return {
    hub,
    store,
    lines,
    token,
    readerToken: reader.token,
    apiKey,
    call,
    poll,
    pollOk,
    put,
    host,
    advance: (ms: number) => void (now += ms),
  };
}

test('desired state goes from the operator to the agent as the same bytes', async (t) => {
  const w = await world(t);
  assert.equal((await w.pollOk()).desired.is, 'nothing');
  const stored = await w.put(null);
  assert.equal(stored.status, 200, stored.text);
  const offered = (await w.pollOk()).desired;
  assert.equal(offered.is, 'document');
  if (offered.is !== 'document') return;
  assert.equal(digestOfText(offered.text), offered.digest);
  const { lineage, generation } = JSON.parse(offered.text) as { lineage: string; generation: number };
  assert.equal(generation, 1);
  const again = await w.pollOk({ is: 'held', lineage, generation, digest: offered.digest });
  assert.equal(again.desired.is, 'unchanged');
});

test('a second edit from the same base is refused and says who was faster', async (t) => {
  const w = await world(t);
  const first = (await w.put(null)).json() as { lineage: string; generation: number };
  const base = { lineage: first.lineage, generation: first.generation };
  assert.equal((await w.put(base, [])).status, 200);
  const late = await w.put(base, [guest]);
  assert.equal(late.status, 409);
  assert.equal(late.code(), 'desired.conflict');
  assert.match(late.text, /generation 2 by admin is current/);
  assert.equal((await w.put(null)).status, 409, 'nor may anybody act as if there were none');
});

test('an edit that the schema refuses changes nothing', async (t) => {
  const w = await world(t);
  const bad = await w.put(null, [{ ...guest, hookscript: 'x' }]);
  assert.equal(bad.status, 400);
  assert.match(bad.text, /unknown field \\"hookscript\\"/);
  assert.equal((await w.call('GET', '/v1/hosts/alpha/desired')).status, 404);
});

test('documents of before stay readable, and the current one answers conditional requests', async (t) => {
  const w = await world(t);
  const first = (await w.put(null)).json() as { lineage: string; generation: number };
  await w.put({ lineage: first.lineage, generation: 1 }, []);
  const old = await w.call('GET', `/v1/hosts/alpha/desired?lineage=${first.lineage}&generation=1`);
  assert.match(old.text, /debian-13/);
  const current = await w.call('GET', '/v1/hosts/alpha/desired');
  const same = await w.hub.app.inject({
    url: '/v1/hosts/alpha/desired',
    headers: { authorization: `Bearer ${w.token}`, 'if-none-match': String(current.headers['etag']) },
  });
  assert.equal(same.statusCode, 304);
});

const ahead: HeldReference = {
  is: 'held',
  lineage: 'a'.repeat(26),
  generation: 57,
  digest: digestOfText(heldTextOf(57)),
};
function heldTextOf(generation: number): string {
  return JSON.stringify({ v: 1, lineage: 'a'.repeat(26), generation, guests: [{ ...guest, name: 'theirs' }] });
}

for (const keep of ['agent', 'hub'] as const)
  test(`a hub restored from a backup stays silent until an operator keeps the copy of the ${keep}`, async (t) => {
    const w = await world(t);
    const mine = (await w.put(null)).json() as { lineage: string; generation: number };
    const noticed = await w.pollOk(ahead);
    assert.equal(noticed.desired.is, 'withheld');
    assert.equal(noticed.sendHeld, true);
    assert.equal((await w.host()).state, 'stale-hub');
    const edit = await w.put({ lineage: mine.lineage, generation: 1 }, []);
    assert.equal(edit.code(), 'host.stale-hub');
    if (keep === 'agent') {
      const early = await w.call('POST', '/v1/hosts/alpha/resolve', { keep, generation: 57 });
      assert.equal(early.code(), 'host.held-unknown');
    }
    await w.pollOk(ahead, { heldText: heldTextOf(57) });
    const wrong = await w.call('POST', '/v1/hosts/alpha/resolve', { keep, generation: 56 });
    assert.equal(wrong.code(), 'host.moved-on');
    const chosen = await w.call('POST', '/v1/hosts/alpha/resolve', { keep, generation: 57 });
    assert.equal(chosen.status, 200, chosen.text);
    const offered = (await w.pollOk(ahead)).desired;
    assert.equal(offered.is, 'document');
    if (offered.is !== 'document') return;
    assert.match(offered.text, keep === 'agent' ? /"theirs"/ : /"web"/);
    assert.match(offered.text, /"generation":58/);
    assert.match(offered.text, new RegExp(`"lineage":"${'a'.repeat(26)}"`));
    assert.notEqual((await w.host()).state, 'stale-hub');
  });

test('starting over declares which lineage is left', async (t) => {
  const w = await world(t);
  const first = (await w.put(null)).json() as { lineage: string };
  await w.put({ lineage: first.lineage, generation: 1 }, [], { startOver: true });
  const offered = (await w.pollOk()).desired;
  assert.equal(offered.is === 'document' ? offered.replaces : undefined, first.lineage);
});

test('last contact is the time of receipt, and silence shows without anybody telling', async (t) => {
  const w = await world(t);
  assert.equal((await w.host()).state, 'never-seen');
  await w.pollOk({ is: 'never-received' }, { report });
  const seen = await w.host();
  assert.equal(seen.lastContactAt, 1_000_000);
  assert.equal(seen.state, 'ok');
  assert.deepEqual(seen.guests, { total: 1, running: 1, drifted: 0 });
  w.advance(100_000);
  assert.equal((await w.host()).state, 'late');
  w.advance(60_000);
  const list = hostList.parse((await w.call('GET', '/v1/hosts')).json());
  assert.equal(list.hosts[0]?.state, 'silent');
  assert.equal(list.now, 1_160_000);
});

test('a report is asked for once and not again', async (t) => {
  const w = await world(t);
  assert.equal((await w.pollOk()).sendReport, true);
  assert.equal((await w.pollOk({ is: 'never-received' }, { report })).sendReport, false);
  assert.equal((await w.pollOk()).sendReport, false);
});

test('a sequence that goes back is shown until an operator settled it', async (t) => {
  const w = await world(t);
  await w.pollOk(undefined, { sequence: 500 });
  await w.pollOk(undefined, { sequence: 400 });
  assert.equal((await w.host()).state, 'forked');
  assert.match((await w.host()).fork?.text ?? '', /poll 400 came after 500/);
  assert.equal((await w.call('DELETE', '/v1/hosts/alpha/fork')).status, 204);
  assert.notEqual((await w.host()).state, 'forked');
});

test('who may do what', async (t) => {
  const w = await world(t);
  const bravo = await w.hub.createHost(hostId.parse('bravo'));
  const wrong = `${w.apiKey.slice(0, -1)}${w.apiKey.endsWith('A') ? 'B' : 'A'}`;
  const rows: [string, Promise<{ status: number }>, number][] = [
    ['a poll with a wrong secret', w.poll(undefined, {}, wrong), 401],
    ['a poll with a key that nobody has', w.poll(undefined, {}, `fhk1.nobody.${'A'.repeat(43)}`), 401],
    ['a poll with an operator token', w.poll(undefined, {}, w.token), 401],
    ['a poll without anything', w.poll(undefined, {}, ''), 401],
    ['a poll for another host', w.poll(undefined, {}, bravo.apiKey), 403],
    ['the fleet with a host key', w.call('GET', '/v1/hosts', undefined, w.apiKey), 401],
    ['the fleet as a reader', w.call('GET', '/v1/hosts', undefined, w.readerToken), 200],
    ['desired state as a reader', w.call('GET', '/v1/hosts/alpha/desired', undefined, w.readerToken), 404],
    ['a new host as a reader', w.call('POST', '/v1/hosts', { hostId: 'x' }, w.readerToken), 403],
    ['an edit as a reader', w.call('PUT', '/v1/hosts/alpha/desired', { v: 1 }, w.readerToken), 403],
    ['a new key as a reader', w.call('POST', '/v1/hosts/alpha/key', {}, w.readerToken), 403],
    ['a choice as a reader', w.call('POST', '/v1/hosts/alpha/resolve', {}, w.readerToken), 403],
    ['a fork cleared as a reader', w.call('DELETE', '/v1/hosts/alpha/fork', undefined, w.readerToken), 403],
    ['a host that is not there', w.call('GET', '/v1/hosts/zulu'), 404],
    ['a path that is not there', w.call('GET', '/v1/nothing'), 404],
  ];
  for (const [name, answer, expect] of rows) assert.equal((await answer).status, expect, name);
});

test('a new host gets its key once; a second key makes the first worthless', async (t) => {
  const w = await world(t);
  const created = (await w.call('POST', '/v1/hosts', { hostId: 'charlie' })).json() as { apiKey: string };
  assert.match(created.apiKey, /^fhk1\.charlie\.[A-Za-z0-9_-]{43}$/);
  assert.equal((await w.call('POST', '/v1/hosts', { hostId: 'charlie' })).code(), 'host.exists');
  assert.equal((await w.poll()).status, 200);
  const fresh = (await w.call('POST', '/v1/hosts/alpha/key', {})).json() as { apiKey: string };
  assert.equal((await w.poll()).status, 401);
  assert.equal((await w.poll(undefined, {}, fresh.apiKey)).status, 200);
});

test('bad polls are problems that say what is wrong', async (t) => {
  const w = await world(t);
  const rows: [string, object, number, string, RegExp][] = [
    ['unknown version', { v: 2 }, 400, 'poll.unknown-version', /version 2, known here: 1/],
    ['unknown field', { scratch: true }, 400, 'poll.unreadable', /unknown field/],
    ['no sequence', { sequence: 0 }, 400, 'poll.unreadable', /sequence/],
    ['a report of another shape', { report: { v: 1 } }, 400, 'poll.unreadable', /report/],
  ];
  for (const [name, more, status, code, text] of rows) {
    const answer = await w.poll(undefined, more);
    assert.equal(answer.status, status, name);
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/, name);
    assert.equal(answer.code(), code, name);
    assert.match(answer.text, text, name);
  }
});

test('a body that is too large, of another kind or no JSON is refused by status', async (t) => {
  const w = await world(t);
  const send = (payload: string, type: string) =>
    w.hub.app.inject({
      method: 'POST',
      url: '/v1/poll',
      headers: { authorization: `Bearer ${w.apiKey}`, 'content-type': type },
      payload,
    });
  assert.equal((await send('x'.repeat(maxPollRequestBytes + 1), 'application/json')).statusCode, 413);
  assert.equal((await send('<poll/>', 'text/xml')).statusCode, 415);
  const broken = await send('{"secret-canary', 'application/json');
  assert.equal(broken.statusCode, 400);
  assert.doesNotMatch(broken.body, /canary/);
});

test('a host that polls too often is told when to come back', async (t) => {
  const w = await world(t, { pollLimit: { perSecond: 0.1, burst: 2 } });
  assert.deepEqual([(await w.poll()).status, (await w.poll()).status], [200, 200]);
  const third = await w.poll();
  assert.equal(third.status, 429);
  assert.equal(third.headers['retry-after'], '10');
  w.advance(10_000);
  assert.equal((await w.poll()).status, 200);
});

test('many wrong credentials from one address are slowed down, right ones are not', async (t) => {
  const w = await world(t);
  const statuses: number[] = [];
  for (let i = 0; i < 25; i += 1) statuses.push((await w.call('GET', '/v1/hosts', undefined, 'x')).status);
  assert.equal(statuses[0], 401);
  assert.equal(statuses.at(-1), 429);
  assert.equal((await w.call('GET', '/v1/hosts')).status, 200);
});

test('no key, token or hash shows up in the log, in the database as text, or in an answer', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-hub-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'hub.db');
  const w = await world(t, { store: openSqliteStore(file) });
  const secrets = [w.apiKey, w.token, w.readerToken];
  const created = (await w.call('POST', '/v1/hosts', { hostId: 'delta' })).json() as { apiKey: string };
  secrets.push(created.apiKey);
  await w.pollOk({ is: 'never-received' }, { report });
  await w.poll(undefined, { v: 9 });
  await w.poll(undefined, {}, `${w.apiKey}x`);
  await w.call('GET', `/v1/hosts?token=${w.token}`);
  await w.call('GET', `/nowhere/${w.token}`);
  await w.put(null, [{ ...guest, label: 'x'.repeat(500) }]);
  const seen =
    w.lines.join('') + (await w.call('GET', '/v1/hosts/alpha')).text + (await w.call('GET', '/v1/hosts')).text;
  assert.match(seen, /host added/, 'the log was on');
  const stored = [file, `${file}-wal`].map((name) => readFileSync(name, 'latin1')).join('');
  assert.match(stored, /alpha/, 'the database was read');
  for (const secret of secrets) {
    const bare = secret.split('.')[2] ?? '';
    assert.equal(bare.length, 43);
    assert.ok(!seen.includes(bare), 'a secret in the log or an answer');
    assert.ok(!stored.includes(bare), 'a secret in the database');
  }
});

test('beyond loopback the hub wants a certificate', async (t) => {
  const w = await world(t);
  await assert.rejects(
    w.hub.listen({ host: '0.0.0.0', port: 0 }),
    /cannot listen on 0\.0\.0\.0: without a certificate/,
  );
});

test('over HTTPS on loopback', async (t) => {
  const w = await world(t, { tls: validServer });
  const url = await w.hub.listen({ host: '127.0.0.1', port: 0 });
  assert.match(url, /^https:\/\/127\.0\.0\.1:\d+$/);
  const status = await new Promise((resolve, reject) => {
    get(
      `${url}/v1/hosts`,
      { ca: validServer.cert, headers: { authorization: `Bearer ${w.token}` }, agent: false },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    ).on('error', reject);
  });
  assert.equal(status, 200);
});

test('the dashboard is one page that may load nothing and run nothing but itself', async (t) => {
  const w = await world(t);
  const page = await w.hub.app.inject('/');
  assert.equal(page.statusCode, 200);
  const policy = String(page.headers['content-security-policy']);
  assert.match(policy, /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.doesNotMatch(page.body, /(?:src|href)="(?!data:)/, 'nothing from elsewhere');
  assert.doesNotMatch(
    page.body,
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|\sstyle="|\son[a-z]+="/,
    'no markup from data, nothing the policy would stop',
  );
  for (const [tag, directive] of [
    ['style', 'style-src'],
    ['script', 'script-src'],
  ]) {
    const text = new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(page.body)?.[1] ?? '';
    assert.ok(text.length > 1000, `${tag} is in the page`);
    const hash = createHash('sha256').update(text).digest('base64');
    assert.ok(policy.includes(`${directive} 'sha256-${hash}'`), `${tag} is the one that the policy allows`);
  }
});

test('a script with replacement patterns in it is put into the page as it is', () => {
  const { html } = composePage('<style>x</style><script>y</script>', 'a', "'$&'");
  assert.equal(html, "<style>a</style><script>'$&'</script>");
});

test('a store of a later release, a damaged one and a good one', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-hub-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const damaged = join(folder, 'damaged.db');
  writeFileSync(damaged, 'this is no database, but it is long enough to look like something'.repeat(100));
  assert.throws(() => openSqliteStore(damaged), /cannot open the hub's database .*left as it is/);
  assert.ok(statSync(damaged).size > 1000, 'kept');
});

test('felhom-hub: init prints the token to stdout alone, a second init refuses, serve ends when told', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-hub-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const run = async (argv: string[], env: Record<string, string> = {}) => {
    let out = '';
    let err = '';
    const code = await runHub(argv, {
      env: { FELHOM_HUB_DATABASE: join(folder, 'sub', 'hub.db'), FELHOM_HUB_PORT: '0', ...env },
      stdout: { write: (text) => void (out += text) },
      stderr: { write: (text) => void (err += text) },
      untilStopped: Promise.resolve(),
    });
    return { code, out, err };
  };
  const first = await run(['init']);
  assert.equal(first.code, 0, first.err);
  assert.match(first.out, /^fop1\.admin\.[A-Za-z0-9_-]{43}\n$/);
  assert.ok(!first.err.includes(first.out.trim()));
  const second = await run(['init']);
  assert.equal(second.code, 1);
  assert.match(second.err, /cannot add operator admin/);
  const served = await run(['serve']);
  assert.equal(served.code, 0, served.err);
  assert.match(served.out, /"the hub listens"/);
  const viewer = await run(['init', '--operator', 'viewer', '--role', 'reader']);
  assert.match(viewer.out, /^fop1\.viewer\./);
  assert.equal((await run(['init', '--operator', 'x', '--role', 'king'])).code, 2);
  assert.match((await run(['version'])).out, /^felhom-hub \d/);
  assert.equal((await run(['dance'])).code, 2);
  assert.equal((await run(['serve', '--nope'])).code, 2);
  assert.match((await run(['serve'], { FELHOM_HUB_HOST: '0.0.0.0' })).err, /without a certificate/);
  assert.match((await run(['serve'], { FELHOM_HUB_PORT: 'x' })).err, /cannot configure the hub: port/);
  assert.match((await run(['serve'], { FELHOM_HUB_TLS_CERT: 'x' })).err, /one is missing/);
});
