/**
 * A FIDO2 key in software, for tests: signs as OpenSSH's PROTOCOL.u2f lays it out, over
 * SHA-256(application) || flags || counter || SHA-256(what an SSHSIG is made over). It has no hardware and asks nobody
 * for a touch; `flags` says whatever the test wants it to say.
 *
 * Run as a program it prints the texts that `sk-signatures.fixture.ts` holds, each time with another key.
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { sshsigSignedData } from '@felhom/protocol';

const type = 'sk-ssh-ed25519@openssh.com';

export interface SoftwareAuthenticator {
  /** `sk-ssh-ed25519@openssh.com <base64>`. */
  readonly keyLine: string;
  /** Armoured SSHSIG. Flags: 0x01 somebody touched the key, 0x04 it knew who. */
  sign(namespace: string, message: Uint8Array, flags: number, counter: number): string;
}

export function createSoftwareAuthenticator(application: string): SoftwareAuthenticator {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const keyBlob = Buffer.concat([text(type), text(raw), text(application)]);
  return {
    keyLine: `${type} ${keyBlob.toString('base64')}`,
    sign: (namespace, message, flags, counter) => {
      const signedData = sshsigSignedData(namespace, message);
      const signature = signAssertion(privateKey, application, flags, counter, signedData);
      const tail = Buffer.concat([Buffer.from([flags]), uint32(counter)]);
      const inner = Buffer.concat([text(type), text(signature), tail]);
      const fields = [text(keyBlob), text(namespace), text(''), text('sha512'), text(inner)];
      const blob = Buffer.concat([Buffer.from('SSHSIG'), uint32(1), ...fields]);
      const lines = blob.toString('base64').match(/.{1,70}/g) ?? [];
      return ['-----BEGIN SSH SIGNATURE-----', ...lines, '-----END SSH SIGNATURE-----', ''].join('\n');
    },
  };
}

function signAssertion(
  key: KeyObject,
  application: string,
  flags: number,
  counter: number,
  signedData: Uint8Array,
): Buffer {
  const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();
  const asserted = [sha256(application), Buffer.from([flags]), uint32(counter), sha256(signedData)];
  return sign(null, Buffer.concat(asserted), key);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function text(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

if (import.meta.main) {
  const authenticator = createSoftwareAuthenticator('ssh:');
  const message = Buffer.from('recorded payload\n', 'utf8');
  const namespace = 'felhom-job@1';
  process.stdout.write(
    `key\n${authenticator.keyLine}\ntouched\n${authenticator.sign(namespace, message, 0x01, 7)}untouched\n${authenticator.sign(namespace, message, 0x00, 8)}`,
  );
}
