import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { archivedText, configForApi, digestOf, parseConfig, pendingForApi, serializeConfig } from './config-file.ts';

const GOLDEN = [
  '#golden image line1',
  '#line2 %C3%BCn%C3%AFcode',
  'arch: amd64',
  'cores: 1',
  'cpulimit: 1.5',
  'hostname: golden',
  'memory: 256',
  'rootfs: felhom:100/vm-100-disk-0.raw,size=1G',
  '',
].join('\n');

test('the digest is the SHA-1 of the text that is written', () => {
  assert.equal(digestOf('lock: create\n'), 'a7e9f8c42935261b36fcd1d7d6cd8cd41648da49');
  assert.equal(digestOf(''), 'da39a3ee5e6b4b0d3255bfef95601890afd80709');
});

test('a config survives reading and writing byte for byte', () => {
  const texts = [
    GOLDEN,
    '',
    'lock: create\n',
    `${GOLDEN}lxc.cgroup2.devices.allow: c 10:200 rwm\n`,
    `${GOLDEN}\n[pve:pending]\ndelete: mp0\ntimezone: UTC\n\n[before]\n#why%3A update\nmemory: 256\nsnaptime: 1795476217\n`,
  ];
  for (const text of texts) assert.equal(serializeConfig(parseConfig(text)), text);
});

test('the description loses its escapes and keeps a trailing newline', () => {
  const answer = configForApi(parseConfig(GOLDEN), 'd', 'merged');
  assert.equal(answer['description'], 'golden image line1\nline2 ünïcode\n');
  assert.equal(answer['memory'], 256);
  assert.equal(answer['cpulimit'], '1.5');
});

test('pending changes are merged into the default view, not into current', () => {
  const config = parseConfig(
    'cmode: tty\nmp0: s:1/d,mp=/x\n\n[pve:pending]\ncmode: shell\ndelete: mp0\nnameserver: 1.1.1.1\n',
  );
  assert.deepEqual(configForApi(config, 'd', 'merged'), { digest: 'd', cmode: 'shell', nameserver: '1.1.1.1' });
  assert.deepEqual(configForApi(config, 'd', 'current'), { digest: 'd', cmode: 'tty', mp0: 's:1/d,mp=/x' });
  assert.deepEqual(pendingForApi(config, 'd'), [
    { key: 'digest', value: 'd' },
    { key: 'cmode', value: 'tty', pending: 'shell' },
    { key: 'mp0', value: 's:1/d,mp=/x', delete: 1 },
    { key: 'nameserver', pending: '1.1.1.1' },
  ]);
});

test('an archive never holds the lock, the snapshots or what is pending', () => {
  const config = parseConfig('lock: backup\nmemory: 16\nparent: s\n\n[pve:pending]\ntty: 1\n\n[s]\nmemory: 16\n');
  assert.equal(archivedText(config), 'memory: 16\n');
});

test('whatever is written can be read back', () => {
  const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
  const key = fc.constantFrom('arch', 'memory', 'mp0', 'net1', 'rootfs', 'swap', 'tags', 'unused3');
  const section = fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name });
  const description = fc.string({ unit: 'grapheme', minLength: 1 }).map((text) => `${text.replaceAll('\n', '')}x\n`);
  fc.assert(
    fc.property(section, section, section, description, (active, pending, snapshot, text) => {
      const config = {
        active: new Map([...active, ['description', text] as const]),
        pending: new Map(pending),
        pendingDelete: new Set(['onboot']),
        snapshots: new Map([['before', new Map(snapshot)]]),
        raw: [['lxc.idmap', 'u 0 100000 65536'] as [string, string]],
      };
      assert.deepEqual(parseConfig(serializeConfig(config)), config);
    }),
  );
});
