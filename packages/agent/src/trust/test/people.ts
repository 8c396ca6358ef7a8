/** People, keys and a trust document for tests. Keys come from names, so that the same name is the same key. */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { armourSshsig, digestOfTrust, ed25519Line, job, sshsigSignedData, trustDocument } from '@felhom/protocol';
import type { JobOf, SignatureNamespace, TrustDocument } from '@felhom/protocol';

export const now = 1_800_000_000_000;
export const day = 24 * 60 * 60_000;

export function makePerson(name: string) {
  const seed = createHash('sha256').update(`seed of ${name}`).digest();
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const raw = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32);
  return {
    name,
    key: ed25519Line(raw),
    sign: (payload: Uint8Array, namespace: SignatureNamespace = 'felhom-job@1'): string =>
      armourSshsig(raw, namespace, sign(null, sshsigSignedData(namespace, payload), privateKey)),
  };
}

export const alice = makePerson('alice');
export const bob = makePerson('bob');
export const carol = makePerson('carol');
export const mallory = makePerson('mallory');

export function makeSigner({ name, key }: { readonly name: string; readonly key: string }, change: object = {}) {
  return { principal: name, key, signs: ['felhom-job@1'], touch: false, ...change };
}

export function makeDocument(change: object = {}): TrustDocument {
  return trustDocument.parse({
    v: 1,
    host: 'box-1',
    version: 3,
    issuedAt: now - 10 * day,
    expiresAt: now + 80 * day,
    signers: [makeSigner(alice), makeSigner(bob), makeSigner(carol)],
    revoked: [],
    thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 2, trust: 2 },
    loneOperator: false,
    floors: { keepDays: 7, keepWeeks: 4, backupEveryHours: 24, restoreTestEveryDays: 31, tiers: 1 },
    ...change,
  });
}

const common = {
  v: 1,
  jobId: 'a'.repeat(26),
  host: 'box-1',
  hostEpoch: '0'.repeat(32),
  challenge: `1.${'0'.repeat(32)}`,
  nonce: '1'.repeat(32),
  issuedAt: now,
  notBefore: now,
  expiresAt: now + 60 * 60_000,
};

export function makeTrustJob(current: TrustDocument, document: unknown, change: object = {}): JobOf<'trust-change'> {
  const params = { before: digestOfTrust(current), document };
  return job.parse({ ...common, kind: 'trust-change', params, ...change }) as JobOf<'trust-change'>;
}

export function makeFloorJob(
  current: TrustDocument,
  floor: string,
  from: number,
  to: number,
  change: object = {},
): JobOf<'floor-change'> {
  const params = { before: digestOfTrust(current), floor, from, to };
  return job.parse({ ...common, kind: 'floor-change', params, ...change }) as JobOf<'floor-change'>;
}
