import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { gatewayIn } from './system.ts';
import { realFiles } from './real-files.ts';

function guest(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'guest-files-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [root, data, outside] = ['root', 'data', 'outside'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [root, data, outside]) mkdirSync(path);
  writeFileSync(join(outside, 'secret'), 'of the host');
  return { root, data, outside, files: realFiles({ '/': root, '/srv/data': data }) };
}
const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes);
const bytesOf = (words: string): Uint8Array => new TextEncoder().encode(words);

describe('files of a guest', () => {
  it('are written whole, with their mode, on the volume they belong to', async (t) => {
    const { root, data, files } = guest(t);
    await files.write('/srv/data/a/b', bytesOf('one'), 0o600);
    await files.write('/srv/data/a/b', bytesOf('two'), 0o600);
    await files.write('/srv/database', bytesOf('three'), 0o644);
    assert.equal(readFileSync(join(data, 'a/b'), 'utf8'), 'two');
    assert.equal(statSync(join(data, 'a/b')).mode & 0o777, 0o600);
    assert.equal(readFileSync(join(root, 'srv/database'), 'utf8'), 'three');
    assert.deepEqual(
      (await files.list('/srv/data/a')).map(({ name }) => name),
      ['b'],
    );
    assert.equal(await files.read('/srv/data/a/b', 2), undefined);
  });

  it('never lead out of the guest', async (t) => {
    const { root, outside, files } = guest(t);
    symlinkSync(outside, join(root, 'folder'));
    symlinkSync(join(outside, 'secret'), join(root, 'file'));
    assert.equal(await files.read('/folder/secret', 100), undefined);
    assert.equal(await files.read('/file', 100), undefined);
    assert.equal(await files.digest('/folder/secret'), undefined);
    assert.equal(await files.digest('/file'), undefined);
    assert.deepEqual(await files.list('/folder'), []);
    await assert.rejects(files.write('/folder/new', bytesOf('x'), 0o600), /symbolic link/);
    await assert.rejects(files.makeFolder('/folder/new'), /symbolic link/);
    await files.remove('/folder/secret');
    await files.write('/file', bytesOf('x'), 0o600);
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'of the host');
    assert.equal(existsSync(join(outside, 'new')), false);
    for (const path of ['/../outside/secret', 'etc', '/a/./b'])
      await assert.rejects(files.read(path, 100), /no plain absolute path/);
  });

  it('are told apart by kind, and mounts are named', async (t) => {
    const { root, files } = guest(t);
    mkdirSync(join(root, 'srv/data'), { recursive: true });
    mkdirSync(join(root, 'srv/plain'));
    symlinkSync('plain', join(root, 'srv/link'));
    writeFileSync(join(root, 'srv/file'), '12345');
    const entries = (await files.list('/srv')).toSorted((a, b) => (a.name < b.name ? -1 : 1));
    assert.deepEqual(entries, [
      { name: 'data', kind: 'directory', sizeBytes: 0, mount: true },
      { name: 'file', kind: 'file', sizeBytes: 5, mount: false },
      { name: 'link', kind: 'link', sizeBytes: 0, mount: false },
      { name: 'plain', kind: 'directory', sizeBytes: 0, mount: false },
    ]);
    assert.deepEqual(await files.list('/nowhere'), []);
  });

  it('are copied, links as links, and moved', async (t) => {
    const { data, files } = guest(t);
    await files.write('/srv/data/from/a', bytesOf('aaa'), 0o644);
    symlinkSync('a', join(data, 'from/l'));
    await files.copyFile('/srv/data/from/a', '/srv/data/to/a');
    await files.copyLink('/srv/data/from/l', '/srv/data/to/l');
    await files.rename('/srv/data/to', '/srv/data/there');
    assert.equal(text(await files.read('/srv/data/there/a', 10)), 'aaa');
    assert.equal(readlinkSync(join(data, 'there/l')), 'a');
    assert.equal((await files.digest('/srv/data/there/a'))?.sizeBytes, 3);
    await files.remove('/srv/data/there');
    await files.remove('/srv/data/there');
    assert.equal(existsSync(join(data, 'there')), false);
  });
});

it('the default gateway is read as the kernel writes it', () => {
  const head = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n';
  assert.equal(
    gatewayIn(`${head}eth0\t0000FEA9\t00000000\t0001\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n`),
    '192.168.1.1',
  );
  assert.equal(gatewayIn(`${head}eth0\t00000000\t00000000\t0001\n`), undefined);
  assert.equal(gatewayIn(''), undefined);
});
