/**
 * The client's socket: HTTPS to the host's bridge address. A claim carries only the hash of the CA's public key [R28],
 * so the chain that the host shows is checked against that hash first; afterwards the CAs of the redemption count. The
 * name in the certificate is not looked at: the host is known by its CA, not by an address that DHCP may change.
 */
import { X509Certificate, createHash } from 'node:crypto';
import { request } from 'node:https';
import type { RequestOptions } from 'node:https';
import { connect } from 'node:tls';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { Connect, HostTrust, Transport, TransportAnswer } from '../ports.ts';

export interface HttpsOptions {
  /** Where connections come from; the lab tells its guests apart by it. */
  readonly localAddress?: string;
}

const longestAnswer = 4 * 1_048_576;
const connectMs = 10_000;
const longestChain = 4;

/** Verification of the chain shown by `connect`, before a byte is sent. */
type Checked =
  { readonly is: 'ok'; readonly ca: readonly string[] } | { readonly is: 'refused'; readonly text: string };

export function httpsConnect(options: HttpsOptions = {}): Connect {
  return (address, trust) => createHttpsTransport(address, trust, options);
}

function createHttpsTransport(address: string, trust: HostTrust, { localAddress }: HttpsOptions): Transport {
  const { host, port } = splitAddress(address);
  const from = localAddress === undefined ? {} : { localAddress };
  let checked: readonly string[] | undefined = trust.is === 'ca' ? trust.pems : undefined;
  return {
    send: async ({ method, path, headers, body, timeoutMs }, signal) => {
      if (checked === undefined) {
        const look = await lookAtChain({ host, port, ...from }, trust, signal);
        if (look.is === 'refused') return { is: 'failed', text: look.text, untrusted: true };
        if (look.is === 'failed') return look;
        checked = look.ca;
      }
      return sendOnce(
        {
          host,
          port,
          method,
          path,
          headers: {
            ...headers,
            host: address,
            ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
          },
          ca: [...checked],
          // Known by its CA alone.
          checkServerIdentity: () => undefined,
          servername: '',
          agent: false,
          ...from,
        },
        body,
        AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      );
    },
  };
}

/** A handshake and nothing else; what it shows becomes the CA of the requests that follow. */
function lookAtChain(
  to: { readonly host: string; readonly port: number; readonly localAddress?: string },
  trust: HostTrust,
  signal: AbortSignal,
): Promise<Checked | Extract<TransportAnswer, { is: 'failed' }>> {
  return new Promise((resolve) => {
    // `rejectUnauthorized` is off for this handshake only: its chain is checked here, and no request goes over it.
    const socket: TLSSocket = connect({ ...to, rejectUnauthorized: false, servername: '' });
    const late = AbortSignal.timeout(connectMs);
    const either = AbortSignal.any([signal, late]);
    const end = (result: Checked | Extract<TransportAnswer, { is: 'failed' }>): void => {
      either.removeEventListener('abort', aborted);
      socket.destroy();
      resolve(result);
    };
    const aborted = (): void =>
      end({ is: 'failed', text: late.aborted ? 'the host does not answer' : 'the request was given up' });
    if (either.aborted) return aborted();
    either.addEventListener('abort', aborted, { once: true });
    socket.once('error', (error) => end({ is: 'failed', text: error.message }));
    socket.once('secureConnect', () => end(checkChain(chainOf(socket.getPeerCertificate(true)), trust)));
  });
}

function chainOf(leaf: PeerCertificate): Buffer[] {
  const chain: Buffer[] = [];
  let at: PeerCertificate & { readonly issuerCertificate?: PeerCertificate } = leaf;
  while (chain.length < longestChain && at.raw !== undefined) {
    if (chain.some((seen) => seen.equals(at.raw))) break;
    chain.push(at.raw);
    if (at.issuerCertificate === undefined) break;
    at = at.issuerCertificate;
  }
  return chain;
}

/** Pure, but for reading certificates. `chain`: DER, the leaf first. */
export function checkChain(chain: readonly Uint8Array[], trust: HostTrust): Checked {
  const refused = (why: string): Checked => ({ is: 'refused', text: `cannot trust the host: ${why}` });
  const certificates = chain.map((der) => new X509Certificate(der));
  const top = certificates.at(-1);
  if (top === undefined) return refused('it shows no certificate');
  if (trust.is === 'ca') return { is: 'ok', ca: trust.pems };
  for (const [at, certificate] of certificates.entries()) {
    const issuer = certificates[at + 1];
    if (issuer !== undefined && !(issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)))
      return refused('its certificates do not vouch for each other');
  }
  if (trust.is === 'first-use') return { is: 'ok', ca: [top.toString()] };
  const key = top.publicKey.export({ type: 'spki', format: 'der' });
  if (!top.ca || createHash('sha256').update(key).digest('hex') !== trust.spkiSha256)
    return refused('its CA is not the one that the claim names');
  return { is: 'ok', ca: [top.toString()] };
}

function sendOnce(options: RequestOptions, body: string | undefined, signal: AbortSignal): Promise<TransportAnswer> {
  return new Promise((resolve) => {
    const failed = (text: string): void => resolve({ is: 'failed', text });
    const sent = request({ ...options, signal }, (answer) => {
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > longestAnswer) answer.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      answer.once('error', (error) => failed(error.message));
      answer.once('end', () =>
        resolve({ is: 'answered', status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    sent.once('error', (error) => failed(error.message));
    sent.end(body);
  });
}

/** `10.0.0.1:8443`, `[fd00::1]:8443`. */
function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}
