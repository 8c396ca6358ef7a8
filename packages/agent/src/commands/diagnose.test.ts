import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { diagnose } from './diagnose.ts';

const never = new AbortController().signal;

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'felhom-doctor-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

/** A host whose Proxmox does not answer: nothing listens on port 1. */
function writeHost(at: string, policy: string, more: object = {}): string {
  writeFileSync(join(at, 'token'), 'felhom@pve!agent=00000000-1111-2222-3333-444444444444\n', { mode: 0o600 });
  writeFileSync(join(at, 'policy.yaml'), policy);
  writeFileSync(
    join(at, 'agent.yaml'),
    JSON.stringify({
      v: 1,
      host: 'box',
      stateDirectory: join(at, 'state'),
      policyFile: join(at, 'policy.yaml'),
      proxmox: { url: 'https://127.0.0.1:1', tokenFile: join(at, 'token'), trust: { spkiSha256: 'a'.repeat(64) } },
      desired: { file: join(at, 'desired.yaml') },
      watchHost: false,
      ...more,
    }),
  );
  return join(at, 'agent.yaml');
}

const policy = JSON.stringify({
  v: 1,
  node: 'pve1',
  pool: 'felhom',
  vmids: { guests: { from: 9000, to: 9009 }, scratch: { from: 9800, to: 9809 } },
  bridges: ['vmbr0'],
  storages: ['local'],
  goldens: {},
});

test('without an agent the doctor makes its checks itself, and says so', async (t) => {
  const at = folder(t);
  const checks = await diagnose(writeHost(at, policy), join(at, 'no.sock'), never);
  assert.deepEqual(
    checks.map(({ check, verdict }) => [check, verdict]),
    [
      ['agent', 'warning'],
      ['proxmox', 'failed'],
      ['clock', 'failed'],
      ['storage', 'failed'],
      ['helper', 'warning'],
      ['signed helper', 'warning'],
      ['life of the token', 'skipped'],
      ['token of the policy', 'failed'],
    ],
  );
  assert.doesNotMatch(JSON.stringify(checks), /00000000-1111/);
});

test('what root keeps for the agent: its policy, its declarations, its socket; each line says what to do', async (t) => {
  const at = folder(t);
  const fitting = JSON.stringify({ ...(JSON.parse(policy) as object), token: 'felhom@pve!agent' });
  const more = { helper: { socket: join(at, 'root.sock') }, storageFile: join(at, 'storage.json') };
  const checksOf = async () => {
    const checks = await diagnose(writeHost(at, fitting, more), join(at, 'no.sock'), never);
    return new Map(checks.map((one) => [one.check, one]));
  };
  const first = await checksOf();
  assert.equal(first.get('token of the policy')?.verdict, 'ok');
  assert.equal(first.get('helper')?.verdict, 'failed');
  assert.match(first.get('helper')?.text ?? '', /cannot be reached \(ENOENT\); is felhom-root\.socket started/);
  assert.match(first.get('helper')?.advice ?? '', /systemctl status felhom-root\.socket/);
  assert.ok(!first.has('declared targets'), 'none is no trouble');
  writeFileSync(join(at, 'storage.json'), 'no manifest', { mode: 0o644 });
  const second = await checksOf();
  assert.equal(second.get('declared targets')?.verdict, 'failed');
  assert.match(second.get('declared targets')?.advice ?? '', /mend the file as root/);
});

