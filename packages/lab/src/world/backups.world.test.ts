/** Backups against the fake node: what is counted, what is not and why, and what never goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backup, deleteBackup, pruneBackup, unprotectBackup } from '@felhom/agent';
import type { SagaEnd } from '@felhom/agent';
import type { Digest } from '@felhom/protocol';
import { createBackupBench, volidOf } from './backup-bench.ts';
import type { BackupBench } from './backup-bench.ts';

const codeOf = (end: SagaEnd): string => (end.is === 'completed' ? 'completed' : `${end.is} ${end.why.code}`);

const lockOf = ({ world, vmid }: BackupBench): string | undefined => world.node.guests.config(vmid).active.get('lock');

const markerIn = ({ world, vmid }: BackupBench): string | undefined =>
  /felhom:\S+/.exec(decodeURIComponent(world.node.guests.config(vmid).active.get('description') ?? ''))?.[0];

const markerOnRecord = (bench: BackupBench): string => {
  const { uid, incarnation, marker } = bench.guest();
  return `felhom:${uid}.${incarnation}.${marker}`;
};

async function bytesOf(bench: BackupBench, file: string): Promise<string | undefined> {
  const { disk, archives } = bench.world.node.storage;
  return (await disk.digestArchive(archives.diskPath('backup', file)))?.sha256;
}

/** Calls the node as root does, and waits for the task where there is one. */
async function asRoot(bench: BackupBench, path: string, params: Record<string, unknown>): Promise<string> {
  const { world } = bench;
  const answer = await world.clock.runUntil(
    world.node.handle({ method: 'POST', path: `/nodes/${world.node.name}${path}`, params, as: 'root@pam' }),
  );
  assert.equal(answer.status, 200, answer.reason);
  return String((answer.body as { data: unknown }).data);
}

/** Root's backup of the guest, which holds the node's one slot and has not touched the guest yet. */
async function stalledDump(bench: BackupBench): Promise<string> {
  // oxlint-disable-next-line unicorn/no-thenable -- the field is a word, nobody awaits a trap
  bench.world.node.tasks.trap({ type: 'vzdump', atLine: /starting new backup job/, action: 'stall' });
  const params = { vmid: bench.vmid, storage: 'backup', mode: 'snapshot', compress: 'zstd', remove: 0 };
  const upid = await asRoot(bench, '/vzdump', params);
  await bench.world.clock.settle();
  return upid;
}

test('a good backup is recorded with the bytes that lie there, and the archive holds a stale marker', async () => {
  const bench = await createBackupBench();
  const before = markerOnRecord(bench);
  assert.equal(codeOf(await bench.run(backup, bench.params({ slot: 7 }))), 'completed');
  const [record, ...more] = bench.records();
  const [archive] = bench.archives();
  assert.ok(record !== undefined && archive !== undefined);
  assert.deepEqual(more, []);
  assert.equal(record.archive, volidOf(archive.file));
  assert.equal(record.sha256, await bytesOf(bench, archive.file));
  assert.deepEqual(
    [record.mode, record.consistency, record.slot, record.risk.tokenCanRestore, record.risk.comesBackEmpty],
    ['snapshot', 'crash', 7, true, ['/srv/photos']],
  );
  assert.ok((record.capturedAt ?? 0) <= record.takenAt && record.startedAt <= (record.capturedAt ?? 0));
  assert.match(archive.notes ?? '', /^felhom [0-9a-f]{16} [a-z2-7]{16}$/);
  assert.ok(archive.notes?.endsWith(record.id));
  assert.ok(!archive.notes?.includes(bench.guest().uid) && !archive.notes?.includes(bench.guest().name));
  assert.notEqual(markerOnRecord(bench), before);
  assert.equal(markerIn(bench), markerOnRecord(bench));
  const archived = await bench.world.node.storage.archivedConfig(record.archive);
  assert.ok(
    archived.includes(before.slice('felhom:'.length)) || archived.includes(encodeURIComponent(before)),
    archived,
  );
  assert.equal(lockOf(bench), undefined);
});

