import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { exitCodes, runFelhom } from '@felhom/cli';
import type { CliIo } from '@felhom/cli';
import { createHub, openSqliteStore } from '@felhom/hub';
import { digestOfReport, digestOfText, hostId, makeBlockedDocument, digestOfBlocked, report } from '@felhom/protocol';
import type { HeldReference, Report } from '@felhom/protocol';

const guestYaml = (memory: number) => `v: 1
guests:
  - name: web
    golden: debian-13
    hostname: web
    cores: 2
    memoryMiB: ${memory}
    rootfs: { storage: local, sizeGiB: 8 }
    networks: [{ name: eth0, bridge: vmbr0, ipv4: dhcp }]
`;

/** A hub on loopback and an operator with a home of her own; every command runs in this process. */
async function world(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'felhom-operator-'));
  let now = Date.UTC(2026, 0);
  let seed = 7;
  const hub = createHub({
    store: openSqliteStore(':memory:'),
    now: () => now,
    random: (count) => Uint8Array.from({ length: count }, () => (seed = (seed * 48_271) % 2_147_483_647) & 255),
  });
  const url = await hub.listen({ host: '127.0.0.1', port: 0 });
  const { token } = await hub.createOperator('admin', 'operator');
  const { apiKey } = await hub.createHost(hostId.parse('alpha'));
  t.after(async () => {
    await hub.close();
    rmSync(home, { recursive: true });
  });
  let sequence = 0;
  async function felhom(
    argv: string[],
    more: { answers?: string[]; stdin?: string; env?: Record<string, string>; tty?: boolean } = {},
  ) {
    let out = '';
    let err = '';
    const answers = [...(more.answers ?? [])];
    const asked: string[] = [];
    const io: CliIo = {
      stdout: { write: (text) => void (out += text), isTTY: more.tty ?? false },
      stderr: { write: (text) => void (err += text) },
      env: more.env ?? {},
      homeDirectory: home,
      readStdin: async () => more.stdin ?? '',
      ask: async (question) => {
        asked.push(question);
        return answers.shift();
      },
    };
    const code = await runFelhom(argv, io);
    return { code, out, err, asked };
  }
  return {
    hub,
    home,
    url,
    token,
    felhom,
    advance: (ms: number) => void (now += ms),
    login: () => felhom(['login', url, '--token-stdin'], { stdin: `${token}\n` }),
    file(name: string, text: string) {
      const path = join(home, name);
      writeFileSync(path, text);
      return path;
    },
    async poll(held: HeldReference, more: { report?: Report; heldText?: string; sequence?: number } = {}) {
      sequence += 1;
      const response = await hub.app.inject({
        method: 'POST',
        url: '/v1/poll',
        headers: { authorization: `Bearer ${apiKey}` },
        payload: {
          v: 1,
          hostId: 'alpha',
          hostEpoch: 'e'.repeat(32),
          agentVersion: '0.1.0',
          sequence,
          held,
          reportDigest: more.report === undefined ? '0'.repeat(64) : digestOfReport(more.report),
          ...more,
        },
      });
      assert.equal(response.statusCode, 200, response.body);
    },
  };
}

const blockedDocument = makeBlockedDocument({
  hostEpoch: 'e'.repeat(32),
  effectClass: 'divert',
  subject: { is: 'host' },
  verb: 'memory-down',
  parameters: { to: 512 },
  lossSet: [],
});
const busy = report.parse({
  v: 1,
  versions: { agent: '0.1.0', node: '26', proxmox: '9.1' },
  startedAt: 1,
  lastPassAt: Date.UTC(2026, 0) - 5000,
  converged: false,
  hold: false,
  guests: [{ name: 'web', vmid: 9000, status: 'running', drift: ['memoryMiB'], pending: ['memory'], held: false }],
  sagas: [
    {
      id: 's1',
      name: 'bring-up',
      guest: 'db',
      direction: 'forward',
      step: 'restore',
      stepIndex: 1,
      steps: 4,
      fraction: 0.5,
      text: 'unpacking\u001b[2J',
      startedAt: 1,
    },
  ],
  parked: [
    {
      id: 's2',
      name: 'bring-up',
      guest: 'shop',
      step: 'start',
      why: { code: 'pve.unreachable', text: 'cannot start 9001: no answer', retry: 'operator' },
      command: 'felhom-agent journal resume s2',
      since: Date.UTC(2026, 0) - 60_000,
    },
  ],
  findings: [
    {
      key: 'guest.absent-from-desired',
      severity: 'warning',
      subject: 'old',
      text: 'guest old is not wanted any more',
      advice: { text: 'Remove it by hand.' },
      since: 1,
    },
  ],
  blocked: [
    {
      document: blockedDocument,
      digest: digestOfBlocked(blockedDocument),
      text: 'web would shrink to 512 MiB',
      since: 1,
    },
  ],
  jobs: [],
  strangers: [],
  trust: { is: 'none' },
  breakGlass: { is: 'closed' },
  audit: [],
  cut: { guests: 0, sagas: 0, parked: 0, findings: 3, blocked: 0, jobs: 0, strangers: 0, audit: 0 },
});

