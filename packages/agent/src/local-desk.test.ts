import assert from 'node:assert/strict';
import { test } from 'node:test';
import { consentWords, digest, guestName, localRoutes, reason } from '@felhom/protocol';
import type { LocalRouteName, Vmid } from '@felhom/protocol';
import type { Submission } from './admission/index.ts';
import { createAuditLog } from './audit/index.ts';
import type { BuiltEffect } from './authority/effects.ts';
import type { Evidence } from './authority/facts.ts';
import type { GuestRecord } from './authority/guest-record.ts';
import { createBulkReports } from './controllers/bulk.ts';
import { createLeases } from './controllers/leases.ts';
import { createOperations } from './controllers/operations.ts';
import { Bench, mailUid, photosRecord, photosRef, says, uid, wanted } from './controllers/test/bench.ts';
import type { FactRecord, Outcome } from './kernel/index.ts';
import { done } from './kernel/index.ts';
import type { LocalCall } from './local-api/desk.ts';
import { createLocalDesk } from './local-desk.ts';
import type { GuestDue, LocalDeskNeeds } from './local-desk.ts';

const mail: GuestRecord = {
  ...photosRecord,
  uid: mailUid,
  name: guestName.parse('mail'),
  vmid: 9001 as Vmid,
};
const idle = new AbortController().signal;
const call = (over: Partial<LocalCall> = {}): LocalCall => ({ query: {}, signal: idle, ...over });
const dueId = 'd'.repeat(26);

class Counter extends Bench {
  due: GuestDue[] = [];
  submitted: { effect: BuiltEffect; evidence: Evidence }[] = [];
  answer: Submission | undefined;
  consent: { id: string; at: number } | undefined;
  readonly facts: FactRecord[] = [];
  readonly audit = createAuditLog({
    get: (key) => this.journal.get(key),
    facts: (_, limit) => this.facts.slice(-limit).toReversed(),
    append: (records, documents = []) => {
      for (const record of records) if (record.kind === 'fact') this.facts.push(record);
      for (const write of documents) if ('put' in write) this.journal.put(write.put);
    },
  });
  readonly leases = createLeases({
    documents: this.documents(),
    clock: this.clock,
    random: this.random,
    captureSeconds: () => 120,
  });
  readonly bulkReports = createBulkReports({ documents: this.documents(), clock: this.clock });

  needsOfDesk(): LocalDeskNeeds {
    return {
      registry: this.registry,
      reader: this.node.reader,
      claims: this.claims,
      tokens: this.tokens,
      leases: this.leases,
      controllers: this.controllers,
      operations: createOperations({
        documents: this.documents(),
        journal: this.journal,
        runner: { status: () => [] },
        clock: this.clock,
        random: this.random,
      }),
      bulk: this.bulkReports,
      manifests: { put: () => digest.parse('5'.repeat(64)) },
      authority: { trusted: () => ['CA one', 'CA two', 'CA three'] },
      audit: this.audit,
      clock: this.clock,
      submit: async (effect, evidence, atStart) => {
        this.submitted.push({ effect, evidence });
        if (this.answer !== undefined) return this.answer;
        const saga = `saga-${this.submitted.length}`;
        for (const write of atStart(saga)) if ('put' in write) this.journal.put(write.put);
        return { is: 'started', saga, ended: Promise.resolve({ is: 'completed', state: {} }) };
      },
      desiredGuest: () => ({
        ...wanted(),
        volumes: [
          {
            name: 'media',
            path: '/srv/m',
            storage: 'local',
            sizeGiB: 1,
            backup: false,
            ownBackup: { is: 'controller', target: 't' },
          },
          { name: 'data', path: '/srv/d', storage: 'local', sizeGiB: 1, backup: true },
        ] as ReturnType<typeof wanted>['volumes'],
      }),
      identityOf: () => 'continue',
      dueOf: () => ({ due: this.due }),
      backupLines: () => [{ tier: 'local', state: 'ok' }],
      restoreTests: () => [],
      volumesOf: async () => done({ volumes: [] }),
      storageOf: async () =>
        done({ classes: [], volumes: [], checkpoint: { by: 'none', why: '' }, restore: { possible: true, why: '' } }),
      consents: {
        standing: () => this.consent,
        record: (_, given) => {
          this.consent = given ? { id: 'e'.repeat(26), at: this.now } : undefined;
          return done(undefined);
        },
      },
    };
  }

  readonly desk = createLocalDesk(this.needsOfDesk());
}

