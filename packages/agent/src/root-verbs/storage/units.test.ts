/** Names and texts of mount units, and what no declaration can bring into them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { storageTarget, isDisk } from '@felhom/protocol';
import { entryOf } from '../../storage-entry.ts';
import { escapePath, mountUnitName, mountUnitText } from './units.ts';
import { usb, uuid } from './test/storage-host.ts';

const paths: [path: string, escaped: string][] = [
  ['/', '-'],
  ['/mnt/felhom/usb-1', 'mnt-felhom-usb\\x2d1'],
  ['/dev/disk/by-uuid/AAAA-BBBB', 'dev-disk-by\\x2duuid-AAAA\\x2dBBBB'],
  ['/mnt//felhom/', 'mnt-felhom'],
  ['/.hidden/a.b', '\\x2ehidden-a.b'],
  ['/a b/ä', 'a\\x20b-\\xc3\\xa4'],
];
for (const [path, escaped] of paths) test(`${path} in a unit name`, () => assert.equal(escapePath(path), escaped));

test('systemd writes them the same way', (t) => {
  try {
    execFileSync('systemd-escape', ['--version'], { stdio: 'ignore' });
  } catch {
    return t.skip('there is no systemd-escape');
  }
  for (const [path] of paths) {
    const said = execFileSync('systemd-escape', ['--path', path], { encoding: 'utf8' }).trimEnd();
    assert.equal(escapePath(path), said, path);
  }
});

test('a unit is wanted by its device, so that a disk that is plugged again mounts by itself', () => {
  assert.equal(mountUnitName('usb-1'), 'mnt-felhom-usb\\x2d1.mount');
  assert.equal(
    mountUnitText(usb),
    `# Target usb-1 of Felhom. Written by felhom-agent from /etc/felhom/storage.json; changes here are lost.
[Unit]
Description=Felhom storage target usb-1

[Mount]
What=/dev/disk/by-uuid/${uuid}
Where=/mnt/felhom/usb-1
Type=ext4
Options=nodev,nosuid,noexec,noatime
TimeoutSec=30s

[Install]
WantedBy=dev-disk-by\\x2duuid-${uuid.replaceAll('-', '\\x2d')}.device
`,
  );
});

const common = { name: 'x', storage: 'xx', role: 'vzdump-target', class: 'slow' };
const disk = { ...common, type: 'usb', uuid, fileSystem: 'ext4' };
const nfs = { ...common, type: 'nfs', server: 'nas', export: '/export' };
const cifs = { ...common, type: 'cifs', server: 'nas', share: 'backup', user: 'u', credential: 'c' };
const pbs = {
  ...common,
  type: 'pbs',
  role: 'pbs-offsite',
  server: 'pbs',
  datastore: 'ds',
  user: 'u@pbs',
  credential: 'c',
  fingerprint: Array.from({ length: 32 }, () => '0f').join(':'),
};

test('what the hostile ones are made of is taken', () => {
  for (const good of [disk, nfs, cifs, pbs]) assert.ok(storageTarget.safeParse(good).success, JSON.stringify(good));
});

const hostile: [name: string, target: object][] = [
  ...[
    'a b',
    'a\nb',
    'a\n',
    '\na',
    '../a',
    'a/b',
    '.a',
    '-a',
    'a-',
    'A',
    'ä',
    '',
    'a%i',
    'a$b',
    'x'.repeat(25),
    '\u0430',
  ].map((name): [string, object] => [`a target named ${JSON.stringify(name)}`, { ...disk, name }]),
  ...['a', '-xx', 'x x', 'xx\n', '../xx', 'x:x', 'xx,yy'].map((storage): [string, object] => [
    `an entry named ${JSON.stringify(storage)}`,
    { ...disk, storage },
  ]),
  ...['', '../sda1', 'AAAA BBBB', `${uuid}\n`, `${uuid}\nOptions=suid`, 'zz', '/dev/sda', '-AAAA'].map(
    (bad): [string, object] => [`the UUID ${JSON.stringify(bad)}`, { ...disk, uuid: bad }],
  ),
  ...['vfat', 'ext4 -o suid', 'overlay', 'nfs'].map((fileSystem): [string, object] => [
    `the file system ${fileSystem}`,
    { ...disk, fileSystem },
  ]),
  ...['-oexec', 'nas -o x', 'nas:/etc', 'nas\n', 'nas,exec', 'na$s', '', '[::1]', 'nas/..', '-o', 'nas-'].map(
    (server): [string, object] => [`the server ${JSON.stringify(server)}`, { ...nfs, server }],
  ),
  ...['..', '/..', '/export/..', '/export/../etc', 'export', '/', '/a b', '/a\n', '/a,b', '//', '/-o', '/.'].map(
    (bad): [string, object] => [`the export ${JSON.stringify(bad)}`, { ...nfs, export: bad }],
  ),
  ...['../c', 'c$', 'a/b', 'a b', 'a,b', '-a', 'a\n'].map((share): [string, object] => [
    `the share ${JSON.stringify(share)}`,
    { ...cifs, share },
  ]),
  ...['u,uid=0', 'u v', 'u\npassword=x', '-u', 'DOMAIN\\u'].map((user): [string, object] => [
    `the user ${JSON.stringify(user)}`,
    { ...cifs, user },
  ]),
  ...['../../etc/shadow', 'a/b', '.x', '-x', 'c\n', 'C'].map((credential): [string, object] => [
    `the credential ${JSON.stringify(credential)}`,
    { ...cifs, credential },
  ]),
  ['a password in the declaration', { ...cifs, password: 'x' }],
  ['options in the declaration', { ...nfs, options: 'exec' }],
  ['a path in the declaration', { ...disk, path: '/' }],
  ['a PBS for guests', { ...pbs, role: 'primary' }],
  ['a disk as PBS', { ...disk, role: 'pbs-offsite' }],
  ['a namespace that climbs', { ...pbs, namespace: '../x' }],
  ['a port of nobody', { ...pbs, port: 0 }],
  ['half a fingerprint', { ...pbs, fingerprint: 'aa:bb' }],
  ['another type', { ...disk, type: 'lvm' }],
];
for (const [name, target] of hostile)
  test(`${name}: no declaration`, () => assert.ok(!storageTarget.safeParse(target).success));

test('nothing of a declaration becomes a second line, an option or another place', () => {
  for (const good of [disk, nfs, cifs, pbs]) {
    const target = storageTarget.parse(good);
    const entry = entryOf({ target, state: 'attached' }, 'pve1');
    for (const value of Object.values(entry)) assert.match(value, /^[^\s-][^\s]*$/);
    if (isDisk(target)) assert.equal(mountUnitText(target).split('\n').length, 14);
  }
});