test('login keeps the token out of argv and readable by its owner alone', async (t) => {
  const w = await world(t);
  const login = await w.login();
  assert.equal(login.code, 0, login.err);
  const path = join(w.home, '.config', 'felhom', 'config.json');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.ok(!login.out.includes(w.token));
  assert.ok(readFileSync(path, 'utf8').includes(w.token));
  chmodSync(path, 0o644);
  const exposed = await w.felhom(['hosts']);
  assert.equal(exposed.code, exitCodes.failed);
  assert.match(exposed.err, /other users can read the token.*\n {2}next: chmod 600/);
});

test('a token that the hub refuses does not replace a login that works', async (t) => {
  const w = await world(t);
  await w.login();
  const wrong = await w.felhom(['login', w.url], { answers: ['nonsense'] });
  assert.equal(wrong.code, exitCodes.hub);
  assert.match(wrong.err, /^felhom: cannot accept the operator token/);
  assert.equal((await w.felhom(['hosts'])).code, 0);
});

test('a token of one hub is not shown to another that the environment names', async (t) => {
  const w = await world(t);
  await w.login();
  let shown = '';
  const other = createServer((request, response) => {
    shown = request.headers.authorization ?? '';
    response.end('{}');
  });
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  const asked = await w.felhom(['hosts'], { env: { FELHOM_HUB_URL: `http://127.0.0.1:${port}` } });
  assert.equal(asked.code, exitCodes.hub);
  assert.equal(shown, '');
});