const counter = (): Counter => {
  const c = new Counter().withGuest();
  c.withGuest(mail);
  return c;
};
const due = (over: Partial<GuestDue> = {}): GuestDue => ({
  id: dueId,
  tier: 'local',
  scope: 'guest',
  since: 1,
  graceUntil: 2,
  slot: 777,
  ...over,
});
const codeOf = (answer: Outcome<unknown>): string => (answer.is === 'done' ? 'done' : answer.why.code);

test('a port is a guest of ours, and no scratch guest', () => {
  const c = counter();
  assert.deepEqual(
    [c.desk.guestAtPort(9000), c.desk.guestAtPort(9001), c.desk.guestAtPort(9002)],
    [uid, mailUid, undefined],
  );
  assert.equal(c.desk.guestAtPort(-1), undefined);
  c.registry.put({ ...photosRecord, scratch: true });
  assert.equal(c.desk.guestAtPort(9000), undefined);
});

test('a redemption gives the token, whom to trust and who it is; a second one gives nothing', async () => {
  const c = counter();
  const claim = c.claims.mint(photosRef, { inEnv: true });
  const answer = await c.desk.redeem(uid, { claim });
  const value = answer.is === 'done' ? localRoutes.redeem.answer.parse(answer.value) : assert.fail();
  assert.equal(c.desk.authenticate(value.token), uid);
  assert.deepEqual(
    [value.name, value.guest, value.ca, value.identity],
    ['photos', uid, ['CA one', 'CA two'], 'continue'],
  );
  assert.equal(codeOf(await c.desk.redeem(uid, { claim })), 'claim.worthless');
  assert.equal(c.desk.authenticate(value.token), uid, 'what was given stays good');
  const log = JSON.stringify(c.facts);
  assert.ok(log.includes('claim.redeemed') && !log.includes(claim) && !log.includes(value.token));
});

test('a guest that came with its token is not told again what to do about its identity', async () => {
  const c = counter();
  const told = async () => {
    const answer = await c.desk.redeem(uid, { claim: c.claims.mint(photosRef, { inEnv: true }) });
    return answer.is === 'done' ? answer.value : assert.fail();
  };
  await told();
  const again = await told();
  assert.equal(again.identity, 'continue', 'the first one never arrived');
  c.desk.authenticate(again.token);
  assert.equal((await told()).identity, 'none');
});

test('what is refused at redemption is on the audit log once an hour, however often it is tried', async () => {
  const c = counter();
  for (let turn = 0; turn < 50; turn++) await c.desk.redeem(uid, { claim: 'x'.repeat(43) });
  assert.equal(c.facts.length, 1);
  c.now += 3_600_000;
  await c.desk.redeem(uid, { claim: 'x'.repeat(43) });
  assert.equal(c.facts.length, 2);
});

for (const [name, uptime, expect] of [
  ['that has run for long', 3600, 'done'],
  ['that was started meanwhile', 30, 'claim.not-alone'],
] as const)
  test(`by port alone, beside a guest ${name}: ${expect}`, async () => {
    const c = counter();
    c.claims.mint(photosRef, { inEnv: false });
    c.now += 60_000;
    const neighbour = c.node.guests.get(9001) ?? assert.fail();
    neighbour.uptime = uptime;
    assert.equal(codeOf(await c.desk.redeem(uid, {})), expect);
  });

test('by port alone a list that cannot be read means that it is not alone', async () => {
  const c = counter();
  c.claims.mint(photosRef, { inEnv: false });
  c.node.reader.list = async () => ({ is: 'unknown', why: reason('pve.timeout', 'no answer') });
  assert.equal(codeOf(await c.desk.redeem(uid, {})), 'claim.not-alone');
});

const backups: readonly (readonly [string, (c: Counter) => void, Parameters<Counter['desk']['backup']>[1], string])[] =
  [
    ['what is due', (c) => void (c.due = [due()]), { due: dueId }, 'backup-run desired-state 777'],
    [
      'what is due, of that tier',
      (c) => void (c.due = [due()]),
      { due: dueId, tier: 'local' },
      'backup-run desired-state 777',
    ],
    ['what is due, of another tier', (c) => void (c.due = [due()]), { due: dueId, tier: 'away' }, 'operation.not-due'],
    ['what is due of nobody', () => {}, { due: dueId }, 'operation.not-due'],
    [
      'what is due of a bulk volume',
      (c) => void (c.due = [due({ scope: 'bulk' })]),
      { due: dueId },
      'operation.not-due',
    ],
    ['on demand', () => {}, {}, 'backup-on-demand guest-itself'],
    [
      'on demand while a bulk volume is due',
      (c) => void (c.due = [due({ scope: 'bulk' })]),
      {},
      'backup-on-demand guest-itself',
    ],
    ['on demand while one is due', (c) => void (c.due = [due()]), {}, 'operation.due-first'],
    ['on demand of a tier that it has not', () => {}, { tier: 'away' }, 'operation.not-its-own'],
  ];
