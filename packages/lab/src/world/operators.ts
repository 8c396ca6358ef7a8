/**
 * The people of a simulated world: each has a key of their own, made from the seed, so that the same seed signs the same
 * bytes. Only the lab holds private keys in a process like this; people have `ssh-keygen`, an agent or a FIDO2 key.
 */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { armourSshsig, ed25519Line, parsePublicKey, sshsigSignedData } from '@felhom/protocol';
import type { SimRandom } from '../simulation/sim-random.ts';

export interface Operator {
  readonly principal: string;
  /** `<type> <base64>`. */
  readonly keyLine: string;
  /** Armoured SSHSIG over the payload. */
  sign(namespace: string, payload: Uint8Array): string;
}

/** PKCS#8 of an Ed25519 key up to its 32 bytes of seed (RFC 8410). */
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex');

/** One operator per name. Who else there is, and in which order, changes nobody's key. */
export function createOperators<Name extends string>(
  names: readonly Name[],
  random: SimRandom,
): Readonly<Record<Name, Operator>> {
  const operators = names.map((name) => [name, createOperator(name, random.fork(name))] as const);
  return Object.fromEntries(operators) as Record<Name, Operator>;
}

/** `random` decides the key alone: give every key a stream of its own. */
export function createOperator(principal: string, random: SimRandom): Operator {
  const { key, raw } = keyFrom(random.bytes(32));
  return {
    principal,
    keyLine: ed25519Line(raw),
    sign: (namespace, payload) => armourSshsig(raw, namespace, sign(null, sshsigSignedData(namespace, payload), key)),
  };
}

export interface TouchKey {
  readonly principal: string;
  readonly keyLine: string;
  /** As a FIDO2 key signs; `touched` is what it says of the finger, and what the signature covers. */
  sign(namespace: string, payload: Uint8Array, touched: boolean): string;
}

/** A FIDO2 key (`sk-ssh-ed25519`) without the plastic, after OpenSSH's PROTOCOL.u2f. */
export function createTouchKey(principal: string, random: SimRandom): TouchKey {
  const { key, raw } = keyFrom(random.bytes(32));
  const type = 'sk-ssh-ed25519@openssh.com';
  const application = 'ssh:';
  const blob = Buffer.concat([type, raw, application].map(sshString));
  let counter = 0;
  return {
    principal,
    keyLine: `${type} ${blob.toString('base64')}`,
    sign: (namespace, payload, touched) => {
      counter += 1;
      const said = Buffer.alloc(5);
      said.writeUInt8(touched ? 0x01 : 0x00);
      said.writeUInt32BE(counter, 1);
      const digestOf = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();
      const signed = Buffer.concat([digestOf(application), said, digestOf(sshsigSignedData(namespace, payload))]);
      const signature = Buffer.concat([sshString(type), sshString(sign(null, signed, key)), said]);
      return armour([blob, namespace, '', 'sha512', signature]);
    },
  };
}

/** The public half of a key line, for `node:crypto`; `undefined` for types that sign otherwise. */
export function publicKeyOf(keyLine: string): KeyObject | undefined {
  const parsed = parsePublicKey(keyLine);
  if (parsed === undefined) return undefined;
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), parsed.raw]);
  return createPublicKey({ key: spki, format: 'der', type: 'spki' });
}

function keyFrom(seed: Uint8Array): { readonly key: KeyObject; readonly raw: Uint8Array } {
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Head, seed]), format: 'der', type: 'pkcs8' });
  // The last 32 bytes of the DER are the key itself.
  const raw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  return { key, raw };
}

function armour(fields: readonly (string | Uint8Array)[]): string {
  const blob = Buffer.concat([Buffer.from('SSHSIG'), Buffer.from([0, 0, 0, 1]), ...fields.map(sshString)]);
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? [];
  return ['-----BEGIN SSH SIGNATURE-----', ...lines, '-----END SSH SIGNATURE-----', ''].join('\n');
}

function sshString(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
