import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ArchiveDamaged,
  directoryMember,
  fileMember,
  symlinkMember,
  tarBytes,
  textOf,
  treePath,
  type Disk,
  type Member,
} from './disk.ts';
import { FileDisk } from './disk-files.ts';
import { MemoryDisk } from './disk-memory.ts';

const disks: Record<string, (t: TestContext) => Disk> = {
  memory: () => new MemoryDisk(() => 1000),
  files: (t) => {
    const root = mkdtempSync(join(tmpdir(), 'fake-disk-'));
    t.after(() => rmSync(root, { recursive: true }));
    return new FileDisk(root);
  },
};

const tree: readonly Member[] = [
  directoryMember('./', { mode: 0o755, mtime: 50 }),
  directoryMember('./etc', { mtime: 7 }),
  fileMember('./etc/machine-id', '', { mode: 0o444, mtime: 7 }),
  fileMember('./etc/shadow', 'root:*', { mode: 0o000, uid: 0, gid: 42, mtime: 8 }),
  symlinkMember('./etc/os-release', '../usr/lib/os-release'),
  fileMember(
    './srv/blob',
    Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) % 256),
    { uid: 33, gid: 33, mtime: 9 },
  ),
];

async function collect(members: AsyncIterable<Member>): Promise<Member[]> {
  const all: Member[] = [];
  for await (const member of members) all.push(member);
  return all;
}
const shape = ({ name, type, mode, uid, gid, content, linkname }: Member) => ({
  name,
  type,
  mode: type === 'symlink' ? 0o777 : mode,
  uid,
  gid,
  digest: createHash('sha1').update(content).digest('hex'),
  linkname: linkname ?? '',
});

