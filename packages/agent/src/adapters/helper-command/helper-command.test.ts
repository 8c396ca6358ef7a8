import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Vmid, VolumeId } from '@felhom/protocol';
import { createIdleClock } from '../../../test/idle-clock.ts';
import { stillClock } from '../../../test/still-clock.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { Outcome } from '../../kernel/saga.ts';
import { noHelper } from './ask-helper.ts';
import { createHelperCommand } from './helper-command.ts';
import { helperRequest } from './wire.ts';

const never = new AbortController().signal;
const id = 9001 as Vmid;

/** A helper whose program is `script`; it finds the request in `input` and the folder in `process.argv[2]`. */
function setUp(t: TestContext, script: string, clock: Clock = stillClock) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-helper-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'helper.cjs');
  writeFileSync(file, `const input = require('fs').readFileSync(0, 'utf8');\n${script}`);
  return { folder, helper: createHelperCommand({ command: [process.execPath, file, folder], clock }) };
}

const answers = (document: unknown): string => `process.stdout.write(${JSON.stringify(JSON.stringify(document))});`;
const codeOf = (outcome: Outcome<unknown>): string =>
  outcome.is === 'done' ? 'done' : `${outcome.is} ${outcome.why.code}`;

test('each verb sends its document and nothing else', async (t) => {
  const { helper, folder } = setUp(
    t,
    `require('fs').appendFileSync(process.argv[2] + '/seen', input + '\\n');` +
      answers({ v: 1, is: 'done', volumes: ['local:9001/a'], receipt: null }),
  );
  assert.deepEqual(await helper.volumesOf(id, never), { is: 'done', value: ['local:9001/a'] });
  assert.equal((await helper.reapStub('s.1', id, ['local:9001/a' as VolumeId], never)).is, 'done');
  assert.equal((await helper.unlock('s.2', id, never)).is, 'done');
  assert.equal((await helper.poolEnsure('s.3', id, never)).is, 'done');
  assert.deepEqual(await helper.show('s.3', never), { is: 'done', value: undefined });
  const seen = readFileSync(join(folder, 'seen'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  assert.deepEqual(seen, [
    { v: 1, verb: 'volumes-of', vmid: 9001 },
    { v: 1, verb: 'reap-stub', operation: 's.1', vmid: 9001, volumes: ['local:9001/a'] },
    { v: 1, verb: 'unlock', operation: 's.2', vmid: 9001 },
    { v: 1, verb: 'pool-ensure', operation: 's.3', vmid: 9001 },
    { v: 1, verb: 'show', operation: 's.3' },
  ]);
  for (const request of seen) assert.ok(helperRequest.safeParse(request).success);
});

const rows: [name: string, script: string, expect: string][] = [
  ['a refusal is proven', answers({ v: 1, is: 'refused', text: 'its worker runs' }), 'refused helper.refused'],
  ['busy is proven', answers({ v: 1, is: 'busy', text: 'at work' }), 'refused helper.busy'],
  ['an unknown field', answers({ v: 1, is: 'done', more: 1 }), 'unknown helper.unreadable-answer'],
  ['another version', answers({ v: 2, is: 'done' }), 'unknown helper.unreadable-answer'],
  ['not JSON', `process.stdout.write('done');`, 'unknown helper.unreadable-answer'],
  ['silence', '', 'unknown helper.unreadable-answer'],
  ['an exit code', `${answers({ v: 1, is: 'done' })} process.exitCode = 3;`, 'unknown helper.died'],
  ['a signal', `process.kill(process.pid, 'SIGKILL');`, 'unknown helper.died'],
  ['an endless answer', `process.stdout.write('x'.repeat(3e6));`, 'unknown helper.died'],
];
for (const [name, script, expect] of rows)
  test(`answer of a verb: ${name}`, async (t) => {
    assert.equal(codeOf(await setUp(t, script).helper.unlock('s.1', id, never)), expect);
  });

test('a listing without its list, and the receipt of another operation, are not answers', async (t) => {
  assert.equal(
    codeOf(await setUp(t, answers({ v: 1, is: 'done' })).helper.volumesOf(id, never)),
    'unknown helper.unreadable-answer',
  );
  const other = setUp(t, answers({ v: 1, is: 'done', receipt: { operation: 's.9', verb: 'unlock', at: 5 } }));
  assert.equal(codeOf(await other.helper.show('s.1', never)), 'unknown helper.unreadable-answer');
  assert.deepEqual(await other.helper.show('s.9', never), {
    is: 'done',
    value: { operation: 's.9', verb: 'unlock', at: 5 },
  });
});

test('a helper that is not there was not run', async () => {
  const helper = createHelperCommand({ command: ['/nonexistent/helper'], clock: stillClock });
  assert.equal(codeOf(await helper.unlock('s.1', id, never)), 'refused helper.cannot-run');
  assert.throws(() => createHelperCommand({ command: [], clock: stillClock }), /command is empty/);
});

test('time over and giving up end the process and leave the outcome open', async (t) => {
  const clock = createIdleClock();
  const hanging = setUp(t, 'setInterval(() => {}, 1000);', clock);
  assert.equal(codeOf(await clock.until(hanging.helper.unlock('s.1', id, never))), 'unknown helper.timeout');
  assert.equal(clock.monotonicMs(), 120_000);
  const stop = new AbortController();
  const waiting = setUp(t, 'setInterval(() => {}, 1000);').helper.unlock('s.1', id, stop.signal);
  stop.abort();
  assert.equal(codeOf(await waiting), 'unknown pve.aborted');
});

test('without a helper every verb is refused with what to do', async () => {
  const helper = noHelper();
  for (const outcome of [
    await helper.volumesOf(id, never),
    await helper.reapStub('o', id, [], never),
    await helper.unlock('o', id, never),
    await helper.poolEnsure('o', id, never),
    await helper.show('o', never),
  ])
    assert.equal(codeOf(outcome), 'refused helper.absent');
});

test('each request says which opening of which journal asks, once one is open', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-helper-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'helper.cjs');
  writeFileSync(
    file,
    `require('fs').appendFileSync(process.argv[2] + '/seen', require('fs').readFileSync(0, 'utf8') + '\\n');` +
      answers({ v: 1, is: 'done' }),
  );
  const held: { fence?: { epoch: string; opening: number } } = {};
  const command = [process.execPath, file, folder];
  const helper = createHelperCommand({ command, clock: stillClock, fence: () => held.fence });
  await helper.unlock('s.1', id, never);
  held.fence = { epoch: 'a'.repeat(32), opening: 3 };
  await helper.unlock('s.2', id, never);
  const seen = readFileSync(join(folder, 'seen'), 'utf8').trim().split('\n');
  const unlock = { v: 1, verb: 'unlock', vmid: 9001 };
  assert.deepEqual(
    seen.map((line) => JSON.parse(line) as unknown),
    [
      { ...unlock, operation: 's.1' },
      { ...unlock, operation: 's.2', fence: { epoch: 'a'.repeat(32), opening: 3 } },
    ],
  );
});
