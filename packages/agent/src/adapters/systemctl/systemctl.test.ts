import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { createSystemctl } from './index.ts';

function program(t: TestContext, script: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-systemctl-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'systemctl');
  writeFileSync(file, `#!${process.execPath}\n${script}`, { mode: 0o700 });
  return file;
}

test('arguments go in as they are, words and code come out, and nothing of the environment', async (t) => {
  process.env['FELHOM_CANARY'] = 'canary';
  t.after(() => delete process.env['FELHOM_CANARY']);
  const script = `console.log(JSON.stringify([process.argv.slice(2), Object.keys(process.env).sort()]));
    console.error('said'); process.exitCode = 3;`;
  const { code, stdout, stderr } = await createSystemctl({ program: program(t, script) })(['is-active', '$(id) a']);
  assert.equal(code, 3);
  assert.equal(stderr, 'said\n');
  assert.deepEqual(JSON.parse(stdout), [
    ['is-active', '$(id) a'],
    ['LC_ALL', 'PATH'],
  ]);
  assert.equal((await createSystemctl({ program: program(t, '') })([])).code, 0);
});

test('one that is not there, is killed or does not end is not one that answered', async (t) => {
  await assert.rejects(createSystemctl({ program: '/nonexistent/systemctl' })([]), /did not start/);
  await assert.rejects(
    createSystemctl({ program: program(t, `process.kill(process.pid, 'SIGKILL')`) })([]),
    /did not end/,
  );
  const hanging = { program: program(t, 'setInterval(() => {}, 1000)'), timeoutMs: 1 };
  await assert.rejects(createSystemctl(hanging)([]), /did not end/);
});
