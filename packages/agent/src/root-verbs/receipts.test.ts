import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { receiptsIn } from './receipts.ts';

const now = 1_800_000_000_000;
const day = 24 * 60 * 60_000;
const closed = { operation: 'saga-1.close', verb: 'break-glass-close', at: now };

function setUp(t: TestContext) {
  const base = mkdtempSync(join(tmpdir(), 'felhom-receipts-'));
  t.after(() => rmSync(base, { recursive: true }));
  const folder = join(base, 'state', 'receipts');
  /** A receipt as it lies there, of so long ago. */
  const place = (name: string, text: string, ageMs = 0): string => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const file = join(folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    utimesSync(file, (now - ageMs) / 1000, (now - ageMs) / 1000);
    return file;
  };
  return { folder, place, receipts: receiptsIn(folder) };
}

test('what was kept is there, for root alone, also for another process; what was not is not', (t) => {
  const { receipts, folder } = setUp(t);
  assert.equal(receipts.of('saga-1.close'), undefined);
  receipts.keep(closed);
  receipts.keep({ ...closed, at: now + 5 });
  assert.deepEqual(receiptsIn(folder).of('saga-1.close'), { ...closed, at: now + 5 });
  assert.equal(receipts.of('saga-1'), undefined);
  assert.deepEqual(readdirSync(folder), ['saga-1.close']);
  assert.equal(statSync(join(folder, 'saga-1.close')).mode & 0o777, 0o600);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
});

for (const id of ['../trust', 'a/b', '/etc/passwd', '.', '..', '.draft', '', 'a\0', 'a b', 'x'.repeat(201)])
  test(`${JSON.stringify(id.slice(0, 20))} is the name of no receipt`, (t) => {
    const { receipts, folder } = setUp(t);
    assert.throws(() => receipts.of(id));
    assert.throws(() => receipts.keep({ ...closed, operation: id }));
    assert.deepEqual(existsSync(folder) ? readdirSync(folder) : [], []);
  });

const line = (change: object = {}): string => JSON.stringify({ v: 1, ...closed, ...change });
const unusable: [name: string, place: (to: ReturnType<typeof setUp>) => void][] = [
  ['half a receipt', ({ place }) => void place('saga-1.close', line().slice(0, 30))],
  ['nothing at all', ({ place }) => void place('saga-1.close', '')],
  ['one of another operation', ({ place }) => void place('saga-1.close', line({ operation: 'saga-2' }))],
  ['one of another version', ({ place }) => void place('saga-1.close', line({ v: 2 }))],
  ['one that others may write', ({ place }) => chmodSync(place('saga-1.close', line()), 0o666)],
  [
    'a link',
    ({ place, folder }) => {
      place('elsewhere', line());
      symlinkSync(join(folder, 'elsewhere'), join(folder, 'saga-1.close'));
    },
  ],
];
for (const [name, make] of unusable)
  test(`${name}: never taken for none`, (t) => {
    const world = setUp(t);
    make(world);
    assert.throws(() => world.receipts.of('saga-1.close'));
  });

test('a folder that others may enter is not written to', (t) => {
  const { receipts, folder } = setUp(t);
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  assert.throws(() => receipts.keep(closed), /chmod 700/);
});

test('those of more than 30 days are dropped, and drafts that a kill left', (t) => {
  const { receipts, folder, place } = setUp(t);
  place('old', line({ operation: 'old' }), 30 * day + 1000);
  place('young', line({ operation: 'young' }), 30 * day - 1000);
  place('.saga-9.0123', '{"v":');
  receipts.keep(closed);
  assert.deepEqual(readdirSync(folder).sort(), ['saga-1.close', 'young']);
});

test('a thousand are kept, the newest', (t) => {
  const { receipts, folder, place } = setUp(t);
  for (let at = 0; at < 1_005; at += 1) place(`r${at}`, '', day - at);
  receipts.keep(closed);
  const names = readdirSync(folder);
  assert.equal(names.length, 1_000);
  assert.ok(names.includes('saga-1.close') && names.includes('r1004') && names.includes('r6'));
  assert.ok(!names.includes('r5') && !names.includes('r0'));
});
