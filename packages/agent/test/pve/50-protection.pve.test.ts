/**
 * The sagas that protect a guest, on the node: backup, restore-test, restore over the guest with undo and with finish,
 * checkpoint and rollback. Takes minutes: a call that was lost is waited out, in real time.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Vmid } from '@felhom/protocol';
import type { GuestRecord } from '../../src/authority/guest-record.ts';
import { undeclaredVmids } from '../../src/node-check/index.ts';
import { backup, deleteBackup, renewMarker } from '../../src/backups/index.ts';
import type { BackupRecord } from '../../src/catalogue/index.ts';
import { checkpointGuest, dropCheckpoint, rollBack } from '../../src/checkpoints/index.ts';
import type { SagaEnd } from '../../src/kernel/index.ts';
import { restoreTest } from '../../src/restore-tests/index.ts';
import { finishRestore, lossOf, restoreOverwrite, undoLossOf, undoRestore } from '../../src/restores/index.ts';
import { agentOnNode } from './agent-on-node.ts';
import type { AgentOnNode } from './agent-on-node.ts';
import { never, nodeUnderTest, value } from './node-under-test.ts';
import { inRange, refOf, sagasOnNode, tier } from './sagas-on-node.ts';
import type { Sagas } from './sagas-on-node.ts';

const node = await nodeUnderTest();
const { pve, helper, settings, storage, backupStorage, archive, clock } = node;
const noHelper = 'FELHOM_PVE_HELPER is not given: a bring-up asks root what lies under a VMID';
const readable = await node.digestOf(archive);
const noDigest = readable.is === 'absent' ? readable.why : false;
const lab: AgentOnNode | undefined = helper === undefined ? undefined : await agentOnNode(node, helper);
let sagas: Sagas | undefined;

/** With bulk and without: a guest with bulk gets no snapshot. */
const [kept, plain] = ['felhom-kept', 'felhom-plain'];

async function cleanUp(): Promise<void> {
  if (lab === undefined || helper === undefined) return;
  sagas?.close();
  sagas = undefined;
  const left = sagasOnNode(node, lab, helper);
  try {
    await left.settle();
  } finally {
    left.close();
  }
  await lab.cleanUp();
}

before(cleanUp);
after(async () => {
  await cleanUp();
  await node.close();
});

interface Scene {
  readonly on: Sagas;
  readonly t: TestContext;
}

function step(name: string, skip: string | false, body: (scene: Scene) => Promise<void>): void {
  test(name, { timeout: 1_800_000, skip }, async (t) => {
    if (sagas === undefined) t.skip(helper === undefined ? noHelper : 'the guests did not come up');
    else await body({ on: sagas, t });
  });
}

const completed = (end: SagaEnd): void => assert.equal(end.is, 'completed', JSON.stringify(end, undefined, 1));
const configOf = async (vmid: Vmid) => (await node.configOf(vmid)).values;
const isRunning = async (vmid: Vmid): Promise<boolean> =>
  value(await pve.reader.status(vmid, never)).status === 'running';
const isGone = async (vmid: Vmid): Promise<void> => {
  assert.notEqual(value(await pve.reader.config(vmid, { current: true }, never)).is, 'present');
  if (helper !== undefined) assert.deepEqual(value(await helper.volumesOf(vmid, never)), []);
};

test('two guests come up', { timeout: 1_800_000, skip: helper === undefined && noHelper }, async () => {
  assert.ok(lab !== undefined && helper !== undefined);
  const data = { name: 'data', path: '/srv/data', storage, sizeGiB: 1, backup: true };
  const bulk = { name: 'bulk', path: '/srv/bulk', storage, sizeGiB: 1, backup: false };
  lab.want([lab.guest(kept, { volumes: [data, bulk] }), lab.guest(plain, { volumes: [data] })]);
  const life = lab.boot();
  const up = await lab.until(() => life.agent.report().converged && life.agent.guests().length === 2, 900);
  const told = JSON.stringify(life.agent.report(), undefined, 1);
  await life.end();
  assert.ok(up, told);
  sagas = sagasOnNode(node, lab, helper);
});

// ------------------------------------------------------------------------------------------------------ backups

async function backedUp({ on, t }: Scene, name: string): Promise<BackupRecord> {
  const { uid } = on.guest(name);
  const earlier = on.needs.catalogue.ofGuest(uid).length;
  const params = { guest: refOf(on.guest(name)), tier, storage: backupStorage, class: 'on-demand' };
  completed(await on.run(backup, params));
  const records = on.needs.catalogue.ofGuest(uid);
  assert.equal(records.length, earlier + 1);
  const record = records.at(-1);
  assert.ok(record !== undefined);
  t.diagnostic(`${record.archive}: ${record.sizeBytes} bytes, ${record.mode}, ${record.sha256}`);
  return record;
}

