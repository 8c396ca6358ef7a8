/** The agent itself on the node: a guest comes up from the archive, survives a crash half-way, is healed and is kept. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';
import { agentOnNode } from './agent-on-node.ts';
import type { AgentOnNode, Life } from './agent-on-node.ts';
import { nodeUnderTest } from './node-under-test.ts';

const node = await nodeUnderTest();
const { helper, storage } = node;
const lab: AgentOnNode | undefined = helper === undefined ? undefined : await agentOnNode(node, helper);
let life: Life | undefined;

before(() => lab?.cleanUp());
after(async () => {
  await life?.end();
  await lab?.cleanUp();
  await node.close();
});

function step(name: string, body: (t: TestContext, on: AgentOnNode) => Promise<void>): void {
  test(name, { timeout: 900_000 }, async (t) => {
    if (lab === undefined) t.skip('FELHOM_PVE_HELPER is not given: a bring-up asks root what lies under a VMID');
    else await body(t, lab);
  });
}

const told = (on: Life): string => JSON.stringify(on.agent.report(), undefined, 1);
const volume = { name: 'data', path: '/srv/data', storage, sizeGiB: 1, backup: true };

step('a guest that loses its agent in the middle of the restore comes up once', async (t, on) => {
  on.want([on.guest('felhom-suite', { volumes: [volume], tags: ['suite'] })]);
  const first = on.boot((point) => point === 'bring-up/restore/run/handle-written');
  const crashed = await on.until(() => first.power.crashedAt !== undefined, 300);
  // A process without power says nothing any more, so there is nothing to print.
  assert.ok(crashed, `the restore was not reached: ${first.power.reached.join(', ')}`);
  await first.end();
  life = on.boot();
  const second = life;
  const converged = await on.until(() => second.agent.report().converged, 600);
  assert.ok(converged, told(second));
  const [record, ...others] = second.agent.guests();
  assert.deepEqual(others, []);
  assert.ok(record !== undefined);
  const config = await node.configOf(record.vmid);
  t.diagnostic(`CT ${record.vmid}: ${JSON.stringify(config.values)}`);
  assert.equal(config.values['onboot'], '1');
  assert.equal(config.values['hostname'], 'felhom-suite');
  assert.equal(config.values['memory'], '256');
  assert.match(config.values['mp0'] ?? '', /mp=\/srv\/data/);
  assert.doesNotMatch(config.values['net0'] ?? '', /link_down=1/);
  assert.match(config.values['description'] ?? '', new RegExp(`felhom:${record.uid}\\.1\\.`));
  assert.equal(config.lock, undefined);
});

step('what is as desired is left alone', async (_t, on) => {
  assert.ok(life !== undefined);
  const passed = life.agent.report().lastPassAt;
  const before = life.agent.guests();
  life.agent.wake();
  const agent = life.agent;
  assert.ok(await on.until(() => agent.report().lastPassAt !== passed, 120), told(life));
  assert.equal(agent.report().converged, true, told(life));
  assert.deepEqual(agent.guests(), before);
});

step('a label that somebody took away comes back', async (_t, on) => {
  assert.ok(life !== undefined);
  const { agent } = life;
  const [record] = agent.guests();
  assert.ok(record !== undefined);
  const removed = await node.pve.writer.configure(record.vmid, { delete: ['tags'] }, new AbortController().signal);
  assert.equal(removed.is, 'done');
  let tags: string | undefined;
  const healed = await on.until(() => {
    void node.configOf(record.vmid).then((config) => (tags = config.values['tags']));
    return tags === 'suite';
  }, 180);
  assert.ok(healed, told(life));
});

step('a guest that desired state drops is blocked, shown and kept', async (_t, on) => {
  assert.ok(life !== undefined);
  const { agent } = life;
  const [record] = agent.guests();
  assert.ok(record !== undefined);
  on.want([]);
  agent.wake();
  assert.ok(await on.until(() => agent.report().blocked.length > 0, 120), told(life));
  assert.equal(agent.report().blocked[0]?.document.verb, 'guest-remove');
  assert.equal((await node.configOf(record.vmid)).lock, undefined);
});
