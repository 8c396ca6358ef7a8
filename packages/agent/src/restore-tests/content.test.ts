import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContentManifest, Digest, FoundVolume } from '@felhom/protocol';
import { compareContent, volumesToCompare } from './content.ts';

const sample = (path: string, sha256 = 'a', sizeBytes = 10) => ({ path, sizeBytes, sha256: sha256 as Digest });
const data = { path: '/data', files: 200, bytes: 200 * 2 ** 20, samples: [sample('x'), sample('y', 'b')] };
const whole: FoundVolume = {
  ...data,
  samples: [
    { sizeBytes: 10, sha256: 'a' as Digest },
    { sizeBytes: 10, sha256: 'b' as Digest },
  ],
};
const small = { path: '/srv', files: 1, bytes: 5, samples: [] };

const rows: readonly [string, ContentManifest['volumes'], readonly FoundVolume[], number, RegExp][] = [
  ['all as declared', [data], [whole], 0, /^$/],
  ['a volume that nobody found', [data], [], 1, /1 volume is empty or not there/],
  ['an empty volume', [data], [{ ...whole, files: 0, bytes: 0 }], 1, /1 volume is empty or not there/],
  ['the only file of a small volume', [small], [{ ...small, files: 0, bytes: 0 }], 1, /empty/],
  ['a volume that was declared empty', [{ ...small, files: 0, bytes: 0 }], [{ ...small, files: 0, bytes: 0 }], 0, /^$/],
  ['a few files that were turned over', [data], [{ ...whole, files: 195 }], 0, /^$/],
  ['many files less', [data], [{ ...whole, files: 150 }], 1, /much less/],
  ['many bytes less', [data], [{ ...whole, bytes: 100 * 2 ** 20 }], 1, /much less/],
  ['more than was declared', [data], [{ ...whole, files: 900, bytes: 2 ** 40 }], 0, /^$/],
  [
    'a file that is missing',
    [data],
    [{ ...whole, samples: [null, ...whole.samples.slice(1)] }],
    1,
    /^1 file is missing$/,
  ],
  ['files that nobody answered for', [data], [{ ...whole, samples: [] }], 2, /^2 files are missing$/],
  [
    'a file that is shorter',
    [data],
    [{ ...whole, samples: [{ sizeBytes: 9, sha256: 'a' as Digest }, ...whole.samples.slice(1)] }],
    1,
    /1 file is not the same/,
  ],
  [
    'a file with other bytes',
    [data],
    [{ ...whole, samples: [{ sizeBytes: 10, sha256: 'c' as Digest }, ...whole.samples.slice(1)] }],
    1,
    /1 file is not the same/,
  ],
  [
    'several at once',
    [data, small],
    [{ ...whole, samples: [null, null] }],
    3,
    /1 volume is empty or not there, 2 files are missing/,
  ],
];
for (const [name, declared, found, mismatches, text] of rows)
  test(name, () => {
    const verdict = compareContent(declared, found);
    assert.equal(verdict.mismatches, mismatches);
    assert.equal(verdict.volumes, declared.length);
    assert.match(verdict.text, text);
    assert.doesNotMatch(verdict.text, /data|srv|\bx\b/, 'a name left');
  });

test('what is left out of the backup on purpose is not compared', () => {
  const manifest: ContentManifest = { v: 1, at: 0, volumes: [data, small] };
  assert.deepEqual(volumesToCompare(manifest, ['/data']), [small]);
  assert.deepEqual(volumesToCompare(manifest, []), [data, small]);
});
