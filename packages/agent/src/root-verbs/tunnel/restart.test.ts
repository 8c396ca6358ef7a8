import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { restartTunnel } from './restart.ts';
import { tunnelUnit } from './unit.ts';

const now = 1_800_000_000_000;
const minute = 60_000;

function setUp(t: TestContext, state: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-tunnel-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const ran: string[] = [];
  const shown = { LoadState: 'loaded', ActiveState: 'active', UnitFileState: 'enabled', ...state };
  const fails = { verb: '' };
  const systemctl = async (args: readonly string[]) => {
    if (args[0] === 'show')
      return {
        code: 0,
        stdout: Object.entries(shown)
          .map(([key, value]) => `${key}=${value}\n`)
          .join(''),
        stderr: '',
      };
    ran.push(args.join(' '));
    return { code: args.includes(fails.verb) ? 1 : 0, stdout: '', stderr: 'it said no' };
  };
  const record = join(folder, 'state/tunnel-restarts');
  const restart = (at = now) => restartTunnel({ systemctl, record, now: at });
  return { ran, restart, record, shown, fails, folder };
}

test('one that runs is restarted only while it runs; one that systemd gave up is started anew', async (t) => {
  const { ran, restart, shown } = setUp(t);
  assert.deepEqual(await restart(), { is: 'done' });
  shown.ActiveState = 'failed';
  assert.deepEqual(await restart(), { is: 'done' });
  assert.deepEqual(ran, [
    `--no-block try-restart -- ${tunnelUnit}`,
    `reset-failed -- ${tunnelUnit}`,
    `--no-block start -- ${tunnelUnit}`,
  ]);
});

const refusals: readonly [state: Record<string, string>, says: RegExp][] = [
  [{ LoadState: 'not-found' }, /it is not-found/],
  [{ LoadState: 'masked' }, /it is masked/],
  [{ UnitFileState: 'disabled' }, /not enabled/],
  [{ UnitFileState: '' }, /not enabled/],
  [{ ActiveState: 'inactive' }, /somebody stopped it/],
  [{ ActiveState: 'deactivating' }, /somebody stopped it/],
  [{ ActiveState: 'activating' }, /activating already/],
  [{ ActiveState: '' }, /already/],
];
for (const [state, says] of refusals)
  test(`refused: ${JSON.stringify(state)}`, async (t) => {
    const { ran, restart } = setUp(t, state);
    const answer = await restart();
    assert.ok(answer.is === 'refused');
    assert.match(answer.text, says);
    assert.deepEqual(ran, []);
  });

test('four times an hour, whoever asks; a clock that jumps gives none away and takes none for ever', async (t) => {
  const { ran, restart, record } = setUp(t);
  for (let minutes = 0; minutes < 4; minutes += 1) assert.equal((await restart(now + minutes * minute)).is, 'done');
  const fifth = await restart(now + 59 * minute);
  assert.ok(fifth.is === 'refused');
  assert.match(fifth.text, /restarted 4 times within an hour/);
  assert.equal((await restart(now + 60 * minute)).is, 'done');
  assert.equal(ran.length, 5);
  assert.equal(readFileSync(record, 'utf8').split('\n').length, 5);
  assert.equal((await restart(now - 365 * 24 * 60 * minute)).is, 'done', 'put back by a year');
});

test('counted before it is done; a record that others may write, or that does not read, stops it', async (t) => {
  const { ran, restart, record, fails, folder } = setUp(t);
  fails.verb = 'try-restart';
  await assert.rejects(restart(), /it said no/);
  assert.equal(readFileSync(record, 'utf8'), `${now}\n`);
  chmodSync(record, 0o666);
  await assert.rejects(restart(), /others may write it/);
  chmodSync(record, 0o600);
  writeFileSync(record, 'never\n');
  await assert.rejects(restart(), /does not read/);
  rmSync(record);
  symlinkSync(join(folder, 'elsewhere'), record);
  await assert.rejects(restart());
  assert.equal(ran.length, 1);
});
