import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseClaim, reason } from '@felhom/protocol';
import { bringUp } from '../bring-up/index.ts';
import type { BringUpParams, BringUpState } from '../bring-up/bring-up-state.ts';
import { wish } from '../guests/test/world.ts';
import { crashPointsOf, refused } from '../kernel/index.ts';
import type { SagaDefinition } from '../kernel/index.ts';
import { dropClaim } from './drop-claim.saga.ts';
import { holdsClaim, withClaim, withoutClaim } from './env-line.ts';
import { claimStep } from './issue-claim.ts';
import type { ClaimNeeds, ClaimState } from './issue-claim.ts';
import { issueClaim } from './issue-claim.saga.ts';
import { Bench, photosRecord, photosRef } from './test/bench.ts';

const params = { guest: photosRef };

function secretIn(env: string | undefined): string {
  const line = env?.split('\0').find((entry) => entry.startsWith('FELHOM_CLAIM='));
  const claim = parseClaim(line?.slice('FELHOM_CLAIM='.length) ?? '');
  return claim?.secret ?? assert.fail(`no claim in ${JSON.stringify(env)}`);
}

const redeem = (bench: Bench, secret: string): string => {
  const answer = bench.claims.redeem({ guest: photosRef, secret, alone: true });
  return answer.is === 'redeemed' ? answer.by : answer.why.code;
};

const lines: readonly (readonly [string | undefined, 'as-told' | 'obeyed', string, string])[] = [
  [undefined, 'as-told', 'FELHOM_IDENTITY=none\0FELHOM_CLAIM=c', 'FELHOM_IDENTITY=none'],
  ['FELHOM_IDENTITY=fresh', 'as-told', 'FELHOM_IDENTITY=fresh\0FELHOM_CLAIM=c', 'FELHOM_IDENTITY=none'],
  ['FELHOM_IDENTITY=fresh', 'obeyed', 'FELHOM_IDENTITY=none\0FELHOM_CLAIM=c', 'FELHOM_IDENTITY=none'],
  ['A=1\0FELHOM_CLAIM=old', 'as-told', 'FELHOM_IDENTITY=none\0A=1\0FELHOM_CLAIM=c', 'FELHOM_IDENTITY=none\0A=1'],
];
for (const [before, identity, claimed, dropped] of lines)
  test(`an environment ${JSON.stringify(before)}, ${identity}, takes a claim and loses it again`, () => {
    assert.equal(withClaim(before, 'c', identity), claimed);
    assert.equal(withoutClaim(claimed), dropped);
    assert.deepEqual([holdsClaim(claimed), holdsClaim(dropped)], [true, false]);
  });

test('an environment without a claim stays as it is', () => {
  assert.deepEqual(
    [withoutClaim(undefined), withoutClaim('FELHOM_IDENTITY=fresh')],
    [undefined, 'FELHOM_IDENTITY=fresh'],
  );
});

test('a guest gets a claim that works and is restarted once to read it', async () => {
  const bench = new Bench().withGuest();
  assert.equal((await bench.carryOut(issueClaim, params)).is, 'completed');
  assert.ok(bench.env()?.startsWith('FELHOM_IDENTITY=none\0FELHOM_CLAIM=v1,'));
  assert.deepEqual(
    bench.node.calls.filter((call) => !call.startsWith('configure')),
    ['shutdown 9000', 'start 9000'],
  );
  assert.ok(bench.node.guests.get(9000)?.running);
  assert.equal(bench.registry.byUid(photosRef.uid)?.configDigest, bench.node.digestOf(9000), 'no edit of a person');
  const secret = secretIn(bench.env());
  assert.ok(!bench.disk().includes(secret), 'neither records nor documents know it');
  assert.equal(redeem(bench, secret), 'secret');
});

test('where Proxmox takes no env the port is opened alone', async () => {
  const bench = new Bench().withGuest();
  bench.node.version = '8.4.1';
  assert.equal((await bench.carryOut(issueClaim, params)).is, 'completed');
  assert.equal(bench.env(), 'FELHOM_IDENTITY=continue');
  assert.equal(bench.claims.openWindow(photosRef)?.aloneNeeded, true);
});

test('without a local API nothing is opened', async () => {
  const bench = new Bench().withGuest();
  bench.contact = undefined;
  assert.equal((await bench.carryOut(issueClaim, params)).is, 'completed');
  assert.equal(bench.claims.openWindow(photosRef), undefined);
});

