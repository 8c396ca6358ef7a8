import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StorageId, Upid, Vmid, VolumeId } from '@felhom/protocol';
import { createIdleClock } from '../../../test/idle-clock.ts';
import { badParameter, broken, failedWith, ok, scriptedPve } from '../../../test/scripted-pve.ts';
import type { ScriptedPve } from '../../../test/scripted-pve.ts';
import type { DestroyGuestWarrant } from '../../authority/warrant.ts';
import type { Outcome } from '../../kernel/saga.ts';
import { createPveClient } from './pve-client.ts';

const secret = '00000000-1111-2222-3333-444444444444';
const never = new AbortController().signal;
const id = 9001 as Vmid;
const upid = 'UPID:pve1:000008FE:000B0480:6B04DE57:vzstart:9001:felhom@pve!agent:' as Upid;

function setUp(answer: Parameters<typeof scriptedPve>[0]) {
  const clock = createIdleClock();
  const transport: ScriptedPve = scriptedPve(answer);
  return {
    clock,
    transport,
    pve: createPveClient({ transport, clock, node: 'pve1', token: `felhom@pve!agent=${secret}` }),
  };
}

const codeOf = (outcome: Outcome<unknown>): string =>
  outcome.is === 'done' ? 'done' : `${outcome.is} ${outcome.why.code}`;

test('a GET whose connection broke is asked again, a write never is', async () => {
  const reading = setUp((_, count) => (count < 3 ? broken : ok({ version: '9.2.11', release: '9.2' })));
  assert.equal((await reading.clock.until(reading.pve.facts.version(never))).is, 'done');
  assert.equal(reading.transport.requests.length, 3);
  for (const { headers } of reading.transport.requests)
    assert.deepEqual(headers, { authorization: `PVEAPIToken=felhom@pve!agent=${secret}` });
  const writing = setUp(() => broken);
  assert.equal(codeOf(await writing.clock.until(writing.pve.writer.start(id, never))), 'unknown pve.connection-lost');
  assert.equal(writing.transport.requests.length, 1);
});

test('after one 401 calls are held back; one probe goes out per back-off; success closes the circuit', async () => {
  let token = 'bad';
  const { pve, clock, transport } = setUp(() =>
    token === 'bad' ? failedWith(401, 'Authentication failed!') : ok({ version: '9', release: '9' }),
  );
  const ask = async () => codeOf(await clock.until(pve.facts.version(never)));
  const wait = (ms: number) => clock.until(clock.sleep(ms, never));
  assert.equal(await ask(), 'refused pve.unauthorized');
  assert.equal(await ask(), 'refused pve.circuit-open');
  assert.equal(codeOf(await clock.until(pve.writer.start(id, never))), 'refused pve.circuit-open');
  assert.equal(transport.requests.length, 1);
  await wait(10_000);
  const both = await clock.until(Promise.all([pve.facts.version(never), pve.facts.version(never)]));
  assert.deepEqual(both.map(codeOf), ['refused pve.unauthorized', 'refused pve.circuit-open']);
  token = 'good';
  await wait(10_000);
  assert.equal(await ask(), 'refused pve.circuit-open', 'the back-off has doubled');
  await wait(10_000);
  assert.equal(await ask(), 'done');
  assert.equal(await ask(), 'done');
});

test('no answer in time is unknown and takes the limit of its kind', async () => {
  const { pve, clock } = setUp(() => new Promise(() => {}));
  assert.equal(codeOf(await clock.until(pve.facts.version(never))), 'unknown pve.timeout');
  assert.equal(clock.monotonicMs(), 10_000);
  assert.equal(
    codeOf(await clock.until(pve.writer.configure(id, { set: { cores: '2' } }, never))),
    'unknown pve.timeout',
  );
  assert.equal(clock.monotonicMs(), 45_000);
});

