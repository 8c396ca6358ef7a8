/** A key in PKCS8 PEM becomes something that signs; the private half stays inside the closure. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { armourSshsig, ed25519Line, parsePublicKey, sshsigSignedData } from '@felhom/protocol';
import type { HostKey } from '../ports/signatures.ts';

/** Throws where the text is no Ed25519 key in PKCS8 PEM; the message quotes nothing of it. */
export function createHostKey(privateKeyPem: string): HostKey {
  const key = readKey(privateKeyPem);
  // RFC 8410: the last 32 bytes of the SPKI are the key.
  const raw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  const publicKey = parsePublicKey(ed25519Line(raw));
  if (publicKey === undefined) throw new Error('it is no Ed25519 key');
  return {
    publicLine: publicKey.line,
    fingerprint: publicKey.fingerprint,
    sign: (namespace, message) => armourSshsig(raw, namespace, sign(null, sshsigSignedData(namespace, message), key)),
  };
}

function readKey(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    throw new Error('it is no private key in PKCS8 PEM');
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('it is no Ed25519 key');
  return key;
}
