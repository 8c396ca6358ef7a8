/** What a lying or long absent host, or an impatient operator, does to the numbers of documents. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { desiredPutAnswer, digestOfText, hostId, parseVersioned, pollAnswerKind } from '@felhom/protocol';
import type { HeldReference } from '@felhom/protocol';
import { createHub } from './hub.ts';
import { openSqliteStore } from './store/sqlite.ts';

const guest = {
  name: 'web',
  golden: 'debian-13',
  hostname: 'web',
  cores: 1,
  memoryMiB: 512,
  rootfs: { storage: 'local', sizeGiB: 4 },
  networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
};

async function world(t: TestContext) {
  let seed = 1;
  const hub = createHub({
    store: openSqliteStore(':memory:'),
    now: () => 1_000_000,
    random: (count) => Uint8Array.from({ length: count }, () => (seed = (seed * 48_271) % 2_147_483_647) & 255),
  });
  t.after(() => hub.close());
  const { token } = await hub.createOperator('admin', 'operator');
  const { apiKey } = await hub.createHost(hostId.parse('alpha'));
  let sequence = 0;
  async function call(method: 'GET' | 'POST' | 'PUT', url: string, payload?: object, as = token) {
    const headers = { authorization: `Bearer ${as}` };
    const response = await hub.app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
    assert.equal(response.statusCode, 200, response.body);
    return response.json<unknown>();
  }
  return {
    list: () => call('GET', '/v1/hosts'),
    async put(base: object | null, more: object = {}) {
      return desiredPutAnswer.parse(
        await call('PUT', '/v1/hosts/alpha/desired', { v: 1, base, guests: [guest], ...more }),
      );
    },
    async keepHub(generation: number) {
      return desiredPutAnswer.parse(await call('POST', '/v1/hosts/alpha/resolve', { keep: 'hub', generation }));
    },
    async poll(lineage: string, generation: number, text = 'what the host goes by') {
      sequence += 1;
      const held: HeldReference = { is: 'held', lineage, generation, digest: digestOfText(text) };
      const body = { v: 1, hostId: 'alpha', hostEpoch: 'e'.repeat(32), agentVersion: '0.1.0', sequence, held };
      const answer = await call('POST', '/v1/poll', { ...body, reportDigest: digestOfText('none') }, apiKey);
      const parsed = parseVersioned(pollAnswerKind, answer);
      return parsed.is === 'ok' ? parsed.value.desired : assert.fail(parsed.text);
    },
  };
}

test('a second edit after starting over still says which lineage was left', async (t) => {
  const w = await world(t);
  const first = await w.put(null);
  const { lineage } = await w.put({ lineage: first.lineage, generation: 1 }, { startOver: true });
  await w.put({ lineage, generation: 1 });
  const offered = await w.poll(first.lineage, 1);
  assert.equal(offered.is === 'document' ? offered.replaces : offered.is, first.lineage);
});

const last = Number.MAX_SAFE_INTEGER;
for (const [claimed, expected] of [
  [last, 1],
  [last - 1, last],
] as const)
  test(`a host that claims generation ${claimed} can be resolved, edited and listed`, async (t) => {
    const w = await world(t);
    await w.put(null);
    const theirs = 'a'.repeat(26);
    await w.poll(theirs, claimed);
    const chosen = await w.keepHub(claimed);
    assert.equal(chosen.generation, expected);
    assert.equal((await w.poll(theirs, claimed)).is, 'document');
    const edited = await w.put({ lineage: chosen.lineage, generation: chosen.generation });
    assert.equal(edited.generation, expected === last ? 1 : 2);
    await w.list();
  });

test('a host that falls back while the hub is behind it is resolved above the documents that exist', async (t) => {
  const w = await world(t);
  const { lineage } = await w.put(null);
  for (const generation of [1, 2]) await w.put({ lineage, generation });
  await w.poll(lineage, 9);
  await w.poll(lineage, 1, 'an older one');
  assert.deepEqual((await w.keepHub(1)).generation, 4);
});
