import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { createDesiredFile, parseDesiredFile } from './index.ts';

const yaml = (memory: number) => `v: 1
guests:
  - name: web
    golden: debian-13
    hostname: web
    cores: 1
    memoryMiB: ${memory}
    rootfs: { storage: local, sizeGiB: 4 }
    networks: [{ name: eth0, bridge: vmbr0, ipv4: dhcp }]
`;

async function fileIn(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'felhom-desired-'));
  t.after(() => rm(folder, { recursive: true }));
  return join(folder, 'desired.yaml');
}

function memoryStore() {
  let text: string | undefined;
  return { get: () => text, put: (next: string) => void (text = next) };
}

test('a file is generation 1, an edit the next one, a rewrite of the same nothing', async (t) => {
  const path = await fileIn(t);
  const store = memoryStore();
  const source = createDesiredFile(path, store, () => 7);
  const generation = () => {
    const held = source.held();
    return held.is === 'held' ? held.state.generation : held.is;
  };
  await writeFile(path, yaml(512));
  assert.equal(await source.refresh(), true);
  assert.equal(generation(), 1);
  await writeFile(path, `# a comment\n${yaml(512)}`);
  assert.equal(await source.refresh(), false);
  assert.equal(generation(), 1);
  await writeFile(path, yaml(1024));
  assert.equal(await source.refresh(), true);
  assert.equal(generation(), 2);
  const afterRestart = createDesiredFile(path, store, () => 8);
  assert.equal(await afterRestart.refresh(), false);
  assert.equal(afterRestart.held().is, 'held');
});

test('a file that is broken or gone keeps the last good one and says why, until it is good again', async (t) => {
  const path = await fileIn(t);
  const source = createDesiredFile(path, memoryStore(), () => 7);
  assert.equal(await source.refresh(), false);
  assert.equal(source.refusal()?.code, 'desired.file-unreadable');
  assert.equal(source.held().is, 'never-received');
  await writeFile(path, yaml(512));
  await source.refresh();
  assert.equal(source.refusal(), undefined);
  await rm(path);
  assert.equal(await source.refresh(), false);
  assert.equal(source.held().is, 'held');
  assert.match(source.refusal()?.text ?? '', /^cannot adopt desired state: .*ENOENT.*last good one/);
});

const refused: [name: string, text: string, code: string][] = [
  ['not YAML', 'guests: [', 'desired.unreadable'],
  ['a key twice', 'v: 1\nguests: []\nguests: []\n', 'desired.unreadable'],
  ['empty', '', 'desired.unreadable'],
  ['no guests', 'v: 1\n', 'desired.unreadable'],
  ['guests null', 'v: 1\nguests:\n', 'desired.unreadable'],
  ['unknown version', 'v: 3\nguests: []\n', 'desired.unknown-version'],
  ['unknown field', 'v: 1\nguests: []\nhold: true\n', 'desired.unreadable'],
  [
    'an exploding alias',
    `v: 1\na: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nguests: [*b,*b,*b,*b,*b]\n`,
    'desired.unreadable',
  ],
];
for (const [name, text, code] of refused)
  test(`a file is refused whole: ${name}`, () => {
    const read = parseDesiredFile('/etc/felhom/desired.yaml', text);
    assert.equal(read.is === 'refused' ? read.why.code : read.is, code);
  });