test('an archive that is not what was written is not counted, and the reason says why', async () => {
  const cut = async (bench: BackupBench): Promise<void> => {
    // The first look at the listing is that of `finish`.
    bench.world.node.faults.add({
      method: 'GET',
      path: /storage\/backup\/content/,
      nth: 2,
      fault: {
        is: 'meanwhile',
        act: async () => {
          const [archive] = bench.archives();
          const { disk, archives } = bench.world.node.storage;
          const path = archives.diskPath('backup', archive?.file ?? '');
          await disk.writeArchive(path, [], 'zstd', Number.MAX_SAFE_INTEGER);
        },
      },
    });
  };
  const gone = async (bench: BackupBench): Promise<void> => {
    bench.world.node.faults.add({
      method: 'GET',
      path: /storage\/backup\/content/,
      nth: 2,
      fault: {
        is: 'meanwhile',
        act: async () => {
          const [archive] = bench.archives();
          const { disk, archives } = bench.world.node.storage;
          disk.removeFile(archives.diskPath('backup', archive?.file ?? ''));
        },
      },
    });
  };
  const elsewhere = async (bench: BackupBench): Promise<void> => {
    bench.device = 'the stick that is not plugged in';
  };
  const cases = {
    cut: [cut, 'backup.damaged'],
    gone: [gone, 'backup.not-listed'],
    elsewhere: [elsewhere, 'backup.wrong-device'],
  } as const;
  for (const [name, [prepare, code]] of Object.entries(cases)) {
    const bench = await createBackupBench();
    await prepare(bench);
    assert.equal(codeOf(await bench.run(backup, bench.params())), `unwound ${code}`, name);
    assert.deepEqual(bench.records(), [], name);
  }
});

test('a volume that cannot be snapshot makes Proxmox copy, which is noticed', async () => {
  const bench = await createBackupBench({
    guest: {
      volumes: [{ name: 'data', path: '/srv/data', storage: 'bulk', sizeGiB: 1, backup: true }],
    },
  });
  bench.leases.add(`${bench.guest().uid} lease`);
  assert.equal(codeOf(await bench.run(backup, bench.params({ lease: 'lease' }))), 'completed');
  const [record] = bench.records();
  assert.deepEqual([record?.mode, record?.consistency], ['suspend', 'app']);
  assert.match(record?.warnings.join() ?? '', /copied while the guest ran/);
});

test('with a lease the apps are told as soon as the storage holds the state, long before the end', async () => {
  const bench = await createBackupBench({ pace: { backupMs: 600_000 } });
  bench.leases.add(`${bench.guest().uid} lease`);
  const began = bench.world.clock.now();
  const { ended } = bench.life().runner.start(backup, bench.params({ lease: 'lease' }), bench.life().needs);
  assert.equal(await bench.world.until(() => bench.captured.length > 0, 60_000), true);
  assert.ok(bench.world.clock.now() - began < 20_000);
  bench.leases.clear();
  assert.equal(codeOf(await bench.ended(ended)), 'completed');
  const [record] = bench.records();
  assert.equal(record?.consistency, 'app');
  assert.ok((record?.takenAt ?? 0) - (record?.capturedAt ?? 0) > 500_000);
  assert.equal(record?.integrity?.is, 'ok', 'it was read back whole, so retention may rely on it');
});

test('a lost answer: the task is taken for what it is, and there is one backup', async () => {
  const bench = await createBackupBench({ pace: { backupMs: 120_000 } });
  bench.world.node.faults.add({ method: 'POST', path: /\/vzdump$/, fault: { is: 'drop', when: 'after' } });
  assert.equal(codeOf(await bench.run(backup, bench.params())), 'completed');
  assert.equal(bench.records().length, 1);
  assert.equal(bench.archives().length, 1);
});

test('a call that never arrived is made again, once', async () => {
  const bench = await createBackupBench();
  bench.world.node.faults.add({ method: 'POST', path: /\/vzdump$/, fault: { is: 'drop', when: 'before' } });
  assert.equal(codeOf(await bench.run(backup, bench.params())), 'completed');
  assert.equal(bench.archives().length, 1);
});

