/**
 * What a taken-over agent may ask of root. Whatever it is: nothing outside of the verb changes, no program is run for
 * it, and the answer is a refusal. The whole folder that root stands on is compared before and after.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { listenForRoot } from '../../test/root-verb-socket.ts';
import { makeRootHost, rootIn } from '../../test/root-world.ts';
import { helperAnswer } from '../adapters/helper-command/index.ts';
import type { HelperRequest } from '../adapters/helper-command/index.ts';
import { makeDocument, now } from '../trust/test/people.ts';
import { runRootVerb } from './root-verb.ts';
import type { RootWorld } from './root-verb.ts';

type HelperVerb = HelperRequest['verb'];

const never = new AbortController().signal;

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-hostile-'));
  t.after(() => rmSync(folder, { recursive: true }));
  makeRootHost(folder, makeDocument());
  const ran: string[] = [];
  const plain = rootIn(folder, now);
  // What is run counts, whatever it would have done.
  const counted = <T extends object>(tools: T): T =>
    Object.fromEntries(
      Object.keys(tools).map((name) => [
        name,
        (args: readonly string[]) => {
          ran.push(`${name} ${args.join(' ')}`);
          return Promise.reject(new Error('nothing may be run'));
        },
      ]),
    ) as T;
  const world: RootWorld = {
    ...plain,
    tools: counted(plain.tools),
    guests: { ...plain.guests, tools: counted(plain.guests.tools) },
  };
  const node = join(folder, 'node');
  // A guest of somebody else's, in and out of the ranges, and a stub that looks like one of ours.
  const config = (vmid: number, text: string): void =>
    writeFileSync(join(node, 'etc-pve/nodes/pve1/lxc', `${vmid}.conf`), text);
  config(100, 'lock: backup\nrootfs: local:100/vm-100-disk-0.raw\n');
  config(9001, 'lock: create\n');
  config(9801, 'arch: amd64\n');
  return { folder, world, ran, before: treeOf(folder) };
}

/** All that is there but what turns are taken with. */
function treeOf(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (below: string): void => {
    for (const name of readdirSync(join(folder, below))) {
      const path = join(below, name);
      if (path === 'run') continue;
      const facts = lstatSync(join(folder, path));
      const mode = (facts.mode & 0o7777).toString(8);
      if (facts.isDirectory()) {
        found[path] = `folder ${mode}`;
        walk(path);
      } else if (facts.isSymbolicLink()) found[path] = `link ${readlinkSync(join(folder, path))}`;
      else if (facts.isFile())
        found[path] = `file ${mode} ${facts.mtimeMs} ${sha256(readFileSync(join(folder, path)))}`;
    }
  };
  walk('');
  return found;
}
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function ask(world: RootWorld, input: string | Buffer) {
  let out = '';
  const io = {
    stdin: Readable.from([Buffer.from(input)]),
    stdout: { write: (text: string) => void (out += text) },
    stderr: { write: () => {} },
  };
  const exit = await runRootVerb(io, world, never);
  return { exit, answer: out === '' ? undefined : helperAnswer.parse(JSON.parse(out)) };
}

// --------------------------------------------------------------------------------------------------- what is asked

const operation = 'saga-1.step.verb';
const volume = 'local:9001/vm-9001-disk-0.raw';
const envelope = '{}';

/** As the agent asks them. */
const asked: Readonly<Record<HelperVerb, Readonly<Record<string, unknown>>>> = {
  'volumes-of': { vmid: 9001 },
  'reap-stub': { operation, vmid: 9001, volumes: [volume] },
  unlock: { operation, vmid: 9001 },
  'pool-ensure': { operation, vmid: 9001 },
  'archive-digest': { archive: 'local:backup/vzdump-lxc-9001-2026_11_24-00_46_17.tar.zst' },
  'scratch-read': { vmid: 9801, volumes: [{ path: '/srv', samples: ['a'] }] },
  'guest-mounts': { vmid: 9001 },
  'key-test': { archive: 'pbs:backup/ct/9001/2026-11-24T00:46:17Z' },
  'trust-update': { operation, envelope },
  'break-glass-open': { operation, envelope },
  'break-glass-close': { operation },
  'break-glass-show': {},
  witness: { epoch: '0'.repeat(32), count: 1 },
  mount: { operation, target: 'usb-1' },
  unmount: { operation, target: 'usb-1' },
  'storage-define': { operation, target: 'usb-1' },
  'target-apply': { operation, envelope },
  'tunnel-apply': { operation, envelope },
  'tunnel-restart': { operation },
  'tunnel-show': {},
  'credential-test': { target: 'nas-1' },
  smart: { device: 'sda' },
  show: { operation },
};

