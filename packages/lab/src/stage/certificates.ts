/**
 * A certificate authority of its own for every stage, and servers under it. Node can sign but not write certificates,
 * so the few ASN.1 structures of a P-256 certificate are written here (RFC 5280, X.690 DER).
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

export interface ServerCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface Authority {
  /** PEM of the authority's own certificate. Its key stays in memory. */
  readonly ca: string;
  /** For localhost and 127.0.0.1. Valid from an hour ago for a day, unless told. */
  issue(validity?: Validity): ServerCertificate;
}

const hourMs = 3_600_000;

/** `now` is wall time in milliseconds. */
export function createAuthority(name: string, now: number): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const around = (beforeMs: number, afterMs: number): Validity => ({
    notBefore: new Date(now - beforeMs),
    notAfter: new Date(now + afterMs),
  });
  const ca = certificate({
    subject: name,
    issuer: name,
    validity: around(24 * hourMs, 30 * 24 * hourMs),
    publicKey: keys.publicKey,
    signer: keys.privateKey,
    extensions: [
      extension(oids.basicConstraints, true, sequence(boolean(true))),
      // keyCertSign and cRLSign: bits 5 and 6.
      extension(oids.keyUsage, true, tlv(0x03, Buffer.from([1, 0x06]))),
    ],
  });
  return {
    ca,
    issue: (validity = around(hourMs, 24 * hourMs)) => {
      const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      return {
        cert: certificate({
          subject: 'localhost',
          issuer: name,
          validity,
          publicKey: own.publicKey,
          signer: keys.privateKey,
          extensions: [
            extension(
              oids.subjectAltName,
              false,
              sequence(tlv(0x82, Buffer.from('localhost')), tlv(0x87, Buffer.from([127, 0, 0, 1]))),
            ),
          ],
        }),
        key: own.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      };
    },
  };
}

const oids = {
  commonName: '550403',
  basicConstraints: '551d13',
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  ecdsaWithSha256: '2a8648ce3d040302',
} as const;

interface CertificateParts {
  readonly subject: string;
  readonly issuer: string;
  readonly validity: Validity;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly extensions: readonly Buffer[];
}

function certificate(parts: CertificateParts): string {
  const algorithm = sequence(oid(oids.ecdsaWithSha256));
  const serial = randomBytes(16);
  // Positive and without a leading zero byte.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const body = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, serial),
    algorithm,
    nameOf(parts.issuer),
    sequence(time(parts.validity.notBefore), time(parts.validity.notAfter)),
    nameOf(parts.subject),
    parts.publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...parts.extensions)),
  );
  const der = sequence(body, algorithm, bitString(sign('sha256', body, parts.signer)));
  const lines = der.toString('base64').replace(/(.{64})(?=.)/g, '$1\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

function tlv(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}
const sequence = (...contents: readonly Buffer[]): Buffer => tlv(0x30, ...contents);
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, 'hex'));
const boolean = (value: boolean): Buffer => tlv(0x01, Buffer.from([value ? 0xff : 0]));
const bitString = (bytes: Buffer): Buffer => tlv(0x03, Buffer.from([0]), bytes);
const nameOf = (commonName: string): Buffer =>
  sequence(tlv(0x31, sequence(oid(oids.commonName), tlv(0x0c, Buffer.from(commonName)))));
const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), tlv(0x04, value));
/** UTCTime: the years until 2049. */
const time = (at: Date): Buffer => tlv(0x17, Buffer.from(`${at.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
