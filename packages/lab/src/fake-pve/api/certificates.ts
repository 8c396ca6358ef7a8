/** The certificates of a fresh node: a CA of its own and a leaf that it signs, as `pvecm updatecerts` makes them. */
// The certificate library's injector wants it loaded first.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { FakeClock } from '../core.ts';

export interface NodeCertificates {
  /** PEM of the CA, for whoever connects. */
  readonly ca: string;
  /** PEM of the leaf followed by the CA. */
  readonly cert: string;
  /** PEM (PKCS#8) of the leaf's private key. */
  readonly key: string;
  /** SHA-256 of the leaf's public key (SPKI DER), base64: what survives a renewal. */
  readonly spkiSha256: string;
  /** SHA-256 of the leaf, `AA:BB:…`. */
  readonly fingerprint: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signing = { name: 'ECDSA', hash: 'SHA-256' };
const day = 24 * 3600 * 1000;

/**
 * `notAfter` (milliseconds since the epoch, default two years after now) may lie in the past for an expired leaf. `key`
 * reuses the key pair of an earlier leaf, as a renewal does.
 */
export async function makeCertificates(
  clock: Pick<FakeClock, 'now'>,
  options: {
    readonly notAfter?: number;
    readonly keys?: webcrypto.CryptoKeyPair;
    readonly names?: readonly string[];
  } = {},
): Promise<NodeCertificates & { readonly keys: webcrypto.CryptoKeyPair }> {
  x509.cryptoProvider.set(webcrypto);
  const notAfter = new Date(options.notAfter ?? clock.now() + 730 * day);
  const notBefore = new Date(Math.min(clock.now(), notAfter.getTime()) - day);
  const caKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=Proxmox Virtual Environment, OU=fake, O=PVE Cluster Manager CA',
    notBefore,
    notAfter: new Date(clock.now() + 3650 * day),
    signingAlgorithm: signing,
    keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  const keys = options.keys ?? (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']));
  const names = options.names ?? ['localhost', 'pve1'];
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: '02',
    subject: 'OU=PVE Cluster Node, O=Proxmox Virtual Environment, CN=pve1',
    issuer: ca.subject,
    notBefore,
    notAfter,
    signingAlgorithm: signing,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'ip', value: '::1' },
        ...names.map((value) => ({ type: 'dns' as const, value })),
      ]),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
    ],
  });
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  const spki = await webcrypto.subtle.digest('SHA-256', leaf.publicKey.rawData);
  const thumbprint = await leaf.getThumbprint('SHA-256');
  return {
    ca: ca.toString('pem'),
    cert: `${leaf.toString('pem')}\n${ca.toString('pem')}`,
    key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
    spkiSha256: Buffer.from(spki).toString('base64'),
    fingerprint: Buffer.from(thumbprint)
      .toString('hex')
      .toUpperCase()
      .replace(/(..)(?!$)/g, '$1:'),
    keys,
  };
}