step(
  'a backup is proven by its bytes, and the marker of its guest is another one afterwards',
  noDigest,
  async (scene) => {
    const { on } = scene;
    const { marker, vmid } = on.guest(kept);
    const record = await backedUp(scene, kept);
    const items = value(await pve.stores.contents(backupStorage, { content: 'backup', vmid }, never));
    const item = items.find(({ volid }) => volid === record.archive);
    assert.equal(item?.sizeBytes, record.sizeBytes);
    assert.match(item?.notes ?? '', /^felhom [0-9a-f]{16} [a-z2-7]{16}$/);
    const read = await node.digestOf(record.archive);
    assert.equal(read.is === 'read' && read.sha256, record.sha256);
    const now = on.guest(kept);
    assert.notEqual(now.marker, marker);
    assert.match((await configOf(vmid))['description'] ?? '', new RegExp(`^felhom:${now.uid}\\.1\\.${now.marker}`));
    assert.equal((await node.configOf(vmid)).lock, undefined);
    assert.equal(await isRunning(vmid), true);
  },
);

step('a marker is renewed by itself too', false, async ({ on }) => {
  const { marker, vmid } = on.guest(plain);
  completed(await on.run(renewMarker, { guest: refOf(on.guest(plain)) }));
  const now = on.guest(plain).marker;
  assert.notEqual(now, marker);
  assert.ok((await configOf(vmid))['description']?.includes(`.${now}`));
});

// -------------------------------------------------------------------------------------------------- restore-test

step(
  'a restore-test brings up a scratch guest that reaches nobody, and takes it away again',
  noDigest,
  async ({ on, t }) => {
    const free = undeclaredVmids(value(await pve.facts.permissions(never)), settings.scratch);
    if (free.length === settings.scratch.to - settings.scratch.from + 1) {
      t.skip(`no VMID of ${settings.scratch.from}-${settings.scratch.to} is declared in the pool: FELHOM_PVE_SCRATCH`);
      return;
    }
    const [record] = on.needs.catalogue.ofGuest(on.guest(kept).uid);
    assert.ok(record !== undefined, 'there is no backup to test');
    const { id, sha256 } = record;
    const params = { guest: refOf(on.guest(kept)), tier, backup: { id, archive: record.archive, sha256 }, storage };
    const ended = new AbortController();
    const watched = watchScratch(ended.signal);
    const end = await on.run(restoreTest, params);
    ended.abort();
    const seen = await watched;
    completed(end);
    assert.ok(seen.length > 0, 'the scratch guest was never seen');
    for (const values of seen) {
      assert.equal(values['onboot'] ?? '0', '0');
      for (const [key, line] of Object.entries(values)) if (/^net\d+$/.test(key)) assert.match(line, /link_down=1/);
    }
    const test = on.needs.evidence.all()[0];
    t.diagnostic(JSON.stringify(test?.evidence));
    assert.ok(test !== undefined, 'there is no evidence');
    assert.notEqual(test.evidence.verdict, 'failed');
    for (const vmid of inRange(settings.scratch)) await isGone(vmid);
  },
);

/** Configs of scratch guests that are more than a stub. */
async function watchScratch(until: AbortSignal): Promise<readonly Readonly<Record<string, string>>[]> {
  const seen: Readonly<Record<string, string>>[] = [];
  while (!until.aborted) {
    for (const vmid of inRange(settings.scratch)) {
      const read = value(await pve.reader.config(vmid, { current: true }, never));
      if (read.is === 'present' && read.config.values['rootfs'] !== undefined) seen.push(read.config.values);
    }
    await clock.sleep(250, never);
  }
  return seen;
}

// ------------------------------------------------------------------------------------------- restore with an undo

const volumeOf = (record: GuestRecord, name: string) => record.volumes.find((volume) => volume.name === name);

async function overwritten({ on }: Scene) {
  const old = on.guest(kept);
  const record = on.needs.catalogue.ofGuest(old.uid).at(-1);
  assert.ok(record !== undefined, 'there is no backup to restore');
  const bulk = old.volumes.filter(({ name }) => name === 'bulk').map(({ volid }) => volid);
  const loss = old.volumes.filter(({ name }) => name !== 'bulk').map(({ volid }) => volid);
  const { archive: from, sha256 } = record;
  const params = { guest: refOf(old), backup: { archive: from, sha256 }, bulk, loss, undoHours: 1, jobId: 'suite' };
  completed(await on.run(restoreOverwrite, params));
  const now = on.guest(kept);
  assert.notEqual(now.vmid, old.vmid);
  assert.equal(now.incarnation, old.incarnation + 1);
  const [mine, waiting] = [await configOf(now.vmid), await configOf(old.vmid)];
  assert.match(mine['description'] ?? '', new RegExp(`^felhom:${now.uid}\\.${now.incarnation}\\.`));
  assert.doesNotMatch(mine['net0'] ?? '', /link_down=1/);
  assert.ok(
    Object.values(mine).some((line) => line.includes('mp=/srv/bulk')),
    'bulk was not carried over',
  );
  assert.ok(volumeOf(now, 'bulk')?.volid.includes(String(now.vmid)));
  assert.equal(waiting['protection'], '1');
  assert.match(waiting['net0'] ?? '', /link_down=1/);
  assert.ok(!Object.values(waiting).some((line) => line.includes('mp=/srv/bulk')));
  assert.deepEqual([await isRunning(now.vmid), await isRunning(old.vmid)], [true, false]);
  const restore = on.needs.restores.undoableOf(now.uid)[0];
  assert.ok(restore?.old !== undefined);
  return { old, now, restore, oldKept: restore.old };
}