const noText: readonly unknown[] = [null, 5, true, [], {}, ['a'], { toString: 'a' }];
const crooked: readonly string[] = [
  '',
  ' ',
  '..',
  '.',
  '../x',
  'a/../b',
  '--help',
  '-x',
  'a\n',
  'a\u0000',
  'a b',
  '$(id)',
  '`id`',
  'a;id',
  'ａ',
  'а',
  'a\u202eb',
  'a\u200b',
];

/** Per field, what is in none of its verbs a value. */
const hostile: Readonly<Record<string, readonly unknown[]>> = {
  operation: [...crooked, ...noText, 'a/b', '/etc/passwd', '.hidden', '__proto__', 'x'.repeat(201)],
  vmid: [0, 99, -9001, 9001.5, 1e300, 1_000_000_000, '9001', '9001\n', '９００１', '--all', null, true, [9001], {}],
  volumes: [
    null,
    'all',
    {},
    [volume, 5],
    [[volume]],
    Array.from({ length: 257 }, () => volume),
    ...[
      ...crooked,
      '/etc/shadow',
      '/dev/sda',
      'local:../../etc/shadow',
      `${volume}\n`,
      `--x ${volume}`,
      'lоcal:9001/x',
    ].map((id) => [id]),
  ],
  archive: [
    ...crooked,
    ...noText,
    '/etc/shadow',
    'local:backup/../../etc/shadow',
    'local:9001/vm-9001-disk-0.raw',
    'local:iso/x.iso',
    'x'.repeat(5_000),
  ],
  target: [...crooked, ...noText, 'a/b', 'USB', 'x'.repeat(200)],
  device: [
    ...crooked,
    ...noText,
    '/dev/sda',
    'sda1',
    '../sda',
    'loop0',
    'dm-0',
    'nvme0',
    'nvme0n1p1',
    'sdａ',
    'sda -x',
    'md0',
  ],
  envelope: [...noText, 'x'.repeat(65_537)],
  epoch: [...crooked, ...noText, 'x'.repeat(32), '0'.repeat(33)],
  count: [-1, 0.5, '1', null, 1e300, [], {}],
};

const scratchVolumes: readonly unknown[] = [
  [],
  ...crooked.map((path) => [{ path, samples: [] }]),
  ...['relative', '/..', '/a/../b', '/a//b', '/a/', '/a\u0000b', '/ä', '/--x y'].map((path) => [{ path, samples: [] }]),
  ...['', '/etc/shadow', '../x', 'a/../../x', './a', 'a//b', 'x'.repeat(1_025), 5].map((name) => [
    { path: '/srv', samples: [name] },
  ]),
  [{ path: '/srv', samples: Array.from({ length: 201 }, () => 'a') }],
  [{ path: '/srv', samples: [], follow: true }],
  Array.from({ length: 34 }, () => ({ path: '/srv', samples: [] })),
];