test('a fourth restart within the hour is refused, and nothing is touched', async () => {
  const bench = new Bench().withGuest();
  for (let turn = 0; turn < 3; turn++) assert.equal((await bench.carryOut(issueClaim, params)).is, 'completed');
  const calls = bench.node.calls.length;
  const end = await bench.carryOut(issueClaim, params);
  assert.equal(end.is === 'unwound' && end.why.code, 'controller.restarted-often');
  assert.equal(bench.node.calls.length, calls);
  bench.now += 3_600_000;
  assert.equal((await bench.carryOut(issueClaim, params)).is, 'completed');
});

test('a guest that stands still is not started by this', async () => {
  const bench = new Bench().withGuest();
  const guest = bench.node.guests.get(9000) ?? assert.fail();
  guest.running = false;
  const end = await bench.carryOut(issueClaim, params);
  assert.equal(end.is === 'unwound' && end.why.code, 'pve.not-running');
  assert.deepEqual([bench.node.calls, guest.running], [[], false]);
});

test('what Proxmox says about a value it does not like goes nowhere with the value in it', async () => {
  const bench = new Bench().withGuest();
  let sent = '';
  const needs = bench.claimNeeds.bind(bench);
  bench.claimNeeds = () => ({
    ...needs(),
    writer: {
      ...bench.node.writer,
      configure: async (_, change) => {
        sent = change.set?.['env'] ?? sent;
        return refused(
          reason('pve.unclassified', `cannot change: env: bad value '${sent.split('\0').at(-1)?.slice(13)}'`),
        );
      },
    },
  });
  const end = await bench.carryOut(issueClaim, params);
  assert.equal(end.is, 'unwound');
  assert.ok(sent.includes('FELHOM_CLAIM='));
  assert.ok(!JSON.stringify([end, bench.disk()]).includes(secretIn(sent)));
  assert.ok(bench.node.guests.get(9000)?.running, 'it runs again');
});

for (const mishap of ['lost-request', 'lost-answer'] as const)
  test(`a write with a ${mishap}: another claim is made, and only that one works`, async () => {
    const bench = new Bench().withGuest();
    bench.node.mishaps.configure.push(mishap);
    const seen: string[] = [];
    const writer = { ...bench.node.writer };
    bench.node.writer.configure = (vmid, change, signal) => {
      if (change.set?.['env'] !== undefined) seen.push(secretIn(change.set['env']));
      return writer.configure(vmid, change, signal);
    };
    assert.equal((await bench.carryOut(issueClaim, params)).is, 'completed');
    assert.equal(new Set(seen).size, 2);
    assert.equal(secretIn(bench.env()), seen[1]);
    assert.equal(redeem(bench, seen[0] ?? ''), 'claim.worthless');
    assert.equal(redeem(bench, seen[1] ?? ''), 'secret');
  });

for (const point of crashPointsOf(issueClaim))
  test(`a claim is issued over a crash at ${point}`, async () => {
    const bench = new Bench().withGuest();
    bench.crashAt = point;
    await bench.carryOut(issueClaim, params);
    if (!bench.crashed) return;
    await bench.goOn();
    assert.ok(bench.node.guests.get(9000)?.running, 'it runs');
    // Either it was carried out, or it never began and is asked for again.
    if (holdsClaim(bench.env())) assert.equal(redeem(bench, secretIn(bench.env())), 'secret');
    else assert.deepEqual(bench.journal.openSagas(), []);
    assert.ok(bench.restarts.since(photosRef.uid, 0).length <= 1, 'counted once');
  });

/** Whether the guest ran at each write of its environment. */
function writesOf(bench: Bench, before: (turn: number) => void = () => undefined): boolean[] {
  const writes: boolean[] = [];
  const writer = { ...bench.node.writer };
  bench.node.writer.configure = (vmid, change, signal) => {
    before(writes.length);
    writes.push(bench.node.guests.get(vmid)?.running === true);
    return writer.configure(vmid, change, signal);
  };
  return writes;
}

test('a guest that its node started before its claim was written is brought down for it once more', async () => {
  const bench = new Bench().withGuest();
  const writes = writesOf(bench);
  bench.crashAt = 'issue-claim/claim/run/after-intent';
  await bench.carryOut(issueClaim, params);
  const guest = bench.node.guests.get(9000) ?? assert.fail();
  assert.deepEqual([bench.crashed, guest.running], [true, false]);
  guest.running = true;
  assert.deepEqual(
    (await bench.goOn()).map(({ is }) => is),
    ['completed'],
  );
  assert.deepEqual([writes, guest.running], [[false], true]);
  assert.equal(redeem(bench, secretIn(bench.env())), 'secret');
});

