import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Vmid } from '@felhom/protocol';
import type { WitnessSample } from '../../ports/guest-witness.ts';
import { createCgroupWitness } from './cgroup-witness.ts';

const vmid = 9801 as Vmid;
const never = new AbortController().signal;
type Seen = Extract<WitnessSample, { is: 'seen' }>;

function tree(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'cgroup-witness-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const guest = join(root, 'lxc', String(vmid));
  const group = (path: string, events = 'populated 1\nfrozen 0\n'): string => {
    mkdirSync(join(guest, path), { recursive: true });
    writeFileSync(join(guest, path, 'cgroup.events'), events);
    return join(guest, path);
  };
  group('');
  writeFileSync(join(guest, 'memory.events'), 'low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n');
  group('ns');
  group('ns/init.scope');
  group('ns/system.slice');
  const witness = createCgroupWitness(root);
  const look = (...units: string[]): Promise<WitnessSample> => witness.sample(vmid, units, never);
  const seen = async (...units: string[]): Promise<Seen> => {
    const sample = await look(...units);
    return sample.is === 'seen' ? sample : assert.fail(JSON.stringify(sample));
  };
  return { guest, slice: join(guest, 'ns/system.slice'), group, witness, look, seen };
}

test('a guest that runs: its boot, its units, its facts', async (t) => {
  const { group, seen } = tree(t);
  group('ns/system.slice/a.service');
  group('ns/system.slice/b.service', 'populated 0\nfrozen 0\n');
  for (const name of ['main', 'beat.1795481144', 'ok.web', 'no.db'])
    group(`ns/system.slice/felhom-witness.service/${name}`);
  const sample = await seen('a.service', 'b.service', 'c.service');
  assert.equal(sample.frozen, false);
  assert.equal(sample.init, true);
  assert.equal(sample.oomKills, 2);
  assert.deepEqual(
    [...sample.units].map(([name, { populated }]) => [name, populated]),
    [
      ['a.service', true],
      ['b.service', false],
    ],
  );
  assert.deepEqual(sample.facts.toSorted(), ['beat.1795481144', 'main', 'no.db', 'ok.web']);
  assert.match(sample.boot, /^\d+$/);
});

const states: readonly [
  string,
  (made: ReturnType<typeof tree>) => void,
  (sample: WitnessSample) => unknown,
  unknown,
][] = [
  ['no cgroup', ({ guest }) => rmSync(guest, { recursive: true }), (s) => s.is, 'stopped'],
  ['no process any more', ({ group }) => void group('', 'populated 0\nfrozen 0\n'), (s) => s.is, 'stopped'],
  [
    'frozen as a whole',
    ({ group }) => void group('', 'populated 1\nfrozen 1\n'),
    (s) => s.is === 'seen' && s.frozen,
    true,
  ],
  [
    'frozen inside',
    ({ group }) => void group('ns', 'populated 1\nfrozen 1\n'),
    (s) => s.is === 'seen' && s.frozen,
    true,
  ],
  [
    'no init scope',
    ({ guest }) => rmSync(join(guest, 'ns/init.scope'), { recursive: true }),
    (s) => s.is === 'seen' && s.init,
    false,
  ],
  [
    'an empty init scope',
    ({ group }) => void group('ns/init.scope', 'populated 0\nfrozen 0\n'),
    (s) => s.is === 'seen' && s.init,
    false,
  ],
  [
    'nothing of its own yet',
    ({ guest }) => rmSync(join(guest, 'ns'), { recursive: true }),
    (s) => s.is === 'seen' && s.init,
    false,
  ],
];
for (const [name, change, pick, want] of states)
  test(`seen: ${name}`, async (t) => {
    const made = tree(t);
    change(made);
    assert.deepEqual(pick(await made.look()), want);
  });

test('another inode where a unit or the guest came back', async (t) => {
  const { guest, group, seen } = tree(t);
  group('ns/system.slice/a.service');
  const before = await seen('a.service');
  // Kept beside, so that a file system that uses inodes again gives another one.
  renameSync(join(guest, 'ns'), join(guest, 'old'));
  for (const path of ['ns', 'ns/init.scope', 'ns/system.slice', 'ns/system.slice/a.service']) group(path);
  const after = await seen('a.service');
  assert.notEqual(after.boot, before.boot);
  assert.notEqual(after.units.get('a.service')?.inode, before.units.get('a.service')?.inode);
});

