import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { Vmid } from '@felhom/protocol';
import { auditConfig, ownerOf } from './config-audit.ts';
import { restoreFailure } from './restore-failure.ts';
import { riskReport } from './risk-report.ts';

const clean = [
  '#a note',
  'arch: amd64',
  'cores: 1',
  'features: nesting=1,keyctl=1',
  'hostname: golden',
  'memory: 256',
  'mp0: local:100/vm-100-disk-1.raw,mp=/srv/data,backup=0,size=1G',
  'net0: name=eth0,bridge=vmbr0,gw=10.98.0.1,hwaddr=BC:24:11:86:8C:AE,ip=10.98.0.100/24,type=veth',
  'ostype: debian',
  'protection: 0',
  'rootfs: local:100/vm-100-disk-0.raw,size=2G',
  'swap: 0',
  'tags: felhom;golden',
  'unprivileged: 1',
];

test('a clean archive: what comes along and what does not', () => {
  const report = riskReport(clean.join('\n'));
  assert.deepEqual(report.refusals, []);
  assert.equal(report.tokenCanRestore, true);
  assert.deepEqual(report.networks, [{ key: 'net0', name: 'eth0' }]);
  assert.deepEqual(report.comesBackEmpty, ['/srv/data']);
  assert.deepEqual(report.strips, ['tags']);
  assert.equal(report.rootfsGiB, 2);
});

const refusals: readonly { name: string; lines: readonly string[]; without?: string; key: string; token?: false }[] = [
  { name: 'a device', lines: ['dev0: /dev/fuse'], key: 'dev0' },
  { name: 'a hook', lines: ['hookscript: local:snippets/x.sh'], key: 'hookscript' },
  { name: 'raw lxc lines', lines: ['lxc.cgroup2.devices.allow: c 10:200 rwm'], key: 'lxc.cgroup2.devices.allow' },
  { name: 'an entrypoint', lines: ['entrypoint: /bin/sh'], key: 'entrypoint' },
  { name: 'a bind mount', lines: ['mp1: /root,mp=/x'], key: 'mp1', token: false },
  { name: 'a block device', lines: ['mp1: /dev/sda1,mp=/x'], key: 'mp1', token: false },
  { name: 'no unprivileged line', lines: [], without: 'unprivileged', key: 'unprivileged', token: false },
  { name: 'privileged', lines: ['unprivileged: 0'], without: 'unprivileged', key: 'unprivileged', token: false },
  { name: 'protection', lines: ['protection: 1'], without: 'protection', key: 'protection' },
  { name: 'more features', lines: ['features: nesting=1,fuse=1'], without: 'features', key: 'features' },
  { name: 'an unknown key', lines: ['frobnicate: 1'], key: 'frobnicate' },
  { name: 'a line that is no setting', lines: ['what is this'], key: 'what is this' },
  { name: 'no root', lines: [], without: 'rootfs', key: 'rootfs' },
];
for (const { name, lines, without, key, token } of refusals)
  test(`refused: ${name}`, () => {
    const text = [...clean.filter((line) => without === undefined || !line.startsWith(`${without}:`)), ...lines];
    const report = riskReport(text.join('\n'));
    assert.deepEqual(
      report.refusals.map((refusal) => refusal.key),
      [key],
    );
    assert.equal(report.tokenCanRestore, token ?? true);
  });

test('snapshot sections are not read as settings', () => {
  assert.deepEqual(riskReport([...clean, '[snap1]', 'dev0: /dev/sda'].join('\n')).refusals, []);
});

const sent = {
  hostname: 'photos',
  description: 'felhom:x\nlabel',
  cores: '2',
  memory: '1024',
  swap: '0',
  onboot: '0',
  protection: '0',
  rootfs: 'local:8',
  net0: 'name=eth0,bridge=vmbr0,ip=dhcp,firewall=1,link_down=1',
  env: 'FELHOM_IDENTITY=fresh',
};
const restored: Readonly<Record<string, string>> = {
  arch: 'amd64',
  ostype: 'debian',
  unprivileged: '1',
  features: 'nesting=1,keyctl=1',
  hostname: 'photos',
  description: 'felhom:x\nlabel\n',
  cores: '2',
  memory: '1024',
  swap: '0',
  onboot: '0',
  protection: '0',
  rootfs: 'local:9001/vm-9001-disk-0.raw,size=8G',
  net0: 'name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:FD:B9:0E,ip=dhcp,link_down=1,type=veth',
  env: 'FELHOM_IDENTITY=fresh',
};
const vmid = 9001 as Vmid;
const audit = (values: Readonly<Record<string, string>>, lock?: string) =>
  auditConfig({ digest: 'd', lock, values }, { vmid, values: sent });

