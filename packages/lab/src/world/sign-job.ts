/** An operator's side of a job: bound to what the host said last, laid out, signed. */
import { payloadOf, signatureNamespaces, writeEnvelope } from '@felhom/protocol';
import type { CanonicalValue, JobKind, JobOf } from '@felhom/protocol';
import type { SimRandom } from '../simulation/sim-random.ts';
import type { Operator } from './operators.ts';

/** What a job takes over from the last statement of the host. */
export interface JobFacts {
  readonly host: string;
  readonly hostEpoch: string;
  readonly challenge: string;
}

export interface SignedJob {
  readonly jobId: string;
  readonly payload: Buffer;
  /** Text of the envelope. */
  readonly envelope: string;
}

/** Lays out any payload, also one that no honest command line would write, and signs it. */
export type JobOverrides = Readonly<Record<string, CanonicalValue>>;

const lifeMs = 60 * 60_000;

/** `now`: the operator's clock. `random` gives id and nonce; `overrides` replace fields of the payload. */
export function signJob<K extends JobKind>(
  facts: JobFacts,
  kind: K,
  params: JobOf<K>['params'],
  people: readonly Pick<Operator, 'sign'>[],
  { now, random, overrides = {} }: { now: number; random: SimRandom; overrides?: JobOverrides },
): SignedJob {
  const id = jobIdFrom(random);
  const payload = payloadOf({
    v: 1,
    jobId: id,
    host: facts.host,
    hostEpoch: facts.hostEpoch,
    challenge: facts.challenge,
    nonce: Buffer.from(random.bytes(16)).toString('hex'),
    issuedAt: now,
    notBefore: now,
    expiresAt: now + lifeMs,
    kind,
    params: JSON.parse(JSON.stringify(params)) as CanonicalValue,
    ...overrides,
  });
  const jobId = typeof overrides['jobId'] === 'string' ? overrides['jobId'] : id;
  return { jobId, payload, envelope: sealed(payload, people) };
}

/** The same bytes with these people's signatures. */
export function sealed(payload: Uint8Array, people: readonly Pick<Operator, 'sign'>[]): string {
  return writeEnvelope(
    payload,
    people.map((person) => person.sign(signatureNamespaces.job, payload)),
  );
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** 26 characters of base32, as many as 128 bits need. */
function jobIdFrom(random: SimRandom): string {
  return Array.from({ length: 26 }, () => alphabet[random.int(32)]).join('');
}