test("somebody else's backup of the same guest is told apart by the nonce, also when our answer was lost", async () => {
  const bench = await createBackupBench();
  const theirs = await stalledDump(bench);
  bench.world.node.faults.add({ method: 'POST', path: /\/vzdump$/, fault: { is: 'drop', when: 'after' } });
  const { ended } = bench.life().runner.start(backup, bench.params(), bench.life().needs);
  assert.equal(await bench.world.until(() => bench.world.node.tasks.running().length === 2, 60_000), true);
  bench.world.node.tasks.release(theirs);
  assert.equal(codeOf(await bench.ended(ended)), 'completed');
  const [record, ...more] = bench.records();
  assert.deepEqual(more, []);
  const ours = bench.archives().filter(({ notes }) => notes?.startsWith('felhom ') === true);
  assert.equal(bench.archives().length, 2);
  assert.deepEqual(
    ours.map(({ file }) => volidOf(file)),
    [record?.archive],
  );
});

test('a killed worker: no record, no lock, no snapshot is left', async () => {
  for (const atLine of [/create storage snapshot/, /creating vzdump archive/, /Total bytes written/]) {
    const bench = await createBackupBench();
    // oxlint-disable-next-line unicorn/no-thenable -- the field is a word, nobody awaits a trap
    bench.world.node.tasks.trap({ type: 'vzdump', atLine, action: 'kill' });
    assert.equal(codeOf(await bench.run(backup, bench.params())), 'unwound backup.failed', String(atLine));
    assert.deepEqual(bench.records(), []);
    assert.equal(lockOf(bench), undefined);
    assert.equal(bench.world.node.guests.config(bench.vmid).snapshots.has('vzdump'), false);
    assert.equal(codeOf(await bench.run(backup, bench.params())), 'completed');
  }
});

test('killed after all was written: the archive counts, and the guest is freed all the same', async () => {
  const bench = await createBackupBench();
  // oxlint-disable-next-line unicorn/no-thenable -- the field is a word, nobody awaits a trap
  bench.world.node.tasks.trap({ type: 'vzdump', atLine: /cleanup temporary/, action: 'kill' });
  const end = await bench.run(backup, bench.params());
  assert.equal(codeOf(end), 'completed');
  assert.equal(bench.records().length, 1);
  assert.equal(lockOf(bench), undefined);
  assert.equal(bench.world.node.guests.config(bench.vmid).snapshots.has('vzdump'), false);
  assert.equal(markerIn(bench), markerOnRecord(bench));
});

test('behind somebody else: shown while it waits, given up in time when apps stand still', async () => {
  const bench = await createBackupBench();
  const theirs = await stalledDump(bench);
  bench.leases.add(`${bench.guest().uid} lease`);
  const began = bench.world.clock.monotonicMs();
  const leased = bench.life().runner.start(backup, bench.params({ lease: 'lease' }), bench.life().needs);
  const waits = (): boolean =>
    bench
      .life()
      .runner.status()
      .some(({ progress }) => progress?.text.includes('waiting for another backup job') === true);
  assert.equal(await bench.world.until(waits, 60_000), true);
  const end = await bench.ended(leased.ended);
  assert.equal(codeOf(end), 'unwound backup.not-captured');
  assert.match(end.is === 'unwound' ? end.why.text : '', /behind another backup job/);
  const spent = bench.world.clock.monotonicMs() - began;
  assert.ok(spent >= 120_000 && spent < 150_000, String(spent));
  assert.deepEqual(
    bench.world.node.tasks.running().map(({ upid }) => upid),
    [theirs],
    'our own task is gone, theirs goes on',
  );
  // Without a lease it waits as long as it takes.
  const patient = bench.life().runner.start(backup, bench.params(), bench.life().needs);
  assert.equal(await bench.world.until(waits, 60_000), true);
  bench.world.node.tasks.release(theirs);
  assert.equal(codeOf(await bench.ended(patient.ended)), 'completed');
  assert.equal(bench.records()[0]?.consistency, 'crash');
});

