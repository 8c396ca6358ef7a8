/** Whose key it is by the host's own trust document, and whether its signature would count. Pure. */
import { parsePublicKey } from '@felhom/protocol';
import type { SignatureNamespace, TrustDocument } from '@felhom/protocol';
import { CliError, exitCodes } from '../io.ts';
import type { SigningKey } from './signing-key.ts';

export interface Person {
  readonly principal: string;
  readonly fingerprint: string;
}

/** The person that a key belongs to; `undefined`: nobody whom this host trusts for this at that time. */
export function personOf(
  trust: TrustDocument | undefined,
  fingerprint: string,
  namespace: SignatureNamespace,
  at: number,
): Person | undefined {
  const revoked = new Set(trust?.revoked ?? []);
  const found = trust?.signers.find(
    ({ key, signs, validAfter = 0, validBefore = Number.MAX_SAFE_INTEGER }) =>
      parsePublicKey(key)?.fingerprint === fingerprint &&
      !revoked.has(key) &&
      signs.some((one) => one === namespace) &&
      validAfter <= at &&
      at < validBefore,
  );
  return found === undefined ? undefined : { principal: found.principal, fingerprint };
}

/** Before anything is signed: a signature that cannot count only costs a touch and a wait. */
export function refuseStrangeKey(
  trust: TrustDocument | undefined,
  key: SigningKey,
  namespace: SignatureNamespace,
  hostId: string,
  at: number,
): Person {
  const person = personOf(trust, key.fingerprint, namespace, at);
  if (person !== undefined) return person;
  throw new CliError(
    exitCodes.failed,
    'key.not-trusted',
    `cannot sign for ${hostId} with ${key.fingerprint}: ${
      trust === undefined ? 'the host trusts nobody yet' : 'its trust document does not let this key sign now'
    }`,
    trust === undefined
      ? 'put the first trust document there as root: felhom-agent trust init'
      : `felhom hosts trust ${hostId} shows who may sign; --key FILE takes another key`,
  );
}