test('a declared server is seen with its sealed credential, which root is asked to open', async (t) => {
  const at = folder(t);
  const target = {
    type: 'cifs',
    name: 'nas-1',
    storage: 'nas1',
    role: 'vzdump-target',
    class: 'slow',
    server: '192.168.1.9',
    share: 'backup',
    user: 'felhom',
    credential: 'nas',
  };
  const manifest = { v: 1, targets: [{ target, state: 'attached', mark: 'c'.repeat(32), attachedAt: 1 }] };
  writeFileSync(join(at, 'storage.json'), JSON.stringify(manifest), { mode: 0o644 });
  const script = join(at, 'root.cjs');
  writeFileSync(
    script,
    `const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
    process.stdout.write(JSON.stringify(asked.verb === 'credential-test'
      ? { v: 1, is: 'busy', text: 'cannot open the credential of ' + asked.target + ': sealed by another TPM' }
      : { v: 1, is: 'refused', text: 'not here' }));`,
  );
  const more = {
    helper: { command: [process.execPath, script] },
    storageFile: join(at, 'storage.json'),
    trustOwner: process.getuid?.() ?? 0,
  };
  const checks = await diagnose(writeHost(at, policy, more), join(at, 'no.sock'), never);
  const found = checks.find(({ check }) => check === 'credential of nas-1');
  assert.equal(found?.verdict, 'failed');
  assert.match(found?.text ?? '', /sealed by another TPM/);
  assert.match(found?.advice ?? '', /felhom-agent storage credential/);
});

test('a configuration or a policy that does not read is the diagnosis', async (t) => {
  const at = folder(t);
  const missing = await diagnose(join(at, 'nowhere.yaml'), join(at, 'no.sock'), never);
  assert.match(missing.at(-1)?.text ?? '', /cannot read .*nowhere\.yaml/);
  const broken = await diagnose(writeHost(at, '{"v":1,"nodes":[]}'), join(at, 'no.sock'), never);
  assert.deepEqual([broken.at(-1)?.check, broken.at(-1)?.verdict], ['configuration', 'failed']);
  assert.match(broken.at(-1)?.text ?? '', /policy\.yaml/);
});

const until = Date.UTC(2027, 0, 15, 8);
const answers: [name: string, answer: object | undefined, verdict: string, says: RegExp][] = [
  ['closed', { v: 1, is: 'done', openUntil: null }, 'ok', /root's program answers; break-glass is closed/],
  ['open', { v: 1, is: 'done', openUntil: until }, 'ok', /open until 2027-01-15T08:00:00\.000Z/],
  ['one that does other things', { v: 1, is: 'refused', text: 'not here' }, 'warning', /felhom-agent trust apply FILE/],
  ['one that is at work', { v: 1, is: 'busy', text: 'ask again' }, 'failed', /ask again/],
  ['one that says nothing', undefined, 'failed', /cannot be read/],
];
for (const [name, answer, verdict, says] of answers)
  test(`root's program for what is signed: ${name}: ${verdict}`, async (t) => {
    const at = folder(t);
    const script = join(at, 'program.cjs');
    const said = answer === undefined ? '' : JSON.stringify(answer);
    writeFileSync(
      script,
      `if (JSON.parse(require('fs').readFileSync(0, 'utf8')).verb === 'break-glass-show')
      process.stdout.write(${JSON.stringify(said)}); else process.exitCode = 9;`,
    );
    const signedHelper = { command: [process.execPath, script] };
    const helper = { command: ['/nonexistent/helper'] };
    const checks = await diagnose(writeHost(at, policy, { helper, signedHelper }), join(at, 'no.sock'), never);
    const found = checks.find(({ check }) => check === 'signed helper');
    assert.equal(found?.verdict, verdict);
    assert.match(`${found?.text} ${found?.advice}`, says);
    assert.match(checks.find(({ check }) => check === 'helper')?.text ?? '', /nonexistent/);
  });

test('without one of its own the other helper is asked for what is signed', async (t) => {
  const at = folder(t);
  const helper = { command: ['/nonexistent/helper'] };
  const checks = await diagnose(writeHost(at, policy, { helper }), join(at, 'no.sock'), never);
  const found = checks.find(({ check }) => check === 'signed helper');
  assert.equal(found?.verdict, 'failed');
  assert.match(found?.text ?? '', /cannot break-glass-show: the root helper \/nonexistent\/helper did not start/);
});