const verbs = Object.keys(asked) as HelperVerb[];
for (const verb of verbs)
  test(`${verb}: whatever stands in its fields, nothing is run and nothing changes`, async (t) => {
    const { folder, world, ran, before } = setUp(t);
    const request = { v: 1, verb, ...asked[verb] };
    const documents = [
      ...Object.keys(asked[verb]).flatMap((field) => {
        const values = verb === 'scratch-read' && field === 'volumes' ? scratchVolumes : (hostile[field] ?? []);
        assert.ok(values.length > 0, field);
        return [...values.map((value) => ({ ...request, [field]: value })), { ...request, [field]: undefined }];
      }),
      ...[0, 2, '1', null, undefined].map((v) => ({ ...request, v })),
      { ...request, more: 1 },
      { ...request, command: 'id' },
      ...[
        -1,
        null,
        {},
        { epoch: '0'.repeat(32) },
        { epoch: '../x', opening: 1 },
        { epoch: '0'.repeat(32), opening: -1 },
        { epoch: '0'.repeat(32), opening: 1e300 },
        { epoch: '0'.repeat(32), opening: 1, more: 1 },
      ].map((fence) => ({ ...request, fence })),
      { ...request, verb: `${verb} ` },
      { ...request, verb: verb.toUpperCase() },
      { ...request, verb: [verb] },
    ].map((document) => JSON.stringify(document));
    const whole = JSON.stringify(request);
    const texts = [
      ...documents,
      `${whole}${whole}`,
      `${whole}\n${whole}`,
      `[${whole}]`,
      `${whole}\u0000`,
      `\ufeff${whole}`,
      whole.slice(0, -1),
      `${whole.slice(0, -1)},"deep":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
      `${'{"v":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
      `${whole.slice(0, -1)},"__proto__":{"v":1}}`,
      `${' '.repeat(300_000)}${whole}`,
    ];
    for (const text of texts) {
      const { exit, answer } = await ask(world, text);
      const short = text.slice(0, 200);
      assert.equal(exit, 0, short);
      assert.equal(answer?.is, 'refused', short);
    }
    assert.deepEqual(ran, []);
    assert.deepEqual(treeOf(folder), before);
    // What reads well as a volume of somebody is refused by the verb itself.
    if (verb !== 'reap-stub') assert.ok(!existsSync(world.places.run), 'not even a turn was taken');
  });

test('the numbers of other people’s guests', async (t) => {
  const { folder, world, ran, before } = setUp(t);
  for (const vmid of [100, 8999, 9010, 9799, 9810, 999_999_999])
    for (const verb of ['unlock', 'pool-ensure', 'reap-stub', 'scratch-read', 'guest-mounts'] as const) {
      const volumes = verb === 'reap-stub' ? { volumes: [] } : {};
      const { answer } = await ask(world, JSON.stringify({ v: 1, verb, ...asked[verb], ...volumes, vmid }));
      assert.ok(answer?.is === 'refused', `${verb} ${vmid}`);
      assert.match(answer.text, /in no range|not in the range of (?:scratch )?guests/);
    }
  // And of one that serves: only scratch guests are looked into.
  const { answer } = await ask(
    world,
    JSON.stringify({ v: 1, verb: 'scratch-read', ...asked['scratch-read'], vmid: 9001 }),
  );
  assert.ok(answer?.is === 'refused');
  assert.deepEqual(ran, []);
  assert.deepEqual(treeOf(folder), before);
});

// ----------------------------------------------------------------------------------------------------------- links

/** Each file that is read or written on the way, made a link to something that must stay as it is. */
const links: readonly { verb: HelperVerb; path: string; make?: 'file' | 'folder' }[] = [
  { verb: 'unlock', path: 'etc/policy.yaml' },
  { verb: 'pool-ensure', path: 'etc/policy.yaml' },
  { verb: 'reap-stub', path: 'etc/policy.yaml' },
  { verb: 'scratch-read', path: 'etc/policy.yaml' },
  { verb: 'break-glass-open', path: 'etc/trust.json' },
  { verb: 'trust-update', path: 'etc/trust.json' },
  { verb: 'unlock', path: 'node/etc-pve/nodes/pve1/lxc/9001.conf' },
  { verb: 'reap-stub', path: 'node/etc-pve/nodes/pve1/lxc/9001.conf' },
  { verb: 'pool-ensure', path: 'node/etc-pve/user.cfg' },
  { verb: 'scratch-read', path: 'node/etc-pve/nodes/pve1/lxc/9801.conf' },
  { verb: 'guest-mounts', path: 'etc/policy.yaml' },
  { verb: 'guest-mounts', path: 'node/etc-pve/nodes/pve1/lxc/9001.conf' },
  { verb: 'key-test', path: 'node/etc-pve/storage.cfg', make: 'file' },
  { verb: 'key-test', path: 'node/etc-pve/priv/storage/pbs.enc', make: 'file' },
  { verb: 'unlock', path: `state/receipts/${operation}`, make: 'file' },
  { verb: 'show', path: `state/receipts/${operation}`, make: 'file' },
  { verb: 'witness', path: 'state', make: 'folder' },
  { verb: 'witness', path: 'state/witness', make: 'file' },
  { verb: 'unlock', path: 'run/felhom-root', make: 'folder' },
  { verb: 'show', path: 'run/felhom-root/turns', make: 'folder' },
];
for (const { verb, path, make } of links)
  test(`${verb}: where ${path} is a link, nothing is done`, async (t) => {
    const { folder, world, ran } = setUp(t);
    const file = join(folder, path);
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    if (make === undefined) renameSync(file, elsewhere);
    else if (make === 'folder') mkdirSync(elsewhere, { mode: 0o700 });
    else writeFileSync(elsewhere, JSON.stringify({ v: 1, operation, verb, at: 1 }), { mode: 0o600 });
    symlinkSync(elsewhere, file);
    const before = treeOf(folder);
    const { answer } = await ask(world, JSON.stringify({ v: 1, verb, ...asked[verb] }));
    // No answer is one too: what became of it is open, and nothing did.
    assert.notEqual(answer?.is, 'done');
    assert.deepEqual(ran, []);
    assert.deepEqual(treeOf(folder), before);
    if (make === 'folder') assert.deepEqual(readdirSync(elsewhere), []);
  });

// -------------------------------------------------------------------------------------------- as processes, by a socket

const listen = (t: TestContext, folder: string): Promise<string> =>
  listenForRoot(t, join(folder, 'run/helper.sock'), folder, now);

/** All that comes back; a connection that breaks gives what came before it did. */
const send = (socket: string, request: string): Promise<string> =>
  new Promise((done) => {
    let out = '';
    const connection = createConnection({ path: socket, allowHalfOpen: true }, () => connection.end(request));
    connection.setEncoding('utf8').on('data', (text: string) => (out += text));
    connection.on('error', () => {}).on('close', () => done(out));
    connection.on('end', () => connection.destroy());
  });

test('through the socket, one process each: two documents, too much of it, other people’s guests', async (t) => {
  const { folder, before } = setUp(t);
  const socket = await listen(t, folder);
  const unlock = (vmid: unknown): string => JSON.stringify({ v: 1, verb: 'unlock', operation, vmid });
  for (const request of [
    `${unlock(9001)}${unlock(9001)}`,
    unlock('9001; id'),
    unlock(100),
    JSON.stringify({ v: 1, verb: 'reap-stub', operation: '../../etc/passwd', vmid: 9001, volumes: [] }),
    JSON.stringify({ v: 1, verb: 'smart', device: '../../etc/shadow' }),
    '['.repeat(100_000),
  ]) {
    const answer = helperAnswer.parse(JSON.parse(await send(socket, request)));
    assert.equal(answer.is, 'refused', request.slice(0, 100));
  }
  // Whoever goes on sending may be cut off before it reads why.
  const cut = await send(socket, 'x'.repeat(20_000_000));
  assert.ok(cut === '' || helperAnswer.parse(JSON.parse(cut)).is === 'refused');
  assert.deepEqual(treeOf(folder), before);
});

test('who is not in the group of the socket does not get in', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root: it asks as other users');
  const { folder, before } = setUp(t);
  const socket = await listen(t, folder);
  for (const path of [folder, join(folder, 'run')]) chmodSync(path, 0o755);
  chmodSync(socket, 0o660);
  const program = `my $helper = IO::Socket::UNIX->new(Peer => shift) or do { print $!{EACCES} ? 'EACCES' : $!; exit };
    print $helper '{}'; $helper->shutdown(1); print <$helper>;`;
  const as = (gid: number): Promise<string> =>
    new Promise((done, fail) => {
      const child = spawn('/usr/bin/perl', ['-MErrno', '-MIO::Socket::UNIX', '-e', program, socket], {
        uid: 65_534,
        gid,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let out = '';
      child.stdout.on('data', (text: Buffer) => (out += text.toString()));
      child.once('close', () => done(out)).once('error', fail);
    });
  assert.equal(await as(65_534), 'EACCES');
  assert.match(await as(0), /"is":"refused"/);
  assert.deepEqual(treeOf(folder), before);
});
