/**
 * TLS to a server that is known by its CA or by its public key (SPKI), never by "some public authority".
 *
 * Sessions are not resumed: on a resumed session Node shows no peer certificate, and a pin that cannot be checked is
 * no pin.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import { buildConnector } from 'undici';

export type ServerTrust =
  /** PEM of the CA, or of the server's own certificate. Name and dates are checked as usual. */
  | { readonly ca: string }
  /** SHA-256 of the public key (DER SubjectPublicKeyInfo), 64 hex digits. The name is not checked, the dates are. */
  | { readonly spkiSha256: string };

/** Thrown into undici by the connector; `classify` knows it by its code. */
export class PinError extends Error {
  readonly code: 'FELHOM_PIN_MISMATCH' | 'CERT_HAS_EXPIRED' | 'CERT_NOT_YET_VALID';
  constructor(code: PinError['code'], message: string) {
    super(message);
    this.name = 'PinError';
    this.code = code;
  }
}

/**
 * `now` is wall time in milliseconds, for the dates of a pinned certificate. `seen` is told until when each certificate
 * that was shown is valid, in milliseconds since the epoch, so that its end can be announced before it comes.
 */
export function connectorFor(
  trust: ServerTrust,
  connectTimeoutMs: number,
  now: () => number,
  seen: (endsAt: number) => void = () => {},
): buildConnector.connector {
  const base = { timeout: connectTimeoutMs, maxCachedSessions: 0, allowH2: false };
  if ('ca' in trust) {
    const connect = buildConnector({ ...base, ca: trust.ca });
    return (options, callback) =>
      connect(options, (...outcome) => {
        if (outcome[0] === null) noteEnd(outcome[1], seen);
        callback(...outcome);
      });
  }
  const connect = buildConnector({ ...base, rejectUnauthorized: false });
  return (options, callback) => {
    connect(options, (...outcome) => {
      const [error, socket] = outcome;
      if (error !== null) {
        callback(error, null);
        return;
      }
      const wrong = socket instanceof TLSSocket ? checkPin(socket, trust.spkiSha256, now()) : undefined;
      if (wrong === undefined) {
        noteEnd(socket, seen);
        callback(null, socket);
        return;
      }
      socket.destroy();
      callback(wrong, null);
    });
  };
}

function noteEnd(socket: unknown, seen: (endsAt: number) => void): void {
  const endsAt = socket instanceof TLSSocket ? Date.parse(socket.getPeerX509Certificate()?.validTo ?? '') : Number.NaN;
  if (Number.isFinite(endsAt)) seen(endsAt);
}

function checkPin(socket: TLSSocket, expected: string, now: number): PinError | undefined {
  const raw = socket.getPeerX509Certificate();
  if (raw === undefined) return new PinError('FELHOM_PIN_MISMATCH', 'the server showed no certificate');
  const found = spkiOf(raw);
  if (found !== expected.toLowerCase())
    return new PinError('FELHOM_PIN_MISMATCH', `the server's public key is ${found}, pinned is ${expected}`);
  if (Date.parse(raw.validTo) < now) return new PinError('CERT_HAS_EXPIRED', `it expired on ${raw.validTo}`);
  if (Date.parse(raw.validFrom) > now) return new PinError('CERT_NOT_YET_VALID', `it is valid from ${raw.validFrom}`);
  return undefined;
}

/** SHA-256 of a certificate's public key in hex: what goes into `spkiSha256`. */
export function spkiOf(certificate: X509Certificate): string {
  return createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}