test('aborting ends the waiting; the outcome stays open', async () => {
  const { pve, clock } = setUp(() => new Promise(() => {}));
  const stop = new AbortController();
  const starting = pve.writer.start(id, stop.signal);
  stop.abort();
  assert.equal(codeOf(await clock.until(starting)), 'unknown pve.aborted');
  const before = new AbortController();
  before.abort();
  assert.equal(codeOf(await clock.until(pve.stores.list(before.signal))), 'unknown pve.aborted');
});

test('at most two storage and status calls are under way at once', async () => {
  let under = 0;
  let most = 0;
  const { pve, clock } = setUp(async () => {
    under += 1;
    most = Math.max(most, under);
    await clock.sleep(100, never);
    under -= 1;
    return ok([]);
  });
  const storage = 'local' as StorageId;
  await clock.until(Promise.all(Array.from({ length: 7 }, () => pve.stores.contents(storage, {}, never))));
  assert.equal(most, 2);
  assert.equal(clock.monotonicMs(), 400);
});

test('values are percent-encoded whole, DELETE parameters go into the query', async () => {
  const { pve, clock, transport } = setUp(() => ok(upid));
  await clock.until(
    pve.writer.restore(
      {
        vmid: id,
        archive: 'local:backup/vzdump-lxc-9000-2026_01_01-00_00_00.tar.zst' as VolumeId,
        pool: 'felhom',
        storage: 'local' as StorageId,
        values: { description: 'a=b;c&d+é', env: 'A=1\0B=2', onboot: '0' },
      },
      never,
    ),
  );
  const warrant = { effect: 'destroy-guest', vmid: id, uid: 'u', volumes: [], mayDestroyUnreferenced: false };
  await clock.until(pve.destroyer.destroy(warrant as unknown as DestroyGuestWarrant, never));
  assert.deepEqual(
    transport.requests.map((request) => [request.method, request.path, request.body]),
    [
      [
        'POST',
        '/nodes/pve1/lxc',
        'description=a%3Db%3Bc%26d%2B%C3%A9&env=A%3D1%00B%3D2&onboot=0&vmid=9001&ostemplate=local%3Abackup%2Fvzdump-lxc-9000-2026_01_01-00_00_00.tar.zst&restore=1&pool=felhom&storage=local',
      ],
      ['DELETE', '/nodes/pve1/lxc/9001?purge=1&destroy-unreferenced-disks=0', undefined],
    ],
  );
  assert.equal(transport.requests[0]?.headers['authorization'], `PVEAPIToken=felhom@pve!agent=${secret}`);
});

test('a restore can never carry what would harm the guest that is there', async () => {
  const { pve, transport } = setUp(() => ok(upid));
  const call = { vmid: id, archive: 'l:backup/x' as VolumeId, pool: 'p', storage: 'local' as StorageId };
  for (const key of ['force', 'unique', 'features', 'start'])
    await assert.rejects(pve.writer.restore({ ...call, values: { [key]: '1' } }, never), /is not a value of a restore/);
  await assert.rejects(pve.writer.restore({ ...call, values: { tags: '' } }, never), /empty value/);
  assert.equal(transport.requests.length, 0);
});

test('a warrant for something else sends nothing', async () => {
  const { pve, clock, transport } = setUp(() => ok(upid));
  const warrant = { effect: 'destroy-guest', vmid: 0, uid: 'u', volumes: [], mayDestroyUnreferenced: true };
  const outcome = await clock.until(pve.destroyer.destroy(warrant as unknown as DestroyGuestWarrant, never));
  assert.equal(codeOf(outcome), 'refused pve.wrong-warrant');
  assert.equal(transport.requests.length, 0);
});

test('already in that state is done without a task', async () => {
  for (const [text, act] of [
    ['CT 9001 already running', 'start'],
    ['CT 9001 not running', 'stop'],
  ] as const) {
    const { pve, clock } = setUp(() => failedWith(500, text));
    assert.deepEqual(await clock.until(pve.writer[act](id, never)), { is: 'done', value: undefined });
  }
  const { pve, clock } = setUp(() => failedWith(500, 'disk is already at specified size'));
  assert.deepEqual(await clock.until(pve.writer.resize(id, 'rootfs', 2, never)), { is: 'done', value: undefined });
});