for (const [kind, make] of Object.entries(disks)) {
  test(`${kind}: a tree comes back from a volume as it went in`, async (t) => {
    const disk = make(t);
    disk.createVolume('/dev/a', 1 << 20, 50);
    await disk.writeTree('/dev/a', tree, { skipExisting: true });
    const back = await disk.readTree('/dev/a');
    const want = [...tree, directoryMember('./srv')].map(shape).sort((a, b) => (a.name < b.name ? -1 : 1));
    assert.deepEqual(back.map(shape), want);
    assert.deepEqual(disk.volume('/dev/a'), { sizeBytes: 1 << 20, contentBytes: 5006, ctime: 50 });
  });

  for (const [compression, suffix] of [
    ['none', '.tar'],
    ['gzip', '.tar.gz'],
    ['zstd', '.tar.zst'],
  ] as const) {
    test(`${kind}: an archive is read back member by member (${compression})`, async (t) => {
      const disk = make(t);
      const path = `/dev/dump/x${suffix}`;
      const written = await disk.writeArchive(path, tree, compression, 1e9);
      assert.deepEqual(written, { is: 'written', sizeBytes: disk.file(path)?.sizeBytes });
      assert.deepEqual((await collect(disk.readArchive(path))).map(shape), tree.map(shape));
    });
  }

  test(`${kind}: reading only the first member lets go of the archive`, async (t) => {
    const disk = make(t);
    const big = [fileMember('./first', 'x'), fileMember('./big', new Uint8Array(3_000_000))];
    await disk.writeArchive('/dev/x.tar.zst', big, 'zstd', 1e9);
    for await (const member of disk.readArchive('/dev/x.tar.zst')) {
      assert.equal(textOf(member), 'x');
      break;
    }
  });

  test(`${kind}: a damaged archive fails with the words of zstd`, async (t) => {
    const disk = make(t);
    await disk.writeArchive('/dev/x.tar.zst', tree, 'zstd', 1e9);
    disk.damageArchive('/dev/x.tar.zst');
    await assert.rejects(
      () => collect(disk.readArchive('/dev/x.tar.zst')),
      (error) => error instanceof ArchiveDamaged && error.lines.some((line) => line.includes('Decoding error')),
    );
  });

  test(`${kind}: an archive that does not fit leaves its beginning behind`, async (t) => {
    const disk = make(t);
    assert.deepEqual(await disk.writeArchive('/dev/x.tar', tree, 'none', 1000), { is: 'no-space' });
    assert.ok((disk.file('/dev/x.tar')?.sizeBytes ?? -1) <= 1000);
    await assert.rejects(() => collect(disk.readArchive('/dev/x.tar')), ArchiveDamaged);
  });

  test(`${kind}: with two members of one name the first one stays`, async (t) => {
    const disk = make(t);
    disk.createVolume('/dev/a', 1 << 20, 50);
    const twice = [fileMember('etc/x', 'first'), fileMember('./etc/x', 'second')];
    await disk.writeTree('/dev/a', twice, { skipExisting: true });
    const found = (await disk.readTree('/dev/a')).filter((member) => treePath(member.name) === 'etc/x');
    assert.deepEqual(found.map(textOf), ['first']);
  });

  test(`${kind}: nothing is written through a link or above the tree`, async (t) => {
    const disk = make(t);
    disk.createVolume('/dev/a', 1 << 20, 50);
    disk.createVolume('/dev/b', 1 << 20, 50);
    const evil = [symlinkMember('./up', '../b'), fileMember('./up/planted', 'x'), fileMember('./../b/planted', 'x')];
    await disk.writeTree('/dev/a', evil, { skipExisting: true });
    assert.deepEqual(
      (await disk.readTree('/dev/b')).map((member) => member.name),
      ['./'],
    );
    assert.deepEqual(
      (await disk.readTree('/dev/a')).map((member) => member.name),
      ['./', './up'],
    );
  });

  test(`${kind}: a copy stands on its own, a move keeps the content`, async (t) => {
    const disk = make(t);
    disk.createVolume('/dev/a', 100, 50);
    await disk.writeTree('/dev/a', [fileMember('./x', 'old', { uid: 5 })], { skipExisting: true });
    await disk.copyVolume('/dev/a', '/dev/snap', 60);
    assert.equal(disk.volume('/dev/snap')?.ctime, 60);
    await disk.writeTree('/dev/a', [fileMember('./x', 'new')], { skipExisting: false });
    disk.moveVolume('/dev/a', '/dev/deep/b');
    const content = async (path: string) => (await disk.readTree(path)).slice(1).map((m) => `${textOf(m)} ${m.uid}`);
    assert.deepEqual(await content('/dev/snap'), ['old 5']);
    assert.deepEqual(await content('/dev/deep/b'), ['new 0']);
    assert.equal(disk.volume('/dev/a'), undefined);
    assert.deepEqual(disk.folders('/dev'), ['deep']);
    await disk.removeEntry('/dev/deep/b', './x');
    assert.deepEqual(await content('/dev/deep/b'), []);
  });

  test(`${kind}: listings and the bytes of files`, (t) => {
    const disk = make(t);
    disk.writeText('/dev/dump/b.notes', 'four');
    disk.writeText('/dev/dump/a.log', 'x');
    disk.createVolume('/dev/dump/v', 100, 50);
    assert.deepEqual(disk.list('/dev/dump'), ['a.log', 'b.notes', 'v']);
    assert.deepEqual(disk.list('/dev'), []);
    assert.equal(disk.fileBytes('/dev'), 5);
    assert.equal(disk.readText('/dev/dump/b.notes'), 'four');
    disk.moveFile('/dev/dump/b.notes', '/dev/dump/c.notes');
    assert.equal(disk.removeFile('/dev/dump/c.notes'), true);
    assert.equal(disk.removeFile('/dev/dump/c.notes'), false);
  });
}

test('files: what a process writes into a volume is in its tree', async (t) => {
  const disk = disks['files']?.(t);
  assert.ok(disk);
  disk.createVolume('/dev/a', 100, 50);
  const directory = disk.directoryOf('/dev/a');
  assert.ok(directory !== undefined && existsSync(directory));
  writeFileSync(join(directory, 'beat'), 'alive');
  assert.deepEqual(
    (await disk.readTree('/dev/a')).map((member) => member.name),
    ['./', './beat'],
  );
});

test('the length of a tar is counted in records', () => {
  assert.equal(tarBytes([]), 10_240);
  assert.equal(tarBytes([fileMember('./x', new Uint8Array(10_240))]), 20_480);
});
