import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ed25519Line } from '@felhom/protocol';
import { breakGlassSettings, breakGlassUnits, unitNames } from './break-glass-units.ts';
import type { BreakGlassOrder } from './break-glass-units.ts';

const key = ed25519Line(new Uint8Array(32).fill(7));

const settings = breakGlassSettings.parse({
  v: 1,
  tunnel: {
    id: 'dfed0ead-79e1-41cf-82b8-88ca8148a577',
    hostname: 'rescue.example.org',
    credentialsFile: '/etc/felhom/break-glass-tunnel.json',
  },
});

const given: BreakGlassOrder = {
  minutes: 30,
  key,
  until: Date.UTC(2026, 10, 26, 12, 34, 56, 789),
  settings,
  runDirectory: '/run/felhom-break-glass',
  unitDirectory: '/run/systemd/system',
};

test('the timer is monotonic and ends with what it closes', () => {
  assert.equal(
    breakGlassUnits(given).units[unitNames.timer],
    `[Unit]
Description=Felhom break-glass: closes it when its time is over

[Timer]
OnActiveSec=1800s
AccuracySec=1s
RemainAfterElapse=no
Unit=felhom-break-glass-close.service
`,
  );
});

test('closing needs systemctl and rm, nothing of the agent', () => {
  assert.equal(
    breakGlassUnits(given).units[unitNames.close],
    `[Unit]
Description=Felhom break-glass: closing

[Service]
Type=oneshot
ExecStart=-/usr/bin/systemctl stop felhom-break-glass-tunnel.service felhom-break-glass-sshd.service
ExecStart=-/usr/bin/systemctl stop felhom-break-glass-close.timer
ExecStart=/usr/bin/rm -rf -- /run/felhom-break-glass
ExecStart=/usr/bin/rm -f -- ${Object.values(unitNames)
      .map((name) => `/run/systemd/system/${name}`)
      .join(' ')}
ExecStart=-/usr/bin/systemctl --no-block daemon-reload
`,
  );
});

test('sshd runs only with its timer, on loopback, and ends with its sessions', () => {
  const { units, files } = breakGlassUnits(given);
  const lines = units[unitNames.sshd].split('\n');
  for (const line of [
    `BindsTo=${unitNames.timer}`,
    'ExecStart=/usr/sbin/sshd -D -e -f /run/felhom-break-glass/sshd_config',
    'KillMode=control-group',
    'RuntimeMaxSec=1830s',
    'Restart=no',
  ])
    assert.ok(lines.includes(line), line);
  const config = files.sshd_config.split('\n');
  for (const line of [
    'ListenAddress 127.0.0.1:52022',
    'AuthorizedKeysFile /run/felhom-break-glass/authorized_keys',
    'AuthenticationMethods publickey',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'UsePAM no',
    'DisableForwarding yes',
    'ForceCommand none',
  ])
    assert.ok(config.includes(line), line);
  assert.equal(config.filter((line) => line.startsWith('ListenAddress')).length, 1);
  assert.ok(!config.some((line) => /^(?:Include|Match|Subsystem)\b/i.test(line)));
});

test('the one key expires with the opening', () => {
  assert.equal(breakGlassUnits(given).files.authorized_keys, `restrict,pty,expiry-time="20261126123456Z" ${key}\n`);
});

test('the tunnel has credentials of its own, one way in and no privileges', () => {
  const { units, files } = breakGlassUnits(given);
  assert.equal(
    files['ingress.yml'],
    `tunnel: dfed0ead-79e1-41cf-82b8-88ca8148a577
warp-routing:
  enabled: false
ingress:
  - hostname: rescue.example.org
    service: ssh://127.0.0.1:52022
  - service: http_status:404
`,
  );
  const lines = units[unitNames.tunnel].split('\n');
  for (const line of [
    `BindsTo=${unitNames.sshd}`,
    'ExecStartPre=+/usr/sbin/nft -f /run/felhom-break-glass/nftables.conf',
    'ExecStart=/usr/bin/cloudflared tunnel --no-autoupdate --config %d/ingress run --credentials-file %d/tunnel dfed0ead-79e1-41cf-82b8-88ca8148a577',
    'LoadCredential=tunnel:/etc/felhom/break-glass-tunnel.json',
    'DynamicUser=yes',
    'CapabilityBoundingSet=',
    'RuntimeMaxSec=1830s',
    'Restart=no',
  ])
    assert.ok(lines.includes(line), line);
});

test('whatever the edge pushes, the tunnel reaches one port of this host', () => {
  const rules = breakGlassUnits(given).files['nftables.conf'].split('\n');
  const at = (text: string): number => rules.findIndex((line) => line.trim() === text);
  assert.ok(at('ip daddr 127.0.0.1 tcp dport 52022 accept') > 0);
  assert.ok(at('ip daddr 127.0.0.1 tcp dport 52022 accept') < at('oifname "lo" reject'));
  assert.ok(at('meta l4proto { tcp, udp } th dport 7844 accept') > at('oifname "lo" reject'));
  assert.equal(rules.filter((line) => line.trim() === 'reject').length, 1);
  assert.ok(rules.some((line) => line.includes(`socket cgroupv2 level 2 "system.slice/${unitNames.tunnel}" jump`)));
});

