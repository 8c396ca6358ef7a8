import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Vmid } from '@felhom/protocol';
import { createIdleClock } from '../../../test/idle-clock.ts';
import { stillClock } from '../../../test/still-clock.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { Outcome } from '../../kernel/saga.ts';
import { createHelperSocket } from './helper-socket.ts';

const never = new AbortController().signal;
const id = 9001 as Vmid;

/** The other end: `behave` gets the connection and, once half of it is closed, all that came. */
async function setUp(
  t: TestContext,
  behave: (connection: Socket, request: string) => void,
  { clock = stillClock, onConnect = () => {} }: { clock?: Clock; onConnect?: (connection: Socket) => void } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-socket-'));
  const socket = join(folder, 'helper.sock');
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    open.add(connection);
    onConnect(connection);
    let request = '';
    connection.setEncoding('utf8').on('data', (text: string) => (request += text));
    connection.on('end', () => behave(connection, request)).on('error', () => {});
  });
  await new Promise<void>((listening) => server.listen(socket, listening));
  t.after(() => {
    for (const connection of open) connection.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return createHelperSocket({ socket, clock });
}

const codeOf = (outcome: Outcome<unknown>): string =>
  outcome.is === 'done' ? 'done' : `${outcome.is} ${outcome.why.code}`;
const says =
  (document: unknown) =>
  (connection: Socket): void =>
    void connection.end(JSON.stringify(document));

test('each verb is a connection that carries its document and nothing else', async (t) => {
  const seen: string[] = [];
  const helper = await setUp(t, (connection, request) => {
    seen.push(request);
    connection.end(JSON.stringify({ v: 1, is: 'done', volumes: ['local:9001/a'] }));
  });
  assert.deepEqual(await helper.volumesOf(id, never), { is: 'done', value: ['local:9001/a'] });
  assert.equal((await helper.unlock('s.1', id, never)).is, 'done');
  assert.deepEqual(seen, [
    '{"v":1,"verb":"volumes-of","vmid":9001}',
    '{"v":1,"verb":"unlock","operation":"s.1","vmid":9001}',
  ]);
});

const rows: [name: string, behave: (connection: Socket) => void, expect: string][] = [
  ['a refusal is proven', says({ v: 1, is: 'refused', text: 'its worker runs' }), 'refused helper.refused'],
  ['busy is proven', says({ v: 1, is: 'busy', text: 'at work' }), 'refused helper.busy'],
  ['an unknown field', says({ v: 1, is: 'done', more: 1 }), 'unknown helper.unreadable-answer'],
  ['half a document', (connection) => connection.end('{"v":1,'), 'unknown helper.unreadable-answer'],
  ['none: the process died', (connection) => connection.end(), 'unknown helper.died'],
  ['the connection breaks', (connection) => void connection.destroy(), 'unknown helper.died'],
  ['an endless one', (connection) => void connection.end('x'.repeat(3e6)), 'unknown helper.died'],
];
for (const [name, behave, expect] of rows)
  test(`answer of a verb: ${name}`, async (t) => {
    assert.equal(codeOf(await (await setUp(t, behave)).unlock('s.1', id, never)), expect);
  });

test('an answer before the request was read counts: whoever refuses need not listen to the end', async (t) => {
  const onConnect = says({ v: 1, is: 'refused', text: 'too long' });
  const helper = await setUp(t, () => {}, { onConnect });
  assert.equal(codeOf(await helper.trustUpdate('s.1', 'x'.repeat(60_000), never)), 'refused helper.refused');
});

test('where nobody listens nothing was asked, and the text says what to look at', async () => {
  const helper = createHelperSocket({ socket: '/nonexistent/helper.sock', clock: stillClock });
  const outcome = await helper.unlock('s.1', id, never);
  assert.equal(codeOf(outcome), 'refused helper.cannot-run');
  assert.match(outcome.is === 'done' ? '' : outcome.why.text, /ENOENT.*felhom-root\.socket/);
});

test('time over and giving up end the connection and leave the outcome open', async (t) => {
  const clock = createIdleClock();
  const hanging = await setUp(t, () => {}, { clock });
  assert.equal(codeOf(await clock.until(hanging.unlock('s.1', id, never))), 'unknown helper.timeout');
  assert.equal(clock.monotonicMs(), 120_000);
  const stop = new AbortController();
  const helper = await setUp(t, () => stop.abort());
  assert.equal(codeOf(await helper.unlock('s.1', id, stop.signal)), 'unknown pve.aborted');
  assert.equal(codeOf(await helper.unlock('s.1', id, AbortSignal.abort())), 'unknown pve.aborted');
});
