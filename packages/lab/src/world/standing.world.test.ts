/** What signed work stands on: its own clock, its own signatures, the trust in force. Who owns the hub moves none of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobOf, ReportedJob } from '@felhom/protocol';
import { labGuest } from './desired.ts';
import { sealed } from './sign-job.ts';
import { simVerifier } from './sim-verifier.ts';
import { createSimWorld } from './sim-world.ts';
import type { SimWorld, SimWorldOptions } from './sim-world.ts';

const minute = 60_000;
const hour = 60 * minute;

type Person = keyof SimWorld['people'];

async function worldWithPhotos(
  removal: { coolOffMinutes: number; quarantineHours: number },
  more: Partial<SimWorldOptions> = {},
): Promise<SimWorld> {
  const world = await createSimWorld({ seed: 11, guestRange: 6, policy: { removal }, ...more });
  world.hub.publish([labGuest('photos')]);
  world.boot();
  assert.ok(await world.until(() => world.life()?.agent.report().converged === true, 10 * minute), 'did not converge');
  return world;
}

const agentOf = (world: SimWorld) => world.life()?.agent ?? assert.fail('no agent');
const jobOf = (world: SimWorld, id: string): ReportedJob | undefined =>
  agentOf(world)
    .report()
    .jobs.find(({ jobId }) => jobId === id);

async function reaches(world: SimWorld, id: string, state: ReportedJob['state'], ms: number): Promise<void> {
  const there = await world.until(() => jobOf(world, id)?.state === state, ms);
  assert.ok(there, `job is ${JSON.stringify(jobOf(world, id))}, not ${state}`);
}

const photosOf = (world: SimWorld) =>
  agentOf(world)
    .guests()
    .find(({ name }) => name === 'photos') ?? assert.fail('no guest photos on record');

function decommission(world: SimWorld, people: readonly Person[]) {
  const { uid, incarnation, volumes } = photosOf(world);
  const params: JobOf<'decommission'>['params'] = {
    guest: { uid, incarnation },
    lossSet: volumes.map(({ volid }) => volid).toSorted(),
    backups: 'keep',
  };
  return world.sign(
    'decommission',
    params,
    people.map((person) => world.people[person]),
  );
}

const voided = (world: SimWorld): number =>
  agentOf(world)
    .auditFrom(1)
    .entries.filter((text) => text.includes('"journal.rolled-back"')).length;

test('a hub that hands a poll its own statement back voids nothing', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 1 });
  const epoch = world.disk().hostEpoch;
  world.hub.twist = (answer, { statement }) => ({
    ...answer,
    ...(statement === undefined ? {} : { newerStatement: statement }),
  });
  await world.clock.advance(5 * minute);
  assert.equal(voided(world), 0);
  assert.equal(world.disk().hostEpoch, epoch);
});

test('a journal that was put back begins one new life, in which signatures count again', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 1 });
  const copy = world.copyDisk();
  const epoch = world.disk().hostEpoch;
  await world.clock.advance(hour);
  const before = world.sign('hold', { scope: 'host', set: true }, [world.people.alice]);
  world.cut();
  world.replaceDisk(copy);
  world.boot();
  await world.clock.advance(10 * minute);
  assert.equal(voided(world), 1);
  assert.notEqual(world.disk().hostEpoch, epoch);
  world.hub.mail(before.envelope);
  await reaches(world, before.jobId, 'refused', 2 * minute);
  const after = world.sign('hold', { scope: 'host', set: true }, [world.people.alice]);
  world.hub.mail(after.envelope);
  await reaches(world, after.jobId, 'done', 2 * minute);
});

test('a wall clock that jumped while the agent was down ends no quarantine', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 72 });
  const { vmid } = photosOf(world);
  const job = decommission(world, ['alice', 'bob']);
  world.hub.publish([]);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'quarantine', 10 * minute);
  world.cut();
  world.clock.jumpWall(80 * hour);
  world.boot();
  await world.clock.advance(30 * minute);
  assert.ok(world.node.guests.exists(vmid), JSON.stringify(jobOf(world, job.jobId)));
  assert.equal(jobOf(world, job.jobId)?.state, 'quarantine');
});

test('a cancelled removal destroys nothing, also where bringing the guest back came to nothing', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 2 });
  const { vmid } = photosOf(world);
  const job = decommission(world, ['alice', 'carol']);
  world.hub.publish([]);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'quarantine', 10 * minute);
  world.host.setRawConfig(vmid, `lock: backup\n${world.host.rawConfig(vmid) ?? ''}`);
  const cancel = world.sign('cancel', { job: job.jobId }, [world.people.bob]);
  world.hub.mail(cancel.envelope);
  const lifting = () =>
    agentOf(world)
      .sagas()
      .find(({ name }) => name === 'lift-quarantine');
  await world.until(() => jobOf(world, cancel.jobId)?.state === 'failed' || lifting()?.parked !== undefined, hour);
  const stuck = lifting();
  if (stuck !== undefined) assert.equal(agentOf(world).abandonSaga(stuck.id, 'root').is, 'done');
  await reaches(world, cancel.jobId, 'failed', hour);
  world.host.unlock(vmid);
  await world.clock.advance(4 * hour);
  assert.ok(world.node.guests.exists(vmid), 'it was freed in spite of the cancelling');
  const again = world.sign('cancel', { job: job.jobId }, [world.people.bob]);
  world.hub.mail(again.envelope);
  await reaches(world, again.jobId, 'done', 5 * minute);
  await reaches(world, job.jobId, 'cancelled', minute);
  assert.ok(world.node.guests.isRunning(vmid));
});

test('under an expired trust document nothing accepted goes on; renewed, it does', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 0.5 });
  const { vmid } = photosOf(world);
  const job = decommission(world, ['alice', 'carol']);
  world.hub.publish([]);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'quarantine', 10 * minute);
  const trust = agentOf(world).report().trust;
  assert.ok(trust.is === 'held');
  world.root.put({ ...trust.document, expiresAt: world.clock.now() + minute });
  await world.clock.advance(2 * hour);
  assert.ok(world.node.guests.exists(vmid), 'destroyed under an expired trust document');
  assert.equal(jobOf(world, job.jobId)?.code, 'trust.expired');
  world.root.put(trust.document);
  await reaches(world, job.jobId, 'done', 15 * minute);
});

test('a cancelling that comes together with the end of the quarantine is heard first', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 0.5 });
  const { vmid } = photosOf(world);
  const job = decommission(world, ['alice', 'carol']);
  world.hub.publish([]);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'quarantine', 10 * minute);
  const cancel = world.sign('cancel', { job: job.jobId }, [world.people.bob]);
  world.cut();
  world.clock.suspend(40 * minute);
  world.boot().agent.takeEnvelope(cancel.envelope);
  await reaches(world, cancel.jobId, 'done', 15 * minute);
  assert.ok(world.node.guests.isRunning(vmid));
});

test('a guest half shut away, where its quarantine was given up, is still brought back as it was', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 2 });
  const { vmid } = photosOf(world);
  const before = world.host.rawConfig(vmid);
  const job = decommission(world, ['alice', 'carol']);
  world.hub.publish([]);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'cooling-off', 10 * minute);
  const mend = refuseConfig(world, vmid);
  const quarantine = () =>
    agentOf(world)
      .sagas()
      .find(({ name }) => name === 'quarantine');
  assert.ok(await world.until(() => quarantine()?.parked !== undefined, 12 * hour), JSON.stringify(quarantine()));
  assert.equal(agentOf(world).abandonSaga(quarantine()?.id ?? '', 'root').is, 'done');
  mend();
  await reaches(world, job.jobId, 'quarantine', hour);
  const cancel = world.sign('cancel', { job: job.jobId }, [world.people.bob]);
  world.hub.mail(cancel.envelope);
  await reaches(world, cancel.jobId, 'done', 10 * minute);
  assert.equal(world.host.rawConfig(vmid), before);
});

test('a break-glass that a slow helper opened is seen, and closed as soon as a consent is gone', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 1 });
  const { helper } = world.root;
  const open = helper.breakGlassOpen.bind(helper);
  Object.assign(helper, {
    breakGlassOpen: async (...asked: Parameters<typeof open>) => {
      await world.clock.sleep(5_000, asked[2]);
      return open(...asked);
    },
  });
  agentOf(world).recordConsent('photos', true);
  const consents = agentOf(world)
    .consents()
    .flatMap(({ id }) => id ?? []);
  const params = { minutes: 60, key: world.people.alice.keyLine, consents };
  const job = world.sign('break-glass-open', params, [world.people.alice]);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'done', 5 * minute);
  await world.clock.advance(2 * minute);
  assert.ok(world.root.openUntil() !== undefined);
  assert.equal(agentOf(world).report().breakGlass.is, 'open');
  agentOf(world).recordConsent('photos', false);
  await world.clock.advance(3 * minute);
  assert.equal(world.root.openUntil(), undefined, 'open without the consent');
});

test('one signature in eight clothes keeps no second person out', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 4, quarantineHours: 1 });
  const job = decommission(world, ['alice']);
  const [first = '', ...rest] = sealed(job.payload, [world.people.alice]).split('-----BEGIN SSH SIGNATURE-----');
  const dressed = Array.from(
    { length: 8 },
    (_, at) =>
      `-----BEGIN SSH SIGNATURE-----${'\\n'.repeat(at + 1)}${
        rest
          .join('')
          .split('"')[0]
          ?.replace(/^(?:\\n)+/, '') ?? ''
      }`,
  );
  world.hub.mail(`${first}${dressed.join('","')}"]}`);
  await reaches(world, job.jobId, 'waiting', 2 * minute);
  world.hub.mail(sealed(job.payload, [world.people.bob]));
  await reaches(world, job.jobId, 'cooling-off', 2 * minute);
});

test('the end of a removal is told, also where its quarantine outlasted what is remembered of a job', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 220 });
  const job = decommission(world, ['alice', 'bob']);
  world.hub.publish([]);
  world.hub.mail(job.envelope);
  await reaches(world, job.jobId, 'quarantine', 10 * minute);
  world.cut();
  world.clock.suspend(220 * hour);
  world.boot();
  await reaches(world, job.jobId, 'done', 15 * minute);
  await world.clock.advance(2 * minute);
  assert.equal(jobOf(world, job.jobId)?.state, 'done');
});

test('nobody cancels a change of trust, or a cancelling, by a signature of the own', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 1 });
  const trust = agentOf(world).report().trust;
  assert.ok(trust.is === 'held');
  const document = {
    ...trust.document,
    version: trust.document.version + 1,
    signers: trust.document.signers.filter(({ principal }) => principal !== 'carol'),
  };
  const change = world.sign('trust-change', { before: trust.digest, document }, [world.people.alice]);
  world.hub.mail(change.envelope);
  await reaches(world, change.jobId, 'waiting', 2 * minute);
  const hers = world.sign('cancel', { job: change.jobId }, [world.people.carol]);
  world.hub.mail(hers.envelope);
  await reaches(world, hers.jobId, 'refused', 2 * minute);
  world.hub.mail(sealed(change.payload, [world.people.bob]));
  await reaches(world, change.jobId, 'done', 2 * minute);
});

test('a job that its release cannot digest holds up no other', async () => {
  const world = await worldWithPhotos(
    { coolOffMinutes: 1, quarantineHours: 1 },
    {
      verifier: () => {
        const judge = simVerifier();
        return {
          verify: (question, signal) => {
            if (Buffer.from(question.payload).includes('"floor-change"')) throw new TypeError('not digested');
            return judge.verify(question, signal);
          },
        };
      },
    },
  );
  const trust = agentOf(world).report().trust;
  assert.ok(trust.is === 'held');
  const params = { before: trust.digest, floor: 'keepDays', from: 7, to: 8 } as const;
  world.hub.mail(world.sign('floor-change', params, [world.people.alice]).envelope);
  const hold = world.sign('hold', { scope: 'host', set: true }, [world.people.bob]);
  world.hub.mail(hold.envelope);
  await reaches(world, hold.jobId, 'done', 2 * minute);
});

test('a guest that began to serve while its removal waited is given the cool-off of one that serves', async () => {
  const world = await createSimWorld({
    seed: 11,
    guestRange: 6,
    policy: { removal: { coolOffMinutes: 60, quarantineHours: 24 } },
  });
  world.hub.publish([labGuest('photos', { power: 'stopped' })]);
  world.boot();
  assert.ok(await world.until(() => agentOf(world).report().converged, 10 * minute));
  const { vmid, servedAt } = photosOf(world);
  assert.equal(servedAt, undefined);
  const job = decommission(world, ['alice', 'bob']);
  world.hub.publish([labGuest('photos', { power: 'running' })]);
  assert.ok(
    await world.until(
      () =>
        agentOf(world)
          .sagas()
          .some(({ name }) => name === 'start'),
      2 * minute,
    ),
  );
  agentOf(world).takeEnvelope(job.envelope);
  await reaches(world, job.jobId, 'cooling-off', 2 * minute);
  await world.clock.advance(30 * minute);
  assert.ok(photosOf(world).servedAt !== undefined);
  assert.equal(jobOf(world, job.jobId)?.state, 'cooling-off');
  assert.ok(world.node.guests.isRunning(vmid));
});

test('a saga that was told to go on is told so once, also where the power goes in that moment', async () => {
  const world = await worldWithPhotos({ coolOffMinutes: 1, quarantineHours: 2 });
  const { vmid } = photosOf(world);
  const removal = decommission(world, ['alice', 'carol']);
  world.hub.publish([]);
  world.hub.mail(removal.envelope);
  await reaches(world, removal.jobId, 'cooling-off', 10 * minute);
  refuseConfig(world, vmid);
  const parked = () =>
    agentOf(world)
      .sagas()
      .find((saga) => saga.parked !== undefined);
  assert.ok(await world.until(() => parked() !== undefined, 12 * hour));
  const { id = '', step = '' } = parked() ?? {};
  const resume = world.sign('saga', { verb: 'resume', saga: id, step, lossSet: [] }, [
    world.people.alice,
    world.people.bob,
  ]);
  const { power } = world.life() ?? assert.fail('no agent');
  const append = power.journal.append.bind(power.journal);
  let resumed = 0;
  Object.assign(power.journal, {
    append: (...[records, documents]: Parameters<typeof append>) => {
      append(records, documents);
      if (!records.some(({ kind }) => kind === 'saga-resumed')) return;
      resumed += 1;
      world.cut();
    },
  });
  world.hub.mail(resume.envelope);
  assert.ok(await world.until(() => resumed === 1, 5 * minute));
  world.boot();
  await reaches(world, resume.jobId, 'failed', 5 * minute);
  assert.match(jobOf(world, resume.jobId)?.text ?? '', /in the moment/);
});

/** From the moment that it no longer starts with the node Proxmox takes no change of its config, until told otherwise. */
function refuseConfig(world: SimWorld, vmid: number): () => void {
  const wire = world.node.wire.bind(world.node);
  let refusing = true;
  Object.assign(world.node, {
    wire: (request: Parameters<typeof wire>[0]) =>
      refusing && request.method === 'PUT' && /^onboot: 0$/m.test(world.host.rawConfig(vmid) ?? '')
        ? Promise.resolve({ status: 500, reason: 'unable to write', body: { data: null } })
        : wire(request),
  });
  return () => {
    refusing = false;
  };
}