test('what was asked for passes', () => assert.deepEqual(audit(restored), { violations: [], strips: [] }));

test('harmless leftovers are named for removal', () => {
  assert.deepEqual(audit({ ...restored, tags: 'x', cmode: 'shell', searchdomain: 'a' }), {
    violations: [],
    strips: ['tags', 'cmode', 'searchdomain'],
  });
});

const violations: readonly [string, Readonly<Record<string, string | undefined>>, string][] = [
  ['a device', { dev0: '/dev/sda' }, 'dev0'],
  ['a hook', { hookscript: 'local:snippets/x' }, 'hookscript'],
  ['raw lxc lines', { lxc: '[["lxc.mount.entry","x"]]' }, 'lxc'],
  ['an entrypoint', { entrypoint: '/x' }, 'entrypoint'],
  ['privileged', { unprivileged: '0' }, 'unprivileged'],
  ['unprivileged missing', { unprivileged: undefined }, 'unprivileged'],
  ['more features', { features: 'nesting=1,mount=nfs' }, 'features'],
  ['a bind mount', { mp0: '/root,mp=/x' }, 'mp0'],
  ['a volume nobody asked for', { mp0: 'local:9001/vm-9001-disk-1.raw,mp=/x,size=1G' }, 'mp0'],
  ['an unused volume', { unused0: 'local:9001/vm-9001-disk-1.raw' }, 'unused0'],
  ['the root of another guest', { rootfs: 'local:100/vm-100-disk-0.raw,size=8G' }, 'rootfs'],
  ['a root on another storage', { rootfs: 'other:9001/vm-9001-disk-0.raw,size=8G' }, 'rootfs'],
  ['a root that is a path', { rootfs: '/dev/sda1,size=8G' }, 'rootfs'],
  ['a root with options', { rootfs: 'local:9001/vm-9001-disk-0.raw,mountoptions=x,size=8G' }, 'rootfs'],
  ['a root of another size', { rootfs: 'local:9001/vm-9001-disk-0.raw,size=2G' }, 'rootfs'],
  ['link up', { net0: 'name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:FD:B9:0E,ip=dhcp,type=veth' }, 'net0'],
  ['another bridge', { net0: restored['net0']?.replace('vmbr0', 'vmbr1') }, 'net0'],
  ['a second network', { net1: 'name=eth1,bridge=vmbr0,hwaddr=BC:24:11:FD:B9:0F,type=veth' }, 'net1'],
  ['the network missing', { net0: undefined }, 'net0'],
  ['an archived description', { description: 'golden' }, 'description'],
  ['onboot', { onboot: '1' }, 'onboot'],
  ['an archived env', { env: 'CLAIM=1' }, 'env'],
  ['a template', { template: '1' }, 'template'],
  ['an unknown key', { frobnicate: '1' }, 'frobnicate'],
  ['unmanaged', { ostype: 'unmanaged' }, 'ostype'],
];
for (const [name, over, key] of violations)
  test(`never started: ${name}`, () => {
    const values = Object.fromEntries(
      Object.entries({ ...restored, ...over }).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    const found = audit(values).violations;
    assert.deepEqual(
      found.map((violation) => violation.key),
      [key],
    );
    assert.ok(!found.some((violation) => violation.text.includes('CLAIM=1')), 'values stay out of texts');
  });

const askedBack = {
  ...sent,
  mp0: 'local:20,mp=/srv/data,backup=1',
  net0: 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:FD:B9:0E,ip=dhcp,link_down=1',
};
const cameBack: Readonly<Record<string, string>> = {
  ...restored,
  mp0: 'local:9001/vm-9001-disk-1.raw,mp=/srv/data,backup=1,size=20G',
  net0: 'name=eth0,bridge=vmbr0,hwaddr=bc:24:11:fd:b9:0e,ip=dhcp,link_down=1,type=veth',
};
const passedThrough: readonly [string, Readonly<Record<string, string>>, readonly string[]][] = [
  ['a mount and a MAC as passed', {}, []],
  ['a mount of another guest', { mp0: 'local:9000/vm-9000-disk-1.raw,mp=/srv/data,backup=1,size=20G' }, ['mp0']],
  ['a mount at another path', { mp0: 'local:9001/vm-9001-disk-1.raw,mp=/srv,backup=1,size=20G' }, ['mp0']],
  ['a mount without its backup flag', { mp0: 'local:9001/vm-9001-disk-1.raw,mp=/srv/data,size=20G' }, ['mp0']],
  ['a mount on another storage', { mp0: 'usb:9001/vm-9001-disk-1.raw,mp=/srv/data,backup=1,size=20G' }, ['mp0']],
  ['a mount of another size', { mp0: 'local:9001/vm-9001-disk-1.raw,mp=/srv/data,backup=1,size=2G' }, ['mp0']],
  ['a mount with more options', { mp0: `${cameBack['mp0']},mountoptions=suid` }, ['mp0']],
  ['a mount that is a path', { mp0: '/srv,mp=/srv/data,backup=1' }, ['mp0']],
  ['a second mount', { mp1: 'local:9001/vm-9001-disk-2.raw,mp=/x,backup=1,size=20G' }, ['mp1']],
  ['another MAC', { net0: (cameBack['net0'] ?? '').replace('0e', '0f') }, ['net0']],
];
for (const [name, over, keys] of passedThrough)
  test(`mounts and MACs that the call passed: ${name}`, () => {
    const config = { digest: 'd', lock: undefined, values: { ...cameBack, ...over } };
    const found = auditConfig(config, { vmid, values: askedBack }).violations;
    assert.deepEqual(
      found.map((violation) => violation.key),
      keys,
    );
  });

test('a mount that was passed and did not arrive is a violation', () => {
  const { mp0: _gone, ...values } = cameBack;
  const found = auditConfig({ digest: 'd', lock: undefined, values }, { vmid, values: askedBack }).violations;
  assert.deepEqual(
    found.map((violation) => violation.key),
    ['mp0'],
  );
});

test('a locked guest does not pass', () => assert.equal(audit(restored, 'create').violations[0]?.key, 'lock'));

const owners: readonly [string, number | undefined][] = [
  ['local:9001/vm-9001-disk-0.raw', 9001],
  ['lvm:vm-9001-disk-0', 9001],
  ['zfs:subvol-9001-disk-0', 9001],
  ['zfs:basevol-100-disk-0', 100],
  ['local:iso/x.iso', undefined],
];
for (const [volid, owner] of owners) test(`${volid} belongs to ${owner}`, () => assert.equal(ownerOf(volid), owner));

const failures: readonly [string, readonly string[], string][] = [
  ['tar failed: exit code 2', ['tar: ./x: Cannot write: No space left on device'], 'pve.no-space'],
  ["volume 'local:backup/x' does not exist", [], 'guest.golden-absent'],
  [
    'tar failed: exit code 2',
    ['zstd: decoding error (36) : Restored data doesn’t match checksum'],
    'guest.archive-corrupt',
  ],
  ['403 Permission check failed (/, Sys.Modify)', [], 'pve.forbidden'],
  ["restoring 'mp1' to bind mount is only possible for root", [], 'guest.archive-refused'],
  ["unable to activate storage 'usb' - directory is expected to be a mount point", [], 'pve.storage-offline'],
  ['tar failed: received interrupt', [], 'guest.restore-died'],
  ['something else', [], 'guest.restore-failed'],
];
for (const [status, log, code] of failures)
  test(`restore failure "${status}" ${log.join(' ')} is ${code}`, () =>
    assert.equal(
      restoreFailure({ guest: 'guest x', source: 'golden' }, `unable to restore CT 9001 - ${status}`, log).code,
      code,
    ));

test('of a backup that is gone or damaged it is not the golden that has to be placed again', () => {
  const backup = { guest: 'guest x', source: 'backup' } as const;
  const gone = restoreFailure(backup, "volume 'usb:backup/x' does not exist", []);
  assert.equal(gone.code, 'guest.backup-absent');
  const damaged = restoreFailure(backup, 'tar failed: exit code 2', ['zstd: unexpected end of file']);
  assert.equal(damaged.code, 'guest.archive-corrupt');
  for (const { text } of [gone, damaged]) assert.doesNotMatch(text, /golden/);
});
