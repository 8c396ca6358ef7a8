/** Root's program over its socket: who reaches it, what it makes of anything but its verbs, and what it outlives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootContainer, install } from './container.ts';
import { askHelper } from './stand-ins.ts';

const verb = (name: string, fields: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({ v: 1, verb: name, ...fields });
const operation = 'saga.1';

/** What a taken-over agent could send. All of it is refused; the tables of the verbs themselves are beside their code. */
const hostile: readonly [string, string][] = [
  ['no JSON', 'mount usb; rm -rf /'],
  ['two documents', `${verb('break-glass-show')}${verb('break-glass-show')}`],
  ['not UTF-8', '{"v":1,"verb":"\u0000'],
  ['too long', `{"v":1,"verb":"show","operation":"${'a'.repeat(2_000_000)}"}`],
  ['a verb that there is not', verb('shell', { command: 'id' })],
  ['more fields than the verb has', verb('break-glass-show', { path: '/etc/shadow' })],
  ['a target with a path in it', verb('mount', { operation, target: '../../etc' })],
  ['a target with a line end', verb('mount', { operation, target: 'usb\n[Service]\nExecStart=/bin/sh' })],
  ['a target that was not declared', verb('storage-define', { operation, target: 'mine' })],
  ['an operation that is a path', verb('show', { operation: '../../../etc/shadow' })],
  ['an archive out of its storage', verb('archive-digest', { archive: 'local:backup/../../../etc/shadow' })],
  ['a disk that is a file', verb('smart', { device: '/etc/shadow' })],
  ["another guest's VMID, far out of range", verb('unlock', { operation, vmid: 100 })],
  ['an envelope that nobody signed', verb('trust-update', { operation, envelope: '{"v":1}' })],
];

test("root's program", async (t) => {
  const container = await bootContainer(t, 'helper');
  await install(container);
  await container.must('systemctl', 'start', 'felhom-root.socket');
  const ask = async (request: string, as: string): Promise<{ readonly out: string; readonly err: string }> => {
    const { stdout, stderr } = await container.run(askHelper, { as, input: request });
    return { out: stdout, err: stderr.trim() };
  };
  const instances = (): Promise<string> =>
    container.must('systemctl', 'list-units', '--plain', '--no-legend', '--all', 'felhom-root@*');

  await t.test('answers the user of the agent', async (t2) => {
    const from = performance.now();
    assert.deepEqual(await ask(verb('break-glass-show'), 'felhom'), {
      out: '{"v":1,"is":"done","openUntil":null}',
      err: '',
    });
    t2.diagnostic(`one request: ${Math.round(performance.now() - from)} ms`);
  });

  await t.test('nobody else comes to it', async () => {
    await container.must('useradd', '--system', 'stranger');
    for (const who of ['nobody', 'stranger'])
      assert.deepEqual(await ask(verb('break-glass-show'), who), { out: '', err: 'no connection: Permission denied' });
  });

  await t.test('whatever is no verb is refused, and leaves nothing', async (t2) => {
    const traces = (): Promise<string> =>
      container.must(
        'sh',
        '-c',
        'find /etc /mnt /var/lib/felhom-root /root /run/systemd/system -xdev | sort; cat /proc/self/mounts; passwd -S root',
      );
    const before = await traces();
    // Some at a time, as a hostile agent would; beyond what the socket takes they wait.
    const rows = [...hostile];
    const worker = async (): Promise<void> => {
      for (let row = rows.shift(); row !== undefined; row = rows.shift()) {
        const [what, request] = row;
        const { out, err } = await ask(request, 'felhom');
        assert.equal(err, '', what);
        assert.match(out, /^\{"v":1,"is":"refused","text":"cannot [^\n]+"\}$/, what);
        assert.ok(!/root:[*!$]|\$y\$/.test(out), what);
      }
    };
    await Promise.all(Array.from({ length: 4 }, worker));
    assert.equal(await traces(), before);
    t2.diagnostic(`${hostile.length} requests`);
  });

  await t.test('what was begun goes on when the agent is killed', async () => {
    // Root's program would end by itself once nobody asks any more; here it is only looked at who ends it.
    await container.write(
      '/etc/systemd/system/felhom-root@.service.d/begun.conf',
      '[Service]\nExecStart=\nExecStart=/bin/sleep 12\n',
    );
    // In the agent's control group, because that is what is killed.
    await container.write(
      '/etc/systemd/system/felhom-agent.service.d/asker.conf',
      [
        '[Service]',
        'Type=exec',
        'Restart=no',
        'WatchdogSec=0',
        'ExecStart=',
        `ExecStart=/usr/bin/perl -MIO::Socket::UNIX -e 'my $$s = IO::Socket::UNIX->new(Peer => "/run/felhom-root/helper.sock") or die; sleep 100'`,
        '',
      ].join('\n'),
    );
    await container.must('systemctl', 'daemon-reload');
    await container.must('systemctl', 'start', 'felhom-agent.service');
    await container.until('it is asked', async () => / running /.test(await instances()));
    await container.must('systemctl', 'kill', '--signal=SIGKILL', 'felhom-agent.service');
    await container.until(
      'the agent is gone',
      async () => (await container.show('felhom-agent.service', 'ActiveState')) === 'failed',
    );
    assert.match(await instances(), / running /);
    await container.until('it ends by itself', async () => (await instances()) === '');
  });

  await t.test('a flood does not close the socket', async () => {
    // Whatever answers; a hundred Nodes would test the machine.
    await container.write(
      '/etc/systemd/system/felhom-root@.service.d/flood.conf',
      '[Service]\nExecStart=\nExecStart=/bin/cat\n',
    );
    await container.must('systemctl', 'daemon-reload');
    const flood =
      'my @s = map { IO::Socket::UNIX->new(Peer => "/run/felhom-root/helper.sock", Timeout => 1) } 1 .. 100; sleep 1';
    await container.run(['perl', '-MIO::Socket::UNIX', '-e', flood], { as: 'felhom' });
    const at = (await instances()).split('\n').length;
    assert.ok(at <= 16, String(at));
    await container.until('it is over', async () => (await instances()) === '');
    assert.equal(await container.show('felhom-root.socket', 'ActiveState'), 'active');
    assert.deepEqual(await ask('still there', 'felhom'), { out: 'still there', err: '' });
  });
});