const hostile: readonly { name: string; over: object }[] = [
  ...['\n', '\r', '\0', '"', "'", ' ', '%', '$', '\\', ';', '{', '#'].flatMap((bad) => [
    { name: `run directory with ${JSON.stringify(bad)}`, over: { runDirectory: `/run/x${bad}y` } },
    { name: `unit directory with ${JSON.stringify(bad)}`, over: { unitDirectory: `/run/x${bad}/y` } },
    { name: `credentials file with ${JSON.stringify(bad)}`, over: tunnelWith({ credentialsFile: `/etc/x${bad}/y` }) },
    { name: `host name with ${JSON.stringify(bad)}`, over: tunnelWith({ hostname: `a${bad}.example.org` }) },
    { name: `tunnel id with ${JSON.stringify(bad)}`, over: tunnelWith({ id: `${settings.tunnel.id}${bad}` }) },
    { name: `program with ${JSON.stringify(bad)}`, over: { settings: { ...settings, cloudflared: `/usr/b${bad}/c` } } },
    { name: `key with ${JSON.stringify(bad)}`, over: { key: `${key}${bad}x` } },
    { name: `key after ${JSON.stringify(bad)}`, over: { key: `command="id"${bad}${key}` } },
  ]),
  { name: 'a line end at the very end of the key', over: { key: `${key}\n` } },
  { name: 'a line end at the very end of a path', over: { runDirectory: '/run/x\n' } },
  { name: 'a line end at the very end of the host name', over: tunnelWith({ hostname: 'a.example.org\n' }) },
  { name: 'a key with a comment', over: { key: `${key} somebody` } },
  { name: 'two keys', over: { key: `${key}\n${key}` } },
  { name: 'an RSA key', over: { key: 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7' } },
  { name: 'a path that is not absolute', over: { runDirectory: 'run/x' } },
  { name: 'the root directory', over: { runDirectory: '/' } },
  { name: 'a way up', over: { runDirectory: '/run/../etc' } },
  { name: 'no minutes', over: { minutes: 0 } },
  { name: 'half a minute', over: { minutes: 0.5 } },
  { name: 'endless minutes', over: { minutes: Number.POSITIVE_INFINITY } },
  { name: 'more than eight hours', over: { minutes: 481 } },
  { name: 'a port of the system', over: { settings: { ...settings, port: 22 } } },
  { name: 'a port that is text', over: { settings: { ...settings, port: '52022\nPermitRootLogin yes' } } },
  { name: 'a time that no calendar has', over: { until: 8.64e15 + 1 } },
  { name: 'an unknown setting', over: { settings: { ...settings, extra: 1 } } },
];

function tunnelWith(over: object): object {
  return { settings: { ...settings, tunnel: { ...settings.tunnel, ...over } } };
}

for (const { name, over } of hostile)
  test(`refused: ${name}`, () => {
    assert.throws(() => breakGlassUnits({ ...given, ...over }));
  });

const exists = (program: string): boolean => spawnSync(program, ['--version']).error === undefined;

test('systemd understands every line', (t) => {
  if (!exists('systemd-analyze')) return t.skip('systemd-analyze is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'felhom-units-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const paths = Object.entries(breakGlassUnits(given).units).map(([name, text]) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  });
  const ran = spawnSync('systemd-analyze', ['verify', ...paths], { encoding: 'utf8' });
  // An unknown key only warns, so every line about our units counts; the programs need not be installed here.
  const complaints = ran.stderr
    .split('\n')
    .filter((line) => line.includes('felhom-break-glass') && !/is not executable: No such file/.test(line));
  assert.deepEqual(complaints, []);
});

test('sshd understands its configuration', (t) => {
  const program = '/usr/sbin/sshd';
  if (!exists(program)) return t.skip('sshd is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'felhom-sshd-'));
  t.after(() => rmSync(folder, { recursive: true }));
  chmodSync(folder, 0o700);
  const hostKey = join(folder, 'host_key');
  assert.equal(spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', hostKey]).status, 0);
  const { files } = breakGlassUnits({ ...given, runDirectory: folder });
  const config = join(folder, 'sshd_config');
  writeFileSync(config, files.sshd_config.replace('/etc/ssh/ssh_host_ed25519_key', hostKey));
  const ran = spawnSync(program, ['-T', '-f', config], { encoding: 'utf8' });
  if (ran.stderr.includes('Missing privilege separation directory'))
    return t.skip('sshd wants /run/sshd, which its service makes');
  assert.equal(ran.stderr, '');
  const effective = ran.stdout.split('\n');
  for (const line of [
    'listenaddress 127.0.0.1:52022',
    'passwordauthentication no',
    'kbdinteractiveauthentication no',
    'usepam no',
    'disableforwarding yes',
    'authenticationmethods publickey',
    `authorizedkeysfile ${join(folder, 'authorized_keys')}`,
  ])
    assert.ok(effective.includes(line), line);
});