test("somebody else's snapshot of the guest is not the moment from which our archive is", async () => {
  const bench = await createBackupBench({ pace: { backupMs: 600_000 } });
  const theirs = await stalledDump(bench);
  bench.leases.add(`${bench.guest().uid} lease`);
  const leased = bench.life().runner.start(backup, bench.params({ lease: 'lease' }), bench.life().needs);
  await bench.world.until(() => bench.world.node.tasks.running().length === 2, 30_000);
  bench.world.node.tasks.release(theirs);
  const seen = (): boolean => bench.world.node.guests.config(bench.vmid).snapshots.has('vzdump');
  assert.equal(await bench.world.until(seen, 30_000), true);
  assert.equal(
    await bench.world.until(() => bench.captured.length > 0, 30_000),
    false,
    'its apps go on standing still',
  );
  assert.equal(codeOf(await bench.ended(leased.ended)), 'unwound backup.not-captured');
});

test('a lease that ended is no lease', async () => {
  const bench = await createBackupBench();
  assert.equal(codeOf(await bench.run(backup, bench.params({ lease: 'lease' }))), 'unwound backup.lease-ended');
  assert.deepEqual(bench.archives(), []);
});

/** What happens to the node while the agent is away. */
const meanwhile: Readonly<Record<string, (bench: BackupBench) => Promise<void>>> = {
  nothing: async () => undefined,
  'its worker is killed': async ({ world }) => {
    for (const { upid } of world.node.tasks.running()) world.node.tasks.kill(upid);
  },
  'the node reboots': ({ world }) => world.clock.runUntil(world.node.reboot()),
};

for (const [what, act] of Object.entries(meanwhile))
  test(`a power cut at any moment, and ${what} meanwhile: one backup or none, and nothing left behind`, async () => {
    // Where the cuts are, one undisturbed run tells.
    const model = await createBackupBench();
    const first = model.boot(() => false);
    assert.equal(codeOf(await model.run(backup, model.params())), 'completed');
    const places = [...first.power.reached];
    assert.ok(places.length > 20);
    const where =
      what === 'nothing'
        ? places
        : places.filter((place) => / (?:dump|capture|finish) /.test(place.replaceAll(/[^a-z-]/g, ' ')));
    assert.ok(where.length > 8, places.join());
    for (const place of where) {
      const bench = await createBackupBench();
      const { power, runner, needs } = bench.boot((point) => point === place);
      void runner.start(backup, bench.params(), needs);
      assert.equal(await bench.world.until(() => power.off.aborted, 600_000), true, `no cut at ${place}`);
      await act(bench);
      const ends = await Promise.all(bench.boot().recovered.map((ended) => bench.ended(ended).then(codeOf)));
      const good = ends.filter((end) => end === 'completed').length;
      assert.deepEqual(
        ends.filter((end) => !['completed', 'unwound backup.failed'].includes(end)),
        [],
        place,
      );
      if (what === 'nothing') assert.equal(good, ends.length, place);
      assert.equal(bench.records().length, good, place);
      assert.equal(bench.archives().length, good, place);
      assert.equal(markerIn(bench), markerOnRecord(bench), place);
      assert.equal(lockOf(bench), undefined, place);
      assert.equal(bench.world.node.guests.config(bench.vmid).snapshots.has('vzdump'), false, place);
    }
  });

