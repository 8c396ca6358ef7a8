/** Signed work end to end in a simulated world: what one order does, once, over crashes, and what takes it back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verifyChain } from '@felhom/protocol';
import type { ReportedJob, TrustDocument } from '@felhom/protocol';
import { labGuest } from './desired.ts';
import { sealed } from './sign-job.ts';
import { createSimWorld } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const minute = 60_000;
const hour = 60 * minute;

async function worldOf(names: readonly string[], seed = 7): Promise<SimWorld> {
  const world = await createSimWorld({
    seed,
    guestRange: 6,
    policy: { removal: { coolOffMinutes: 4, quarantineHours: 0.1 } },
  });
  world.hub.publish(names.map((name) => labGuest(name)));
  world.boot();
  const up = await world.until(() => world.life()?.agent.report().converged === true, 10 * minute);
  assert.ok(up, `did not converge: ${JSON.stringify(world.life()?.agent.report())}`);
  return world;
}

const jobOf = (world: SimWorld, id: string): ReportedJob | undefined =>
  world
    .life()
    ?.agent.report()
    .jobs.find(({ jobId }) => jobId === id);

async function reaches(world: SimWorld, id: string, state: ReportedJob['state'], ms: number): Promise<ReportedJob> {
  const end = world.clock.monotonicMs() + ms;
  while (jobOf(world, id)?.state !== state) {
    assert.ok(world.clock.monotonicMs() < end, `job is ${JSON.stringify(jobOf(world, id))}, not ${state}`);
    await world.clock.advance(Math.min(5_000, Math.max(250, ms / 200)));
  }
  const job = jobOf(world, id);
  assert.ok(job !== undefined);
  return job;
}

const recordOf = (world: SimWorld, name: string) => {
  const record = world
    .life()
    ?.agent.guests()
    .find((guest) => guest.name === name);
  assert.ok(record !== undefined, `no guest ${name} on record`);
  return record;
};

function decommission(world: SimWorld, name: string, people: readonly (keyof SimWorld['people'])[]) {
  const { uid, incarnation, volumes } = recordOf(world, name);
  return world.sign(
    'decommission',
    { guest: { uid, incarnation }, lossSet: volumes.map(({ volid }) => volid).toSorted(), backups: 'keep' },
    people.map((person) => world.people[person]),
  );
}

test('a decommissioned guest cools off, is cut off, and is then gone with exactly its volumes', async () => {
  const world = await worldOf(['photos', 'web']);
  const photos = recordOf(world, 'photos');
  const web = recordOf(world, 'web');
  const job = decommission(world, 'photos', ['alice', 'bob']);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'cooling-off', 2 * minute);
  await world.clock.advance(3 * minute);
  assert.ok(world.node.guests.isRunning(photos.vmid), 'nothing happens before the cool-off is over');
  world.hub.publish([labGuest('web')]);
  await reaches(world, job.jobId, 'quarantine', 10 * minute);
  assert.ok(!world.node.guests.isRunning(photos.vmid));
  await world.clock.advance(5 * minute);
  assert.ok(world.node.guests.exists(photos.vmid), 'nothing is freed before the quarantine is over');
  await reaches(world, job.jobId, 'done', 10 * minute);
  assert.ok(!world.node.guests.exists(photos.vmid));
  assert.deepEqual(world.node.storage.volumesOf(photos.vmid), []);
  assert.equal(world.node.storage.volumesOf(web.vmid).length, web.volumes.length);
  assert.ok(world.node.guests.isRunning(web.vmid));
  assert.equal(world.life()?.agent.guests().length, 1);
  const { entries, head } = world.life()?.agent.auditFrom(1) ?? assert.fail('no agent');
  assert.deepEqual(verifyChain(entries), { is: 'whole', head });
});

test('a guest that desired state still wants is left alone while it is being removed', async () => {
  const world = await worldOf(['photos']);
  const photos = recordOf(world, 'photos');
  const job = decommission(world, 'photos', ['alice', 'bob']);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'quarantine', 15 * minute);
  await world.clock.advance(3 * minute);
  assert.ok(!world.node.guests.isRunning(photos.vmid));
  assert.match(world.host.rawConfig(photos.vmid) ?? '', /^onboot: 0$/m);
  world.hub.publish([]);
  await reaches(world, job.jobId, 'done', 15 * minute);
});

test('out of the quarantine a guest comes back as it was, on the word of any one signer', async () => {
  const world = await worldOf(['photos']);
  const photos = recordOf(world, 'photos');
  const before = world.host.rawConfig(photos.vmid);
  const job = decommission(world, 'photos', ['alice', 'carol']);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'quarantine', 15 * minute);
  const cancel = world.sign('cancel', { job: job.jobId }, [world.people.bob]);
  world.hub.mail(cancel.envelope);
  await reaches(world, cancel.jobId, 'done', 5 * minute);
  await reaches(world, job.jobId, 'cancelled', 2 * minute);
  assert.ok(world.node.guests.isRunning(photos.vmid));
  assert.equal(world.host.rawConfig(photos.vmid), before);
  await world.clock.advance(20 * minute);
  assert.ok(world.node.guests.isRunning(photos.vmid), 'and stays');
});

test('one person is not enough to remove a guest; the signature of a second one goes on from there', async () => {
  const world = await worldOf(['photos']);
  const alone = decommission(world, 'photos', ['alice']);
  world.hub.mail(alone.envelope);
  const waiting = await reaches(world, alone.jobId, 'waiting', 2 * minute);
  await world.clock.advance(minute);
  assert.equal(jobOf(world, alone.jobId)?.missing, 1, waiting.text);
  const twice = sealed(alone.payload, [world.people.alice, world.people.alice]);
  world.hub.mail(twice);
  await world.clock.advance(minute);
  assert.equal(jobOf(world, alone.jobId)?.state, 'waiting', 'the same person twice is one person');
  world.hub.mail(sealed(alone.payload, [world.people.bob]));
  const accepted = await reaches(world, alone.jobId, 'cooling-off', 2 * minute);
  assert.deepEqual(accepted.by, ['alice', 'bob']);
});

test('an approved change of a guest that serves happens once; asked again, it needs another signature', async () => {
  const world = await worldOf(['photos']);
  const photos = recordOf(world, 'photos');
  const smaller = (memoryMiB: number) => world.hub.publish([labGuest('photos', { memoryMiB })]);
  const blocked = () =>
    world
      .life()
      ?.agent.report()
      .blocked.find(({ document }) => document.verb === 'memory-down');
  smaller(256);
  assert.ok(await world.until(() => blocked() !== undefined, 2 * minute));
  const { digest } = blocked() ?? assert.fail('not blocked');
  await world.clock.advance(minute);
  const approval = world.sign('approve', { digest }, [world.people.carol]);
  for (let n = 0; n < 3; n += 1) world.hub.mail(approval.envelope);
  await reaches(world, approval.jobId, 'done', 5 * minute);
  assert.match(world.host.rawConfig(photos.vmid) ?? '', /^memory: 256$/m);
  smaller(512);
  assert.ok(await world.until(() => /^memory: 512$/m.test(world.host.rawConfig(photos.vmid) ?? ''), 5 * minute));
  smaller(256);
  assert.ok(await world.until(() => blocked() !== undefined, 5 * minute), 'the approval was for once');
  world.hub.mail(approval.envelope);
  await world.clock.advance(5 * minute);
  assert.match(world.host.rawConfig(photos.vmid) ?? '', /^memory: 512$/m);
});

test('a job that is delivered a thousand times, across power losses, runs once', async () => {
  const world = await worldOf(['photos', 'web']);
  const photos = recordOf(world, 'photos');
  const job = decommission(world, 'photos', ['alice', 'bob']);
  const answer = Array.from({ length: 30 }, () => job.envelope);
  const delivered: string[] = [];
  world.hub.twist = (poll) => {
    delivered.push(...answer);
    return { ...poll, envelopes: answer };
  };
  world.hub.publish([labGuest('web')]);
  for (let life = 0; life < 12; life += 1) {
    await world.clock.advance((life % 4) * 20_000 + 35_000);
    world.cut();
    world.boot();
  }
  await reaches(world, job.jobId, 'done', hour);
  while (delivered.length < 1000) await world.clock.advance(minute);
  const destroys = world.node.tasks.all().filter(({ parts }) => parts.type === 'vzdestroy');
  assert.equal(destroys.length, 1);
  assert.equal(destroys[0]?.parts.id, String(photos.vmid));
  assert.equal(world.life()?.agent.report().jobs.length, 1);
  assert.ok(world.node.guests.isRunning(recordOf(world, 'web').vmid));
});

test('a hold by signature stops changes until a signature lifts it', async () => {
  const world = await worldOf(['photos']);
  const photos = recordOf(world, 'photos');
  const hold = world.sign('hold', { scope: 'host', set: true }, [world.people.alice]);
  world.hub.mail(hold.envelope);
  await reaches(world, hold.jobId, 'done', 2 * minute);
  world.hub.publish([labGuest('photos', { memoryMiB: 1024 })]);
  await world.clock.advance(5 * minute);
  assert.match(world.host.rawConfig(photos.vmid) ?? '', /^memory: 512$/m);
  assert.equal(world.life()?.agent.report().hold, true);
  world.cut();
  world.boot();
  await world.clock.advance(2 * minute);
  assert.match(world.host.rawConfig(photos.vmid) ?? '', /^memory: 512$/m, 'a restart forgets no hold');
  const release = world.sign('hold', { scope: 'host', set: false }, [world.people.bob]);
  world.hub.mail(release.envelope);
  await reaches(world, release.jobId, 'done', 2 * minute);
  assert.ok(await world.until(() => /^memory: 1024$/m.test(world.host.rawConfig(photos.vmid) ?? ''), 5 * minute));
});

test('the next trust document is the one that was signed, and voids what its signers cannot sign any more', async () => {
  const world = await worldOf(['photos']);
  const trust = world.life()?.agent.report().trust;
  assert.ok(trust?.is === 'held');
  const queued = decommission(world, 'photos', ['alice', 'carol']);
  world.hub.mail(queued.envelope);
  await reaches(world, queued.jobId, 'cooling-off', 2 * minute);
  const document: TrustDocument = {
    ...trust.document,
    version: trust.document.version + 1,
    signers: trust.document.signers.filter(({ principal }) => principal !== 'carol'),
  };
  const change = world.sign('trust-change', { before: trust.digest, document }, [world.people.alice, world.people.bob]);
  world.hub.mail(change.envelope);
  await reaches(world, change.jobId, 'done', 3 * minute);
  const now = world.life()?.agent.report().trust;
  assert.equal(now?.is === 'held' ? now.document.version : undefined, document.version);
  await world.clock.advance(15 * minute);
  const stalled = jobOf(world, queued.jobId);
  assert.equal(stalled?.state, 'cooling-off', 'who was retired does not count any more, also for what was accepted');
  assert.equal(stalled?.code, 'job.more-people');
  assert.ok(world.node.guests.isRunning(recordOf(world, 'photos').vmid));
});

test('a journal that was put back runs no job again, also where the hub keeps back what it knows', async () => {
  const world = await worldOf(['photos']);
  const photos = recordOf(world, 'photos');
  const copy = world.copyDisk();
  const smaller = (memoryMiB: number) => world.hub.publish([labGuest('photos', { memoryMiB })]);
  const memory = () => /^memory: (\d+)$/m.exec(world.host.rawConfig(photos.vmid) ?? '')?.[1];
  const hold = world.sign('hold', { scope: 'host', set: true }, [world.people.alice]);
  world.hub.mail(hold.envelope);
  await reaches(world, hold.jobId, 'done', 2 * minute);
  const release = world.sign('hold', { scope: 'host', set: false }, [world.people.alice]);
  world.hub.mail(release.envelope);
  await reaches(world, release.jobId, 'done', 2 * minute);
  const epoch = world.hub.lastStatement()?.said.hostEpoch;

  world.cut();
  world.replaceDisk(copy);
  world.hub.twist = (answer) => {
    const { newerStatement: _keptBack, ...rest } = answer;
    return { ...rest, envelopes: [hold.envelope] };
  };
  const { agent } = world.boot();
  await world.clock.advance(3 * minute);
  assert.notEqual(world.hub.lastStatement()?.said.hostEpoch, epoch, 'root remembers, so this is a new life');
  assert.equal(jobOf(world, hold.jobId)?.state, 'refused');
  assert.equal(jobOf(world, hold.jobId)?.code, 'job.other-epoch');
  assert.ok(agent.report().findings.some(({ key }) => key === 'host.journal-rolled-back'));
  smaller(1024);
  assert.ok(await world.until(() => memory() === '1024', 5 * minute), 'and it is not on hold');
  const lives = world.hub.lastStatement()?.said.hostEpoch;
  world.cut();
  world.boot();
  await world.clock.advance(minute);
  assert.equal(world.hub.lastStatement()?.said.hostEpoch, lives, 'the new life is one, over restarts too');
});
