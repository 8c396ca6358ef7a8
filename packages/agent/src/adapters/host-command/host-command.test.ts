import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHostCommand } from './index.ts';

const node = (script: string, timeoutMs?: number) =>
  createHostCommand({
    program: process.execPath,
    fixed: ['-e', script, '--'],
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });

test('arguments go in as they are, words and code come out, and nothing of the environment', async (t) => {
  process.env['FELHOM_CANARY'] = 'canary';
  t.after(() => delete process.env['FELHOM_CANARY']);
  const script = `console.log(JSON.stringify([process.argv.slice(1), Object.keys(process.env).sort()]));
    console.error('said'); process.exitCode = 3;`;
  const { code, stdout, stderr } = await node(script)(['$(id) a', '-x']);
  assert.deepEqual([code, stderr], [3, 'said\n']);
  assert.deepEqual(JSON.parse(stdout), [
    ['$(id) a', '-x'],
    ['LC_ALL', 'PATH'],
  ]);
});

test('one that is not there, is killed or does not end is not one that answered', async () => {
  await assert.rejects(createHostCommand({ program: '/nonexistent/pvesm' })([]), /did not start/);
  await assert.rejects(node(`process.kill(process.pid, 'SIGKILL')`)([]), /did not end/);
  await assert.rejects(node('setInterval(() => {}, 1000)', 1)([]), /did not end/);
});

test('what goes in on stdin is read whole, and need not be read', async () => {
  const { stdout } = await node('process.stdin.pipe(process.stdout)')([], 'a secret');
  assert.equal(stdout, 'a secret');
  assert.equal((await node('process.exitCode = 4')([], 'x'.repeat(1_000_000))).code, 4);
});

test('one that cannot be killed is given up', async () => {
  // It ends by itself, so that nothing is left of this test.
  const script = "process.on('SIGTERM', () => {}); setTimeout(() => {}, 4000);";
  const command = createHostCommand({
    program: process.execPath,
    fixed: ['-e', script],
    timeoutMs: 1000,
    graceMs: 200,
  });
  await assert.rejects(command([]), /cannot even be killed/);
});
