/** The agent as a service of its own user: how it starts, what its sandbox keeps it from, what outlives it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configure } from './configuration.ts';
import { bootContainer, install } from './container.ts';
import { askPort } from './stand-ins.ts';

const agent = 'felhom-agent.service';
/** All is well but for the node, which no container has. */
const awaitsProxmox = /^degraded: cannot .*ECONNREFUSED/;

test('the agent as a service', async (t) => {
  const container = await bootContainer(t, 'agent');
  await install(container);
  const status = (): Promise<string> => container.show(agent, 'StatusText');

  await t.test('user and folders are as sysusers.d and tmpfiles.d say', async () => {
    const [, , uid = '', , , home, shell] = (await container.must('getent', 'passwd', 'felhom')).split(':');
    assert.ok(Number(uid) > 0 && Number(uid) < 1000, uid);
    assert.deepEqual([home, shell], ['/var/lib/felhom', '/usr/sbin/nologin']);
    const folders = ['/etc/felhom', '/var/lib/felhom-root', '/run/felhom-root', '/mnt/felhom'];
    assert.deepEqual((await container.must('stat', '-c', '%U %a', ...folders)).split('\n'), [
      'root 755',
      'root 700',
      'root 711',
      'root 755',
    ]);
  });

  await t.test('without any configuration it is ready, degraded, and stays', async (t2) => {
    const start = performance.now();
    await container.must('systemctl', 'start', 'felhom-root.socket', agent);
    t2.diagnostic(`start to READY=1: ${((performance.now() - start) / 1000).toFixed(1)} s`);
    assert.match(await status(), /^degraded: cannot read \/etc\/felhom\/agent\.yaml/);
    assert.equal(await container.show(agent, 'ActiveState'), 'active');
    const pid = await container.show(agent, 'MainPID');
    assert.equal(await container.must('stat', '-c', '%U', `/proc/${pid}`), 'felhom');
  });

  await t.test('the journal can be asked by field and by priority', async () => {
    const found = await container.must('journalctl', '-o', 'cat', 'FELHOM_CODE=config.unreadable');
    assert.match(found, /cannot read \/etc\/felhom\/agent\.yaml.*state=degraded/);
    assert.equal(await container.must('journalctl', '-o', 'cat', '-p', 'err', '-u', agent), found);
  });

  await t.test('a missing secret is no failed start', async () => {
    await configure(container);
    // What is secret is read by systemd, once, at the start: there was none.
    await container.until('it says so', async () =>
      /^degraded: cannot use \/run\/credentials\/.*proxmox-token: it is empty/.test(await status()),
    );
    await container.must('systemctl', 'restart', agent);
    await container.until('it goes on', async () => awaitsProxmox.test(await status()));
  });

  await t.test('a policy that does not read is said, and mending it takes no restart', async () => {
    const pid = await container.show(agent, 'MainPID');
    await container.write('/etc/felhom/policy.yaml', 'v: 1\nnode: [');
    await container.until('it says so', async () => (await status()).startsWith('degraded: the policy file'));
    await configure(container);
    await container.until('it goes on', async () => awaitsProxmox.test(await status()));
    assert.deepEqual([await container.show(agent, 'MainPID'), await container.show(agent, 'NRestarts')], [pid, '0']);
  });

  await t.test('its socket and its state are its own', async () => {
    assert.equal((await container.run(['ls', '/var/lib/felhom'], { as: 'nobody' })).code, 2);
    const modes = await container.must(
      'stat',
      '-c',
      '%U %a',
      '/run/felhom',
      '/run/felhom/agent.sock',
      '/var/lib/felhom',
    );
    assert.deepEqual(modes.split('\n'), ['felhom 750', 'felhom 600', 'felhom 700']);
  });

  await t.test('what it serves goes on when it is stopped, or killed', async () => {
    const guest = ['systemd-run', '--quiet', '--unit=guest', '--slice=machine.slice', '--'];
    const echo = `my $l = IO::Socket::INET->new(LocalPort => 80, Listen => 9) or die; while (my $c = $l->accept) { print $c "served\\n"; close $c }`;
    await container.must(...guest, 'perl', '-MIO::Socket::INET', '-e', echo);
    const served = (): Promise<string> => container.must(...askPort(80, ''));
    await container.until('it serves', async () => (await container.run(askPort(80, ''))).stdout === 'served\n');
    await container.must('systemctl', 'kill', '--signal=SIGKILL', agent);
    assert.equal(await served(), 'served');
    await container.must('systemctl', 'stop', agent);
    assert.equal(await container.show(agent, 'ActiveState'), 'inactive');
    assert.equal(await served(), 'served');
  });
});

