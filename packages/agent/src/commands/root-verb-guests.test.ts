/** Root's verbs about guests as the agent meets them: over a socket, one process each, on a made-up node. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Vmid, VolumeId } from '@felhom/protocol';
import { listenForRoot } from '../../test/root-verb-socket.ts';
import { madeUpNode, taskTime } from '../../test/made-up-node.ts';
import { makeRootHost, rootIn } from '../../test/root-world.ts';
import { helperAnswer } from '../adapters/helper-command/index.ts';
import { createHelperSocket } from '../adapters/helper-socket/index.ts';
import { systemClock } from '../adapters/system-clock/index.ts';
import type { Outcome } from '../kernel/index.ts';
import type { HostCommand } from '../ports/host-command.ts';
import { makeDocument, now } from '../trust/test/people.ts';
import { runRootVerb } from './root-verb.ts';

const never = new AbortController().signal;
const vmid = 9001 as Vmid;
const volume = 'local:9001/vm-9001-disk-0.raw' as VolumeId;

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-root-'));
  t.after(() => rmSync(folder, { recursive: true }));
  makeRootHost(folder, makeDocument());
  return { folder, node: madeUpNode(join(folder, 'node')) };
}

async function listen(t: TestContext, folder: string) {
  const socket = await listenForRoot(t, join(folder, 'run/helper.sock'), folder, now);
  return createHelperSocket({ socket, clock: systemClock() });
}

const textOf = (outcome: Outcome<unknown>): string =>
  outcome.is === 'done' ? 'done' : `${outcome.is} ${outcome.why.code}: ${outcome.why.text}`;

test('a stub is reaped once; its receipt says so, and is good for nothing else', async (t) => {
  const { folder, node } = setUp(t);
  const helper = await listen(t, folder);
  utimesSync(node.writeConfig(9001, 'lock: create\n'), taskTime, taskTime);
  node.writeTask({});
  node.setVolumes([volume]);
  assert.match(textOf(await helper.reapStub('s.1', vmid, [], never)), /^refused helper\.refused: .*nobody named/);
  assert.deepEqual(await helper.show('s.1', never), { is: 'done', value: undefined });
  assert.equal(textOf(await helper.reapStub('s.1', vmid, [volume], never)), 'done');
  assert.deepEqual(await helper.show('s.1', never), {
    is: 'done',
    value: { operation: 's.1', verb: 'reap-stub', at: now },
  });
  assert.deepEqual(node.volumes(), []);
  // Whatever came after it: that operation is done.
  node.setVolumes([volume]);
  const ran = node.ran().length;
  assert.equal(textOf(await helper.reapStub('s.1', vmid, [volume], never)), 'done');
  assert.match(textOf(await helper.unlock('s.1', vmid, never)), /^refused .*s\.1 was a reap-stub/);
  assert.equal(node.ran().length, ran);
});

test('a policy that others may write bounds nothing, so nothing is done', async (t) => {
  const { folder, node } = setUp(t);
  const helper = await listen(t, folder);
  chmodSync(join(folder, 'etc/policy.yaml'), 0o666);
  for (const outcome of [
    await helper.unlock('s.1', vmid, never),
    await helper.poolEnsure('s.2', vmid, never),
    await helper.scratchRead(9801 as Vmid, [{ path: '/', samples: [] }], never),
  ])
    assert.match(textOf(outcome), /^refused helper\.refused: .*others may write/);
  assert.deepEqual(node.ran(), []);
});

// ---------------------------------------------------------------------------------------------------- scratch-read

const scratch = 9801 as Vmid;
const ask = { v: 1, verb: 'scratch-read', vmid: scratch, volumes: [{ path: '/srv', samples: ['a', 'b'] }] };

interface Case {
  readonly name: string;
  readonly spoil?: (set: ReturnType<typeof setUp>) => void;
  readonly perl?: HostCommand;
  readonly says: RegExp;
}

const said = (stdout: string, code = 0, stderr = '') => Promise.resolve({ code, stdout, stderr });
const sha = '0'.repeat(64);
const found = JSON.stringify([{ files: 2, bytes: 5, samples: [[3, sha], null] }]);

const cases: readonly Case[] = [
  {
    name: 'a guest of ours that runs',
    says: /^done \[{"path":"\/srv","files":2,"bytes":5,"samples":\[{"sizeBytes":3,/,
  },
  {
    name: 'one that somebody else made',
    spoil: ({ node }) => void node.writeTask({ id: '9801', type: 'vzcreate', after: 5, user: 'root@pam' }),
    says: /^refused: .*not created by the agent/,
  },
  {
    name: 'one that nobody remembers',
    spoil: ({ node }) => rmSync(node.places.tasks, { recursive: true }),
    says: /^refused: .*not created by the agent, as far as the node remembers/,
  },
  {
    name: 'one that is gone',
    spoil: ({ node }) => rmSync(join(node.places.etcPve, 'nodes/pve1/lxc/9801.conf')),
    says: /^refused: .*no such guest/,
  },
  {
    name: 'one that does not run',
    spoil: ({ node }) => rmSync(join(node.places.proc, '500'), { recursive: true }),
    says: /^refused: .*does not run/,
  },
  {
    name: 'one whose root is the host’s',
    spoil: ({ node }) => writeFileSync(join(node.places.proc, '500/uid_map'), '         0          0 4294967295\n'),
    says: /^refused: .*no user namespace/,
  },
  {
    name: 'what cannot be read',
    perl: () => said('', 13, 'there is no folder at /srv'),
    says: /^refused: .*no folder/,
  },
  { name: 'what takes too long', perl: () => Promise.reject(new Error('did not end')), says: /^busy: .*did not end/ },
  { name: 'fewer volumes than asked for', perl: () => said('[]'), says: /^busy: .*something else/ },
  {
    name: 'fewer samples than asked for',
    perl: () => said(JSON.stringify([{ files: 1, bytes: 1, samples: [] }])),
    says: /^busy: .*something else/,
  },
  { name: 'no document', perl: () => said('Killed'), says: /^busy: .*no JSON/ },
];
for (const { name, spoil, perl = () => said(found), says } of cases)
  test(`scratch-read: ${name}`, async (t) => {
    const set = setUp(t);
    const { folder, node } = set;
    node.writeConfig(9801, 'arch: amd64\n');
    node.writeTask({ id: '9801', last: 'TASK OK' });
    node.live(500, 5_000);
    for (const [file, text] of [
      ['cgroup', '0::/lxc/9801/ns/init.scope\n'],
      ['status', 'Name:\tsystemd\nNSpid:\t500\t1\n'],
      ['uid_map', '         0     100000      65536\n'],
    ] as const)
      writeFileSync(join(node.places.proc, '500', file), text);
    spoil?.(set);
    const asked: (readonly [readonly string[], string | undefined])[] = [];
    const slowPerl: HostCommand = (args, input) => {
      asked.push([args.slice(2), input]);
      return perl(args, input);
    };
    const plain = rootIn(folder, now);
    let out = '';
    const io = {
      stdin: Readable.from([Buffer.from(JSON.stringify(ask))]),
      stdout: { write: (text: string) => void (out += text) },
      stderr: { write: () => {} },
    };
    assert.equal(await runRootVerb(io, { ...plain, tools: { ...plain.tools, slowPerl } }, never), 0);
    const answer = helperAnswer.parse(JSON.parse(out));
    assert.match(answer.is === 'done' ? `done ${JSON.stringify(answer.found)}` : `${answer.is}: ${answer.text}`, says);
    for (const [args, input] of asked) {
      assert.deepEqual(args, ['--', '500', '5000', '100000', '10800', '5000000', String(64 * 1024 ** 3)]);
      assert.equal(input, '[{"path":"/srv","samples":["a","b"]}]');
    }
  });