for (const [name, given, body, expect] of backups)
  test(`a backup of ${name}: ${expect}`, async () => {
    const c = counter();
    given(c);
    const answer = await c.desk.backup(uid, body, call());
    const [first] = c.submitted;
    const slot = first !== undefined && 'slot' in first.effect ? ` ${String(first.effect.slot)}` : '';
    assert.equal(first === undefined ? codeOf(answer) : `${first.effect.kind} ${first.evidence.is}${slot}`, expect);
  });

test('a backup goes under the lease that was taken for it, and under no other', async () => {
  const c = counter();
  c.due = [due()];
  const taken = await c.desk.quiesce(uid, { due: dueId, seconds: 60 }, call());
  const lease = taken.is === 'done' ? taken.value.lease : assert.fail();
  await c.desk.backup(uid, { due: dueId }, call());
  c.due = [];
  await c.desk.backup(uid, {}, call());
  await c.desk.unquiesce(uid, {}, call());
  c.due = [due()];
  await c.desk.backup(uid, { due: dueId }, call());
  assert.deepEqual(
    c.submitted.map(({ effect }) => ('lease' in effect ? effect.lease : undefined)),
    [lease, undefined, undefined],
  );
});

test('apps are held still only for what is due of this guest', async () => {
  const c = counter();
  assert.equal(codeOf(await c.desk.quiesce(uid, { due: dueId, seconds: 60 }, call())), 'operation.not-due');
});

for (const [answer, expect] of [
  [{ is: 'busy', lane: 'guest:photos', holder: 'backup-of-mail' }, 'job.busy'],
  [{ is: 'refused', why: reason('gate.on-hold', 'cannot') }, 'gate.on-hold'],
] as const)
  test(`work that the one door answers with ${answer.is} is ${expect}, and names nobody`, async () => {
    const c = counter();
    c.answer = answer;
    const refusal = await c.desk.snapshot(uid, { purpose: 'deploy' }, call({ idempotencyKey: 'key-1234' }));
    assert.equal(codeOf(refusal), expect);
    assert.ok(!JSON.stringify(refusal).includes('mail'));
    c.answer = undefined;
    assert.equal(
      codeOf(await c.desk.snapshot(uid, { purpose: 'deploy' }, call({ idempotencyKey: 'key-1234' }))),
      'done',
    );
  });

test('an operation is of the guest that asked for it', async () => {
  const c = counter();
  const begun = await c.desk.rollback(uid, { checkpoint: 'felhom-1' }, call());
  const { id } = begun.is === 'done' ? localRoutes.rollback.answer.parse(begun.value) : assert.fail();
  assert.equal(codeOf(await c.desk.operation(uid, {}, call({ id }))), 'done');
  assert.equal(codeOf(await c.desk.operation(mailUid, {}, call({ id }))), 'operation.unknown');
});

test('who waits for what is due is answered when it is, or at the end of its time', async () => {
  const c = counter();
  const before = c.now;
  const nothing = await c.desk.backupDue(uid, {}, call({ query: { wait: 50 } }));
  assert.deepEqual([nothing, c.now - before], [done({ due: [] }), 50_000]);
  const { sleep } = c.clock;
  c.clock.sleep = async (ms, signal) => {
    c.due = [due()];
    await sleep(ms, signal);
  };
  const told = await c.desk.backupDue(uid, {}, call({ query: { wait: 50 } }));
  assert.equal(told.is === 'done' && localRoutes.backupDue.answer.parse(told.value).due[0]?.id, dueId);
});

test('a bulk report is taken for a volume that the controller backs up, and for no other', async () => {
  const c = counter();
  const report = { volume: 'media', at: c.now + 999_999, snapshot: 's', sizeBytes: 1, files: 1 };
  assert.equal(codeOf(await c.desk.bulk(uid, report, call())), 'done');
  assert.equal(codeOf(await c.desk.bulk(uid, { ...report, volume: 'data' }, call())), 'operation.not-its-own');
  assert.equal(codeOf(await c.desk.bulk(uid, { ...report, volume: 'made-up' }, call())), 'operation.not-its-own');
  const [line] = c.bulkReports.lines(uid, c.needsOfDesk().desiredGuest(photosRecord) ?? assert.fail());
  assert.deepEqual([line?.newestAt, line?.rpoMs], [c.now, 0], 'no copy is of tomorrow');
  c.now += 5;
  await c.desk.bulk(uid, { ...report, at: c.now, failed: 'disk full' }, call());
  assert.equal(c.bulkReports.of(uid, 'media')?.newestAt, c.now - 5, 'a failure is no copy');
});

