/** A hub with one host, an operator and a reader, and a hand-made agent for it. For tests. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import {
  auditText,
  chainEntry,
  chainStart,
  digest,
  digestOfText,
  emptyChain,
  hostAnswer,
  hostId,
  parseVersioned,
  pollAnswerKind,
  problem,
  statementText,
} from '@felhom/protocol';
import type { HostStatement, SignedStatement } from '@felhom/protocol';
import { createHub } from './hub.ts';
import { openSqliteStore } from './store/sqlite.ts';

export const epochA = 'a'.repeat(32);
export const epochB = 'b'.repeat(32);
export const alpha = hostId.parse('alpha');

export async function hubWorld(t: TestContext, file = ':memory:') {
  let now = 1_000_000;
  let seed = 1;
  const lines: string[] = [];
  const open = () =>
    createHub({
      store: openSqliteStore(file),
      now: () => now,
      random: (count) => Uint8Array.from({ length: count }, () => (seed = (seed * 48_271) % 2_147_483_647) & 255),
      log: { write: (line) => void lines.push(line) },
      logLevel: 'debug',
      pollLimit: { perSecond: 1e6, burst: 1e6 },
    });
  let hub = open();
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
      text: response.body,
      json: () => response.json<unknown>(),
      code: () => problem.parse(response.json()).code,
    };
  }
  /** The next poll of epoch A, unless `more` says otherwise. */
  async function rawPoll(more: object = {}) {
    sequence += 1;
    const body = { v: 1, hostId: 'alpha', hostEpoch: epochA, agentVersion: '0.1.0', sequence };
    const held = { is: 'never-received' };
    return call('POST', '/v1/poll', { ...body, held, reportDigest: digestOfText('none'), ...more }, apiKey);
  }
  async function poll(more: object = {}) {
    const answer = await rawPoll(more);
    assert.equal(answer.status, 200, answer.text);
    const parsed = parseVersioned(pollAnswerKind, answer.json());
    return parsed.is === 'ok' ? parsed.value : assert.fail(parsed.text);
  }
  return {
    lines,
    readerToken: reader.token,
    apiKey,
    call,
    rawPoll,
    poll,
    host: async () => hostAnswer.parse((await call('GET', '/v1/hosts/alpha')).json()).host,
    advance: (ms: number) => void (now += ms),
    /** One round of the watch. */
    look: () => hub.watch.round(new AbortController().signal),
    restart: async () => {
      await hub.close();
      hub = open();
    },
  };
}

/** Texts of a log of `count` entries; `tale` makes it another log than those of other tales from entry `from` on. */
export function logOf(count: number, tale = '', from = 1): string[] {
  let head = emptyChain;
  return Array.from({ length: count }, (_, at) => {
    const text = at + 1 >= from ? `what happened${tale}` : 'what happened';
    const linked = chainEntry({ host: head, guest: emptyChain }, { at, kind: 'test.entry', text, detail: {} });
    head = { count: at + 1, head: linked.digest };
    return auditText(linked.entry);
  });
}

/** Nobody verifies it here, so anything serves as signature. `log`: the audit log that it counts. */
export function statementOf(
  sequence: number,
  log: readonly string[] = [],
  more: Partial<HostStatement> = {},
): SignedStatement {
  const last = log.at(-1);
  const text = statementText({
    v: 1,
    host: alpha,
    hostEpoch: epochA,
    sequence,
    at: 5,
    challenge: `1.${'c'.repeat(32)}`,
    reportDigest: digestOfText('none'),
    audit: { count: log.length, head: last === undefined ? chainStart : digestOfText(last) },
    trust: null,
    ...more,
  });
  return { text, signature: `by the host, ${digest.parse(digestOfText(text)).slice(0, 8)}` };
}