test('hosts: from nothing to a host with its last contact', async (t) => {
  const w = await world(t);
  await w.login();
  assert.match((await w.felhom(['hosts'])).out, /^alpha +never-seen +never/m);
  const added = await w.felhom(['hosts', 'add', 'bravo']);
  assert.match(added.out, /^fhk1\.bravo\.[A-Za-z0-9_-]{43}\n$/, 'the key alone, to be piped into a file');
  assert.match(added.err, /Host bravo/);
  assert.match(
    (await w.felhom(['hosts', 'add', 'bravo'])).err,
    /cannot add host bravo: .*\n {2}next: felhom hosts rekey/,
  );
  await w.poll({ is: 'never-received' }, { report: busy });
  w.advance(65_000);
  const table = (await w.felhom(['hosts'])).out;
  assert.match(table, /^alpha +needs-attention +1 min 5 s ago +1\/1 +1 +1 +1 +1 /m);
  const json = JSON.parse((await w.felhom(['hosts', '--json'])).out) as { hosts: { hostId: string }[] };
  assert.deepEqual(
    json.hosts.map((host) => host.hostId),
    ['alpha', 'bravo'],
  );
  const nested = await w.felhom(['hosts', 'rekey', 'bravo', '--json']);
  assert.match(nested.out, /"apiKey": "fhk1\.bravo\./);
});

test('status says what runs, what is stuck and what to do next', async (t) => {
  const w = await world(t);
  await w.login();
  await w.poll({ is: 'never-received' }, { report: busy });
  const { out, code } = await w.felhom(['status', 'alpha']);
  assert.equal(code, 0);
  for (const expected of [
    /web +9000 +running +memoryMiB +memory/,
    /bring-up db .* 37 % {2}2\/4 restore: unpacking\\u001b/,
    /bring-up shop at start \(1 min ago\)\n +cannot start 9001: no answer\n +next: felhom-agent journal resume s2/,
    /memory-down \(divert\).*\n +web would shrink to 512 MiB\n +digest [0-9a-f]{64}/,
    /warning old .*\n +guest old is not wanted any more\n +next: Remove it by hand/,
    /Not shown: 3 more findings/,
  ])
    assert.match(out, expected);
  assert.ok(!out.includes('\u001b'), 'no escape of the host reaches the terminal');
  const coloured = await w.felhom(['status', 'alpha'], { tty: true });
  assert.ok(coloured.out.includes('\u001b[32mrunning'));
  assert.ok(!coloured.out.includes('\u001b[2J'));
});

test('apply shows the difference, asks, and makes the next generation', async (t) => {
  const w = await world(t);
  await w.login();
  const file = w.file('alpha.yaml', guestYaml(1024));
  const declined = await w.felhom(['desired', 'apply', 'alpha', file], { answers: ['n'] });
  assert.equal(declined.code, exitCodes.failed);
  assert.match(declined.out, /^\+ web/m);
  assert.match(declined.err, /declined; nothing was sent/);
  const alone = await w.felhom(['desired', 'apply', 'alpha', file]);
  assert.equal(alone.code, exitCodes.usage);
  assert.match(alone.err, /no terminal.*\n {2}next: use --yes/);
  assert.equal((await w.felhom(['desired', 'show', 'alpha'])).code, exitCodes.failed, 'nothing was sent so far');
  const applied = await w.felhom(['desired', 'apply', 'alpha', file], { answers: ['yes'] });
  assert.equal(applied.code, 0, applied.err);
  assert.match(applied.out, /alpha is at generation 1;/);
  const again = await w.felhom(['desired', 'apply', 'alpha', file, '--yes', '--json']);
  assert.deepEqual(JSON.parse(again.out), { host: 'alpha', applied: false, generation: 1, changes: [] });
});

test('diff and plan compare without sending anything', async (t) => {
  const w = await world(t);
  await w.login();
  await w.felhom(['desired', 'apply', 'alpha', w.file('a.yaml', guestYaml(1024)), '--yes']);
  const smaller = w.file('b.yaml', guestYaml(512));
  const diff = await w.felhom(['desired', 'diff', 'alpha', smaller]);
  assert.equal(diff.code, 0);
  assert.match(diff.out, /memoryMiB {2}1024 → 512 {2}blocked until it is signed/);
  assert.equal((await w.felhom(['desired', 'diff', 'alpha', smaller, '--exit-code'])).code, exitCodes.differs);
  const piped = await w.felhom(['desired', 'diff', 'alpha', '-', '--exit-code'], { stdin: guestYaml(1024) });
  assert.equal(piped.code, 0);
  const plan = await w.felhom(['plan', 'alpha', smaller]);
  assert.match(plan.out, /The host is never-seen, last contact never/);
  assert.match((await w.felhom(['desired', 'show', 'alpha'])).out, /memoryMiB: 1024/);
});

test('what show prints can be edited and applied; a file of before is a conflict', async (t) => {
  const w = await world(t);
  await w.login();
  await w.felhom(['desired', 'apply', 'alpha', w.file('a.yaml', guestYaml(1024)), '--yes']);
  const shown = (await w.felhom(['desired', 'show', 'alpha'])).out;
  assert.match(shown, /generation: 1/);
  const edited = w.file('edited.yaml', shown.replace('memoryMiB: 1024', 'memoryMiB: 2048'));
  assert.match((await w.felhom(['desired', 'apply', 'alpha', edited, '--yes'])).out, /generation 2/);
  const late = await w.felhom(['desired', 'apply', 'alpha', edited, '--yes']);
  assert.equal(late.code, exitCodes.conflict);
  assert.match(late.err, /cannot use this file for alpha: it was made from generation 1, the hub has 2/);
});

test('a file that the schema refuses names the place and is never sent', async (t) => {
  const w = await world(t);
  await w.login();
  const rows: [string, string, RegExp][] = [
    [
      'unknown field',
      guestYaml(1024).replace('cores: 2', 'cores: 2\n    hookscript: x'),
      /guests\.0: unknown field "hookscript"/,
    ],
    ['unknown version', 'v: 4\nguests: []\n', /version 4, known here: 1/],
    ['no YAML', 'guests: [', /cannot use .*bad\.yaml/],
  ];
  for (const [name, text, expect] of rows) {
    const bad = await w.felhom(['desired', 'apply', 'alpha', w.file('bad.yaml', text), '--yes']);
    assert.equal(bad.code, exitCodes.failed, name);
    assert.match(bad.err, expect, name);
    assert.match(bad.err, /nothing was sent/, name);
  }
  assert.equal((await w.felhom(['desired', 'diff', 'alpha', '/nowhere.yaml'])).code, exitCodes.failed);
});

test('a hub that is behind a host: the operator sees both copies and chooses', async (t) => {
  const w = await world(t);
  await w.login();
  await w.felhom(['desired', 'apply', 'alpha', w.file('a.yaml', guestYaml(1024)), '--yes']);
  const premature = await w.felhom(['desired', 'resolve', 'alpha', '--keep', 'agent', '--yes']);
  assert.match(premature.err, /the hub is not behind this host/);
  const shown = JSON.parse((await w.felhom(['desired', 'show', 'alpha', '--json'])).out) as { text: string };
  const heldText = shown.text
    .replace('"generation":1', '"generation":57')
    .replace('"memoryMiB":1024', '"memoryMiB":4096');
  const { lineage } = JSON.parse(heldText) as { lineage: string };
  const held: HeldReference = { is: 'held', lineage, generation: 57, digest: digestOfText(heldText) };
  await w.poll(held);
  assert.match((await w.felhom(['hosts'])).out, /alpha +stale-hub .* 1 \(host holds 57\)/);
  const refused = await w.felhom(['desired', 'apply', 'alpha', w.file('b.yaml', guestYaml(2048)), '--yes']);
  assert.equal(refused.code, exitCodes.conflict);
  assert.match(refused.err, /felhom desired resolve alpha/);
  await w.poll(held, { heldText });
  const chosen = await w.felhom(['desired', 'resolve', 'alpha', '--keep', 'agent'], { answers: ['y'] });
  assert.equal(chosen.code, 0, chosen.err);
  assert.match(chosen.out, /memoryMiB {2}4096 → 1024/);
  assert.match(chosen.out, /alpha is at generation 58, with the guests of the agent/);
  assert.match((await w.felhom(['desired', 'show', 'alpha'])).out, /memoryMiB: 4096/);
});

test('a sequence that forked is shown and can be settled', async (t) => {
  const w = await world(t);
  await w.login();
  await w.poll({ is: 'never-received' }, { sequence: 50 });
  await w.poll({ is: 'never-received' }, { sequence: 40 });
  assert.match((await w.felhom(['status', 'alpha'])).out, /two agents.*\n {2}next: felhom hosts clear-fork alpha/);
  assert.equal((await w.felhom(['hosts', 'clear-fork', 'alpha'])).code, 0);
  assert.doesNotMatch((await w.felhom(['hosts'])).out, /forked/);
});

const failures: [name: string, argv: string[], env: Record<string, string>, code: number, text: RegExp][] = [
  ['nobody logged in', ['hosts'], {}, exitCodes.hub, /nobody is logged in\n {2}next: felhom login URL/],
  [
    'a hub that is not there',
    ['hosts'],
    { FELHOM_HUB_URL: 'http://127.0.0.1:9', FELHOM_TOKEN: 'x' },
    exitCodes.hub,
    /cannot reach hub http:\/\/127\.0\.0\.1:9: ECONNREFUSED/,
  ],
  [
    'a token in the clear',
    ['hosts'],
    { FELHOM_HUB_URL: 'http://hub.example', FELHOM_TOKEN: 'x' },
    exitCodes.usage,
    /only https/,
  ],
  ['no URL', ['hosts'], { FELHOM_HUB_URL: 'hub', FELHOM_TOKEN: 'x' }, exitCodes.usage, /it is no URL/],
  ['no such command', ['dance'], {}, exitCodes.usage, /unknown command 'dance'/],
  ['no such option', ['hosts', '--nope'], {}, exitCodes.usage, /unknown option '--nope'/],
  ['an argument too few', ['status'], {}, exitCodes.usage, /missing required argument 'host'/],
  [
    'a token as argument',
    ['login', 'https://hub.example', '--token', 'x'],
    {},
    exitCodes.usage,
    /unknown option '--token'/,
  ],
];
for (const [name, argv, env, code, text] of failures)
  test(`a failure with its exit code: ${name}`, async (t) => {
    const w = await world(t);
    const run = await w.felhom(argv, { env });
    assert.equal(run.code, code);
    assert.match(run.err, text);
    assert.equal(run.out, '');
  });

test('with --json a failure is JSON on stderr', async (t) => {
  const w = await world(t);
  await w.login();
  const run = await w.felhom(['status', 'zulu', '--json']);
  assert.equal(run.code, exitCodes.failed);
  const { error } = JSON.parse(run.err) as { error: { code: string; next: string } };
  assert.equal(error.code, 'host.unknown');
  assert.match(error.next, /felhom hosts/);
});

test('something else than a hub is named as such', async (t) => {
  const w = await world(t);
  const other = createServer((_, response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>'));
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  const env = { FELHOM_HUB_URL: `http://127.0.0.1:${port}`, FELHOM_TOKEN: 'x' };
  const run = await w.felhom(['hosts'], { env });
  assert.equal(run.code, exitCodes.hub);
  assert.match(run.err, /something else answers there \(status 502\)/);
});

test('version, help and completions need no hub', async (t) => {
  const w = await world(t);
  assert.match((await w.felhom(['version'])).out, /^felhom \d+\.\d+\.\d+ \(desired state 1; report 1\)\n$/);
  const help = await w.felhom(['--help']);
  assert.equal(help.code, 0);
  assert.match(help.out, /Exit codes: 0 done/);
  for (const shell of ['bash', 'zsh', 'fish']) {
    const script = await w.felhom(['completion', shell]);
    assert.equal(script.code, 0);
    for (const word of ['desired', 'resolve', 'rekey', shell === 'fish' ? '-l start-over' : '--start-over'])
      assert.ok(script.out.includes(word), `${shell}: ${word}`);
  }
  assert.equal((await w.felhom(['completion', 'tcsh'])).code, exitCodes.usage);
});
