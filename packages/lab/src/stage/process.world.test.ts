/** The agent as a process on a host: its commands, its files, and what it does when one of them is not right. */
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { labGuest } from '../world/desired.ts';
import { applyGuests, stageFor, untilConverged } from './stage.fixture.ts';
import type { Stage } from './stage.ts';

const untilDegraded = async (stage: Stage, text: RegExp): Promise<void> =>
  stage.until(`degraded: ${text.source}`, async () => {
    const status = await stage.status();
    return status?.is === 'degraded' && text.test(status.why.text);
  });

test('a second agent on the same state is sent away with its own exit code', async (t) => {
  const stage = await stageFor(t);
  await applyGuests(stage, []);
  stage.agent.start();
  await untilConverged(stage);
  assert.deepEqual(await stage.agent.another(), { code: 73, signal: null });
  assert.equal((await stage.status())?.is, 'running', 'the first one goes on');
});

const mendable: [name: string, spoil: (stage: Stage) => void, text: RegExp, mend: (stage: Stage) => void][] = [
  [
    'a policy that does not parse',
    (stage) => writeFileSync(stage.place.policy, 'v: 1\nnode: [\n'),
    /policy\.yaml/,
    (stage) => stage.writePolicy(stage.policy),
  ],
  [
    'a token file that others can read',
    (stage) => chmodSync(stage.place.token, 0o644),
    /chmod 600/,
    (stage) => chmodSync(stage.place.token, 0o600),
  ],
];
for (const [name, spoil, text, mend] of mendable)
  test(`degraded by ${name}, healed without a restart`, async (t) => {
    const stage = await stageFor(t);
    await applyGuests(stage, []);
    spoil(stage);
    stage.agent.start();
    await untilDegraded(stage, text);
    const pid = stage.agent.pid();
    const told = await stage.agentCommand(['status']);
    assert.equal(told.code, 1);
    assert.match(told.out, /degraded/);
    assert.equal(stage.pve.node.tasks.all().length, 0, 'nothing was started on the node');
    mend(stage);
    await untilConverged(stage);
    assert.equal(stage.agent.pid(), pid, 'the same process');
  });

test('status, plan, doctor and journal answer in JSON', async (t) => {
  const stage = await stageFor(t);
  await applyGuests(stage, [labGuest('web')]);
  stage.agent.start();
  await untilConverged(stage);
  const json = async (...argv: string[]): Promise<unknown> => {
    const run = await stage.agentCommand([...argv, '--json']);
    assert.equal(run.code, 0, `${argv.join(' ')}: ${run.out}${run.err}`);
    return JSON.parse(run.out);
  };
  const status = (await json('status')) as { is: string; report: { guests: { name: string; status: string }[] } };
  assert.deepEqual(
    status.report.guests.map((guest) => [guest.name, guest.status]),
    [['web', 'running']],
  );
  assert.deepEqual(await json('plan'), [], 'nothing to do on a host that is as desired');
  const checks = (await json('doctor')) as { check: string; verdict: string; text: string }[];
  assert.deepEqual(
    checks.filter(({ verdict }) => verdict === 'failed'),
    [],
  );
  const sagas = (await json('journal')) as { name: string; end: string }[];
  assert.deepEqual(
    sagas.map(({ name, end }) => [name, end]),
    [['bring-up', 'completed']],
  );
});

test('without an agent a command says how to start one', async (t) => {
  const stage = await stageFor(t);
  const run = await stage.agentCommand(['status']);
  assert.equal(run.code, 3);
  assert.match(run.err, /not running; start it/);
});

test('a journal that was cut short: degraded, and the file is left as it is', async (t) => {
  const stage = await stageFor(t);
  await applyGuests(stage, [labGuest('web')]);
  stage.agent.start();
  await untilConverged(stage);
  await stage.agent.kill('SIGTERM');
  const file = join(stage.place.state, 'journal.db');
  truncateSync(file, Math.floor(statSync(file).size / 2));
  const before = readFileSync(file);
  const [tasks, requests] = [stage.pve.node.tasks.all().length, stage.server.requests()];
  stage.agent.start();
  await untilDegraded(stage, /journal\.db/);
  assert.ok(readFileSync(file).equals(before), 'the damaged journal is evidence');
  assert.equal(stage.pve.node.tasks.all().length, tasks);
  assert.equal(stage.server.requests(), requests, 'the node is not even asked');
});

test('secrets are in their files and nowhere else', async (t) => {
  const stage = await stageFor(t);
  await applyGuests(stage, [labGuest('web')]);
  stage.agent.start();
  await untilConverged(stage);
  const pid = stage.agent.pid();
  const secrets = {
    'token of Proxmox': stage.pve.token.slice(stage.pve.token.indexOf('=') + 1),
    'key of the host': stage.hub.hostKey.split('.')[2] ?? '',
    'token of the operator': stage.hub.operatorToken.split('.')[2] ?? '',
  };
  const outputs = await Promise.all(
    [
      ['status', '--json'],
      ['doctor', '--json'],
      ['journal', '--json'],
      ['plan', '--json'],
    ].map(async (argv) => {
      const run = await stage.agentCommand(argv);
      return [argv.join(' '), run.out + run.err] as const;
    }),
  );
  const own = new Set([stage.place.token, stage.place.hubKey]);
  const files = readdirSync(stage.place.folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const seen: (readonly [where: string, text: string])[] = [
    ...outputs,
    ['felhom status', (await stage.felhom(['status', 'lab', '--json'])).out],
    ['arguments of the process', readFileSync(`/proc/${pid}/cmdline`, 'latin1')],
    ['environment of the process', readFileSync(`/proc/${pid}/environ`, 'latin1')],
    ...files.filter((file) => !own.has(file)).map((file) => [file, readFileSync(file, 'latin1')] as const),
  ];
  for (const [what, secret] of Object.entries(secrets)) {
    assert.ok(secret.length >= 30, what);
    for (const [where, text] of seen) assert.ok(!text.includes(secret), `the ${what} is in ${where}`);
  }
  assert.ok(readFileSync(stage.place.token, 'utf8').includes(secrets['token of Proxmox']), 'the search would find it');
});
