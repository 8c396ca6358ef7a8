/** One guest from restore to destroy, step by step; each test needs the one before it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Upid, Vmid } from '@felhom/protocol';
import type { DestroyGuestWarrant } from '../../src/authority/warrant.ts';
import { codeOf, never, nodeUnderTest, value } from './node-under-test.ts';

const node = await nodeUnderTest();
const { pve, settings, storage, archive, helper } = node;
before(() => node.cleanUp());
after(async () => {
  await node.cleanUp();
  await node.close();
});

let vmid = 0 as Vmid;
let restored = '' as Upid;
let restoredSince = 0;

/** A step on the guest that the first test restored; without one there is nothing to say about it. */
function step(name: string, timeoutSeconds: number, body: (t: TestContext) => Promise<void>): void {
  test(name, { timeout: timeoutSeconds * 1_000 }, async (t) => {
    if (restored === '') t.skip('no guest was restored');
    else await body(t);
  });
}

const restoreCall = (id: Vmid) => ({ vmid: id, archive, pool: settings.pool, storage, values: node.markedValues() });
/** Size of the root volume in GiB; Proxmox writes it with whatever unit divides it. */
async function sizeOf(): Promise<number> {
  const [, size, unit] = /size=(\d+)([MGT])/.exec((await node.configOf(vmid)).values['rootfs'] ?? '') ?? [];
  return Number(size) * (unit === 'M' ? 1 / 1024 : unit === 'T' ? 1024 : 1);
}

test('restore starts a task that ends well', { timeout: 600_000 }, async (t) => {
  vmid = await node.freeVmid();
  restoredSince = value(await pve.facts.time(never)) - 1;
  const upid = value(await pve.writer.restore(restoreCall(vmid), never));
  assert.match(upid, /^UPID:.*:vzrestore:/);
  const lines: string[] = [];
  const end = value(await pve.tasks.wait(upid, { onProgress: (line) => lines.push(line) }, never));
  t.diagnostic(`CT ${vmid}: ${JSON.stringify(end.verdict)}, ${lines.length} lines of log`);
  assert.ok(end.verdict.is === 'ok' || end.verdict.is === 'warnings', end.logTail.join('\n'));
  restored = upid;
  assert.ok(lines.length > 0);
});

step('a lost UPID is found again by guest, type and time', 60, async () => {
  const filter = { vmid, type: 'vzrestore', sinceSeconds: restoredSince };
  const found = value(await pve.tasks.find(filter, never));
  const row = found.find((candidate) => candidate.upid === restored);
  assert.ok(row !== undefined, `${restored} is not among ${found.length} tasks`);
  assert.equal(row.user, settings.token.split('=')[0]);
  assert.deepEqual(value(await pve.tasks.find({ ...filter, type: 'vzsnapshot' }, never)), []);
});

step('what the call passed stands in the config', 60, async () => {
  const { values, lock, digest } = await node.configOf(vmid);
  assert.equal(lock, undefined);
  assert.match(digest, /^[0-9a-f]{40}$/);
  const wanted = node.markedValues();
  for (const key of ['hostname', 'onboot', 'cores', 'memory', 'swap']) assert.equal(values[key], wanted[key], key);
  assert.equal(values['description']?.trim(), wanted['description']);
  assert.match(values['net0'] ?? '', /link_down=1/);
  assert.equal(values['unprivileged'], '1');
});

step('an occupied VMID is taken, for nextid as for restore', 60, async () => {
  assert.equal(value(await pve.reader.isVmidFree(vmid, never)), false);
  assert.equal(codeOf(await pve.writer.restore(restoreCall(vmid), never)), 'refused pve.vmid-taken');
});

step('a change guarded by the right digest is made, by a wrong one refused', 60, async () => {
  const { digest } = await node.configOf(vmid);
  value(await pve.writer.configure(vmid, { set: { memory: '272' }, digest }, never));
  assert.equal((await node.configOf(vmid)).values['memory'], '272');
  const stale = await pve.writer.configure(vmid, { set: { memory: '288' }, digest }, never);
  assert.equal(codeOf(stale), 'refused pve.digest-mismatch');
  assert.equal((await node.configOf(vmid)).values['memory'], '272');
});

step('bad values and reserved keys are refused', 60, async () => {
  const memory = await pve.writer.configure(vmid, { set: { memory: '1' } }, never);
  assert.equal(codeOf(memory), 'refused pve.invalid-parameter');
  const bind = await pve.writer.configure(vmid, { set: { mp9: '/etc,mp=/srv/etc' } }, never);
  assert.equal(codeOf(bind), 'refused pve.root-only');
  const unknown = await pve.writer.configure(vmid, { set: { nosuchkey: '1' } }, never);
  assert.equal(codeOf(unknown), 'refused pve.unknown-parameter');
});

step('text survives the wire: separators, percent signs, umlauts', 60, async () => {
  const { description = '' } = (await node.configOf(vmid)).values;
  const text = `${description.trim()}\na=b;c&d+e%20f ü`;
  value(await pve.writer.configure(vmid, { set: { description: text } }, never));
  assert.equal((await node.configOf(vmid)).values['description']?.trim(), text);
});

step('a volume is added in one synchronous change', 120, async () => {
  value(await pve.writer.configure(vmid, { set: { mp0: `${storage}:1,mp=/srv/felhom-test,backup=0` } }, never));
  assert.match((await node.configOf(vmid)).values['mp0'] ?? '', /mp=\/srv\/felhom-test/);
  const listed = value(await pve.stores.contents(storage, { vmid }, never));
  assert.ok(listed.length >= 2, `${listed.length} volumes listed`);
});

