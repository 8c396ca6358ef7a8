/**
 * Who signed these bytes? Each signature is looked into first: whose key, listed for this, in its time, touched. Only
 * then the verifier is asked, for that person by name. People are counted, not keys [R14].
 */
import { parseSshsig, reason } from '@felhom/protocol';
import type { Reason, SignatureNamespace, Signer, Sshsig, TrustDocument } from '@felhom/protocol';
import type { SignatureVerifier } from '../ports/signatures.ts';
import { allowedSignersText, revokedText } from './allowed-signers.ts';

export interface SignedBytes {
  readonly payload: Uint8Array;
  /** Armoured. */
  readonly signatures: readonly string[];
  readonly document: TrustDocument;
  readonly namespace: SignatureNamespace;
  /** Wall time at which the signatures have to be good, milliseconds since the epoch. */
  readonly at: number;
}

export type VerifiedEnvelope =
  /** Distinct principals, sorted. Whether they are enough is another question. */
  | { readonly is: 'verified'; readonly people: readonly string[] }
  | { readonly is: 'refused'; readonly why: Reason }
  /** The verifier gave no answer and nobody else's signature was good. */
  | { readonly is: 'unknown'; readonly why: Reason };

/**
 * A signature that is not good is passed over as long as another is. Does not look at whether the document has expired:
 * a renewal is verified under an expired one, see `trustStanding`.
 *
 * Errors: `job.not-signed`, or whatever the verifier could not do.
 */
export async function verifyEnvelope(
  needs: { readonly verifier: SignatureVerifier },
  signed: SignedBytes,
  signal: AbortSignal,
): Promise<VerifiedEnvelope> {
  const { document, namespace, payload, at } = signed;
  const allowedSigners = allowedSignersText(document, namespace);
  const revoked = revokedText(document);
  const people = new Set<string>();
  const passedOver: string[] = [];
  let noAnswer: Reason | undefined;
  for (const armoured of signed.signatures) {
    const found = signerOf(armoured, signed);
    if (found.is === 'nobody') {
      passedOver.push(found.why);
      continue;
    }
    const { principal } = found.signer;
    if (people.has(principal)) continue;
    const answer = await needs.verifier.verify(
      { payload, signature: armoured, principal, namespace, allowedSigners, revoked, at },
      signal,
    );
    if (answer.is === 'valid') people.add(principal);
    else if (answer.is === 'invalid')
      passedOver.push(`${found.fingerprint} of ${principal} does not verify (${answer.text})`);
    else noAnswer ??= answer.why;
  }
  if (people.size > 0) return { is: 'verified', people: [...people].sort() };
  if (noAnswer !== undefined) return { is: 'unknown', why: noAnswer };
  const why = passedOver.length === 0 ? 'it carries no signature' : passedOver.join('; ');
  return { is: 'refused', why: reason('job.not-signed', `cannot act on the envelope: ${why}`) };
}

type Found =
  | { readonly is: 'somebody'; readonly signer: Signer; readonly fingerprint: string }
  | { readonly is: 'nobody'; readonly why: string };

function signerOf(armoured: string, { document, namespace, at }: SignedBytes): Found {
  const parsed = parseSshsig(armoured);
  if (parsed === undefined)
    return nobody('a signature cannot be read, or is of a type of key that does not count here');
  const { fingerprint, line } = parsed.key;
  if (parsed.namespace !== namespace) return nobody(`${fingerprint} signed for another purpose than ${namespace}`);
  if (document.revoked.includes(line)) return nobody(`${fingerprint} is revoked`);
  const signer = document.signers.find(({ key }) => key === line);
  if (signer === undefined) return nobody(`${fingerprint} is not listed in the trust document`);
  const why = objection(signer, parsed, namespace, at);
  return why === undefined
    ? { is: 'somebody', signer, fingerprint }
    : nobody(`${fingerprint} of ${signer.principal} ${why}`);
}

function objection(signer: Signer, parsed: Sshsig, namespace: SignatureNamespace, at: number): string | undefined {
  if (!signer.signs.some((signed) => signed === namespace)) return `may not sign ${namespace}`;
  if (signer.validAfter !== undefined && at < signer.validAfter) return 'is not valid yet';
  if (signer.validBefore !== undefined && at >= signer.validBefore) return 'is not valid any more';
  if (signer.touch && parsed.touch?.present !== true) return 'signed without a touch of the key';
  return undefined;
}

const nobody = (why: string): Found => ({ is: 'nobody', why });