test('consent is typed, and can be withdrawn', async () => {
  const c = counter();
  assert.equal(codeOf(await c.desk.consent(uid, { confirmation: 'yes' }, call())), 'consent.not-confirmed');
  assert.deepEqual(await c.desk.consentGet(uid, {}, call()), done({ given: false }));
  const given = await c.desk.consent(uid, { confirmation: consentWords }, call());
  assert.ok(given.is === 'done' && given.value.given);
  assert.deepEqual(await c.desk.consentWithdraw(uid, {}, call()), done({ given: false }));
});

test('a program that gives and takes a consent without end does not fill the audit log; taking it back is always heard', async () => {
  const c = counter();
  let entries = 0;
  const { consents } = c.needsOfDesk();
  const desk = createLocalDesk({
    ...c.needsOfDesk(),
    consents: { ...consents, record: (...said) => ((entries += 1), consents.record(...said)) },
  });
  for (let n = 0; n < 100; n++) {
    await desk.consent(uid, { confirmation: consentWords }, call());
    assert.deepEqual(await desk.consentWithdraw(uid, {}, call()), done({ given: false }));
  }
  assert.ok(entries <= 12, String(entries));
  assert.equal(codeOf(await desk.consent(uid, { confirmation: consentWords }, call())), 'local.too-many-requests');
});

test('guests that take turns reading the audit log do not have it read anew each time', async () => {
  const c = counter();
  let looks = 0;
  const { audit } = c.needsOfDesk();
  const desk = createLocalDesk({
    ...c.needsOfDesk(),
    audit: { ...audit, ofGuest: (...asked) => ((looks += 1), audit.ofGuest(...asked)) },
  });
  for (let n = 0; n < 50; n++) for (const guest of [uid, mail.uid]) await desk.audit(guest, {}, call());
  assert.equal(looks, 2);
});

test('a guest reads its own entries of the audit log, and no other', async () => {
  const c = counter();
  const entry = (text: string, guest: typeof uid) =>
    c.audit.append({ at: c.now, kind: 'test.entry', text, detail: {}, guest });
  entry('about mail', mailUid);
  entry('about photos', uid);
  entry('about photos again', uid);
  const read = async (after: number) => {
    const answer = await c.desk.audit(uid, {}, call({ query: { after } }));
    return answer.is === 'done' ? localRoutes.audit.answer.parse(answer.value) : assert.fail();
  };
  const { entries, head } = await read(0);
  assert.deepEqual([entries.length, head.count], [2, 2]);
  assert.ok(!JSON.stringify(entries).includes('about mail'));
  assert.deepEqual((await read(1)).entries, entries.slice(1));
  entry('a third time', uid);
  assert.equal((await read(2)).entries.length, 1, 'nothing old is shown');
});

test('a supervisor is told what to run and is heard', async () => {
  const c = counter();
  const answer = await c.desk.controller(uid, {}, call({ query: { wait: 50 } }));
  assert.equal(answer.is === 'done' && localRoutes.controller.answer.parse(answer.value).image?.version, '1.0.0');
  await c.desk.controllerStatus(uid, says({}), call());
  assert.equal(c.controllers.heard(uid)?.status.health, 'healthy');
});

test('apps that run again are held still for nobody', async () => {
  const c = counter();
  await c.desk.quiesce(uid, { seconds: 60 }, call());
  await c.desk.controllerStatus(uid, says({ quiesced: true }), call());
  assert.ok(c.leases.standing(uid) !== undefined);
  // Everything in the guest was killed, and what started again let the apps go on.
  await c.desk.controllerStatus(uid, says({ quiesced: false }), call());
  assert.equal(c.leases.standing(uid), undefined);
});

test('of a guest that has left nothing is begun and nothing kept', async () => {
  const c = counter();
  c.registry.remove(uid);
  const before = c.journal.list('').length;
  const bodies: Partial<Record<LocalRouteName, unknown>> = {
    redeem: {},
    snapshot: { purpose: 'deploy' },
    rollback: { checkpoint: 'felhom-1' },
    backup: {},
    bulk: { volume: 'media', at: 1, snapshot: 's', sizeBytes: 1, files: 1 },
    controller: {},
    controllerStatus: says({}),
    quiesce: { seconds: 5 },
    consent: { confirmation: consentWords },
  };
  for (const [route, body] of Object.entries(bodies)) {
    const ask = c.desk[route as 'storage'] as (...asked: unknown[]) => Promise<Outcome<unknown>>;
    const answer = await ask(uid, body, call());
    if (route !== 'controllerStatus') assert.equal(codeOf(answer), 'guest.unknown-uid', route);
  }
  assert.deepEqual([c.submitted, c.journal.list('').length], [[], before]);
});
