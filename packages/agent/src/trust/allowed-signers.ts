/** The two texts that ssh-keygen reads, written from the trust document. Pure. */
import type { SignatureNamespace, TrustDocument } from '@felhom/protocol';

/**
 * An `allowed_signers` file (ssh-keygen(1)) of those who sign this namespace. Every line is bound to the namespace; there
 * is no pattern and no certificate authority, because the schema of the document knows neither [R14].
 */
export function allowedSignersText(document: TrustDocument, namespace: SignatureNamespace): string {
  return document.signers
    .filter(({ signs }) => signs.some((signed) => signed === namespace))
    .map(({ principal, key, validAfter, validBefore }) => {
      const options = [`namespaces="${namespace}"`];
      if (validAfter !== undefined) options.push(`valid-after="${secondOf(validAfter)}"`);
      if (validBefore !== undefined) options.push(`valid-before="${secondOf(validBefore)}"`);
      return `${principal} ${options.join(',')} ${key}\n`;
    })
    .join('');
}

/** Public keys whose signatures are void, one per line. */
export function revokedText(document: TrustDocument): string {
  return document.revoked.map((key) => `${key}\n`).join('');
}

/**
 * `YYYYMMDDHHMMSS`, the second that has begun. In UTC, which the program is told by its environment: a Z for it is known
 * from OpenSSH 9.1 on only. The document's own milliseconds are judged in `verify-envelope.ts`. */
function secondOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '');
}
