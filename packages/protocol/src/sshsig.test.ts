import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { armourSshsig, ed25519Line, isSignedByHost, parsePublicKey, parseSshsig, sshsigSignedData } from './index.ts';

const namespace = 'felhom-report@1';
const message = Buffer.from('what was signed');
const { privateKey } = generateKeyPairSync('ed25519');
const raw = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32);
const signature = sign(null, sshsigSignedData(namespace, message), privateKey);
const armoured = armourSshsig(raw, namespace, signature);

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const str = (value: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
};
const armour = (blob: Uint8Array): string =>
  `-----BEGIN SSH SIGNATURE-----\n${(
    Buffer.from(blob)
      .toString('base64')
      .match(/.{1,70}/g) ?? []
  ).join('\n')}\n-----END SSH SIGNATURE-----\n`;

interface Parts {
  readonly magic: string;
  readonly version: number;
  readonly key: Buffer;
  readonly namespace: string;
  readonly reserved: string;
  readonly hash: string;
  readonly inner: Buffer;
  readonly tail: Buffer;
}
const plainKey = Buffer.concat([str('ssh-ed25519'), str(raw)]);
const plainInner = Buffer.concat([str('ssh-ed25519'), str(signature)]);
const nothing = Buffer.alloc(0);
const parts: Parts = {
  magic: 'SSHSIG',
  version: 1,
  key: plainKey,
  namespace,
  reserved: '',
  hash: 'sha512',
  inner: plainInner,
  tail: nothing,
};
const layOut = (change: Partial<Parts>): Buffer => {
  const made = { ...parts, ...change };
  const fields = [made.key, made.namespace, made.reserved, made.hash, made.inner].map((field) => str(field));
  return Buffer.concat([Buffer.from(made.magic), uint32(made.version), ...fields, made.tail]);
};

const skType = 'sk-ssh-ed25519@openssh.com';
const skKey = (application = 'ssh:', tail = nothing): Buffer =>
  Buffer.concat([str(skType), str(raw), str(application), tail]);
const skInner = (flags: number, counter = 5, tail = nothing): Buffer =>
  Buffer.concat([str(skType), str(signature), Buffer.from([flags]), uint32(counter), tail]);

test('what is laid out here is what is read here, to the byte', () => {
  assert.equal(armour(layOut({})), armoured);
  const parsed = parseSshsig(armoured);
  assert.ok(parsed !== undefined);
  assert.equal(parsed.key.line, ed25519Line(raw));
  assert.equal(parsed.namespace, namespace);
  assert.equal(parsed.hash, 'sha512');
  assert.deepEqual(Buffer.from(parsed.signature), signature);
  assert.equal(parsed.touch, undefined);
  assert.match(parsed.key.fingerprint, /^SHA256:[A-Za-z0-9+/]{43}$/);
});

for (const [flags, present, userVerified] of [
  [0x00, false, false],
  [0x01, true, false],
  [0x04, false, true],
  [0x05, true, true],
  [0xfa, false, false],
] as const)
  test(`the flags 0x${flags.toString(16)} of a FIDO2 key`, () => {
    const parsed = parseSshsig(armour(layOut({ key: skKey(), inner: skInner(flags, 0xfffffffe) })));
    assert.deepEqual(parsed?.touch, { present, userVerified, counter: 0xfffffffe });
    assert.equal(parsed?.key.type, skType);
    assert.equal(parsed?.key.application, 'ssh:');
  });

const rsa = Buffer.concat([str('ssh-rsa'), str(Buffer.from([1, 0, 1])), str(Buffer.alloc(256, 7))]);
const certificate = Buffer.concat([str('ssh-ed25519-cert-v01@openssh.com'), str('nonce'), str(raw)]);
/** Of one of the three lengths the base64 has to be padded. */
const padded =
  ['', 'x', 'xx'].map((more) => armour(layOut({ namespace: more }))).find((text) => /=\n/.test(text)) ?? '';
