/** Backups, snapshots and hand-overs of guests of this suite, call by call; each test needs the one before it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { GuestUid, Vmid, VolumeId } from '@felhom/protocol';
import { backupWarrantFor, parseMarker, rollbackWarrantFor, volumesInConfig } from '../../src/authority/index.ts';
import type { DeleteBackupWarrant, RollbackWarrant } from '../../src/authority/warrant.ts';
import type { TaskEnd } from '../../src/ports/proxmox.ts';
import { codeOf, never, nodeUnderTest, value } from './node-under-test.ts';

const node = await nodeUnderTest();
const { pve, settings, storage, backupStorage } = node;
before(() => node.cleanUp());
after(async () => {
  await node.cleanUp();
  await node.close();
});

let vmid = 0 as Vmid;
let beside = 0 as Vmid;
let snapshots: boolean | undefined;
const notes = node.backupNotes();
const snapshot = 'felhom-test-1';

/** A step on the guest that the first test restored; without one there is nothing to say about it. */
function step(name: string, timeoutSeconds: number, body: (t: TestContext) => Promise<void>): void {
  test(name, { timeout: timeoutSeconds * 1_000 }, async (t) => {
    if (vmid === 0) t.skip('no guest was restored');
    else await body(t);
  });
}

function snapshotStep(name: string, body: (t: TestContext) => Promise<void>): void {
  step(name, 180, async (t) => {
    if (snapshots === true) await body(t);
    else t.skip(`${storage} cannot take snapshots of this guest`);
  });
}

const good = (end: TaskEnd): void =>
  assert.ok(end.verdict.is === 'ok' || end.verdict.is === 'warnings', end.logTail.join('\n'));
/** It failed, and says so in these words. */
const failedWith = (end: TaskEnd, words: RegExp): void => {
  assert.equal(end.verdict.is, 'failed', JSON.stringify(end));
  assert.match(end.verdict.is === 'failed' ? `${end.verdict.exitStatus}\n${end.logTail.join('\n')}` : '', words);
};

async function restored(): Promise<Vmid> {
  const id = await node.freeVmid();
  const call = { vmid: id, archive: node.archive, pool: settings.pool, storage, values: node.markedValues() };
  good(await node.wait(await pve.writer.restore(call, never)));
  return id;
}

test('two guests to work on, one with a volume that no backup holds', { timeout: 900_000 }, async () => {
  const first = await restored();
  beside = await restored();
  value(await pve.writer.configure(first, { set: { mp1: `${storage}:1,mp=/srv/felhom-bulk,backup=0` } }, never));
  vmid = first;
});

const listedNow = async () => {
  const items = value(await pve.stores.contents(backupStorage, { content: 'backup', vmid }, never));
  return items.find((item) => item.notes === notes);
};

// ------------------------------------------------------------------------------------------------------ backups

step('a backup by this token, without Datastore.Allocate, is known by its notes', 900, async (t) => {
  const since = value(await pve.facts.time(never)) - 1;
  const upid = value(await pve.backups.backup({ vmid, storage: backupStorage, mode: 'snapshot', notes }, never));
  assert.ok(upid !== undefined, 'Proxmox says that the guest is not on this node');
  assert.match(upid, new RegExp(`:vzdump:${vmid}:`));
  const end = value(await pve.tasks.wait(upid, { onProgress: (line) => t.diagnostic(line) }, never));
  good(end);
  const item = await listedNow();
  assert.ok(item !== undefined, `no archive with the notes "${notes}" is listed on ${backupStorage}`);
  assert.equal(item.vmid, vmid);
  assert.ok(item.sizeBytes > 0);
  assert.equal(item.protected, false);
  const found = value(await pve.tasks.find({ vmid, type: 'vzdump', sinceSeconds: since }, never));
  assert.ok(found.some((row) => row.upid === upid && row.user === settings.token.split('=')[0]));
  assert.equal((await node.configOf(vmid)).lock, undefined);
});

step('the archive holds the config, marker and all', 120, async () => {
  const item = await listedNow();
  assert.ok(item !== undefined);
  const archived = value(await pve.stores.extractConfig(item.volid, never));
  // Proxmox writes notes above the settings, `:` percent-encoded (PVE: Tools.pm encode_text).
  assert.match(archived, new RegExp(`^#${node.markedValues()['description']?.replace(':', '%3A')}$`, 'm'));
  assert.match(archived, /^mp1: .*backup=0/m);
});

