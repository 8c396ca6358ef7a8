import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOfText, envelopeList, maxEnvelopeBytes, maxPollAnswerBytes } from '@felhom/protocol';
import { openSqliteStore } from '../store/sqlite.ts';
import { alpha, hubWorld } from '../world.fixture.ts';
import { deliver, takenKeptMs } from './deliver.ts';
import { mostWaiting } from './envelope-routes.ts';
import { mostBytesPerAnswer, pickEnvelopes } from './pick-envelopes.ts';

const url = '/v1/hosts/alpha/envelopes';
type World = Awaited<ReturnType<typeof hubWorld>>;
const put = (w: World, text: string, as?: string) => w.call('POST', url, { v: 1, text }, as);
const list = async (w: World) => envelopeList.parse((await w.call('GET', url, undefined, w.readerToken)).json());
const waiting = (count: number, bytes = 1) => Array.from({ length: count }, (_, at) => ({ place: at + 1, bytes }));
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

const picks: [name: string, count: number, bytes: number, places: number[], moveToBack: boolean][] = [
  ['none', 0, 1, [], false],
  ['all of few', 3, 1, [1, 2, 3], false],
  ['as many as an answer carries', 32, 1, range(1, 32), false],
  ['the first of many', 33, 1, range(1, 32), true],
  ['as many as fit', 10, mostBytesPerAnswer / 4, [1, 2, 3, 4], true],
  ['one of the largest', 10, mostBytesPerAnswer, [1], true],
];
for (const [name, count, bytes, places, moveToBack] of picks)
  test(`picking envelopes: ${name}`, () => {
    assert.deepEqual(pickEnvelopes(waiting(count, bytes)), { places, moveToBack });
  });

test('those whose turn it is are picked, and sent oldest first', () => {
  const inTurn = [5, 9, 2].map((place) => ({ place, bytes: 1 }));
  assert.deepEqual(pickEnvelopes(inTurn).places, [2, 5, 9]);
});

test('whatever is never taken, and however many new ones come, each is sent within a bounded number of answers', async () => {
  const store = openSqliteStore(':memory:');
  await store.addHost({ hostId: alpha, secret: { salt: '00', hash: '11' }, createdAt: 1 });
  let made = 0;
  const quiet = new Map<string, number>();
  const putOne = async (): Promise<void> => {
    made += 1;
    const text = `${made}${'x'.repeat(60_000)}`;
    await store.putEnvelope(alpha, { digest: digestOfText(text), text, putAt: 1, putBy: 'me' }, mostWaiting);
    quiet.set(text, 0);
  };
  for (let i = 0; i < mostWaiting; i += 1) await putOne();
  for (let round = 0; round < 20; round += 1) {
    const sent = new Set(await deliver(store, alpha, [], 1));
    assert.equal(sent.size, 17);
    for (const [text, rounds] of quiet) quiet.set(text, sent.has(text) ? 0 : rounds + 1);
    assert.ok(Math.max(...quiet.values()) <= Math.ceil(mostWaiting / 17), `round ${round}`);
    // The host takes the newest of those it got, and as many new ones come.
    const taken = [...sent].slice(-5);
    await store.markTaken(
      alpha,
      taken.map((text) => digestOfText(text)),
      1,
      2,
    );
    for (const text of taken) quiet.delete(text);
    for (let i = 0; i < taken.length; i += 1) await putOne();
  }
  await store.close();
});

test('an envelope goes to the host as the same text, until the host took it', async (t) => {
  const w = await hubWorld(t);
  const odd = 'no JSON at all \u0000 é 𝄞 {"v":9';
  const first = await put(w, odd);
  assert.equal(first.status, 201);
  assert.deepEqual(first.json(), { digest: digestOfText(odd) });
  const again = await put(w, odd);
  assert.equal(again.status, 200);
  assert.deepEqual(again.json(), first.json());
  await put(w, 'second');
  assert.deepEqual((await w.poll()).envelopes, [odd, 'second']);
  assert.deepEqual((await w.host()).mailbox, { waiting: 2, taken: 0 });
  w.advance(7);
  const taken = await w.poll({ taken: [digestOfText(odd), digestOfText('of somebody else')] });
  assert.deepEqual(taken.envelopes, ['second']);
  assert.deepEqual((await w.host()).mailbox, { waiting: 1, taken: 1 });
  const { envelopes } = await list(w);
  assert.deepEqual(
    envelopes.map(({ text, putBy, takenAt }) => [text, putBy, takenAt]),
    [
      ['second', 'admin', undefined],
      [odd, 'admin', 1_000_007],
    ],
  );
  assert.equal((await put(w, odd)).status, 200, 'taken is not sent again');
  assert.deepEqual((await w.poll()).envelopes, ['second']);
});

