/** Compressed polls: taken in where they are what they say, and no bomb costs more than its first chunks. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import { digestOfReport, digestOfText, hostId, maxPollRequestBytes, problem } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { createHub } from '../hub.ts';
import { openSqliteStore } from '../store/sqlite.ts';
import { inflate } from './inflate.ts';

async function hubWithKey(t: { after: (work: () => Promise<void>) => void }) {
  let seed = 1;
  const hub = createHub({
    store: openSqliteStore(':memory:'),
    now: () => 1_000_000,
    random: (count) => Uint8Array.from({ length: count }, () => (seed = (seed * 48_271) % 2_147_483_647) & 255),
  });
  t.after(() => hub.close());
  const { apiKey } = await hub.createHost(hostId.parse('alpha'));
  const { token } = await hub.createOperator('admin', 'operator');
  return {
    token,
    hub,
    post: async (payload: Buffer | string, headers: Record<string, string> = {}, key = apiKey) => {
      const answer = await hub.app.inject({
        method: 'POST',
        url: '/v1/poll',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
        payload,
      });
      return { status: answer.statusCode, headers: answer.headers, bytes: answer.rawPayload };
    },
  };
}

const report = emptyReport({
  findings: Array.from({ length: 50 }, (_, nth) => ({
    key: 'host.trouble',
    severity: 'warning',
    subject: `guest-${nth}`,
    text: `${nth * 7919} bytes are missing`,
    advice: { text: 'look' },
    since: nth,
  })),
});
const body = JSON.stringify({
  v: 1,
  hostId: 'alpha',
  hostEpoch: 'e'.repeat(32),
  agentVersion: '1',
  sequence: 1,
  held: { is: 'never-received' },
  reportDigest: digestOfReport(report),
  report,
});
const packed = { 'content-encoding': 'gzip' };

test('a compressed poll is a poll', async (t) => {
  const { post } = await hubWithKey(t);
  const answer = await post(gzipSync(body), packed);
  assert.equal(answer.status, 200, answer.bytes.toString());
  assert.equal((JSON.parse(answer.bytes.toString()) as { sendReport: boolean }).sendReport, false);
});

const bomb = gzipSync(Buffer.alloc(100_000_000, 0x20));
const rows: [name: string, payload: Buffer | string, headers: Record<string, string>, status: number, code: string][] =
  [
    ['a bomb', bomb, packed, 413, 'request.too-large'],
    ['blanks of a size that would be taken plain', gzipSync(' '.repeat(2_000_000)), packed, 413, 'request.too-large'],
    ['JSON that says it is gzip', body, packed, 400, 'request.unreadable'],
    ['half of it', gzipSync(body).subarray(0, 500), packed, 400, 'request.unreadable'],
    ['nothing', Buffer.alloc(0), packed, 400, 'request.unreadable'],
    ['gzip that does not say so', gzipSync(body), {}, 400, 'request.unreadable'],
    ['another encoding', deflateSync(body), { 'content-encoding': 'deflate' }, 415, 'request.wrong-encoding'],
    ['gzip in gzip', gzipSync(gzipSync(body)), { 'content-encoding': 'gzip, gzip' }, 415, 'request.wrong-encoding'],
    ['no JSON in it', gzipSync('{"v":'), packed, 400, 'request.unreadable'],
  ];
for (const [name, payload, headers, status, code] of rows)
  test(`refused: ${name} → ${status}, and the next poll is taken`, async (t) => {
    const { post } = await hubWithKey(t);
    const answer = await post(payload, headers);
    assert.equal(answer.status, status, answer.bytes.toString());
    assert.equal(problem.parse(JSON.parse(answer.bytes.toString())).code, code);
    assert.equal((await post(gzipSync(body), packed)).status, 200);
  });

test('without a key nothing is inflated', async (t) => {
  const { post } = await hubWithKey(t);
  assert.equal((await post(bomb, packed, 'nobody')).status, 401);
});

/** What comes out of a body before it ends or is refused. */
async function drain(payload: Iterable<Buffer>, mostBytes: number) {
  let out = 0;
  try {
    for await (const chunk of inflate(Readable.from(payload), 'a test', mostBytes)) out += (chunk as Buffer).length;
    return { is: 'whole', out };
  } catch (error) {
    return { is: error instanceof Error ? error.message : 'nothing', out };
  }
}

test('of a bomb no more than the first chunks come out, however it arrives', async () => {
  const pieces = (bytes: Buffer, size: number) =>
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, nth) => bytes.subarray(nth * size, (nth + 1) * size));
  const atOnce = await drain([bomb], maxPollRequestBytes);
  assert.match(atOnce.is, /inflates to too much/);
  assert.ok(atOnce.out <= 100_000, `${atOnce.out} bytes`);
  const dripped = await drain(pieces(bomb, 100), maxPollRequestBytes);
  assert.match(dripped.is, /inflates to too much/);
  assert.ok(dripped.out <= 100_000, `${dripped.out} bytes`);
  const noise = gzipSync(randomBytes(300_000).toString('hex'));
  const limited = await drain([noise], 200_000);
  assert.match(limited.is, /inflates to too much/);
  assert.ok(limited.out <= 200_000, `${limited.out} bytes`);
  assert.deepEqual(await drain(pieces(gzipSync(body), 7), maxPollRequestBytes), { is: 'whole', out: body.length });
});

test('a large answer is compressed for whoever asks, and for nobody else', async (t) => {
  const { hub, token, post } = await hubWithKey(t);
  const guests = Array.from({ length: 10 }, (_, nth) => ({
    name: `web-${nth}`,
    golden: 'debian-13',
    hostname: `web-${nth}`,
    cores: 1,
    memoryMiB: 512,
    rootfs: { storage: 'local', sizeGiB: 4 },
    networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
  }));
  const put = await hub.app.inject({
    method: 'PUT',
    url: '/v1/hosts/alpha/desired',
    headers: { authorization: `Bearer ${token}` },
    payload: { v: 1, base: null, guests },
  });
  assert.equal(put.statusCode, 200, put.body);
  let sequence = 1;
  const ask = async (accepts: string | undefined, held?: unknown) => {
    sequence += 1;
    const question = JSON.stringify({
      ...(JSON.parse(body) as object),
      report: undefined,
      sequence,
      ...(held === undefined ? {} : { held }),
    });
    return accepts === undefined ? post(question) : post(question, { 'accept-encoding': accepts });
  };
  for (const accepts of ['gzip', 'br, gzip;q=0.5', 'deflate,GZIP'.toLowerCase()]) {
    const answer = await ask(accepts);
    assert.equal(answer.headers['content-encoding'], 'gzip', accepts);
    assert.match(gunzipSync(answer.bytes).toString('utf8'), /"is":"document"/);
    assert.equal(Number(answer.headers['content-length']), answer.bytes.length);
  }
  for (const accepts of [undefined, 'br', 'gzip;q=0', 'gzip;q=0.0', 'xgzip']) {
    const answer = await ask(accepts);
    assert.equal(answer.headers['content-encoding'], undefined, String(accepts));
    assert.match(answer.bytes.toString('utf8'), /"is":"document"/);
  }
  const offer = (await ask(undefined)).bytes.toString();
  const { text } = (JSON.parse(offer) as { readonly desired: { readonly text: string } }).desired;
  const { lineage, generation } = JSON.parse(text) as { readonly lineage: string; readonly generation: number };
  const small = await ask('gzip', { is: 'held', lineage, generation, digest: digestOfText(text) });
  assert.equal(small.headers['content-encoding'], undefined, 'a small one is not worth it');
});