step('resize grows, twice is once, shrinking is refused', 180, async (t) => {
  const wanted = Math.floor(await sizeOf()) + 1;
  await grow(t, wanted);
  assert.equal(await sizeOf(), wanted);
  assert.equal(value(await pve.writer.resize(vmid, 'rootfs', wanted, never)), undefined);
  assert.equal(codeOf(await pve.writer.resize(vmid, 'rootfs', wanted - 1, never)), 'refused pve.cannot-shrink');
  assert.equal(codeOf(await pve.writer.resize(vmid, 'mp7', 1, never)), 'refused pve.invalid-parameter');
});

/** A node under load may fail to fork; that is an unknown outcome, so the size is read before it is tried again. */
async function grow(t: TestContext, wanted: number): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const resizing = await pve.writer.resize(vmid, 'rootfs', wanted, never);
    if (resizing.is !== 'unknown' || attempt === 3) {
      const end = await node.wait(resizing);
      assert.ok(end.verdict.is === 'ok' || end.verdict.is === 'warnings', end.logTail.join('\n'));
      return;
    }
    t.diagnostic(resizing.why.text);
    await node.clock.sleep(2_000, never);
    if ((await sizeOf()) === wanted) return;
  }
}

step('start, and start twice', 120, async () => {
  assert.equal(value(await pve.reader.status(vmid, never)).status, 'stopped');
  const end = await node.wait(await pve.writer.start(vmid, never));
  assert.ok(end.verdict.is === 'ok' || end.verdict.is === 'warnings', end.logTail.join('\n'));
  const status = value(await pve.reader.status(vmid, never));
  assert.equal(status.status, 'running');
  assert.ok(status.maxDiskBytes > 0);
  assert.equal(value(await pve.writer.start(vmid, never)), undefined);
  assert.ok(value(await pve.reader.list(never)).some((row) => row.vmid === vmid && row.status === 'running'));
});

step('what a running guest cannot take at once is pending', 60, async () => {
  const before = (await node.configOf(vmid)).values['nameserver'];
  value(await pve.writer.configure(vmid, { set: { nameserver: '192.0.2.53' } }, never));
  const pending = value(await pve.reader.pending(vmid, never));
  assert.equal(pending.find((change) => change.key === 'nameserver')?.pending, '192.0.2.53');
  assert.equal((await node.configOf(vmid)).values['nameserver'], before, 'the active config does not have it yet');
});

step('a running guest is not destroyed', 60, async () => {
  const outcome = await pve.destroyer.destroy(await node.warrantFor(vmid), never);
  assert.equal(codeOf(outcome), 'refused pve.guest-running');
});

step('stop, and stop twice', 120, async () => {
  const end = await node.wait(await pve.writer.stop(vmid, never));
  assert.equal(end.verdict.is, 'ok', end.logTail.join('\n'));
  assert.equal(value(await pve.reader.status(vmid, never)).status, 'stopped');
  assert.equal(value(await pve.writer.stop(vmid, never)), undefined);
  assert.equal(value(await pve.writer.shutdown(vmid, { timeoutSeconds: 5, force: true }, never)), undefined);
});

step('a protected guest is not destroyed', 60, async () => {
  value(await pve.writer.configure(vmid, { set: { protection: '1' } }, never));
  assert.equal(codeOf(await pve.destroyer.destroy(await node.warrantFor(vmid), never)), 'refused pve.protected');
  value(await pve.writer.configure(vmid, { set: { protection: '0' } }, never));
});

step('a warrant that names no guest sends nothing', 60, async () => {
  const wrong = { ...(await node.warrantFor(vmid)), vmid: 0 } as unknown as DestroyGuestWarrant;
  assert.equal(codeOf(await pve.destroyer.destroy(wrong, never)), 'refused pve.wrong-warrant');
});

step('destroy, with a warrant, frees guest and volumes', 180, async () => {
  const end = await node.wait(await pve.destroyer.destroy(await node.warrantFor(vmid), never));
  assert.equal(end.verdict.is, 'ok', end.logTail.join('\n'));
  assert.ok(!value(await pve.reader.list(never)).some((row) => row.vmid === vmid));
  assert.equal(value(await pve.reader.isVmidFree(vmid, never)), true);
  assert.equal(
    value(await pve.reader.config(vmid, { current: true }, never)).is,
    'forbidden',
    'destroying takes the VMID out of the pool, and with it our rights on it',
  );
});

test(
  'the helper puts the VMID back, and nothing of it is left',
  { skip: helper === undefined && 'FELHOM_PVE_HELPER is not set' },
  async () => {
    assert.ok(helper !== undefined);
    const operation = `test-pve.pool-ensure.${vmid}.${node.clock.now()}`;
    assert.equal(value(await helper.show(operation, never)), undefined, 'no receipt before');
    value(await helper.poolEnsure(operation, vmid, never));
    value(await helper.poolEnsure(operation, vmid, never));
    assert.equal(value(await helper.show(operation, never))?.verb, 'pool-ensure');
    assert.deepEqual(value(await pve.reader.config(vmid, { current: true }, never)), { is: 'absent' });
    assert.deepEqual(value(await helper.volumesOf(vmid, never)), []);
    assert.deepEqual(value(await pve.stores.contents(storage, { vmid, content: 'rootdir' }, never)), []);
  },
);
