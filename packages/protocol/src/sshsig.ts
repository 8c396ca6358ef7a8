/**
 * OpenSSH's key lines and signature format (PROTOCOL.sshsig), read and laid out; no private key ever comes here. Whether
 * an operator's signature counts is decided by `ssh-keygen -Y verify`; this file looks into a signature to see which key
 * made it and whether that key was touched, and checks what a host signed about itself.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';

/** Key types that may sign: Ed25519, in a file or agent, or on a FIDO2 key. */
export const keyTypes = ['ssh-ed25519', 'sk-ssh-ed25519@openssh.com'] as const;
export type KeyType = (typeof keyTypes)[number];

export const signatureNamespaces = {
  job: 'felhom-job@1',
  release: 'felhom-release@1',
  report: 'felhom-report@1',
  evidence: 'felhom-evidence@1',
} as const;
export type SignatureNamespace = (typeof signatureNamespaces)[keyof typeof signatureNamespaces];

export interface SshPublicKey {
  readonly type: KeyType;
  /** `<type> <base64>`, without comment: one text per key. */
  readonly line: string;
  /** As `ssh-keygen -lf` prints it: `SHA256:` and base64 without padding. */
  readonly fingerprint: string;
  /** The 32 bytes of the Ed25519 key. */
  readonly raw: Uint8Array;
  /** Of a FIDO2 key: the application it was made for, `ssh:…`. */
  readonly application: string | undefined;
}

export interface Sshsig {
  readonly key: SshPublicKey;
  readonly namespace: string;
  readonly hash: 'sha256' | 'sha512';
  readonly signature: Uint8Array;
  /** Of a FIDO2 key, and covered by its signature. */
  readonly touch: { readonly present: boolean; readonly userVerified: boolean; readonly counter: number } | undefined;
}

const magic = Buffer.from('SSHSIG');
const begin = '-----BEGIN SSH SIGNATURE-----';
const end = '-----END SSH SIGNATURE-----';
export const longestSignature = 4096;

/** Reads `<type> <base64>[ comment]`. `undefined` for every other type and for a blob that does not say the same type. */
export function parsePublicKey(line: string): SshPublicKey | undefined {
  const [type = '', base64 = ''] = line.trim().split(/\s+/);
  const blob = decodeBase64(base64);
  const key = blob === undefined ? undefined : readKey(blob);
  return key?.type === type ? key : undefined;
}

/** Reads an armoured signature. `undefined` for anything that OpenSSH would not write for one of our key types. */
export function parseSshsig(armoured: string): Sshsig | undefined {
  if (armoured.length > longestSignature) return undefined;
  const text = armoured.trim();
  if (!text.startsWith(begin) || !text.endsWith(end)) return undefined;
  const blob = decodeBase64(text.slice(begin.length, -end.length).replaceAll(/[\r\n]/g, ''));
  if (blob === undefined || !blob.subarray(0, 6).equals(magic)) return undefined;
  const reader = createReader(blob.subarray(6));
  if (reader.uint32() !== 1) return undefined;
  const keyBlob = reader.string();
  const namespace = reader.text();
  const reserved = reader.string();
  const hash = reader.text();
  const signatureBlob = reader.string();
  if (!reader.ended() || keyBlob === undefined || reserved?.length !== 0 || signatureBlob === undefined)
    return undefined;
  const key = readKey(keyBlob);
  if (key === undefined || namespace === undefined || (hash !== 'sha256' && hash !== 'sha512')) return undefined;
  const inner = createReader(signatureBlob);
  const type = inner.text();
  const signature = inner.string();
  if (type !== key.type || signature?.length !== 64) return undefined;
  if (key.type === 'ssh-ed25519')
    return inner.ended() ? { key, namespace, hash, signature, touch: undefined } : undefined;
  const flags = inner.byte();
  const counter = inner.uint32();
  if (!inner.ended() || flags === undefined || counter === undefined) return undefined;
  const touch = { present: (flags & 0x01) !== 0, userVerified: (flags & 0x04) !== 0, counter };
  return { key, namespace, hash, signature, touch };
}

/** What an SSHSIG signature is made over. */
export function sshsigSignedData(namespace: string, message: Uint8Array, hash: 'sha256' | 'sha512' = 'sha512'): Buffer {
  const digest = createHash(hash).update(message).digest();
  return Buffer.concat([magic, sshString(namespace), sshString(''), sshString(hash), sshString(digest)]);
}

/** Lays out the armoured text of an Ed25519 signature that was made over `sshsigSignedData`. */
export function armourSshsig(raw: Uint8Array, namespace: string, signature: Uint8Array): string {
  const version = Buffer.from([0, 0, 0, 1]);
  const blob = Buffer.concat([
    magic,
    version,
    sshString(ed25519Blob(raw)),
    sshString(namespace),
    sshString(''),
    sshString('sha512'),
    sshString(Buffer.concat([sshString('ssh-ed25519'), sshString(signature)])),
  ]);
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? [];
  return [begin, ...lines, end, ''].join('\n');
}

/** The key line of a raw Ed25519 public key. */
export function ed25519Line(raw: Uint8Array): string {
  return `ssh-ed25519 ${ed25519Blob(raw).toString('base64')}`;
}

/**
 * Whether a host signed this. For documents that a host signs about itself, with a plain Ed25519 key; operators'
 * signatures go through `ssh-keygen`, which also knows validity and revocation.
 */
export function isSignedByHost(
  keyLine: string,
  namespace: SignatureNamespace,
  message: Uint8Array,
  armoured: string,
): boolean {
  const key = parsePublicKey(keyLine);
  const parsed = parseSshsig(armoured);
  if (key?.type !== 'ssh-ed25519' || parsed === undefined || parsed.key.line !== key.line) return false;
  if (parsed.namespace !== namespace) return false;
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key.raw]);
  const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  return verify(null, sshsigSignedData(namespace, message, parsed.hash), publicKey, parsed.signature);
}

function ed25519Blob(raw: Uint8Array): Buffer {
  return Buffer.concat([sshString('ssh-ed25519'), sshString(raw)]);
}

function readKey(blob: Buffer): SshPublicKey | undefined {
  const reader = createReader(blob);
  const type = reader.text();
  const raw = reader.string();
  if (raw?.length !== 32) return undefined;
  const common = {
    line: `${type} ${blob.toString('base64')}`,
    fingerprint: `SHA256:${createHash('sha256').update(blob).digest('base64').replaceAll('=', '')}`,
    raw,
  };
  if (type === 'ssh-ed25519') return reader.ended() ? { type, ...common, application: undefined } : undefined;
  if (type !== 'sk-ssh-ed25519@openssh.com') return undefined;
  const application = reader.text();
  return reader.ended() && application?.startsWith('ssh:') === true ? { type, ...common, application } : undefined;
}

function sshString(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Base64 in its one canonical form: an encoding with stray bits is another text for the same bytes. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** Reads the wire format of SSH; once something is missing every further answer is `undefined`. */
function createReader(bytes: Buffer) {
  let at = 0;
  let broken = false;
  const take = (count: number): Buffer | undefined => {
    if (broken || at + count > bytes.length) {
      broken = true;
      return undefined;
    }
    at += count;
    return bytes.subarray(at - count, at);
  };
  const uint32 = (): number | undefined => take(4)?.readUInt32BE();
  const string = (): Buffer | undefined => {
    const length = uint32();
    return length === undefined ? undefined : take(length);
  };
  return {
    uint32,
    string,
    byte: (): number | undefined => take(1)?.[0],
    text: (): string | undefined => string()?.toString('latin1'),
    ended: (): boolean => !broken && at === bytes.length,
  };
}