test('a claim that became pending because the guest was started meanwhile is written once more', async () => {
  const bench = new Bench().withGuest();
  const guest = bench.node.guests.get(9000) ?? assert.fail();
  const writes = writesOf(bench, (turn) => {
    guest.running = turn === 0;
    bench.activeEnv = turn === 0 ? bench.env() : 'as configured';
  });
  assert.equal((await bench.carryOut(issueClaim, params)).is, 'completed');
  assert.deepEqual([writes, guest.running], [[true, false], true]);
  assert.deepEqual(
    bench.node.calls.filter((call) => !call.startsWith('configure')),
    ['shutdown 9000', 'shutdown 9000', 'start 9000'],
  );
  assert.equal(redeem(bench, secretIn(bench.env())), 'secret');
});

test('a spent claim leaves the config, and counts as gone only when the guest was started without it', async () => {
  const bench = new Bench().withGuest();
  await bench.carryOut(issueClaim, params);
  const started = bench.env();
  bench.activeEnv = started;
  assert.equal(redeem(bench, secretIn(started)), 'secret');
  assert.equal((await bench.carryOut(dropClaim, params)).is, 'completed');
  assert.equal(bench.env(), 'FELHOM_IDENTITY=none');
  bench.now += 3_600_000;
  assert.deepEqual(bench.claims.leftInEnv(), [photosRef.uid], 'pending until the next start');
  bench.activeEnv = 'as configured';
  assert.equal((await bench.carryOut(dropClaim, params)).is, 'completed');
  bench.now += 3_600_000;
  assert.deepEqual(bench.claims.leftInEnv(), []);
  assert.equal(bench.registry.byUid(photosRef.uid)?.configDigest, bench.node.digestOf(9000));
});

test('dropping a claim that is not there hides no edit of a person', async () => {
  const bench = new Bench().withGuest();
  assert.equal((await bench.carryOut(dropClaim, params)).is, 'completed');
  assert.equal(bench.registry.byUid(photosRef.uid)?.configDigest, photosRecord.configDigest);
});

// ------------------------------------------------------------------------------------------- before a first start

type Born = BringUpState & ClaimState;
/** Bring-up with the step where it belongs: after the networks, before the start. */
const bornWithClaim: SagaDefinition<BringUpParams, Born, ClaimNeeds> = {
  ...(bringUp as unknown as SagaDefinition<BringUpParams, Born, ClaimNeeds>),
  name: 'bring-up-with-claim',
  steps: bringUp.steps
    .filter(({ name }) => name !== 'claim')
    .flatMap((step) => {
      const same = step as unknown as SagaDefinition<BringUpParams, Born, ClaimNeeds>['steps'][number];
      return step.name === 'start' ? [claimStep<BringUpParams, Born, ClaimNeeds>(placeOf), same] : [same];
    }),
};

function placeOf({ state, params: { desired } }: { readonly state: Partial<Born>; readonly params: BringUpParams }) {
  const { vmid, uid, incarnation, marker } = state;
  if (vmid === undefined || uid === undefined || incarnation === undefined || marker === undefined) return undefined;
  return { vmid, marker: { uid, incarnation, marker }, name: desired.name };
}

test('a provision with a claim leaves its secret in the config of the guest and nowhere else', async () => {
  const bench = new Bench();
  assert.equal((await bench.carryOut(bornWithClaim, { desired: wish() })).is, 'completed');
  const [vmid = 0] = bench.node.guests.keys();
  const secret = secretIn(bench.env(vmid));
  assert.ok(bench.env(vmid)?.startsWith('FELHOM_IDENTITY=fresh\0'));
  assert.ok(!bench.disk().includes(secret));
  assert.ok(bench.disk().includes('"claim":"env"'), 'what was looked through is the journal of this saga');
  const [born = assert.fail()] = bench.registry.all();
  assert.equal(bench.claims.redeem({ guest: born, secret, alone: true }).is, 'redeemed');
});

test('a provision that is taken back takes its claim with it', async () => {
  const bench = new Bench();
  bench.node.mishaps.start.push({ fails: 'startup for container failed' });
  assert.equal((await bench.carryOut(bornWithClaim, { desired: wish() })).is, 'unwound');
  assert.deepEqual([bench.node.guests.size, bench.journal.list('claim/')], [0, []]);
});
