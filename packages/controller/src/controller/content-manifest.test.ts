import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { guestPaths } from '../paths.ts';
import { countingRandom, handClock } from '../test/hand-clock.ts';
import { memoryFiles } from '../test/memory-files.ts';
import type { MemoryFiles } from '../test/memory-files.ts';
import { manifestBounds, storeManifest, takeManifest } from './content-manifest.ts';
import type { ManifestBounds } from './content-manifest.ts';

const never = new AbortController().signal;
const take = (files: MemoryFiles, paths: readonly string[], bounds: Partial<ManifestBounds> = {}) =>
  takeManifest({ files, clock: handClock(), random: countingRandom() }, paths, never, { ...manifestBounds, ...bounds });

describe('a content manifest', () => {
  it('counts regular files of each volume, without other mounts, links and what the kernel makes', async () => {
    const files = memoryFiles(['/mnt/other']);
    files.put('/etc/passwd', '12345');
    files.put('/etc/shadow', '-> /etc/passwd');
    files.put('/loop', '-> /');
    files.put('/proc/1/environ', 'FELHOM_CLAIM');
    files.put('/mnt/other/film', 'x'.repeat(100));
    files.put('/srv/data/a/b', '123');
    const { manifest, leftOut } = await take(files, ['/', '/srv/data']);
    assert.deepEqual(leftOut, []);
    assert.deepEqual(
      manifest?.volumes.map(({ path, files: count, bytes }) => [path, count, bytes]),
      [
        ['/', 1, 5],
        ['/srv/data', 1, 3],
      ],
    );
    assert.deepEqual(
      manifest?.volumes[1]?.samples.map(({ path }) => path),
      ['a/b'],
    );
  });

  it('samples nothing of the root that may change by itself', async () => {
    const files = memoryFiles();
    for (const path of [
      '/etc/machine-id',
      '/etc/ssh/ssh_host_ed25519_key.pub',
      '/var/log/x',
      '/var/lib/felhom/session.json',
      '/tmp/x',
    ])
      files.put(path, 'x');
    files.put('/usr/bin/true', 'x');
    const { manifest } = await take(files, ['/']);
    assert.equal(manifest?.volumes[0]?.files, 6);
    assert.deepEqual(
      manifest?.volumes[0]?.samples.map(({ path }) => path),
      ['usr/bin/true'],
    );
  });

  const many = (): MemoryFiles => {
    const files = memoryFiles();
    for (let at = 0; at < 60; at += 1) files.put(`/srv/data/f${at}`, 'x'.repeat(at));
    return files;
  };
  it('hashes no more than its bounds allow', async () => {
    const samples = async (bounds: Partial<ManifestBounds>) =>
      (await take(many(), ['/srv/data'], bounds)).manifest?.volumes[0]?.samples ?? [];
    assert.equal((await samples({})).length, manifestBounds.samplesPerVolume);
    assert.equal((await samples({ samplesPerVolume: 2 })).length, 2);
    assert.ok((await samples({ sampleBytes: 10 })).every(({ sizeBytes }) => sizeBytes <= 10));
    const total = (await samples({ hashedBytes: 100 })).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    assert.ok(total <= 100 && total > 0);
  });

  const tooMuch: readonly [string, Partial<ManifestBounds>][] = [
    ['too many entries', { entries: 59 }],
    ['no time', { ms: 0 }],
  ];
  for (const [name, bounds] of tooMuch)
    it(`leaves a volume out rather than count it wrongly: ${name}`, async () => {
      const { manifest, leftOut } = await take(many(), ['/srv/data'], bounds);
      assert.equal(manifest, undefined);
      assert.deepEqual(
        leftOut.map(({ path }) => path),
        ['/srv/data'],
      );
    });
  it('leaves out what is too deep', async () => {
    const files = memoryFiles();
    files.put(`/srv/data/${'d/'.repeat(70)}f`, 'x');
    assert.equal((await take(files, ['/srv/data'])).leftOut.length, 1);
  });

  it('counts itself as it is stored, the first time and again', async () => {
    const files = memoryFiles();
    files.put('/etc/motd', 'x');
    files.put(`${guestPaths.home}/session.json`, 'x');
    for (let round = 0; round < 2; round += 1) {
      const { manifest } = await take(files, ['/']);
      assert.ok(manifest !== undefined);
      const stored = await storeManifest(files, manifest);
      const bytes = (await Promise.all(files.paths().map((path) => files.read(path, 1e6)))).map((one) => one?.length);
      const there = bytes.filter((size) => size !== undefined);
      assert.equal(stored.volumes[0]?.files, there.length);
      assert.equal(
        stored.volumes[0]?.bytes,
        there.reduce((sum, size) => sum + size, 0),
      );
    }
  });
});
