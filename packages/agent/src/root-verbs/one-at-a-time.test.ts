import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { takeTurn } from './one-at-a-time.ts';

/** Processes as proc(5) shows them. */
function setUp(t: TestContext) {
  const base = mkdtempSync(join(tmpdir(), 'felhom-turn-'));
  t.after(() => rmSync(base, { recursive: true }));
  const folder = join(base, 'turns');
  const proc = join(base, 'proc');
  const runs = (pid: number, startedAt: number, name = 'node', state = 'S'): void => {
    mkdirSync(join(proc, String(pid)), { recursive: true });
    const between = Array.from({ length: 18 }, (_, at) => at).join(' ');
    writeFileSync(join(proc, String(pid), 'stat'), `${pid} (${name}) ${state} ${between} ${startedAt} 7 8\n`);
  };
  const ends = (pid: number): void => rmSync(join(proc, String(pid)), { recursive: true });
  return { folder, runs, ends, take: (pid: number) => takeTurn({ folder, proc, pid }) };
}

test('one at a time: the second is told whose turn it is, and has it once the first is done', (t) => {
  const { take, runs, folder } = setUp(t);
  runs(10, 500);
  runs(11, 501);
  const first = take(10);
  assert.ok(first.is === 'mine');
  assert.deepEqual(take(11), { is: 'taken', pid: 10 });
  assert.deepEqual(readdirSync(folder), ['10.500']);
  first.end();
  const second = take(11);
  assert.ok(second.is === 'mine');
  second.end();
  assert.deepEqual(readdirSync(folder), []);
});

const gone: [name: string, after: (world: ReturnType<typeof setUp>) => void][] = [
  ['was killed', ({ ends }) => ends(10)],
  ['was killed, and its number belongs to another by now', ({ runs }) => runs(10, 999)],
  ['is dead, but not buried', ({ runs }) => runs(10, 500, 'node', 'Z')],
];
for (const [name, after] of gone)
  test(`a turn whose process ${name} is over`, (t) => {
    const world = setUp(t);
    world.runs(10, 500);
    world.runs(11, 501);
    world.take(10);
    after(world);
    assert.equal(world.take(11).is, 'mine');
    assert.deepEqual(readdirSync(world.folder), ['11.501']);
  });

test('a process may call itself what it likes', (t) => {
  const { take, runs } = setUp(t);
  runs(10, 500, ') Z 1 2 (');
  runs(11, 501);
  take(10);
  assert.deepEqual(take(11), { is: 'taken', pid: 10 });
});

test('other names are nobody, and a process that /proc does not know has no turn', (t) => {
  const { take, runs, folder } = setUp(t);
  runs(11, 501);
  mkdirSync(folder, { mode: 0o700 });
  for (const name of ['..11', 'x.1', '0.1', '11', 'note']) writeFileSync(join(folder, name), '');
  assert.equal(take(11).is, 'mine');
  assert.throws(() => take(12), /does not know process 12/);
});

test('the real /proc knows this process', (t) => {
  const { folder } = setUp(t);
  const turn = takeTurn({ folder });
  assert.ok(turn.is === 'mine');
  assert.match(readdirSync(folder)[0] ?? '', new RegExp(`^${process.pid}\\.[1-9]\\d*$`));
  turn.end();
});
