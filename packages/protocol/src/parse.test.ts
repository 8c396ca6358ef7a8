import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  desiredGuest,
  desiredState,
  desiredStateFile,
  digestOfReport,
  maxDesiredStateBytes,
  maxPollAnswerBytes,
  maxPollRequestBytes,
  parseVersionedJson,
  pollAnswerKind,
  pollRequestKind,
  report,
  reportKind,
} from './index.ts';
import { emptyReport } from './report.fixture.ts';

const guest = {
  name: 'web',
  golden: 'debian-13',
  hostname: 'web',
  cores: 1,
  memoryMiB: 512,
  rootfs: { storage: 'local', sizeGiB: 4 },
  networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
};
const answer = { v: 1, desired: { is: 'unchanged' }, sendReport: false, sendHeld: false };

const rows: [name: string, text: string, is: string, says: RegExp][] = [
  ['good', JSON.stringify(answer), 'ok', /^$/],
  ['a later version', JSON.stringify({ ...answer, v: 2 }), 'unknown-version', /it has version 2, known here: 1$/],
  ['a later version with other fields', '{"v":2,"x":1}', 'unknown-version', /version 2/],
  ['a version as text', '{"v":"1"}', 'unknown-version', /missing or malformed version/],
  ['no version', '{}', 'unknown-version', /missing or malformed version/],
  ['an extra field', JSON.stringify({ ...answer, scratch: true }), 'invalid', /unknown field "scratch"$/],
  ['an extra field inside', '{"v":1,"desired":{"is":"unchanged","x":1}}', 'invalid', /desired: unknown field "x"/],
  ['an unknown kind', JSON.stringify({ ...answer, desired: { is: 'other' } }), 'invalid', /desired/],
  ['a list', '[]', 'invalid', /not a mapping/],
  ['null', 'null', 'invalid', /not a mapping/],
  ['no JSON', '<html>', 'invalid', /it is not JSON$/],
];
for (const [name, text, is, says] of rows)
  test(`a poll answer: ${name} → ${is}`, () => {
    const parsed = parseVersionedJson(pollAnswerKind, text);
    assert.equal(parsed.is, is);
    if (parsed.is !== 'ok') {
      assert.match(parsed.text, /^cannot read poll answer: /);
      assert.match(parsed.text, says);
    }
  });

test('a message names at most four places and never a value', () => {
  const guests = Array.from({ length: 9 }, () => ({ ...guest, cores: 'canary' }));
  const parsed = desiredState.safeParse({ v: 1, lineage: 'a'.repeat(26), generation: 1, guests });
  assert.equal(parsed.success, false);
  const described = parseVersionedJson(
    { what: 'x', versions: [1], schema: desiredState },
    JSON.stringify({ v: 1, lineage: 'a'.repeat(26), generation: 1, guests }),
  );
  const text = described.is === 'ok' ? '' : described.text;
  assert.match(text, /; and \d+ more$/);
  assert.doesNotMatch(text, /canary/);
});

const guests: [name: string, patch: object, ok: boolean][] = [
  ['as it is', {}, true],
  ['a static address', { networks: [{ name: 'eth0', bridge: 'b', ipv4: { address: '10.0.0.2/24' } }] }, true],
  ['an octet of 256', { networks: [{ name: 'eth0', bridge: 'b', ipv4: { address: '10.0.0.256/24' } }] }, false],
  ['a prefix of 33', { networks: [{ name: 'eth0', bridge: 'b', ipv4: { address: '10.0.0.2/33' } }] }, false],
  ['no prefix', { networks: [{ name: 'eth0', bridge: 'b', ipv4: { address: '10.0.0.2' } }] }, false],
  ['a raw Proxmox key', { hookscript: 'local:snippets/x' }, false],
  ['a scratch tag of its own', { scratch: true }, false],
  ['a volume id as storage', { rootfs: { storage: 'local:vm-1-disk-0', sizeGiB: 1 } }, false],
  [
    'a mount path that climbs',
    { volumes: [{ name: 'a', path: '/a/../b', storage: 'local', sizeGiB: 1, backup: true }] },
    false,
  ],
  ['an option behind a comma', { networks: [{ name: 'eth0', bridge: 'vmbr0,tag=5', ipv4: 'dhcp' }] }, false],
  ['a line feed in a tag', { tags: ['a\nb'] }, false],
  ['no network', { networks: [] }, false],
];
for (const [name, patch, ok] of guests)
  test(`a desired guest: ${name} → ${ok ? 'taken' : 'refused'}`, () => {
    assert.equal(desiredGuest.safeParse({ ...guest, ...patch }).success, ok);
  });

test('what a person writes needs no lineage; what is adopted does', () => {
  assert.equal(desiredStateFile.safeParse({ v: 1, guests: [guest] }).success, true);
  assert.equal(desiredState.safeParse({ v: 1, guests: [guest] }).success, false);
  assert.equal(desiredStateFile.safeParse({ v: 1, guests: [guest, guest] }).success, false);
});

test('a document at its limit fits into an answer, with a report and the held one into a request', () => {
  // The worst escaping of a JSON text as a JSON string: every character a quote or backslash.
  const worst = JSON.stringify('"'.repeat(maxDesiredStateBytes)).length;
  assert.ok(worst + 1000 < maxPollAnswerBytes);
  assert.ok(worst + 2_097_152 + 1000 < maxPollRequestBytes);
});

test('the digest of a report does not depend on the order of its keys', () => {
  const one = emptyReport({
    versions: { agent: '1', node: '26' },
  });
  const other = report.parse(Object.fromEntries(Object.entries(one).toReversed()));
  assert.equal(digestOfReport(one), digestOfReport(other));
  assert.notEqual(digestOfReport(one), digestOfReport({ ...one, hold: true }));
  assert.equal(parseVersionedJson(reportKind, JSON.stringify({ ...one, rpo: {} })).is, 'invalid');
  assert.equal(pollRequestKind.versions.length, 1);
});
