import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOfTrust, ed25519Line, longestTrustMs, peopleNeeded, trustDocument } from './index.ts';

const now = 1_800_000_000_000;
const day = 24 * 60 * 60_000;
const plain = (seed: number): string => ed25519Line(Buffer.alloc(32, seed));
const str = (value: string | Uint8Array): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(Buffer.from(value).length);
  return Buffer.concat([length, Buffer.from(value)]);
};
const skType = 'sk-ssh-ed25519@openssh.com';
const sk = `${skType} ${Buffer.concat([str(skType), str(Buffer.alloc(32, 3)), str('ssh:')]).toString('base64')}`;

const alice = { principal: 'alice', key: plain(1), signs: ['felhom-job@1'], touch: false };
const bob = { principal: 'bob', key: plain(2), signs: ['felhom-job@1', 'felhom-release@1'], touch: false };
const sound = {
  v: 1,
  host: 'box-1',
  version: 1,
  issuedAt: now,
  expiresAt: now + 90 * day,
  signers: [alice, bob],
  revoked: [],
  thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 2, trust: 2 },
  loneOperator: false,
  floors: { keepDays: 7, keepWeeks: 4, backupEveryHours: 24, restoreTestEveryDays: 31, tiers: 1 },
};
const one = { ...sound.thresholds, removal: 1, trust: 1 };

const rows: [name: string, change: object, says?: RegExp][] = [
  ['as it is', {}],
  ['an extra field', { wildcard: true }, /unrecognized|Unrecognized/],
  ['version 0', { version: 0 }, /version/],
  ['a fraction of a version', { version: 1.5 }, /version/],
  ['nobody', { signers: [] }, /signers/],
  ['33 signers', { signers: Array.from({ length: 33 }, (_, at) => ({ ...alice, key: plain(at) })) }, /signers/],
  ['one key of two people', { signers: [alice, { ...bob, key: alice.key }] }, /one key belongs to one person/],
  ['one key twice', { signers: [alice, alice, bob] }, /one key belongs to one person/],
  ['two keys of one person beside another person', { signers: [alice, { ...alice, key: plain(5) }, bob] }],
  ['two keys of one person, who is then alone', { signers: [alice, { ...alice, key: plain(5) }] }, /only 1 can/],
  ['one person who is a lone operator', { signers: [alice], loneOperator: true, thresholds: one }],
  ['one person who is not', { signers: [alice], thresholds: one }, /2 people must be able to sign, only 1 can/],
  ['a lone operator who would need two', { signers: [alice], loneOperator: true }, /2 people/],
  ['a threshold that nobody can meet', { thresholds: { ...sound.thresholds, divert: 3 } }, /3 people/],
  [
    'a second person who signs releases only',
    { signers: [alice, { ...bob, signs: ['felhom-release@1'] }] },
    /only 1 can/,
  ],
  ['a second person whose key is revoked', { revoked: [bob.key] }, /only 1 can/],
  ['a threshold of 0', { thresholds: { ...sound.thresholds, trust: 0 } }, /thresholds/],
  ['a threshold that is missing', { thresholds: { ...sound.thresholds, trust: undefined } }, /trust/],
  ['a key with a comment', { signers: [{ ...alice, key: `${alice.key} alice` }, bob] }, /without comment/],
  ['a certificate authority', { signers: [{ ...alice, key: `cert-authority ${alice.key}` }, bob] }, /without comment/],
  ['an RSA key', { signers: [{ ...alice, key: 'ssh-rsa AAAA' }, bob] }, /without comment/],
  ['a revoked key that is none', { revoked: ['x'] }, /without comment/],
  ['a pattern for a person', { signers: [{ ...alice, principal: 'a*' }, bob] }, /principal/],
  ['two people in one line', { signers: [{ ...alice, principal: 'alice,bob' }, bob] }, /principal/],
  ['a person with a blank', { signers: [{ ...alice, principal: 'alice x' }, bob] }, /principal/],
  ['a person that begins with a dash', { signers: [{ ...alice, principal: '-overify-time' }, bob] }, /principal/],
  ['a person with a line feed', { signers: [{ ...alice, principal: 'alice\n' }, bob] }, /principal/],
  ['a person who signs nothing', { signers: [{ ...alice, signs: [] }, bob] }, /signs/],
  ['a person who signs for a host', { signers: [{ ...alice, signs: ['felhom-report@1'] }, bob] }, /signs/],
  ['a key with a window', { signers: [{ ...alice, validAfter: now, validBefore: now + 1000 }, bob] }],
  [
    'a key whose window is empty',
    { signers: [{ ...alice, validAfter: now, validBefore: now }, bob] },
    /after validAfter/,
  ],
  [
    'a key whose window is below a second',
    { signers: [{ ...alice, validAfter: now, validBefore: now + 999 }, bob] },
    /after validAfter/,
  ],
  ['a key that was valid never', { signers: [{ ...alice, validBefore: 0 }, bob] }, /after validAfter/],
  ['a key beyond the year 9999', { signers: [{ ...alice, validBefore: 253_402_300_800_000 }, bob] }, /validBefore/],
  ['a FIDO2 key to be touched', { signers: [{ ...alice, key: sk, touch: true }, bob] }],
  ['a plain key to be touched', { signers: [{ ...alice, touch: true }, bob] }, /only a FIDO2 key/],
  ['expired when issued', { expiresAt: now }, /400 days/],
  ['400 days', { expiresAt: now + longestTrustMs }],
  ['more than 400 days', { expiresAt: now + longestTrustMs + 1 }, /400 days/],
  ['a floor below nothing', { floors: { ...sound.floors, keepDays: -1 } }, /keepDays/],
  ['a floor that is not known', { floors: { ...sound.floors, keepMonths: 1 } }, /floors/],
];
for (const [name, change, says] of rows)
  test(`a trust document, ${name}: ${says === undefined ? 'taken' : 'refused'}`, () => {
    const parsed = trustDocument.safeParse({ ...sound, ...change });
    assert.equal(parsed.success, says === undefined, parsed.error?.message ?? '');
    if (says !== undefined) assert.match(parsed.error?.message ?? '', says);
  });

test('people needed: the highest threshold of the classes, and what the row asks unless one person runs the host', () => {
  const document = trustDocument.parse({ ...sound, thresholds: { ...sound.thresholds, disclose: 2 } });
  const lone = { ...document, loneOperator: true };
  assert.equal(peopleNeeded(document, [], 1), 1);
  assert.equal(peopleNeeded(document, ['destroy'], 1), 1);
  assert.equal(peopleNeeded(document, ['destroy', 'disclose'], 1), 2);
  assert.equal(peopleNeeded(document, ['destroy'], 2), 2);
  assert.equal(peopleNeeded(lone, ['destroy'], 2), 1);
  assert.equal(peopleNeeded(lone, ['removal'], 1), 2);
});

test('the digest is of what the document says', () => {
  const document = trustDocument.parse(sound);
  const reordered = trustDocument.parse(Object.fromEntries(Object.entries(sound).toReversed()));
  assert.equal(digestOfTrust(document), digestOfTrust(reordered));
  assert.notEqual(digestOfTrust(document), digestOfTrust({ ...document, version: 2 }));
});
