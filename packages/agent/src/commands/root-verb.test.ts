/** Root's program: what it is asked by whom, what it takes for a request, and the whole of it as a process. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { payloadOf, writeEnvelope } from '@felhom/protocol';
import type { CanonicalValue, VolumeId } from '@felhom/protocol';
import { listenForRoot, rootVerbEntry } from '../../test/root-verb-socket.ts';
import { createIdleClock } from '../../test/idle-clock.ts';
import { makeRootHost, rootIn } from '../../test/root-world.ts';
import { createHelperCommand, helperAnswer } from '../adapters/helper-command/index.ts';
import type { HelperAnswer } from '../adapters/helper-command/index.ts';
import { createHelperSocket } from '../adapters/helper-socket/index.ts';
import { systemClock } from '../adapters/system-clock/index.ts';
import { ownFolder, takeTurn } from '../root-verbs/index.ts';
import { alice, bob, carol, day, makeDocument, makeTrustJob, mallory, now } from '../trust/test/people.ts';
import { runRootVerb } from './root-verb.ts';
import type { RootWorld } from './root-verb.ts';

const never = new AbortController().signal;
const minute = 60_000;
const current = makeDocument();
const next = makeDocument({ version: 4, issuedAt: now, expiresAt: now + 90 * day });

type Person = { sign(payload: Uint8Array): string };
function envelopeOf(job: object, ...people: readonly Person[]): string {
  const payload = payloadOf(JSON.parse(JSON.stringify(job)) as CanonicalValue);
  return writeEnvelope(
    payload,
    people.map((person) => person.sign(payload)),
  );
}
const change = envelopeOf(makeTrustJob(current, next), alice, bob);
function glass(params: object = {}, ...people: readonly Person[]): string {
  const job = {
    v: 1,
    jobId: 'b'.repeat(26),
    host: 'box-1',
    hostEpoch: '0'.repeat(32),
    challenge: `1.${'0'.repeat(32)}`,
    nonce: '0'.repeat(32),
    issuedAt: now - minute,
    notBefore: now - minute,
    expiresAt: now + 30 * minute,
    kind: 'break-glass-open',
    params: { minutes: 20, key: carol.key, consents: [], ...params },
  };
  return envelopeOf(job, ...(people.length > 0 ? people : [alice]));
}

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-root-'));
  t.after(() => rmSync(folder, { recursive: true }));
  makeRootHost(folder, current);
  const world = rootIn(folder, now);
  const ask = async (input: string | Buffer | Readable, over: Partial<RootWorld> = {}) => {
    const said = { out: '', err: '' };
    const stdin = input instanceof Readable ? input : Readable.from([Buffer.from(input)]);
    const io = {
      stdin,
      stdout: { write: (text: string) => void (said.out += text) },
      stderr: { write: (text: string) => void (said.err += text) },
    };
    const exit = await runRootVerb(io, { ...world, ...over }, never);
    const answer = said.out === '' ? undefined : helperAnswer.parse(JSON.parse(said.out));
    return { ...said, exit, answer };
  };
  const request = (verb: string, rest: object = {}): string => JSON.stringify({ v: 1, verb, ...rest });
  const trust = (): string => readFileSync(world.places.trust, 'utf8');
  return { folder, world, ask, request, trust };
}

const textOf = (answer: HelperAnswer | undefined): string =>
  answer === undefined ? 'none' : answer.is === 'done' ? 'done' : `${answer.is}: ${answer.text}`;
const operation = 'saga-1.replace.trust-update';
const update = { v: 1, verb: 'trust-update', operation, envelope: change };
const json = (document: object): string => JSON.stringify(document);

const hostile: [name: string, input: string | Buffer, says: RegExp][] = [
  ['nothing', '', /refused: cannot read the request: it is not one JSON document/],
  ['no JSON', 'trust-update please', /not one JSON document/],
  ['two documents', json(update) + json(update), /not one JSON document/],
  ['two documents, line by line', `${json(update)}\n${json({ v: 1, verb: 'break-glass-show' })}`, /not one JSON/],
  ['bytes behind it', `${json(update)}\0`, /not one JSON document/],
  ['a mark before it', `\ufeff${json(update)}`, /not one JSON document/],
  ['a list of them', `[${json(update)}]`, /cannot read the request/],
  ['bytes that are no text', Buffer.from([0x7b, 0xff, 0x7d]), /not whole UTF-8 text/],
  ['more than is ever needed', `${' '.repeat(300_000)}${json(update)}`, /more than 262144 bytes/],
  ['an envelope that is too large', json({ ...update, envelope: 'x'.repeat(65_537) }), /envelope/],
  ['another version', json({ ...update, v: 2 }), /cannot read the request/],
  ['a field more', json({ ...update, trustFile: '/tmp/trust.json' }), /cannot read the request/],
  ['a verb that nobody knows', json({ v: 1, verb: 'shell', command: 'id' }), /cannot read the request/],
  ['a verb of every object', json({ v: 1, verb: 'constructor' }), /cannot read the request/],
  ['no operation', json({ ...update, operation: undefined }), /operation/],
  ...['a/b', '../../etc/felhom/trust.json', '.hidden', '', 'a b', 'a\n', 'x'.repeat(201)].map(
    (id): [string, string, RegExp] => [`operation ${id.slice(0, 30)}`, json({ ...update, operation: id }), /operation/],
  ),
  ...['../x', 'a/b', '.'].map((id): [string, string, RegExp] => [
    `a look at operation ${id}`,
    json({ v: 1, verb: 'show', operation: id }),
    /operation/,
  ]),
  ['volumes-of something else', json({ v: 1, verb: 'volumes-of', vmid: '9001; id' }), /cannot read the request: vmid/],
  ['volumes-of nobody', json({ v: 1, verb: 'volumes-of', vmid: 99 }), /cannot read the request: vmid/],
  [
    'archive-digest of a path',
    json({ v: 1, verb: 'archive-digest', archive: '/etc/shadow' }),
    /cannot read the request/,
  ],
  [
    'archive-digest of a disk',
    json({ v: 1, verb: 'archive-digest', archive: 'local:9001/x.raw' }),
    /not the volume id of a/,
  ],
  ['key-test of a file', json({ v: 1, verb: 'key-test', archive: 'pbs:backup/x' }), /not the volume id of a snapshot/],
  [
    'scratch-read of a guest that serves',
    json({ v: 1, verb: 'scratch-read', vmid: 9001, volumes: [{ path: '/', samples: [] }] }),
    /not in the range of scratch guests/,
  ],
];
for (const [name, input, says] of hostile)
  test(`${name}: refused before anything is looked at`, async (t) => {
    const { ask, world, trust } = setUp(t);
    const before = trust();
    const { answer, exit } = await ask(input);
    assert.equal(exit, 0);
    assert.ok(answer?.is === 'refused');
    assert.match(textOf(answer), says);
    assert.ok(!textOf(answer).includes(alice.key));
    assert.equal(trust(), before);
    for (const place of [world.places.state, world.places.run]) assert.ok(!existsSync(place), place);
  });

test('what only reads holds nobody up and waits for nobody', async (t) => {
  const { ask, world, request } = setUp(t);
  ownFolder(world.places.run);
  const turn = takeTurn({ folder: join(world.places.run, 'turns'), pid: process.ppid });
  t.after(() => turn.is === 'taken' || turn.end());
  const perl = () => Promise.resolve({ code: 0, stdout: '["local:9001/vm-9001-disk-0.raw"]', stderr: '' });
  const tools = { ...world.tools, perl };
  assert.match(textOf((await ask(json({ v: 1, verb: 'break-glass-show' }), { tools })).answer), /^busy/);
  assert.deepEqual((await ask(request('volumes-of', { vmid: 9001 }), { tools })).answer, {
    v: 1,
    is: 'done',
    volumes: ['local:9001/vm-9001-disk-0.raw'],
  });
  // Tools that are not there are no answer about any archive.
  const archive = 'local:backup/vzdump-lxc-9001-2026_11_24-00_46_17.tar.zst';
  assert.match(textOf((await ask(request('archive-digest', { archive }))).answer), /^busy: .*no such tool/);
});

test('only for root, and only a program that is root’s', async (t) => {
  const { ask, world, folder } = setUp(t);
  for (const uid of [world.rootUid + 1, undefined])
    assert.match(textOf((await ask(json(update), { uid })).answer), /^refused: .*not root; look at felhom-root@/);
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/main.ts'), '');
  chmodSync(join(folder, 'bin'), 0o777);
  const { answer } = await ask(json(update), { program: [join(folder, 'bin/main.ts')] });
  assert.match(textOf(answer), /^refused: .*whoever can write this program would be root: .*mode 777/);
  assert.ok(!existsSync(world.places.run));
});

test('a request that never ends is not waited for', async (t) => {
  const { ask } = setUp(t);
  const clock = createIdleClock(now);
  const endless = new Readable({ read: () => {} });
  endless.push('{"v":1,');
  const { answer } = await clock.until(ask(endless, { clock }));
  assert.match(textOf(answer), /refused: .*did not end in time/);
  assert.equal(clock.monotonicMs(), 10_000);
});

test('while another is at work it is busy, looking included; a turn that a kill left is taken over', async (t) => {
  const { ask, request, world } = setUp(t);
  const turns = join(world.places.run, 'turns');
  mkdirSync(turns, { recursive: true, mode: 0o700 });
  chmodSync(world.places.run, 0o700);
  // Whoever started this test lives as long as it does.
  const parent = readFileSync(`/proc/${process.ppid}/stat`, 'utf8');
  const startedAt = parent.slice(parent.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  writeFileSync(join(turns, `${process.ppid}.${startedAt}`), '');
  for (const input of [json(update), request('show', { operation }), request('break-glass-show')])
    assert.match(textOf((await ask(input)).answer), new RegExp(`^busy: .*process ${process.ppid} is at work`));
  rmSync(join(turns, `${process.ppid}.${startedAt}`));
  writeFileSync(join(turns, `${process.ppid}.1`), '');
  assert.equal(textOf((await ask(request('show', { operation }))).answer), 'done');
  assert.deepEqual(readdirSync(turns), []);
});

test('where it stays open whether something was done there is no answer, and its turn ends all the same', async (t) => {
  const { ask, request, world } = setUp(t);
  mkdirSync(join(world.places.state, 'receipts', 'saga-9'), { recursive: true });
  const { out, err, exit } = await ask(request('show', { operation: 'saga-9' }));
  assert.deepEqual([out, exit], ['', 70]);
  assert.match(err, /^felhom-agent root-verb: .{1,300}\n$/);
  assert.deepEqual(readdirSync(join(world.places.run, 'turns')), []);
});

const installed = ((): boolean => {
  try {
    execFileSync('ssh-keygen', ['-Y', 'verify'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
})();
const skip = installed ? false : 'ssh-keygen is not installed here; install openssh-client to run this';

test('trust for this host, from two people, once; a receipt says so afterwards', { skip }, async (t) => {
  const { ask, request, trust } = setUp(t);
  const before = trust();
  const show = request('show', { operation });
  assert.deepEqual((await ask(show)).answer, { v: 1, is: 'done', receipt: null });
  const refusals: [envelope: string, says: RegExp][] = [
    [envelopeOf(makeTrustJob(current, next), alice), /2 people have to sign, 1 did/],
    [envelopeOf(makeTrustJob(current, next), alice, mallory), /is not listed|1 did/],
    [envelopeOf(makeTrustJob(current, next, { host: 'box-2' }), alice, bob), /for box-2/],
    [glass(), /the job is break-glass-open/],
    ['{}', /cannot read envelope/],
  ];
  for (const [envelope, says] of refusals)
    assert.match(textOf((await ask(json({ ...update, envelope }))).answer), says);
  assert.equal(trust(), before);
  assert.deepEqual((await ask(show)).answer, { v: 1, is: 'done', receipt: null });
  assert.deepEqual((await ask(json(update))).answer, { v: 1, is: 'done' });
  const after = trust();
  assert.equal((JSON.parse(after) as { version: number }).version, 4);
  const receipt = { operation, verb: 'trust-update', at: now };
  assert.deepEqual((await ask(show)).answer, { v: 1, is: 'done', receipt });
  // By its receipt: nobody is asked whether the envelope is good.
  assert.deepEqual((await ask(json({ ...update, envelope: '{}' }))).answer, { v: 1, is: 'done' });
  assert.match(
    textOf((await ask(request('break-glass-open', { operation, envelope: glass() }))).answer),
    /refused: .*saga-1\.replace\.trust-update was a trust-update/,
  );
  // Sent again under another name: it is what the file says already.
  assert.deepEqual((await ask(json({ ...update, operation: 'replay' }))).answer, { v: 1, is: 'done' });
  assert.equal(trust(), after);
});

test('root remembers the longest audit log that it was told of, and takes nothing else for a count', async (t) => {
  const { ask, request } = setUp(t);
  const epoch = '0'.repeat(32);
  const told = async (count: unknown) => (await ask(request('witness', { epoch, count }))).answer;
  assert.deepEqual(await told(7), { v: 1, is: 'done', witnessed: 0 });
  assert.deepEqual(await told(3), { v: 1, is: 'done', witnessed: 7 });
  for (const count of [-1, 0.5, '9', null, 1e300]) assert.match(textOf(await told(count)), /^refused: .*count/);
  assert.deepEqual(await told(7), { v: 1, is: 'done', witnessed: 7 });
});

test('a trust document that others may write, or none', async (t) => {
  const { ask, request, world } = setUp(t);
  chmodSync(world.places.trust, 0o666);
  assert.match(textOf((await ask(json(update))).answer), /^busy: .*others may write there/);
  rmSync(world.places.trust);
  for (const verb of ['trust-update', 'break-glass-open'])
    assert.match(
      textOf((await ask(request(verb, { operation, envelope: change }))).answer),
      /^refused: .*this host trusts nobody yet/,
    );
});

test('break-glass opens once per job, and closes whatever was written down', { skip }, async (t) => {
  const { ask, request, folder, world } = setUp(t);
  const opening = (id: string, envelope = glass()) => ask(request('break-glass-open', { operation: id, envelope }));
  const closing = () => ask(request('break-glass-close', { operation: 'saga-3.close' }));
  const until = async () => {
    const { answer } = await ask(request('break-glass-show'));
    return answer?.is === 'done' ? answer.openUntil : answer?.text;
  };
  assert.equal(await until(), null);
  assert.deepEqual((await closing()).answer, { v: 1, is: 'done' });
  assert.deepEqual((await opening('saga-2.open')).answer, { v: 1, is: 'done' });
  assert.equal(await until(), now + 20 * minute);
  assert.ok(existsSync(join(folder, 'units/felhom-break-glass-sshd.service')));
  assert.deepEqual((await opening('saga-2.open')).answer, { v: 1, is: 'done' });
  // The receipt of the first closing keeps nobody from closing again.
  assert.deepEqual((await closing()).answer, { v: 1, is: 'done' });
  assert.equal(await until(), null);
  assert.deepEqual(readdirSync(join(folder, 'units')), []);
  assert.match(textOf((await opening('again')).answer), /^refused: .*was used already/);
  assert.equal(await until(), null);
  assert.equal(statSync(world.places.state).mode & 0o777, 0o700);
});

const closedShut: [name: string, spoil: (world: RootWorld) => void, envelope: string, says: RegExp][] = [
  ['not set up', ({ places }) => rmSync(places.breakGlass), glass(), /break-glass is not set up on this host/],
  ['settings of others', ({ places }) => chmodSync(places.breakGlass, 0o666), glass(), /others may write there/],
  ['settings that do not read', ({ places }) => writeFileSync(places.breakGlass, '{}'), glass(), /cannot use/],
  ['no policy', ({ places }) => rmSync(places.policy), glass(), /policy\.yaml/],
  ['a policy of others', ({ places }) => chmodSync(places.policy, 0o666), glass(), /others may write there/],
  ['longer than the policy says', () => {}, glass({ minutes: 46 }), /46 minutes are more than the 45/],
  ['a stranger', () => {}, glass({}, mallory), /is not listed/],
];
for (const [name, spoil, envelope, says] of closedShut)
  test(`break-glass stays closed: ${name}`, { skip }, async (t) => {
    const { ask, request, folder, world } = setUp(t);
    spoil(world);
    const { answer } = await ask(request('break-glass-open', { operation: 'saga-2.open', envelope }));
    assert.match(textOf(answer), says);
    assert.ok(answer?.is === 'refused');
    assert.deepEqual(readdirSync(join(folder, 'units')), []);
  });

test('closing works where neither trust nor settings nor a receipt of root’s can be read', async (t) => {
  const { ask, request, folder, world } = setUp(t);
  writeFileSync(join(folder, 'active/felhom-break-glass-sshd.service'), '');
  rmSync(world.places.trust);
  rmSync(world.places.breakGlass);
  // A disk that takes no receipt: the answer stays open, the host does not.
  writeFileSync(world.places.state, '');
  const { exit, out } = await ask(request('break-glass-close', { operation: 'saga-3.close' }));
  assert.deepEqual([exit, out], [70, '']);
  assert.deepEqual(readdirSync(join(folder, 'active')), []);
  assert.deepEqual((await ask(request('break-glass-show'))).answer, { v: 1, is: 'done', openUntil: null });
});

test('as a process, asked by the agent’s own adapter', { skip }, async (t) => {
  const { folder, trust } = setUp(t);
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', rootVerbEntry, folder, String(now)];
  const helper = createHelperCommand({ command, clock: systemClock() });
  assert.deepEqual(await helper.trustUpdate(operation, change, never), { is: 'done', value: undefined });
  assert.equal((JSON.parse(trust()) as { version: number }).version, 4);
  assert.equal(statSync(join(folder, 'etc/trust.json')).mode & 0o777, 0o644);
  assert.deepEqual(await helper.trustUpdate(operation, change, never), { is: 'done', value: undefined });
  const shown = await helper.show(operation, never);
  assert.deepEqual(shown, { is: 'done', value: { operation, verb: 'trust-update', at: now } });
});

const listen = (t: TestContext, folder: string): Promise<string> =>
  listenForRoot(t, join(folder, 'helper.sock'), folder, now);

test('behind a socket, asked by the agent’s own adapter', { skip }, async (t) => {
  const { folder, trust } = setUp(t);
  const helper = createHelperSocket({ socket: await listen(t, folder), clock: systemClock() });
  assert.deepEqual(await helper.trustUpdate(operation, change, never), { is: 'done', value: undefined });
  assert.equal((JSON.parse(trust()) as { version: number }).version, 4);
  assert.deepEqual(await helper.show(operation, never), {
    is: 'done',
    value: { operation, verb: 'trust-update', at: now },
  });
  const refused = await helper.archiveDigest('local:9001/x.raw' as VolumeId, never);
  assert.equal(refused.is === 'refused' && refused.why.code, 'helper.refused');
  // No answer is no answer: a receipt that is none leaves the outcome open.
  mkdirSync(join(folder, 'state/receipts/saga-9'));
  const open = await helper.show('saga-9', never);
  assert.equal(open.is === 'unknown' && open.why.code, 'helper.died');
});

test('requests at once wait for each other', async (t) => {
  const { world, ask, request } = setUp(t);
  ownFolder(world.places.run);
  const turn = takeTurn({ folder: join(world.places.run, 'turns'), pid: process.ppid });
  assert.ok(turn.is === 'mine');
  let asked = 0;
  const clock = {
    now: () => now,
    sleep: async (ms: number, signal: AbortSignal) => {
      if (ms > 1_000) return systemClock().sleep(ms, signal);
      if ((asked += 1) === 3) turn.end();
    },
  };
  assert.equal(textOf((await ask(request('show', { operation }), { clock, turnWaitMs: 60_000 })).answer), 'done');
  assert.equal(asked, 3);
});

test('as a process: nothing of the caller’s environment or umask is left, and stdout is the answer alone', async (t) => {
  const { folder } = setUp(t);
  writeFileSync(join(folder, 'systemctl'), '#!/bin/sh\nenv >"${0%/*}/seen"\necho inactive\necho inactive\n');
  const child = spawn(process.execPath, [rootVerbEntry, folder, String(now)], {
    env: { PATH: process.env['PATH'], FELHOM_CANARY: 'canary', FELHOM_AGENT_CONFIG: '/tmp/agent.yaml' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stdin.end(json({ v: 1, verb: 'break-glass-show' }));
  const [code] = await new Promise<[number | null]>((ended) => child.once('close', (exit) => ended([exit])));
  assert.equal(code, 0);
  assert.equal(out, '{"v":1,"is":"done","openUntil":null}');
  const seen = readFileSync(join(folder, 'seen'), 'utf8');
  assert.doesNotMatch(seen, /FELHOM/);
  assert.match(seen, /^PATH=\/usr\/sbin:\/usr\/bin:\/sbin:\/bin$/m);
  assert.equal(statSync(join(folder, 'seen')).mode & 0o777, 0o600);
});

test('an agent that was overtaken gets nothing changed; it may look, and close break-glass', async (t) => {
  const { ask, request, trust } = setUp(t);
  const epoch = 'e'.repeat(32);
  const by = (opening: number, of = epoch) => ({ fence: { epoch: of, opening } });
  const before = trust();
  const closing = { operation: 'a.close' };
  assert.equal((await ask(request('break-glass-close', { ...closing, ...by(7) }))).answer?.is, 'done');
  assert.equal((await ask(request('witness', { epoch, count: 1, ...by(8) }))).answer?.is, 'done');
  // Stopped before it, and going on now.
  const late = (await ask(request('trust-update', { operation, envelope: change, ...by(7) }))).answer;
  assert.match(textOf(late), /busy: cannot trust-update: the agent that asks was overtaken: it is opening 7.*\(8\)/);
  assert.equal(trust(), before);
  for (const verb of ['mount', 'unmount', 'storage-define'])
    assert.match(textOf((await ask(request(verb, { operation, target: 'usb-1', ...by(7) }))).answer), /overtaken/);
  assert.match(textOf((await ask(request('tunnel-restart', { operation, ...by(7) }))).answer), /overtaken/);
  assert.equal((await ask(request('show', { operation, ...by(7) }))).answer?.is, 'done');
  assert.equal((await ask(request('break-glass-show', by(7)))).answer?.is, 'done');
  assert.equal((await ask(request('break-glass-close', { operation: 'b.close', ...by(7) }))).answer?.is, 'done');
  assert.equal((await ask(request('trust-update', { operation, envelope: change, ...by(8) }))).answer?.is, 'done');
});

test('a journal that was put back is not locked out: it is told, begins another epoch, and the old one is left', async (t) => {
  const { ask, request } = setUp(t);
  const [old, fresh] = ['e'.repeat(32), 'f'.repeat(32)];
  const witness = (epoch: string, opening: number) =>
    request('witness', { epoch, count: 5, fence: { epoch, opening } });
  await ask(witness(old, 40));
  const told = (await ask(witness(old, 12))).answer;
  assert.ok(told?.is === 'done' && (told.witnessed ?? 0) > 5, 'older than what root remembers');
  const close = (epoch: string, opening: number) =>
    request('trust-update', { operation: `o.${opening}`, envelope: change, fence: { epoch, opening } });
  assert.match(textOf((await ask(close(old, 12))).answer), /overtaken/);
  assert.equal((await ask(witness(fresh, 12))).answer?.is, 'done');
  assert.equal((await ask(close(fresh, 12))).answer?.is, 'done');
  for (const opening of [41, 999_999_999_999])
    assert.match(textOf((await ask(close(old, opening))).answer), /epoch of the host was left/);
});

test('one of an earlier release tells no opening, and is served as before', async (t) => {
  const { ask, request } = setUp(t);
  await ask(request('witness', { epoch: 'e'.repeat(32), count: 1, fence: { epoch: 'e'.repeat(32), opening: 9 } }));
  assert.equal((await ask(request('trust-update', { operation, envelope: change }))).answer?.is, 'done');
});