const malformed: [name: string, text: string][] = [
  ['nothing', ''],
  ['only its borders', '-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n'],
  ['no begin', armoured.replace('-----BEGIN', '----BEGIN')],
  ['no end', armoured.replace('-----END', '----END')],
  ['words before it', `Good\n${armoured}`],
  ['words after it', `${armoured}x`],
  ['two of them', armoured + armoured],
  ['another armour', armoured.replaceAll('SSH SIGNATURE', 'PGP SIGNATURE')],
  ['a blank within a line', armoured.replace('U1NI', 'U1 NI')],
  ['base64 for URLs', armour(layOut({})).replaceAll('+', '-').replaceAll('/', '_').replace('U1NI', 'U1N_')],
  ['padding left out', padded.replaceAll('=', '')],
  ['too long', armour(layOut({ namespace: 'n'.repeat(4000) }))],
  ['another magic', armour(layOut({ magic: 'SSHSIX' }))],
  ['version 0', armour(layOut({ version: 0 }))],
  ['version 2', armour(layOut({ version: 2 }))],
  ['something in the reserved field', armour(layOut({ reserved: 'x' }))],
  ['another hash', armour(layOut({ hash: 'sha1' }))],
  ['no hash', armour(layOut({ hash: '' }))],
  ['bytes after the end', armour(layOut({ tail: Buffer.from([0]) }))],
  ['bytes after the signature', armour(layOut({ inner: Buffer.concat([plainInner, Buffer.from([0])]) }))],
  ['bytes after the key', armour(layOut({ key: Buffer.concat([plainKey, Buffer.from([0])]) }))],
  ['a key of 31 bytes', armour(layOut({ key: Buffer.concat([str('ssh-ed25519'), str(raw.subarray(1))]) }))],
  [
    'a signature of 63 bytes',
    armour(layOut({ inner: Buffer.concat([str('ssh-ed25519'), str(signature.subarray(1))]) })),
  ],
  ['no signature', armour(layOut({ inner: nothing }))],
  ['a signature of another type than its key', armour(layOut({ inner: skInner(1) }))],
  ['a FIDO2 key with a plain signature', armour(layOut({ key: skKey() }))],
  ['a FIDO2 signature without flags', armour(layOut({ key: skKey(), inner: skInner(1).subarray(0, -5) }))],
  ['a FIDO2 signature without a whole counter', armour(layOut({ key: skKey(), inner: skInner(1).subarray(0, -1) }))],
  ['bytes after the counter', armour(layOut({ key: skKey(), inner: skInner(1, 1, Buffer.from([0])) }))],
  ['a FIDO2 key for a web site', armour(layOut({ key: skKey('https://example.com'), inner: skInner(1) }))],
  ['bytes after the application', armour(layOut({ key: skKey('ssh:', Buffer.from([0])), inner: skInner(1) }))],
  ['an RSA key', armour(layOut({ key: rsa, inner: Buffer.concat([str('rsa-sha2-512'), str(Buffer.alloc(256))]) }))],
  ['a certificate', armour(layOut({ key: certificate }))],
  ['a length that runs past the end', armour(Buffer.concat([Buffer.from('SSHSIG'), uint32(1), uint32(0xffffffff)]))],
];
for (const [name, text] of malformed)
  test(`a signature with ${name} is none`, () => {
    assert.equal(parseSshsig(text), undefined);
  });

test('with its padding it is one', () => {
  assert.ok(parseSshsig(padded) !== undefined);
});

test('cut anywhere, it is none', () => {
  const whole = layOut({ key: skKey(), inner: skInner(1) });
  assert.ok(parseSshsig(armour(whole)) !== undefined);
  for (let length = 0; length < whole.length; length += 1)
    assert.equal(parseSshsig(armour(whole.subarray(0, length))), undefined, String(length));
});

test('whatever comes: an answer, never an exception; and no other bytes verify', () => {
  const whole = layOut({});
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ flip;
      assert.equal(isSignedByHost(ed25519Line(raw), namespace, message, armour(changed)), false);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.equal(parseSshsig(armour(Buffer.concat([Buffer.from('SSHSIG'), bytes]))), undefined);
      parsePublicKey(`ssh-ed25519 ${Buffer.from(bytes).toString('base64')}`);
    }),
  );
});

test('a host is believed with its own key, for one purpose', () => {
  const line = ed25519Line(raw);
  assert.equal(isSignedByHost(line, namespace, message, armoured), true);
  assert.equal(isSignedByHost(`${line} a comment`, namespace, message, armoured), true);
  assert.equal(isSignedByHost(line, 'felhom-job@1', message, armoured), false);
  assert.equal(isSignedByHost(line, namespace, Buffer.from('other'), armoured), false);
  assert.equal(isSignedByHost('', namespace, message, armoured), false);
  const other = ed25519Line(Buffer.alloc(32, 9));
  assert.equal(isSignedByHost(other, namespace, message, armoured), false);
  // The text says another purpose than the bytes that were signed.
  assert.equal(isSignedByHost(line, 'felhom-job@1', message, armourSshsig(raw, 'felhom-job@1', signature)), false);
});

const lines: [name: string, line: string, ok: boolean][] = [
  ['as it is', ed25519Line(raw), true],
  ['with a comment', `${ed25519Line(raw)} alice@laptop`, true],
  ['with blanks around', `  ${ed25519Line(raw)}\n`, true],
  ['a FIDO2 key', `${skType} ${skKey().toString('base64')}`, true],
  ['a type that its bytes do not say', `${skType} ${plainKey.toString('base64')}`, false],
  ['options before it', `cert-authority ${ed25519Line(raw)}`, false],
  ['an RSA key', `ssh-rsa ${rsa.toString('base64')}`, false],
  ['a certificate', `ssh-ed25519-cert-v01@openssh.com ${certificate.toString('base64')}`, false],
  ['stray bits at the end', `ssh-ed25519 ${Buffer.concat([plainKey, Buffer.from([0])]).toString('base64')}`, false],
  ['base64 that is cut', ed25519Line(raw).slice(0, -1), false],
  ['no key', 'ssh-ed25519', false],
  ['nothing', '', false],
];
for (const [name, line, ok] of lines)
  test(`a key line: ${name}: ${ok ? 'read' : 'refused'}`, () => {
    assert.equal(parsePublicKey(line) !== undefined, ok);
  });
