/** What undici, TLS or the socket threw, before anybody says what it means for their server. */

/** OpenSSL's verify codes, as Node names them, for a certificate that the given CA does not vouch for. */
const untrusted = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'CERT_REVOKED',
  'CERT_UNTRUSTED',
  'INVALID_CA',
]);

export const isUntrusted = (code: string): boolean => untrusted.has(code);

/** Code and message of the deepest cause; both may be empty. */
export function innermost(error: unknown): { code: string; message: string } {
  let found = { code: '', message: '' };
  let at: unknown = error;
  for (let depth = 0; depth < 5 && at instanceof Error; depth += 1) {
    const code = 'code' in at && typeof at.code === 'string' ? at.code : found.code;
    found = { code, message: at.message.slice(0, 200) };
    at = at.cause;
  }
  return found;
}