step('a restore over a guest, undone: the old one is back with its bulk', noDigest, async (scene) => {
  const { on } = scene;
  const { old, now, restore } = await overwritten(scene);
  const loss = [...undoLossOf(restore, now)];
  completed(await on.run(undoRestore, { guest: refOf(now), sagaId: restore.id, loss, jobId: 'suite' }));
  const back = on.guest(kept);
  assert.equal(back.vmid, old.vmid);
  assert.equal(back.incarnation, now.incarnation + 1);
  const config = await configOf(back.vmid);
  assert.ok(Object.values(config).some((line) => line.includes('mp=/srv/bulk')));
  assert.equal(config['protection'] ?? '0', '0');
  assert.equal(config['onboot'], '1');
  assert.doesNotMatch(config['net0'] ?? '', /link_down=1/);
  assert.equal(await isRunning(back.vmid), true);
  await isGone(now.vmid);
  assert.equal(on.needs.restores.byId(restore.id)?.state, 'undone');
});

step('a restore over a guest, finished: exactly what was there before is freed', noDigest, async (scene) => {
  const { on } = scene;
  const { old, now, restore, oldKept } = await overwritten(scene);
  const loss = lossOf(oldKept);
  completed(await on.run(finishRestore, { guest: refOf(now), sagaId: restore.id, loss, jobId: 'suite' }));
  await isGone(old.vmid);
  assert.equal(await isRunning(now.vmid), true);
  assert.ok(Object.values(await configOf(now.vmid)).some((line) => line.includes('mp=/srv/bulk')));
  assert.equal(on.needs.restores.byId(restore.id)?.state, 'finished');
});

step('a backup that was signed away is deleted, by its bytes', noDigest, async ({ on }) => {
  const guest = on.guest(kept);
  const record = on.needs.catalogue.ofGuest(guest.uid).at(-1);
  assert.ok(record !== undefined);
  const wrong = { archive: record.archive, sha256: '0'.repeat(64) };
  assert.equal((await on.run(deleteBackup, { guest: refOf(guest), backup: wrong })).is, 'unwound');
  const { archive: gone, sha256 } = record;
  completed(await on.run(deleteBackup, { guest: refOf(guest), backup: { archive: gone, sha256 } }));
  const items = value(await pve.stores.contents(backupStorage, { content: 'backup' }, never));
  assert.ok(!items.some(({ volid }) => volid === gone));
});

// --------------------------------------------------------------------------------------------------- checkpoints

step('a guest goes back to its checkpoint, as a guest of a later incarnation', false, async ({ on, t }) => {
  const before = on.guest(plain);
  if (!value(await pve.snapshots.possible(before.vmid, never))) {
    t.skip(`${storage} cannot take snapshots`);
    return;
  }
  completed(await on.run(checkpointGuest, { guest: refOf(before), purpose: 'deploy' }));
  const [taken] = on.needs.checkpoints.of(before.uid);
  assert.equal(taken?.by, 'snapshot');
  const rows = value(await pve.snapshots.list(before.vmid, never));
  assert.deepEqual(
    rows.map(({ name, takenAt }) => ({ name, takenAt: (takenAt ?? 0) * 1000 })),
    [{ name: taken.name, takenAt: taken.takenAt }],
  );
  value(await pve.writer.configure(before.vmid, { set: { cores: '2' } }, never));
  completed(await on.run(rollBack, { guest: refOf(on.guest(plain)), checkpoint: taken.name }));
  const now = on.guest(plain);
  assert.equal(now.vmid, before.vmid);
  assert.equal(now.incarnation, before.incarnation + 1);
  const config = await configOf(now.vmid);
  assert.equal(config['cores'], '1');
  assert.match(config['description'] ?? '', new RegExp(`^felhom:${now.uid}\\.${now.incarnation}\\.`));
  assert.doesNotMatch(config['tags'] ?? '', /op-/);
  assert.equal(await isRunning(now.vmid), true);
  completed(await on.run(dropCheckpoint, { guest: refOf(now), checkpoint: taken.name }));
  assert.deepEqual(value(await pve.snapshots.list(now.vmid, never)), []);
});

step('where bulk would be taken back too, a checkpoint is a quick backup', noDigest, async ({ on }) => {
  const guest = on.guest(kept);
  completed(await on.run(checkpointGuest, { guest: refOf(guest), purpose: 'deploy' }));
  const [taken] = on.needs.checkpoints.of(guest.uid);
  assert.equal(taken?.by, 'backup');
  assert.deepEqual(value(await pve.snapshots.list(guest.vmid, never)), []);
  assert.equal(on.needs.catalogue.ofGuest(guest.uid).at(-1)?.class, 'checkpoint');
});