test('pruning takes exactly one, and never what is protected or kept', async () => {
  const bench = await createBackupBench();
  for (const _ of [1, 2, 3]) assert.equal(codeOf(await bench.run(backup, bench.params())), 'completed');
  const [oldest, middle, newest] = bench.records();
  assert.ok(oldest !== undefined && middle !== undefined && newest !== undefined);
  const paramsOf = (record: typeof oldest) => ({
    guest: bench.params().guest,
    backup: { id: record.id, archive: record.archive, sha256: record.sha256 },
  });
  bench.mayPrune = (record) => record.id !== newest.id;
  assert.equal(codeOf(await bench.run(pruneBackup, paramsOf(newest))), 'unwound backup.kept');
  const keep = await bench.world.clock.runUntil(
    bench.life().needs.backups.protect(middle.archive, true, AbortSignal.timeout(9_999)),
  );
  assert.equal(keep.is, 'done');
  assert.equal(codeOf(await bench.run(pruneBackup, paramsOf(middle))), 'unwound backup.kept');
  bench.world.node.faults.add({ method: 'DELETE', path: /content/, fault: { is: 'drop', when: 'after' } });
  assert.equal(codeOf(await bench.run(pruneBackup, paramsOf(oldest))), 'completed');
  assert.deepEqual(
    bench.archives().map(({ file }) => volidOf(file)),
    [middle.archive, newest.archive],
  );
  assert.deepEqual(
    bench.records().map(({ id }) => id),
    [middle.id, newest.id],
  );
  assert.equal(codeOf(await bench.run(pruneBackup, paramsOf(oldest))), 'unwound backup.not-on-record');
});

test('what changes between the decision and the call keeps the backup', async () => {
  const bench = await createBackupBench();
  assert.equal(codeOf(await bench.run(backup, bench.params())), 'completed');
  const [record] = bench.records();
  assert.ok(record !== undefined);
  const { guest } = bench.params();
  const { id, archive, sha256 } = record;
  let asked = 0;
  bench.mayPrune = () => (asked += 1) === 1;
  const pruned = await bench.run(pruneBackup, { guest, backup: { id, archive, sha256 } });
  assert.equal(codeOf(pruned), 'parked saga-parked');
  assert.equal(bench.archives().length, 1);

  const other = await createBackupBench();
  assert.equal(codeOf(await other.run(backup, other.params())), 'completed');
  const [signed] = other.records();
  assert.ok(signed !== undefined);
  const { archives, disk } = other.world.node.storage;
  other.world.node.faults.add({
    method: 'GET',
    path: /storage\/backup\/content/,
    nth: 2,
    fault: {
      is: 'meanwhile',
      act: async () => disk.damageArchive(archives.volidPath(signed.archive) ?? ''),
    },
  });
  const job = { guest: other.params().guest, backup: { archive: signed.archive, sha256: signed.sha256 } };
  assert.equal(codeOf(await other.run(deleteBackup, job)), 'parked saga-parked');
  assert.equal(other.archives().length, 1);
});

test('what is signed for is deleted by its bytes', async () => {
  const bench = await createBackupBench();
  for (const _ of [1, 2]) assert.equal(codeOf(await bench.run(backup, bench.params())), 'completed');
  const [first, second] = bench.records();
  assert.ok(first !== undefined && second !== undefined);
  const { guest } = bench.params();
  const signed = (archive: typeof first.archive, sha256: Digest) => ({ guest, backup: { archive, sha256 } });
  const wrong = signed(first.archive, 'ab'.repeat(32) as Digest);
  assert.equal(codeOf(await bench.run(deleteBackup, wrong)), 'unwound job.changed');
  const { archives, disk } = bench.world.node.storage;
  disk.damageArchive(archives.volidPath(first.archive) ?? '');
  assert.equal(codeOf(await bench.run(deleteBackup, signed(first.archive, first.sha256))), 'unwound job.changed');
  await bench.world.clock.runUntil(
    bench.life().needs.backups.protect(second.archive, true, AbortSignal.timeout(9_999)),
  );
  const right = signed(second.archive, second.sha256);
  assert.equal(codeOf(await bench.run(deleteBackup, right)), 'unwound gate.holds-data');
  assert.equal(codeOf(await bench.run(unprotectBackup, right)), 'completed');
  assert.equal(codeOf(await bench.run(deleteBackup, right)), 'completed');
  assert.deepEqual(
    bench.records().map(({ id }) => id),
    [first.id],
  );
  assert.equal(bench.archives().length, 1);
});
