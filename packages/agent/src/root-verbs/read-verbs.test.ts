/** What root only reads, with Proxmox's tools played by functions. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Vmid, VolumeId } from '@felhom/protocol';
import type { CommandEnd, HostCommand } from '../ports/host-command.ts';
import { archiveDigest } from './read-archive.ts';
import type { ArchiveCommands } from './read-archive.ts';
import { listVolumesProgram, volumesOf } from './read-volumes.ts';

const never = new AbortController().signal;
const said = (stdout: string, code = 0, stderr = ''): CommandEnd => ({ code, stdout, stderr });
const tool =
  (end: CommandEnd | Error, seen: string[][] = []): HostCommand =>
  (args) => {
    seen.push([...args]);
    return end instanceof Error ? Promise.reject(end) : Promise.resolve(end);
  };

// ------------------------------------------------------------------------------------------------------ volumes-of

const vmid = 9001 as Vmid;

test('volumes of every storage are asked for with the number alone', async () => {
  const seen: string[][] = [];
  const perl = tool(said('["local:9001/vm-9001-disk-1.raw","local:9001/vm-9001-disk-0.raw"]'), seen);
  assert.deepEqual(await volumesOf(perl, vmid), {
    is: 'done',
    volumes: ['local:9001/vm-9001-disk-0.raw', 'local:9001/vm-9001-disk-1.raw'],
  });
  assert.deepEqual(seen, [['-e', listVolumesProgram, '--', '9001']]);
});

test('whatever is not the whole list proves nothing', async () => {
  for (const end of [
    said('', 255, "unable to activate storage 'usb' - directory is expected to be a mount point but is not mounted"),
    said(''),
    said('not json'),
    said('["/etc/shadow"]'),
    said('{"volumes":[]}'),
    new Error('/usr/bin/perl did not end'),
  ])
    assert.equal((await volumesOf(tool(end), vmid)).is, 'busy', JSON.stringify(end));
});

test('the program reads as Perl, and refuses what is no VMID', (t) => {
  try {
    execFileSync('perl', ['-v'], { stdio: 'ignore' });
  } catch {
    t.skip('there is no perl');
    return;
  }
  const stub = `BEGIN { $INC{'PVE/Storage.pm'} = 1; $INC{'JSON.pm'} = 1; package JSON;
    sub import { no strict 'refs'; *{caller() . '::encode_json'} = sub { '[' . join(',', map { qq("$_") } @{$_[0]}) . ']' } }
    package PVE::Storage; sub config { {} }
    sub vdisk_list { { a => [{ volid => "a:$_[2]/x" }], b => undef, c => [{ volid => 'c:y' }] } } package main; }`;
  const run = (...args: string[]): string =>
    execFileSync('perl', ['-e', `${stub}\n${listVolumesProgram}`, '--', ...args], { encoding: 'utf8', stdio: 'pipe' });
  assert.deepEqual((JSON.parse(run('9001')) as string[]).toSorted(), ['a:9001/x', 'c:y']);
  for (const wrong of ['', '99', '9001\n', '9001;', '-1']) assert.throws(() => run(wrong), /no VMID/);
});

// -------------------------------------------------------------------------------------------------- archive-digest

const file = 'vzdump-lxc-9001-2026_11_24-00_46_17.tar.zst';
const archive = `local:backup/${file}` as VolumeId;
const content = Buffer.alloc(5 * 1024 * 1024, 'archive');
const status = (standing: string): string =>
  `Name             Type     Status           Total            Used       Available        %\nlocal             dir     ${standing}        98497780        10        20   1.00%\n`;
const mounted = JSON.stringify({ filesystems: [{ source: '/dev/sda1', uuid: '0b7c-11', fstype: 'ext4' }] });

function place(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-archive-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, file);
  writeFileSync(path, content);
  const seen: string[][] = [];
  const commands = (over: Partial<ArchiveCommands> & { standing?: string; path?: string } = {}): ArchiveCommands => ({
    pvesm: (args) => {
      seen.push([...args]);
      return Promise.resolve(said(args[0] === 'status' ? status(over.standing ?? 'active') : `${over.path ?? path}\n`));
    },
    findmnt: tool(said(mounted), seen),
    dd: tool(said(''), seen),
    ...over,
  });
  return { folder, path, seen, commands };
}

test('an archive is read whole, and by the name that Proxmox gives it', async (t) => {
  const { path, seen, commands } = place(t);
  assert.deepEqual(await archiveDigest(commands(), archive, never), {
    is: 'done',
    archive: {
      kind: 'file',
      sizeBytes: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
      device: 'ext4:0b7c-11',
    },
  });
  assert.deepEqual(seen, [
    ['status', '--storage', 'local'],
    ['path', archive],
    ['--json', '--target', path, '--output', 'SOURCE,UUID,FSTYPE'],
    [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none'],
  ]);
});

test('what is no backup is refused before anything is asked', async (t) => {
  const { seen, commands } = place(t);
  for (const id of [
    'local:9001/vm-9001-disk-0.raw',
    'local:backup/../../etc/shadow',
    'local:backup/a b',
    'local:iso/x.iso',
  ])
    assert.equal((await archiveDigest(commands(), id as VolumeId, never)).is, 'refused', id);
  assert.deepEqual(seen, []);
});

test('gone is only what is missing on a storage that is active', async (t) => {
  const { folder, path, commands } = place(t);
  rmSync(path);
  const ask = async (over: Parameters<typeof commands>[0]): Promise<string> => {
    const answer = await archiveDigest(commands(over), archive, never);
    return answer.is === 'done' ? 'done' : `${answer.is}: ${answer.text}`;
  };
  assert.match(await ask({}), /^absent: .*there is no such archive/);
  for (const standing of ['inactive', 'disabled']) assert.match(await ask({ standing }), /^busy: .*not active/);
  assert.match(await ask({ pvesm: tool(said('', 255, 'no such storage')) }), /^busy: .*no such storage/);
  assert.match(await ask({ pvesm: tool(new Error('pvesm did not end')) }), /^busy: .*did not end/);
  assert.match(await ask({ path: 'pbs@host:store' }), /^busy: .*no file/);
  assert.match(await ask({ path: join(folder, 'other') }), /^busy: .*no file/);
  assert.match(await ask({ findmnt: tool(said('', 1)) }), /^busy: .*cannot be told/);
  assert.match(await ask({ findmnt: tool(said('{}')) }), /^busy/);
  const onPbs = await archiveDigest(commands(), 'pbs:backup/ct/9001/2026-11-24T00:46:17Z' as VolumeId, never);
  assert.equal(onPbs.is, 'refused', 'it is in no file');
});

test('a link, a folder, or what is written meanwhile gives no digest', async (t) => {
  const { folder, path, commands } = place(t);
  const growing = commands({
    dd: () => {
      appendFileSync(path, 'more');
      return Promise.resolve(said(''));
    },
  });
  assert.equal((await archiveDigest(growing, archive, never)).is, 'busy');
  rmSync(path);
  writeFileSync(join(folder, 'secret'), 'x');
  symlinkSync(join(folder, 'secret'), path);
  assert.equal((await archiveDigest(commands(), archive, never)).is, 'refused');
  rmSync(path);
  mkdirSync(path);
  assert.equal((await archiveDigest(commands(), archive, never)).is, 'refused');
});

test('reading ends with whoever waits for it', async (t) => {
  const { commands } = place(t);
  const answer = await archiveDigest(commands(), archive, AbortSignal.abort(new Error('told to stop')));
  assert.equal(answer.is, 'busy');
});
