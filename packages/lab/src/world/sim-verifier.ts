/**
 * The simulation's stand-in for `ssh-keygen -Y verify`: reads the same two files and comes to the same verdict, without
 * a process and without a wall clock. A table of good and bad signatures is put to both.
 */
import { createHash, verify } from 'node:crypto';
import { parsePublicKey, parseSshsig, sshsigSignedData } from '@felhom/protocol';
import type { Sshsig } from '@felhom/protocol';
import type { SignatureAnswer, SignatureQuestion, SignatureVerifier } from '@felhom/agent';
import { publicKeyOf } from './operators.ts';

/** One line of `allowed_signers`: principals, options, key (ssh-keygen(1), ALLOWED SIGNERS). */
interface AllowedLine {
  readonly principals: readonly string[];
  readonly namespaces: readonly string[] | undefined;
  /** Milliseconds since the epoch. */
  readonly validAfter: number | undefined;
  readonly validBefore: number | undefined;
  readonly key: string;
}

export function simVerifier(): SignatureVerifier {
  return { verify: (question) => Promise.resolve(judge(question)) };
}

/** Pure. */
export function judge(question: SignatureQuestion): SignatureAnswer {
  const parsed = parseSshsig(question.signature);
  if (parsed === undefined) return invalid('it is no signature of a known kind');
  if (parsed.namespace !== question.namespace) return invalid(`it was made for ${parsed.namespace}`);
  if (!isBySignature(parsed, question.payload)) return invalid('it is not over these bytes');
  if (linesOf(question.revoked).some((line) => parsePublicKey(line)?.line === parsed.key.line))
    return invalid('its key is revoked');
  const own = linesOf(question.allowedSigners)
    .flatMap(readAllowed)
    .filter((line) => line.key === parsed.key.line && line.principals.includes(question.principal));
  if (own.length === 0) return invalid(`its key is not one of ${question.principal}`);
  const fits = own.some(
    ({ namespaces, validAfter, validBefore }) =>
      (namespaces?.includes(question.namespace) ?? true) &&
      // ssh-keygen counts in whole seconds.
      Math.floor(question.at / 1000) * 1000 >= (validAfter ?? 0) &&
      Math.floor(question.at / 1000) * 1000 <= (validBefore ?? Number.POSITIVE_INFINITY),
  );
  return fits ? { is: 'valid' } : invalid('its key may not sign this now');
}

function isBySignature(parsed: Sshsig, payload: Uint8Array): boolean {
  const key = publicKeyOf(parsed.key.line);
  if (key === undefined) return false;
  const message = sshsigSignedData(parsed.namespace, payload, parsed.hash);
  if (parsed.touch === undefined) return verify(null, message, key, parsed.signature);
  const { present, userVerified, counter } = parsed.touch;
  const said = Buffer.alloc(5);
  said.writeUInt8((present ? 0x01 : 0) | (userVerified ? 0x04 : 0));
  said.writeUInt32BE(counter, 1);
  const digestOf = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();
  const signed = Buffer.concat([digestOf(parsed.key.application ?? ''), said, digestOf(message)]);
  return verify(null, signed, key, parsed.signature);
}

/** A line that does not read is passed over, as `ssh-keygen` does. */
function readAllowed(line: string): readonly AllowedLine[] {
  const match = /^(\S+) (?:((?:[a-z-]+(?:="[^"]*")?)(?:,[a-z-]+(?:="[^"]*")?)*) )?((?:sk-)?ssh-ed25519\S*) (\S+)/.exec(
    line,
  );
  const key = match === null ? undefined : parsePublicKey(`${match[3]} ${match[4]}`);
  if (match === null || key === undefined) return [];
  const options = new Map(
    [...(match[2] ?? '').matchAll(/([a-z-]+)(?:="([^"]*)")?/g)].map(([, name = '', value = '']) => [name, value]),
  );
  if (options.has('cert-authority')) return [];
  return [
    {
      principals: (match[1] ?? '').replaceAll('"', '').split(','),
      namespaces: options.get('namespaces')?.split(','),
      validAfter: timeOf(options.get('valid-after')),
      validBefore: timeOf(options.get('valid-before')),
      key: key.line,
    },
  ];
}

/** `YYYYMMDD[HHMM[SS]]Z`. Without the Z it would be local time, which no file of ours has. */
function timeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?Z$/.exec(text);
  if (match === null) throw new Error(`cannot read the time ${text} in allowed_signers`);
  const [year, month, day, hour, minute, second] = match.slice(1).map((part) => Number(part ?? 0));
  return Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
}

const linesOf = (text: string): readonly string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));

const invalid = (text: string): SignatureAnswer => ({ is: 'invalid', text });
