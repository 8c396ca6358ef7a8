/** First of all: the token is no stronger and no weaker than the one the agent is given at enrolment. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { checkNode, requiredAcl, undeclaredVmids } from '../../src/node-check/index.ts';
import { never, nodeUnderTest, value } from './node-under-test.ts';

const node = await nodeUnderTest();
after(() => node.close());
const { pve, settings } = node;

test('the node answers, and its version is supported', async (t) => {
  const { version } = value(await pve.facts.version(never));
  t.diagnostic(`Proxmox VE ${version}`);
  assert.match(version, /^\d+\.\d+/);
  const seconds = value(await pve.facts.time(never));
  assert.ok(Number.isInteger(seconds) && seconds > 1_600_000_000);
});

test('Datastore.Allocate, Sys.Modify and Permissions.Modify are absent everywhere', async () => {
  const held = value(await pve.facts.permissions(never));
  for (const [path, privileges] of held)
    for (const privilege of ['Datastore.Allocate', 'Sys.Modify', 'Permissions.Modify'])
      assert.ok(!privileges.has(privilege), `${privilege} on ${path}`);
});

test('every required privilege is there, no dangerous one', async (t) => {
  const storages = [...new Set([settings.storage, settings.archive.split(':')[0] ?? ''])];
  const required = requiredAcl({ pool: settings.pool, storages, node: settings.node, bridges: [settings.bridge] });
  const identity = settings.token.split('!')[0] ?? '';
  const check = await checkNode({ facts: pve.facts, packages: pve.facts }, required, identity, never);
  assert.equal(check.is, 'checked');
  if (check.is !== 'checked') return;
  if (check.versions.is === 'limited') for (const loss of check.versions.loses) t.diagnostic(loss);
  for (const fault of check.faults)
    t.diagnostic(`${fault.kind}: ${fault.privilege} on ${fault.path}: ${fault.command ?? ''}`);
  assert.deepEqual(
    check.blocks.map((block) => block.text),
    [],
  );
});

test('VMIDs of the range are declared in the pool', async (t) => {
  const undeclared = undeclaredVmids(value(await pve.facts.permissions(never)), settings.vmids);
  if (undeclared.length > 0)
    t.diagnostic(
      `not declared: ${undeclared.join(', ')}; pveum pool modify ${settings.pool} --vms ${undeclared.join(',')}`,
    );
  assert.ok(undeclared.length < settings.vmids.to - settings.vmids.from + 1, 'no id of the range is declared');
});