step('root reads the archive back', 900, async (t) => {
  const item = await listedNow();
  assert.ok(item !== undefined);
  const digest = await node.digestOf(item.volid);
  if (digest.is === 'absent') t.skip(digest.why);
  else {
    assert.match(digest.sha256, /^[0-9a-f]{64}$/);
    assert.equal(digest.kind === 'file' ? digest.sizeBytes : item.sizeBytes, item.sizeBytes);
  }
});

step('what prunes or needs Datastore.Allocate is refused to this token', 60, async () => {
  const held = value(await pve.facts.permissions(never));
  const paths = [...held].filter(([, privileges]) => privileges.has('Datastore.Allocate')).map(([path]) => path);
  assert.deepEqual(paths, []);
});

step('a backup of a guest that is not there fails, and on a storage that is not there too', 300, async () => {
  const call = { vmid: await node.freeVmid(), storage: backupStorage, mode: 'snapshot', notes } as const;
  const nobody = await pve.backups.backup(call, never);
  if (nobody.is === 'done' && nobody.value !== undefined) failedWith(await node.wait(nobody), /unable to find|errors/);
  const nowhere = await pve.backups.backup({ ...call, vmid, storage: 'felhom-nosuch' as typeof storage }, never);
  if (nowhere.is === 'done') failedWith(await node.wait(nowhere), /does not exist/);
  else assert.equal(codeOf(nowhere), 'refused pve.forbidden');
});

const toDelete = (archive: VolumeId): DeleteBackupWarrant => {
  const guest = parseMarker(node.markedValues()['description']);
  assert.ok(guest.is === 'present');
  const decision = backupWarrantFor(
    { guest: guest.uid as GuestUid, archive, sha256: '0'.repeat(64) as DeleteBackupWarrant['sha256'] },
    { listed: true, protected: false, sha256: undefined },
    { by: 'retention' },
  );
  assert.ok(decision.is === 'warranted');
  return decision.warrant;
};

step('a protected archive is not deleted, whoever asks', 120, async () => {
  const item = await listedNow();
  assert.ok(item !== undefined);
  value(await pve.backups.protect(item.volid, true, never));
  assert.equal((await listedNow())?.protected, true);
  const deleting = await pve.remover.remove(toDelete(item.volid), never);
  if (deleting.is === 'done' && deleting.value !== undefined) failedWith(await node.wait(deleting), /protected/);
  assert.notEqual(await listedNow(), undefined);
  value(await pve.backups.protect(item.volid, false, never));
  assert.equal((await listedNow())?.protected, false);
});

step('an archive is deleted, and one that is gone already is no error', 120, async () => {
  const item = await listedNow();
  assert.ok(item !== undefined);
  for (let times = 0; times < 2; times += 1) {
    const deleting = value(await pve.remover.remove(toDelete(item.volid), never));
    if (deleting !== undefined) good(value(await pve.tasks.wait(deleting, {}, never)));
    assert.equal(await listedNow(), undefined);
  }
});

// ---------------------------------------------------------------------------------------------------- snapshots

step('whether the guest can have snapshots is asked, and told in its task where it cannot', 120, async (t) => {
  // The bulk volume lies on the same storage, so it decides nothing here.
  snapshots = value(await pve.snapshots.possible(vmid, never));
  t.diagnostic(`snapshots on ${storage}: ${snapshots ? 'yes' : 'no'}`);
  assert.deepEqual(value(await pve.snapshots.list(vmid, never)), []);
  if (snapshots) return;
  const taking = await pve.snapshots.take(vmid, snapshot, 'felhom test', never);
  failedWith(await node.wait(taking), /snapshot feature is not available/);
  assert.deepEqual(value(await pve.snapshots.list(vmid, never)), []);
});

step('names that Proxmox does not take are refused', 60, async () => {
  for (const name of ['a', '2024-01-01', 'with space', 'x'.repeat(41), 'current'])
    assert.equal(codeOf(await pve.snapshots.take(vmid, name, 'x', never)), 'refused pve.invalid-parameter', name);
});

snapshotStep('a snapshot is taken once, listed with its time, and holds the config', async () => {
  const upid = value(await pve.snapshots.take(vmid, snapshot, 'felhom test', never));
  assert.match(upid, new RegExp(`:vzsnapshot:${vmid}:`));
  good(value(await pve.tasks.wait(upid, {}, never)));
  const again = await pve.snapshots.take(vmid, snapshot, 'felhom test', never);
  failedWith(await node.wait(again), /already used/);
  const [row, ...others] = value(await pve.snapshots.list(vmid, never));
  assert.deepEqual(others, []);
  assert.equal(row?.name, snapshot);
  assert.equal(row?.description, 'felhom test');
  assert.equal(row?.state, undefined);
  assert.ok(Math.abs((row?.takenAt ?? 0) - value(await pve.facts.time(never))) < 120);
  const config = value(await pve.snapshots.config(vmid, snapshot, never));
  const live = await node.configOf(vmid);
  assert.deepEqual(volumesInConfig(config).config, volumesInConfig(live.values).config);
});