/** Runs in the agent's own sandbox, in its place: `NAME what came of it`, one a line. */
const burglar = `
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name possible"; else echo "$name denied"; fi; }
echo "uid $(id -u -n)"
echo "setuid $(/usr/local/bin/setuid-id -u -n)"
sed -n 's/^\\(NoNewPrivs\\|Seccomp\\|CapEff\\|CapBnd\\):\\t/\\1 /p' /proc/self/status
try key-file cat /etc/felhom/hub.key
try key cat "$CREDENTIALS_DIRECTORY/hub-key"
try token grep -q felhom@pve "$CREDENTIALS_DIRECTORY/proxmox-token"
try shadow cat /etc/shadow
try write-etc sh -c 'echo > /etc/felhom/mine'
try write-usr sh -c 'echo > /usr/mine'
try write-own sh -c 'echo > /var/lib/felhom/mine'
try write-project sh -c 'echo > /opt/felhom/mine'
try write-cgroup sh -c 'echo 1 > /sys/fs/cgroup/mine'
try sysctl sh -c 'echo 1 > /proc/sys/kernel/sysrq'
try mount mount -t tmpfs none /tmp
try namespace unshare -U true
try other-process test -d /proc/1
try unit systemctl --no-ask-password stop dbus.service
try device test -e /dev/loop-control
try loadavg cat /proc/loadavg
try arp cat /proc/net/arp
try helper perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Peer => "/run/felhom-root/helper.sock") or exit 1'
try admin perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Peer => "/run/dbus/system_bus_socket") or exit 1'
`;

test('whoever takes over the agent has its sandbox around them', async (t) => {
  const container = await bootContainer(t, 'burglar');
  await install(container);
  await configure(container);
  // As docs/operations.md says: encrypted, and the plain one gone.
  const sealed = '/etc/felhom/token.cred';
  await container.must('systemd-creds', 'encrypt', '--name=proxmox-token', '/etc/felhom/token', sealed);
  await container.must('rm', '/etc/felhom/token');
  await container.must('cp', '/usr/bin/id', '/usr/local/bin/setuid-id');
  await container.must('chmod', '4755', '/usr/local/bin/setuid-id');
  const unfenced = await container.run(['/usr/local/bin/setuid-id', '-u', '-n'], { as: 'felhom' });
  assert.equal(unfenced.stdout.trim(), 'root');
  await container.write('/usr/local/bin/burglar', burglar);
  // The unit as it is, but for what it runs.
  await container.write(
    `/etc/systemd/system/${agent}.d/burglar.conf`,
    `[Service]\nLoadCredentialEncrypted=proxmox-token:${sealed}\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\nExecStart=/bin/sh /usr/local/bin/burglar\n`,
  );
  await container.must('systemctl', 'daemon-reload');
  await container.must('systemctl', 'start', 'felhom-root.socket', agent);
  const said = await container.must('journalctl', '-o', 'cat', '-u', agent, '-t', 'sh');
  assert.deepEqual(Object.fromEntries(said.split('\n').map((line) => line.split(' '))), {
    uid: 'felhom',
    setuid: 'felhom',
    NoNewPrivs: '1',
    Seccomp: '2',
    CapEff: '0000000000000000',
    CapBnd: '0000000000000000',
    'key-file': 'denied',
    key: 'possible',
    token: 'possible',
    shadow: 'denied',
    'write-etc': 'denied',
    'write-usr': 'denied',
    'write-own': 'possible',
    'write-project': 'denied',
    'write-cgroup': 'denied',
    sysctl: 'denied',
    mount: 'denied',
    namespace: 'denied',
    'other-process': 'denied',
    unit: 'denied',
    device: 'denied',
    loadavg: 'possible',
    arp: 'possible',
    helper: 'possible',
    admin: 'possible',
  });
});
