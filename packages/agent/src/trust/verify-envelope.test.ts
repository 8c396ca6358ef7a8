import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSignedByHost, reason } from '@felhom/protocol';
import type { TrustDocument } from '@felhom/protocol';
import { createSoftwareAuthenticator } from '../adapters/ssh-keygen/test/software-authenticator.ts';
import type { SignatureAnswer, SignatureQuestion, SignatureVerifier } from '../ports/signatures.ts';
import { allowedSignersText, revokedText, verifyEnvelope } from './index.ts';
import type { VerifiedEnvelope } from './index.ts';
import { alice, bob, carol, makeDocument, makeSigner, mallory, now } from './test/people.ts';

const never = new AbortController().signal;
const payload = Buffer.from('{"v":1}');

/** Believes plain Ed25519 signatures that are good, FIDO2 ones always, and notes for whom it was asked. */
function createVerifier(answer?: (question: SignatureQuestion) => SignatureAnswer | undefined) {
  const asked: string[] = [];
  const verifier: SignatureVerifier = {
    verify: async (question) => {
      asked.push(question.principal);
      const told = answer?.(question);
      if (told !== undefined) return told;
      const line = question.allowedSigners.split('\n').find((text) => text.startsWith(`${question.principal} `)) ?? '';
      const key = line.split(' ').slice(2).join(' ');
      const good =
        key.startsWith('sk-') || isSignedByHost(key, question.namespace, question.payload, question.signature);
      return good ? { is: 'valid' } : { is: 'invalid', text: 'bad' };
    },
  };
  return { asked, verifier };
}

function verify(
  signatures: readonly string[],
  document: TrustDocument = makeDocument(),
  verifier: SignatureVerifier = createVerifier().verifier,
): Promise<VerifiedEnvelope> {
  return verifyEnvelope({ verifier }, { payload, signatures, document, namespace: 'felhom-job@1', at: now }, never);
}

const by = (...people: readonly { sign(payload: Uint8Array): string }[]): string[] =>
  people.map((person) => person.sign(payload));
const unsure: SignatureAnswer = { is: 'unknown', why: reason('trust.verifier-missing', 'cannot verify: gone') };

const verified: [name: string, signatures: string[], document: TrustDocument, people: string[]][] = [
  ['one', by(alice), makeDocument(), ['alice']],
  ['two, in any order', by(bob, alice), makeDocument(), ['alice', 'bob']],
  ['the same person twice', by(alice, alice), makeDocument(), ['alice']],
  ['a stranger beside', by(mallory, alice), makeDocument(), ['alice']],
  ['nonsense beside', ['nonsense', ...by(alice)], makeDocument(), ['alice']],
  ['a signature over other bytes beside', [bob.sign(Buffer.from('x')), ...by(alice)], makeDocument(), ['alice']],
  [
    'two keys of one person are one person',
    by(alice, mallory),
    makeDocument({
      signers: [makeSigner(alice), makeSigner({ name: 'alice', key: mallory.key }), makeSigner(bob)],
    }),
    ['alice'],
  ],
  [
    'at the first and before the last moment of a key',
    by(alice, bob),
    makeDocument({
      signers: [makeSigner(alice, { validAfter: now }), makeSigner(bob, { validBefore: now + 1 }), makeSigner(carol)],
    }),
    ['alice', 'bob'],
  ],
];
for (const [name, signatures, document, people] of verified)
  test(`signed by ${name}`, async () => {
    // Two keys of one name: the stand-in looks at the first line only, so it is told.
    const { verifier } = createVerifier((question) =>
      question.signature === mallory.sign(payload) ? { is: 'valid' } : undefined,
    );
    assert.deepEqual(await verify(signatures, document, verifier), { is: 'verified', people });
  });