test('absent, forbidden and unreadable configs are three answers', async () => {
  const read = async (answer: ReturnType<typeof ok>) => {
    const { pve, clock } = setUp(() => answer);
    return clock.until(pve.reader.config(id, { current: true }, never));
  };
  assert.deepEqual(await read(failedWith(500, "Configuration file 'nodes/pve1/lxc/9001.conf' does not exist")), {
    is: 'done',
    value: { is: 'absent' },
  });
  assert.deepEqual(await read(failedWith(403, 'Permission check failed (/vms/9001, VM.Audit)')), {
    is: 'done',
    value: { is: 'forbidden' },
  });
  assert.equal(codeOf(await read(ok('what'))), 'unknown pve.unreadable-answer');
  assert.deepEqual(
    await read(ok({ digest: 'd', lock: 'create', cores: 2, protection: '0', lxc: [['lxc.cap.drop', 'x']] })),
    {
      is: 'done',
      value: {
        is: 'present',
        config: { digest: 'd', lock: 'create', values: { cores: '2', protection: '0', lxc: 'lxc.cap.drop = x' } },
      },
    },
  );
});

test('nextid says taken by a 400 about vmid', async () => {
  const taken = setUp(() => badParameter('vmid', 'VM 9001 already exists'));
  assert.deepEqual(await taken.clock.until(taken.pve.reader.isVmidFree(id, never)), { is: 'done', value: false });
  const free = setUp(() => ok('9001'));
  assert.deepEqual(await free.clock.until(free.pve.reader.isVmidFree(id, never)), { is: 'done', value: true });
});

test('the token never shows: not in the error of a bad one, not in any reason', async () => {
  const clock = createIdleClock();
  const token = `felhom@pve:${secret}`;
  assert.throws(
    () => createPveClient({ transport: scriptedPve(() => ok(null)), clock, node: 'pve1', token }),
    (error) => error instanceof Error && !error.message.includes(secret),
  );
  const { pve } = setUp(() => failedWith(401, 'No ticket'));
  assert.ok(!JSON.stringify(await pve.facts.version(never)).includes(secret));
  for (const status of [400, 401, 403, 500, 503]) {
    const echoing = setUp(() => failedWith(status, `refused PVEAPIToken=felhom@pve!agent=${secret}`));
    assert.ok(
      !JSON.stringify(await echoing.clock.until(echoing.pve.facts.version(never))).includes(secret),
      `${status}`,
    );
  }
});

test("until when the token is good: its own end or its user's, whichever is sooner", async () => {
  const lifeOf = async (rows: unknown) => {
    const { pve, clock } = setUp(() => ok(rows));
    const life = await clock.until(pve.login.tokenLife(never));
    return life.is === 'done' ? [life.value.told, life.value.endsAtSeconds] : life.why.code;
  };
  const tokens = (expire?: number) => [
    { tokenid: 'other', expire: 5 },
    { tokenid: 'agent', ...(expire === undefined ? {} : { expire }) },
  ];
  const user = (expire: number, own?: number) => [
    { userid: 'root@pam', expire: 1 },
    { userid: 'felhom@pve', expire, tokens: tokens(own) },
  ];
  for (const [rows, want] of [
    [[], [false, undefined]],
    [[{ userid: 'root@pam', expire: 7 }], [false, undefined]],
    [user(0), [true, undefined]],
    [user(0, 0), [true, undefined]],
    [user(0, 900), [true, 900]],
    [user(800, 900), [true, 800]],
    [user(800), [true, 800]],
    [{}, 'pve.unreadable-answer'],
  ] as const)
    assert.deepEqual(await lifeOf(rows), want);
});