test('links are not followed, wherever they stand', async (t) => {
  const { guest, slice, group, seen } = tree(t);
  const elsewhere = group('elsewhere');
  symlinkSync(elsewhere, join(slice, 'a.service'));
  group('ns/system.slice/b.service');
  rmSync(join(slice, 'b.service/cgroup.events'));
  symlinkSync(join(elsewhere, 'cgroup.events'), join(slice, 'b.service/cgroup.events'));
  mkdirSync(join(elsewhere, 'ok.web'));
  symlinkSync(elsewhere, join(slice, 'felhom-witness.service'));
  const sample = await seen('a.service', 'b.service');
  assert.equal(sample.units.size, 0);
  assert.deepEqual(sample.facts, []);
  rmSync(join(guest, 'ns'), { recursive: true });
  symlinkSync(elsewhere, join(guest, 'ns'));
  assert.equal((await seen()).init, false);
});

test('names that are no units are not looked at, and odd ones that are, are', async (t) => {
  const { group, seen } = tree(t);
  group('ns/system.slice/dev-disk-by\\x2did.swap');
  group('ns/system.slice/getty@tty1.service');
  const sample = await seen(
    '..',
    '.',
    '../../..',
    'a/b',
    '',
    'x'.repeat(300),
    'dev-disk-by\\x2did.swap',
    'getty@tty1.service',
  );
  assert.deepEqual([...sample.units.keys()], ['dev-disk-by\\x2did.swap', 'getty@tty1.service']);
});

test('a witness with too many entries says nothing', async (t) => {
  const { group, seen } = tree(t);
  for (let n = 0; n < 300; n++) group(`ns/system.slice/felhom-witness.service/ok.x${n}`);
  assert.deepEqual((await seen()).facts, []);
});

test('a hundred looks leave no descriptor open', async (t) => {
  const { group, look } = tree(t);
  group('ns/system.slice/a.service');
  group('ns/system.slice/felhom-witness.service/ok.web');
  await look('a.service');
  const before = readdirSync('/proc/self/fd').length;
  for (let n = 0; n < 100; n++) await look('a.service');
  assert.ok(readdirSync('/proc/self/fd').length <= before + 1);
});

test('a watch tells what came and what went, and what came back', async (t) => {
  const { slice, group, witness } = tree(t);
  group('ns/system.slice/old.service');
  const told: string[] = [];
  const heard = new EventTarget();
  const watcher = witness.watch(vmid, (unit, what) => {
    told.push(`${what} ${unit}`);
    heard.dispatchEvent(new Event('told'));
  });
  assert.ok(watcher);
  t.after(() => watcher.close());
  const until = async (line: string): Promise<void> => {
    while (!told.includes(line)) await once(heard, 'told', { signal: AbortSignal.timeout(5_000) });
  };
  mkdirSync(join(slice, 'new.service'));
  await until('came new.service');
  rmSync(join(slice, 'old.service'), { recursive: true });
  await until('went old.service');
  rmSync(join(slice, 'new.service'), { recursive: true });
  await until('went new.service');
  told.length = 0;
  // Faster than anybody can look.
  for (let n = 0; n < 3; n++) {
    mkdirSync(join(slice, 'loop.service'));
    rmSync(join(slice, 'loop.service'), { recursive: true });
  }
  while (told.filter((line) => line === 'went loop.service').length < 3)
    await once(heard, 'told', { signal: AbortSignal.timeout(5_000) });
  await sleep(20);
  assert.equal(told.filter((line) => line === 'went loop.service').length, 3);
});

test('nothing to watch is said so', (t) => {
  const { guest, witness } = tree(t);
  rmSync(join(guest, 'ns'), { recursive: true });
  assert.equal(
    witness.watch(vmid, () => undefined),
    undefined,
  );
});
