/** Targets by signed jobs, from the hub's mailbox to root: what is needed for it stands in the host's own report. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verifyChain } from '@felhom/protocol';
import type { Report, ReportedJob } from '@felhom/protocol';
import { createSimWorld } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const minute = 60_000;

const reportOf = (world: SimWorld): Report => world.life()?.agent.report() ?? assert.fail('no agent runs');
const target = (world: SimWorld, name: string) =>
  reportOf(world).targets.find((one) => one.name === name) ?? assert.fail(`${name} is not reported`);
const bound = (world: SimWorld, name: string) => {
  const { binding } = target(world, name);
  return { target: name, ...(binding ?? assert.fail('the report says nothing of it')) };
};

async function running(attach: (world: SimWorld) => Promise<unknown>): Promise<SimWorld> {
  const world = await createSimWorld({ seed: 5, policy: { backups: { targets: {} } } });
  await world.clock.runUntil(attach(world));
  world.hub.publish([]);
  world.boot();
  const isHeard = (): boolean => world.hub.lastReport()?.targets[0]?.state === 'attached';
  assert.ok(await world.until(isHeard, 10 * minute));
  return world;
}

async function ends(world: SimWorld, job: { readonly jobId: string; readonly envelope: string }): Promise<ReportedJob> {
  world.hub.mail(job.envelope);
  const of = (): ReportedJob | undefined => reportOf(world).jobs.find(({ jobId }) => jobId === job.jobId);
  await world.until(() => ['done', 'refused', 'failed', 'waiting'].includes(of()?.state ?? ''), 10 * minute);
  return of() ?? assert.fail('the job is not reported');
}

test('a disk is detached by one person and wiped by two, and the record of it is whole', async () => {
  const world = await running((made) => made.targets.attach('usb1'));
  const { alice, bob } = world.people;
  const mark = world.targets.manifest().targets[0]?.mark ?? assert.fail('it has no mark');
  assert.ok(
    !JSON.stringify(reportOf(world)).includes(mark),
    'whoever reads a report could make a copy that has its mark',
  );
  const early = await ends(world, world.sign('target-wipe', bound(world, 'usb1'), [alice, bob]));
  assert.equal(early.state, 'failed');
  assert.match(early.text, /it is in use; detach it first/);
  assert.equal((await ends(world, world.sign('target-detach', bound(world, 'usb1'), [alice]))).state, 'done');
  assert.ok(await world.until(() => target(world, 'usb1').state === 'decommissioned', minute));
  const alone = await ends(world, world.sign('target-wipe', bound(world, 'usb1'), [bob]));
  assert.deepEqual([alone.state, alone.missing], ['waiting', 1]);
  assert.equal(world.targets.state('usb1').disk?.mark, mark);
  const job = world.sign('target-wipe', bound(world, 'usb1'), [alice, bob]);
  assert.equal((await ends(world, job)).state, 'done');
  assert.equal(world.targets.state('usb1').disk?.mark, undefined);
  assert.ok(await world.until(() => reportOf(world).targets.length === 0, minute));
  assert.equal(world.targets.manifest().wiped?.[0]?.name, 'usb1');
  const { entries, head } = world.life()?.agent.auditFrom(1) ?? assert.fail('no agent');
  assert.deepEqual(verifyChain(entries), { is: 'whole', head });
  assert.ok(JSON.stringify(entries).includes(job.jobId), 'the audit log does not name the job');
});

test('a job about what was reported before does nothing to what is there now', async () => {
  const world = await running((made) => made.targets.attach('usb1'));
  const { alice, bob } = world.people;
  assert.equal((await ends(world, world.sign('target-detach', bound(world, 'usb1'), [alice]))).state, 'done');
  const other = { ...bound(world, 'usb1'), serial: 'ANOTHER' };
  const refused = await ends(world, world.sign('target-wipe', other, [alice, bob]));
  assert.equal(refused.state, 'failed');
  assert.match(refused.text, /another one than was signed for/);
  assert.equal(world.targets.manifest().targets.length, 1);
});

test('a NAS that moved is told as away, and is back under its name once its new address is signed', async () => {
  const world = await running((made) => made.targets.attachShare('nas', '10.0.0.5'));
  const { alice } = world.people;
  const [was] = world.targets.manifest().targets;
  assert.ok(was?.target.type === 'nfs');
  const { storage } = target(world, 'nas');
  const declaration = { ...was.target, server: '10.0.0.9' };
  world.node.storage.hardware.add({ id: 'nfs:10.0.0.9:/export', capacityBytes: 2 ** 40 });
  const before = bound(world, 'nas');
  assert.equal((await ends(world, world.sign('target-re-point', { ...before, declaration }, [alice]))).state, 'done');
  const isThere = (): boolean =>
    target(world, 'nas').identity === 'nfs:10.0.0.9:/export' && target(world, 'nas').state === 'attached';
  assert.ok(await world.until(isThere, 5 * minute), JSON.stringify(target(world, 'nas')));
  assert.equal(target(world, 'nas').storage, storage);
  assert.ok(!reportOf(world).findings.some(({ key }) => key.startsWith('storage.')));
  // What was signed for the old address is good for nothing any more.
  const stale = await ends(world, world.sign('target-detach', before, [alice]));
  assert.match(stale.text, /another one than was signed for/);
});
