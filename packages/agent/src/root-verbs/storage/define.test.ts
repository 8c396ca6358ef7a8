/** Entries of Proxmox: what has to be done, what is asked of its library, and what is never touched. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { storageTarget } from '@felhom/protocol';
import { markText } from '../../storage-manifest.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';
import { keepCredential } from './credentials.ts';
import { defineStorage } from './define.ts';
import { entryOf } from '../../storage-entry.ts';
import { entryChange } from './entry.ts';
import { mountTarget } from './mount.ts';
import { onEntry, storageEntryProgram } from './proxmox.ts';
import { declaredUsb, makeStorageHost, mark, uuid } from './test/storage-host.ts';
import type { MadeHost } from './test/storage-host.ts';

function setUp(t: TestContext, ...targets: readonly DeclaredTarget[]): MadeHost {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-storage-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const host = makeStorageHost(folder);
  host.declare(...targets);
  return host;
}

const declared = (target: object, state: DeclaredTarget['state'] = 'attached'): DeclaredTarget => ({
  target: storageTarget.parse({ class: 'slow', offsite: true, ...target }),
  state,
  mark,
  attachedAt: 1,
});
const nas = declared({
  type: 'cifs',
  name: 'nas',
  storage: 'nas',
  role: 'vzdump-target',
  server: 'nas.lan',
  share: 'backup',
  user: 'felhom',
  credential: 'nas',
});
const pbs = declared({
  type: 'pbs',
  name: 'offsite',
  storage: 'offsite',
  role: 'pbs-offsite',
  server: 'pbs.example.org',
  datastore: 'box-1',
  namespace: 'a/b',
  user: 'box-1@pbs!agent',
  credential: 'offsite',
  fingerprint: Array.from({ length: 32 }, () => 'ab').join(':'),
});
const nfs = declared({
  type: 'nfs',
  name: 'bulk',
  storage: 'bulk',
  role: 'bulk-data',
  server: 'fd00::1',
  export: '/export/bulk',
});

test('entries keep all, are of one node, and of a disk need the mount', () => {
  assert.deepEqual(entryOf(declaredUsb, 'pve1'), {
    type: 'dir',
    content: 'backup',
    nodes: 'pve1',
    'prune-backups': 'keep-all=1',
    path: '/mnt/felhom/usb-1',
    is_mountpoint: 'yes',
    'create-base-path': '0',
  });
  assert.equal(entryOf(nfs, 'pve1')['content'], 'images,rootdir');
  assert.match(entryOf(nfs, 'pve1')['options'] ?? '', /^soft,timeo=100,/);
  assert.equal(entryOf(pbs, 'pve1')['port'], '8007');
  for (const one of [declaredUsb, nas, pbs, nfs]) {
    assert.equal(entryOf(one, 'pve1')['prune-backups'], 'keep-all=1');
    assert.equal(entryOf({ ...one, state: 'decommissioned' }, 'pve1')['disable'], '1');
    assert.ok(!JSON.stringify(entryOf(one, 'pve1')).includes('password'));
  }
});

const wanted = entryOf(declaredUsb, 'pve1');
const changes: [name: string, found: Record<string, string> | undefined, change: object][] = [
  ['none', undefined, { is: 'create', params: wanted }],
  ['the same', wanted, { is: 'same' }],
  ['the same, and what a person added', { ...wanted, bwlimit: 'default=100', preallocation: 'off' }, { is: 'same' }],
  ['the same, in another order', { ...wanted, nodes: 'pve1' }, { is: 'same' }],
  [
    'pruned by Proxmox',
    { ...wanted, 'prune-backups': 'keep-last=3' },
    { is: 'update', params: { 'prune-backups': 'keep-all=1' }, remove: [] },
  ],
  [
    'not bound to its mount',
    Object.fromEntries(Object.entries(wanted).filter(([key]) => key !== 'is_mountpoint')),
    { is: 'update', params: { is_mountpoint: 'yes' }, remove: [] },
  ],
  [
    'switched off and led elsewhere',
    { ...wanted, disable: '1', 'content-dirs': 'backup=/root' },
    { is: 'update', params: {}, remove: ['disable', 'content-dirs'] },
  ],
  ['switched on in words', { ...wanted, disable: '0' }, { is: 'same' }],
];
for (const [name, found, change] of changes)
  test(`an entry that is ${name}`, () => assert.deepEqual(entryChange(found, wanted), change));

test('an entry that stands for something else is no entry of ours', () => {
  for (const other of [{ path: '/var/lib/vz' }, { type: 'btrfs' }])
    assert.equal(entryChange({ ...wanted, ...other }, wanted).is, 'other');
  const server = entryOf(nas, 'pve1');
  for (const other of [{ server: 'nas.example.org' }, { share: 'c$' }])
    assert.equal(entryChange({ ...server, ...other }, server).is, 'other');
  assert.equal(entryChange({ ...entryOf(pbs, 'pve1'), datastore: 'x' }, entryOf(pbs, 'pve1')).is, 'other');
});

test('a mounted disk is defined, pooled, and left alone from then on', async (t) => {
  const host = setUp(t, declaredUsb);
  host.plug({ device: 'sdb1', uuid, fileSystem: 'ext4', serial: 'WD-123' }, { '.felhom-target': markText(mark) });
  const early = await defineStorage(host.world, 'usb-1');
  assert.equal(early.is, 'busy');
  assert.match('text' in early ? early.text : '', /expected to be a mount point/);
  await mountTarget(host.world, 'usb-1');
  const before = host.written.length;
  assert.deepEqual(await defineStorage(host.world, 'usb-1'), { is: 'done' });
  assert.deepEqual(await defineStorage(host.world, 'usb-1'), { is: 'done' });
  assert.equal(host.written.length, before + 1);
  assert.equal(host.entries.get('usb1')?.['is_mountpoint'], 'yes');
  host.pool.clear();
  assert.deepEqual(await defineStorage(host.world, 'usb-1'), { is: 'done' });
  assert.ok(host.pool.has('usb1'));
});

test('what no declaration names, or means, is not touched', async (t) => {
  const host = setUp(t, declaredUsb);
  host.entries.set('local', { type: 'dir', path: '/var/lib/vz', content: 'backup' });
  host.entries.set('usb1', { type: 'dir', path: '/var/lib/vz', content: 'backup' });
  const before = structuredClone([...host.entries]);
  for (const name of ['local', 'usb1']) assert.equal((await defineStorage(host.world, name)).is, 'refused');
  const answer = await defineStorage(host.world, 'usb-1');
  assert.equal(answer.is, 'refused');
  assert.match('text' in answer ? answer.text : '', /stands for something else: its path is \/var\/lib\/vz/);
  assert.deepEqual([...host.entries], before);
  assert.deepEqual(host.written, []);
});

test('a password goes on stdin, and is in no argument and no answer', async (t) => {
  const host = setUp(t, nas);
  const none = await defineStorage(host.world, 'nas');
  assert.match('text' in none ? none.text : '', /there is no credential nas; as root, on stdin/);
  const secret = 'hunter2 is secret';
  assert.deepEqual(await keepCredential(host.world, 'nas', secret), { is: 'plain' });
  assert.deepEqual(await defineStorage(host.world, 'nas'), { is: 'done' });
  assert.match(host.written.at(-1) ?? '', /"password":"hunter2 is secret"/);
  assert.ok(!host.arguments.join(' ').includes('hunter2'));
  assert.ok(!JSON.stringify([...host.entries]).includes('hunter2'));
  // The password alone may be new.
  const before = host.written.length;
  await defineStorage(host.world, 'nas');
  assert.equal(host.written.length, before);
  await defineStorage(host.world, 'nas', true);
  assert.equal(host.written.length, before + 1);
});

test('a decommissioned target is switched off, and not made for it', async (t) => {
  const host = setUp(t, { ...nas, state: 'decommissioned' });
  assert.deepEqual(await defineStorage(host.world, 'nas'), { is: 'done' });
  assert.equal(host.entries.size, 0);
  host.entries.set('nas', entryOf(nas, 'pve1'));
  assert.deepEqual(await defineStorage(host.world, 'nas'), { is: 'done' });
  assert.equal(host.entries.get('nas')?.['disable'], '1');
});

test('an answer that got lost is looked up; what cannot be looked up stays open', async (t) => {
  const host = setUp(t, nfs);
  const { perl } = host.world.tools;
  const losing = async (args: readonly string[], input = '') => {
    const said = await perl(args, input);
    if (input.includes('"act":"create"')) throw new Error('/usr/bin/perl did not end');
    return said;
  };
  const lossy = { ...host.world, tools: { ...host.world.tools, perl: losing } };
  assert.deepEqual(await defineStorage(lossy, 'bulk'), { is: 'done' });
  let calls = 0;
  const dying = async (args: readonly string[], input = '') => {
    calls += 1;
    if (calls > 1) throw new Error('/usr/bin/perl did not start');
    return perl(args, input);
  };
  host.entries.clear();
  await assert.rejects(
    defineStorage({ ...host.world, tools: { ...host.world.tools, perl: dying } }, 'bulk'),
    /cannot tell what became of bulk/,
  );
});

const stub = `BEGIN {
  $INC{$_} = 1 for qw(PVE/RPCEnvironment.pm PVE/Cluster.pm PVE/Storage.pm PVE/API2/Storage/Config.pm PVE/API2/Pool.pm);
  package PVE::RPCEnvironment; sub setup_default_cli_env { $main::user = 'root@pam' }
  package PVE::Cluster; our $user = { pools => { felhom => { storage => {} } } };
  sub cfs_update { } sub cfs_read_file { $user }
  package PVE::Storage; our $config = { ids => {} };
  use Storable qw(dclone);
  sub config { dclone($config) } sub write_config { $config = $_[0] }
  sub storage_config { $_[0]->{ids}->{$_[1]} || ($_[2] ? undef : die "storage '$_[1]' does not exist\\n") }
  sub lock_storage_config { my ($code, $what) = @_; eval { $code->(); 1 } or die "$what: $@" }
  sub activate_storage { my ($all, $id) = @_; print "mounting"; die "mount error: access denied\\n" if $all->{ids}->{$id}->{server} eq 'denied' }
  package PVE::Storage::Plugin; sub lookup { die "no plugin $_[1]\\n" if $_[1] ne 'cifs'; 'PVE::Storage::CIFSPlugin' }
  package PVE::Storage::CIFSPlugin; sub check_config { my ($class, $id, $p, $create) = @_;
    die "no such option\\n" if !$create || grep { exists($p->{$_}) } qw(type storage password);
    { type => 'cifs', path => "/mnt/pve/$id", %$p, content => { map { $_ => 1 } split(/,/, $p->{content}) }, nodes => { $p->{nodes} => 1 } } }
  package PVE::API2::Storage::Config;
  sub create { my ($class, $p) = @_; my %p = %$p; my $id = delete $p{storage}; delete $p{password}; print "mounting";
    $p{content} = { map { $_ => 1 } split(/,/, $p{content}) }; $p{nodes} = { $p{nodes} => 1 }; $config->{ids}->{$id} = \\%p; }
  sub delete { my ($class, $p) = @_; delete $config->{ids}->{$p->{storage}} or die "storage '$p->{storage}' does not exist\\n";
    delete $_->{storage}->{$p->{storage}} for values %{$PVE::Cluster::user->{pools}};
    @PVE::API2::ACL::acl = grep { $_->{path} ne "/storage/$p->{storage}" } @PVE::API2::ACL::acl; }
  our $password = '';
  sub update { my ($class, $p) = @_; die "update storage failed: no such storage\\n" if !$config->{ids}->{$p->{storage}};
    $password = $p->{password} // $password; }
  package PVE::API2::Pool;
  sub update_pool { my ($class, $p) = @_; die "not root" if $main::user ne 'root@pam';
    $user->{pools}->{$p->{poolid}}->{storage}->{$p->{storage}} = 1 }
}
`;

test('the program itself, on a stand-in of the library of Proxmox', async (t) => {
  try {
    execFileSync('perl', ['-MJSON', '-e', '1'], { stdio: 'ignore' });
  } catch {
    return t.skip('there is no perl with JSON');
  }
  let [before, after] = ['', ''];
  const perl = async (args: readonly string[], input = '') => {
    try {
      assert.equal(args[1], storageEntryProgram);
      const stdout = execFileSync('perl', ['-e', `${stub}\n${before}\n${args[1]}\n${after}`], {
        input,
        encoding: 'utf8',
        stdio: 'pipe',
      });
      return { code: 0, stdout, stderr: '' };
    } catch (error) {
      return { code: 255, stdout: '', stderr: String((error as { stderr?: string }).stderr) };
    }
  };
  const params = { ...entryOf(nas, 'pve1'), password: 'hunter2' };
  const made = await onEntry(perl, { storage: 'nas', pool: 'felhom' }, { act: 'create', params });
  assert.deepEqual(made, { is: 'found', entry: entryOf(nas, 'pve1'), pooled: true });
  const none = await onEntry(perl, { storage: 'nas', pool: 'felhom' }, { act: 'read' });
  assert.deepEqual(none, { is: 'found', entry: undefined, pooled: false });
  const failed = await onEntry(perl, { storage: 'nas', pool: 'felhom' }, { act: 'update', params, remove: [] });
  assert.deepEqual(failed, { is: 'failed', text: 'update storage failed: no such storage' });
  for (const storage of ['', '../x', 'a\nb', '-x', 'a'])
    assert.equal((await onEntry(perl, { storage, pool: 'felhom' }, { act: 'read' })).is, 'failed', storage);
  // There is one already, with rights on it, a place that a person chose, and a key.
  before = `$PVE::Storage::config->{ids}->{nas} = { type => 'cifs', server => 'old', path => '/srv/nas', 'encryption-key' => 'ab:cd', disable => 1 };
    $PVE::Cluster::user->{pools}->{felhom}->{storage}->{nas} = 1;
    @PVE::API2::ACL::acl = ({ path => '/storage/nas', roleid => 'FelhomStore', propagate => 1, type => 'token', ugid => 'a@pve!b' },
      { path => '/storage/other', roleid => 'Other', propagate => 0, type => 'user', ugid => 'a@pve' });
    END { print STDERR "left: $PVE::Storage::config->{ids}->{nas}->{server} with ", scalar(@PVE::API2::ACL::acl) }`;
  // Told beside the entry.
  after = `$said->{rights} = join(' ', map { "$_->{path} $_->{ugid} $_->{roleid} $_->{propagate}" } @PVE::API2::ACL::acl);
    $said->{given} = $PVE::API2::Storage::Config::password;
    print encode_json({ entry => $said, pooled => $member->() }), "\\n";`;
  assert.deepEqual(await onEntry(perl, { storage: 'nas', pool: 'felhom' }, { act: 'replace', params }), {
    is: 'found',
    entry: {
      ...entryOf(nas, 'pve1'),
      path: '/srv/nas',
      'encryption-key': 'ab:cd',
      rights: '/storage/nas a@pve!b FelhomStore 1 /storage/other a@pve Other 0',
      given: 'hunter2',
    },
    pooled: true,
  });
  // The server does not let the host in: what was there is there, with its rights.
  const denied = { act: 'replace' as const, params: { ...params, server: 'denied' } };
  assert.deepEqual(await onEntry(perl, { storage: 'nas', pool: 'felhom' }, denied), {
    is: 'failed',
    text: 'replace storage failed: mount error: access denied\nleft: old with 2',
  });
  const other = { act: 'replace' as const, params: { ...params, type: 'nfs' } };
  assert.match(
    JSON.stringify(await onEntry(perl, { storage: 'nas', pool: 'felhom' }, other)),
    /of another type.*left: old/,
  );
  assert.deepEqual(await onEntry(perl, { storage: 'nas', pool: 'felhom' }, { act: 'remove' }), {
    is: 'found',
    entry: { rights: '/storage/other a@pve Other 0', given: '' },
    pooled: false,
  });
});