test('taken ones are forgotten after eight days, waiting ones never', async (t) => {
  const w = await hubWorld(t);
  await put(w, 'old');
  await put(w, 'patient');
  await w.poll({ taken: [digestOfText('old')] });
  w.advance(takenKeptMs);
  await w.poll();
  assert.equal((await list(w)).envelopes.length, 2);
  w.advance(1);
  assert.deepEqual((await w.poll()).envelopes, ['patient']);
  assert.equal((await list(w)).envelopes.length, 1);
});

test('withdrawing', async (t) => {
  const w = await hubWorld(t);
  await put(w, 'a');
  await put(w, 'b');
  await w.poll({ taken: [digestOfText('b')] });
  const at = (text: string) => `${url}/${digestOfText(text)}`;
  assert.equal((await w.call('DELETE', at('a'))).status, 204);
  assert.equal((await w.call('DELETE', at('a'))).code(), 'envelope.unknown');
  const taken = await w.call('DELETE', at('b'));
  assert.equal(taken.code(), 'envelope.taken');
  assert.match(taken.text, /cannot withdraw .*alpha has taken it already.*"next":/);
  assert.equal((await w.call('DELETE', `${url}/nothing`)).status, 404);
});

test('a full mailbox says so and takes the next one when there is room', async (t) => {
  const w = await hubWorld(t);
  for (let i = 0; i < mostWaiting; i += 1) assert.equal((await put(w, `n${i}`)).status, 201);
  const full = await put(w, 'one more');
  assert.equal(full.status, 409);
  assert.equal(full.code(), 'mailbox.full');
  assert.match(full.text, /"next":"withdraw/);
  assert.equal((await put(w, 'n7')).status, 200, 'one that is there needs no room');
  const sent = (await w.poll()).envelopes;
  assert.deepEqual(
    sent,
    range(0, 31).map((i) => `n${i}`),
  );
  const later = await w.poll({ taken: sent.map((text) => digestOfText(text)) });
  assert.deepEqual(
    later.envelopes,
    range(32, 63).map((i) => `n${i}`),
  );
  assert.equal((await put(w, 'one more')).status, 201);
});

test('sizes: at the limit, above it, and an answer of the worst texts that JSON knows', async (t) => {
  const w = await hubWorld(t);
  assert.equal((await put(w, 'x'.repeat(maxEnvelopeBytes))).status, 201);
  for (const text of ['x'.repeat(maxEnvelopeBytes + 1), 'é'.repeat(maxEnvelopeBytes / 2 + 1)]) {
    const large = await put(w, text);
    assert.equal(large.status, 413);
    assert.equal(large.code(), 'envelope.too-large');
  }
  assert.equal((await put(w, '\u0001'.repeat(3 * maxEnvelopeBytes))).status, 413);
  assert.equal((await w.call('POST', url, { v: 1, text: '' })).status, 400);
  assert.equal((await w.call('POST', url, { v: 1, text: 'x', more: 1 })).status, 400);
  for (let i = 0; i < 8; i += 1) {
    const worst = String.fromCodePoint(i + 1).repeat(maxEnvelopeBytes);
    assert.equal((await put(w, worst)).status, 201);
  }
  for (let i = 0; i < 6; i += 1) {
    const answer = await w.rawPoll();
    assert.ok(Buffer.byteLength(answer.text) < maxPollAnswerBytes / 4, String(answer.text.length));
  }
});

test('who may do what with a mailbox', async (t) => {
  const w = await hubWorld(t);
  const body = { v: 1, text: 'x' };
  const one = `${url}/${digestOfText('x')}`;
  const rows: [string, Promise<{ status: number }>, number][] = [
    ['put as a reader', w.call('POST', url, body, w.readerToken), 403],
    ['put as the host', w.call('POST', url, body, w.apiKey), 401],
    ['put for a host that is not there', w.call('POST', '/v1/hosts/zulu/envelopes', body), 404],
    ['read as a reader', w.call('GET', url, undefined, w.readerToken), 200],
    ['read as the host', w.call('GET', url, undefined, w.apiKey), 401],
    ['withdraw as a reader', w.call('DELETE', one, undefined, w.readerToken), 403],
  ];
  for (const [name, answer, expect] of rows) assert.equal((await answer).status, expect, name);
});

test('a restart keeps envelopes, what was taken, and whose turn it is', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-mailbox-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const w = await hubWorld(t, join(folder, 'hub.db'));
  for (let i = 0; i < 50; i += 1) await put(w, `n${i}`);
  await w.poll();
  await w.poll({ taken: [digestOfText('n40')] });
  const before = await list(w);
  await w.restart();
  assert.deepEqual(await list(w), before);
  // Of 49 that wait, 32 to 49 and 0 to 14 went with the second answer; so it is the turn of 15 to 31, then the others.
  const { envelopes } = await w.poll();
  assert.deepEqual(
    range(0, 49).filter((i) => i !== 40 && !envelopes.includes(`n${i}`)),
    range(32, 49).filter((i) => i !== 40),
  );
});
