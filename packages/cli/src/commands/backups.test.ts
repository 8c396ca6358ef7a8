import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { restoreEvidence } from '@felhom/protocol';
import type { ReportedRestoreTest, RestoreEvidence } from '@felhom/protocol';
import {
  detailOf,
  hostWithKey,
  noOpenssh,
  operator,
  reportOf,
  scriptedHub,
  startedAt,
  uid,
} from '../signing.fixture.ts';
import type { HostWithKey } from '../signing.fixture.ts';

const hour = 3_600_000;
const hostile = '\u001b[2J\r\nforged';

const evidenceOf = (more: Partial<Record<keyof RestoreEvidence, unknown>> = {}): RestoreEvidence =>
  restoreEvidence.parse({
    v: 1,
    host: 'alpha',
    test: 'restore-test-1',
    guest: uid,
    name: 'photos',
    tier: 'nas',
    backup: { id: 'b-1', archive: 'nas:backup/1', sha256: '1'.repeat(64), takenAt: startedAt - 20 * hour },
    verdict: 'passed',
    grade: 'proven',
    text: '',
    startedAt: startedAt - hour,
    endedAt: startedAt - hour,
    timings: { restoreMs: 60_000, bootMs: 4000 },
    content: { volumes: 1, files: 12, mismatches: 0 },
    ...more,
  });
const copy = (id: string, more: object = {}) => ({
  id,
  uid,
  guest: 'photos',
  tier: 'nas',
  archive: `nas:backup/${id}`,
  sha256: `ab${'c'.repeat(62)}`,
  at: startedAt - 20 * hour,
  sizeBytes: 3 * 1024 ** 3,
  consistency: 'app',
  class: 'scheduled',
  proven: true,
  protected: false,
  ...more,
});

async function world(t: TestContext, testsOf: (host: HostWithKey) => readonly ReportedRestoreTest[]) {
  const hub = await scriptedHub(t);
  const host = hostWithKey();
  const anna = operator(t, hub);
  const said = reportOf(undefined, {
    restoreTests: testsOf(host),
    copies: [copy('b-1'), copy('b-2', { at: startedAt - hour, proven: false, consistency: 'crash', protected: true })],
    backups: [
      {
        guest: 'photos',
        uid,
        tier: 'nas',
        target: 'nas',
        state: 'failing',
        copies: 2,
        lastFailure: `no space ${hostile}`,
        risks: [],
      },
    ],
  });
  hub.shown = detailOf(said, host.sign(said));
  await anna.felhom(['hosts', 'trust', 'alpha', host.fingerprint]);
  return { hub, host, anna, said };
}

test('copies: age, size, proven or not, and what a job calls them', { skip: noOpenssh }, async (t) => {
  const { anna } = await world(t, () => []);
  const { code, out } = await anna.felhom(['backups', 'alpha', '--guest', 'photos']);
  assert.equal(code, 0);
  assert.match(out, /photos {2}nas +1 h ago +3 GiB +no +crash +scheduled, protected +b-2 +abcccccccccc\n/);
  assert.match(out, /photos {2}nas +20 h ago +3 GiB +proven +held still +scheduled +b-1 /);
  assert.match(out, /photos\/nas: no space \\u001b/);
  const json = JSON.parse((await anna.felhom(['backups', 'alpha', '--json'])).out) as { copies: unknown[] };
  assert.equal(json.copies.length, 2);
  const unknown = await anna.felhom(['backups', 'alpha', '--guest', 'ghost']);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /reports no such guest/);
});

test('a hub that shows other copies than the host signed is not believed', { skip: noOpenssh }, async (t) => {
  const { anna, hub, said, host } = await world(t, () => []);
  hub.shown = detailOf({ ...said, copies: said.copies.map((one) => ({ ...one, proven: true })) }, host.sign(said));
  const { code, out } = await anna.felhom(['backups', 'alpha']);
  assert.deepEqual([code, out], [6, '']);
});

test(
  'restore-tests: how far, how long, why not better, and that the host signed it',
  { skip: noOpenssh },
  async (t) => {
    const failed = {
      verdict: 'failed',
      grade: 'booted',
      code: 'restore.unit-failed',
      text: hostile,
      test: 'restore-test-2',
    };
    const { anna } = await world(t, (host) => [host.signEvidence(evidenceOf()), host.signEvidence(evidenceOf(failed))]);
    const { code, out, err } = await anna.felhom(['restore-tests', 'alpha']);
    assert.deepEqual([code, err], [0, '']);
    assert.match(
      out,
      /passed photos\/nas: proven \(1 h ago\)\n {2}of backup b-1, taken 20 h ago; restore 1 min, boot 4 s\n/,
    );
    assert.match(out, /12 files on 1 volumes compared, 0 differ\n {2}signed by the host/);
    assert.match(out, /failed photos\/nas: booted[^]*why: \\u001b[^]*\(restore.unit-failed\)/);
    assert.doesNotMatch(out, /^\s*forged/m);
  },
);

const forgeries: readonly (readonly [name: string, make: (host: HostWithKey) => ReportedRestoreTest])[] = [
  ['another key', () => hostWithKey().signEvidence(evidenceOf())],
  ['another host', (host) => host.signEvidence(evidenceOf({ host: 'beta' }))],
  [
    'a verdict that was changed afterwards',
    (host) => ({
      ...host.signEvidence(evidenceOf({ verdict: 'failed', grade: 'damaged' })),
      evidence: evidenceOf(),
    }),
  ],
  ['no signature', (host) => ({ ...host.signEvidence(evidenceOf()), signature: '' })],
];
for (const [name, make] of forgeries)
  test(`evidence with ${name} is shown for what it is`, { skip: noOpenssh }, async (t) => {
    const { anna } = await world(t, (host) => [make(host)]);
    const { code, out, err } = await anna.felhom(['restore-tests', 'alpha']);
    assert.equal(code, 6);
    assert.match(out, /NOT SIGNED by the pinned key/);
    assert.match(err, /find out who made it/);
    const json = await anna.felhom(['restore-tests', 'alpha', '--json']);
    assert.deepEqual(
      (JSON.parse(json.out) as { tests: { verified: boolean }[] }).tests.map(({ verified }) => verified),
      [false],
    );
  });

test('completion knows both commands', async (t) => {
  const { out } = await operator(t, { url: 'http://127.0.0.1:1' }).felhom(['completion', 'bash']);
  for (const path of ['"backups"', '"restore-tests"', '"job undo"', '"job restore-overwrite"'])
    assert.ok(out.includes(path), path);
});

test('of a silent host its last word is shown, and that it is old', { skip: noOpenssh }, async (t) => {
  const { anna, hub, said, host } = await world(t, () => []);
  hub.shown = detailOf(said, host.sign(said, { at: startedAt - 3 * hour }));
  const { code, out, err } = await anna.felhom(['backups', 'alpha']);
  assert.equal(code, 0);
  assert.match(out, /b-1/);
  assert.match(err, /this is what alpha said 3 h ago, its last word/);
});