snapshotStep('a rollback takes tags and settings back, and leaves the notes with their marker', async () => {
  const { description } = (await node.configOf(vmid)).values;
  const later = `${description?.trim()}\nlater`;
  value(await pve.writer.configure(vmid, { set: { description: later, tags: 'op-felhom', memory: '320' } }, never));
  const upid = value(await pve.snapshots.rollback(await rollbackWarrant(), never));
  assert.match(upid, new RegExp(`:vzrollback:${vmid}:`));
  good(value(await pve.tasks.wait(upid, {}, never)));
  const { values, lock } = await node.configOf(vmid);
  assert.equal(lock, undefined);
  assert.equal(values['parent'], snapshot);
  assert.equal(values['memory'], '256');
  assert.notEqual(values['tags']?.includes('op-felhom'), true);
  assert.equal(values['description']?.trim(), later);
});

async function rollbackWarrant(name = snapshot): Promise<RollbackWarrant> {
  const { values } = await node.configOf(vmid);
  const marker = parseMarker(values['description']);
  assert.ok(marker.is === 'present');
  const record = { vmid, uid: marker.uid as GuestUid, incarnation: marker.incarnation, marker: marker.n, volumes: [] };
  const volumes = volumesInConfig(value(await pve.snapshots.config(vmid, snapshot, never))).config;
  const decision = rollbackWarrantFor(record, { name, volumes }, { vmid, marker }, volumes);
  assert.ok(decision.is === 'warranted');
  return decision.warrant;
}

snapshotStep('a rollback to what is not there changes nothing', async () => {
  const before = await node.configOf(vmid);
  failedWith(await node.wait(await pve.snapshots.rollback(await rollbackWarrant('felhom-nosuch'), never)), /not exist/);
  assert.deepEqual(await node.configOf(vmid), before);
});

snapshotStep('a snapshot is dropped; one that is not there fails in its task', async () => {
  const dropping = await pve.snapshots.drop(vmid, snapshot, { force: false }, never);
  assert.match(value(dropping), new RegExp(`:vzdelsnapshot:${vmid}:`));
  good(await node.wait(dropping));
  assert.deepEqual(value(await pve.snapshots.list(vmid, never)), []);
  failedWith(await node.wait(await pve.snapshots.drop(vmid, snapshot, { force: false }, never)), /does not exist/);
  assert.equal(codeOf(await pve.snapshots.config(vmid, snapshot, never)), 'refused pve.snapshot-absent');
});

// ---------------------------------------------------------------------------------------------------- hand-over

step('a volume is handed to another guest and back, with its options', 180, async () => {
  const from = { vmid, key: 'mp1' };
  const to = { vmid: beside, key: 'mp1' };
  for (const [source, target] of [
    [from, to],
    [to, from],
  ] as const) {
    const upid = value(await pve.mover.reassign(source, target, never));
    assert.match(upid, new RegExp(`:move_volume:${source.vmid}-mp1>${target.vmid}-mp1:`));
    good(value(await pve.tasks.wait(upid, {}, never)));
    assert.equal((await node.configOf(source.vmid)).values['mp1'], undefined);
    const line = (await node.configOf(target.vmid)).values['mp1'] ?? '';
    assert.match(line, /mp=\/srv\/felhom-bulk/);
    assert.match(line, /backup=0/);
    assert.ok(line.includes(String(target.vmid)), 'the volume carries the number of its new guest');
  }
});

step('a key that is not there, or taken on the other side, is not handed over', 120, async () => {
  value(await pve.writer.configure(beside, { set: { mp1: `${storage}:1,mp=/srv/felhom-other,backup=0` } }, never));
  const both = async () => [(await node.configOf(vmid)).values, (await node.configOf(beside)).values];
  const before = await both();
  for (const key of ['mp1', 'mp7']) {
    const outcome = await pve.mover.reassign({ vmid, key }, { vmid: beside, key }, never);
    if (outcome.is === 'done') assert.equal((await node.wait(outcome)).verdict.is, 'failed');
    assert.deepEqual(await both(), before);
  }
});