const people = [makeSigner(bob), makeSigner(carol)];
const refusals: [name: string, signatures: string[], document: TrustDocument, says: RegExp][] = [
  ['nobody', [], makeDocument(), /it carries no signature/],
  ['something that is no signature', ['nonsense'], makeDocument(), /cannot be read/],
  ['a stranger', by(mallory), makeDocument(), /SHA256:\S+ is not listed/],
  ['a key for another purpose', [alice.sign(payload, 'felhom-release@1')], makeDocument(), /another purpose/],
  [
    'one who signs releases only',
    by(alice),
    makeDocument({ signers: [makeSigner(alice, { signs: ['felhom-release@1'] }), ...people] }),
    /may not sign felhom-job@1/,
  ],
  ['a revoked key that is still listed', by(alice), makeDocument({ revoked: [alice.key] }), /is revoked/],
  [
    'a key whose time has not come',
    by(alice),
    makeDocument({ signers: [makeSigner(alice, { validAfter: now + 1 }), ...people] }),
    /of alice is not valid yet/,
  ],
  [
    'a key whose time is over',
    by(alice),
    makeDocument({ signers: [makeSigner(alice, { validBefore: now }), ...people] }),
    /of alice is not valid any more/,
  ],
  [
    'somebody else with a broken signature',
    [alice.sign(Buffer.from('x'))],
    makeDocument(),
    /of alice does not verify \(bad\)/,
  ],
];
for (const [name, signatures, document, says] of refusals)
  test(`signed by ${name}: refused`, async () => {
    const answer = await verify(signatures, document);
    assert.ok(answer.is === 'refused' && answer.why.code === 'job.not-signed', JSON.stringify(answer));
    assert.match(answer.why.text, says);
  });

test('the verifier is asked for one person by name, and never about what is refused before', async () => {
  const { verifier, asked } = createVerifier();
  await verify(['nonsense', ...by(mallory, bob, alice, bob)], makeDocument({ revoked: [carol.key] }), verifier);
  assert.deepEqual(asked, ['bob', 'alice']);
});

test('no answer counts as none: unknown only while nobody else is verified', async () => {
  const { verifier } = createVerifier(({ principal }) => (principal === 'alice' ? unsure : undefined));
  assert.deepEqual(await verify(by(alice), makeDocument(), verifier), unsure);
  assert.deepEqual(await verify([...by(alice), bob.sign(Buffer.from('x'))], makeDocument(), verifier), unsure);
  assert.deepEqual(await verify(by(alice, bob), makeDocument(), verifier), { is: 'verified', people: ['bob'] });
});

test('a FIDO2 key that has to be touched: the flag is read from the signature', async () => {
  const key = createSoftwareAuthenticator('ssh:');
  const listed = (touch: boolean): TrustDocument =>
    makeDocument({ signers: [makeSigner({ name: 'dora', key: key.keyLine }, { touch }), ...people] });
  const touched = key.sign('felhom-job@1', payload, 0x01, 1);
  const untouched = key.sign('felhom-job@1', payload, 0x04, 2);
  assert.equal((await verify([touched], listed(true))).is, 'verified');
  assert.equal((await verify([untouched], listed(false))).is, 'verified');
  const refused = await verify([untouched], listed(true));
  assert.ok(refused.is === 'refused' && /of dora signed without a touch/.test(refused.why.text));
});

test('the texts for ssh-keygen: a line per signer of the namespace, in seconds', () => {
  const document = makeDocument({
    signers: [
      makeSigner(alice, { validAfter: Date.UTC(2026, 0, 2, 3, 4, 5, 678), validBefore: Date.UTC(9999, 11, 31) }),
      makeSigner(bob, { signs: ['felhom-job@1', 'felhom-release@1'] }),
      makeSigner(carol, { signs: ['felhom-release@1'] }),
    ],
    revoked: [mallory.key],
  });
  const window = 'valid-after="20260102030405",valid-before="99991231000000"';
  assert.equal(
    allowedSignersText(document, 'felhom-job@1'),
    `alice namespaces="felhom-job@1",${window} ${alice.key}\nbob namespaces="felhom-job@1" ${bob.key}\n`,
  );
  assert.equal(
    allowedSignersText(document, 'felhom-release@1'),
    `bob namespaces="felhom-release@1" ${bob.key}\ncarol namespaces="felhom-release@1" ${carol.key}\n`,
  );
  assert.equal(revokedText(document), `${mallory.key}\n`);
});
