/** A job from its kind and parameters, bound to what the host signed a moment ago [R11]. */
import { jobKind, parseVersioned } from '@felhom/protocol';
import type { Job, JobKind } from '@felhom/protocol';
import type { Machine } from '../io.ts';
import type { VerifiedHost } from '../verified-host.ts';
import { meaningOf } from './catalog.ts';
import { usage } from './job-file.ts';
import { lifeOf, peopleFor } from './summary.ts';

/**
 * All times are on the host's clock, from its statement on. `validForMs` may shorten the time that the kind allows, never
 * lengthen it.
 */
export function makeJob(
  host: VerifiedHost,
  kind: JobKind,
  params: unknown,
  machine: Pick<Machine, 'random'>,
  validForMs: number | undefined,
): Job {
  const { hostEpoch, challenge, at } = host.statement;
  const common = {
    v: 1,
    jobId: base32(machine.random(16)),
    host: host.hostId,
    hostEpoch,
    challenge,
    nonce: Buffer.from(machine.random(16)).toString('hex'),
    issuedAt: at,
    notBefore: at,
  };
  const draft = parsed({ ...common, expiresAt: at + 1, kind, params });
  const meaning = meaningOf(draft, host);
  const longest = lifeOf(kind, meaning, peopleFor(meaning, host.trust));
  if (validForMs !== undefined && (validForMs < 60_000 || validForMs > longest))
    throw usage(`it may be good for 1 to ${Math.floor(longest / 60_000)} minutes`);
  return { ...draft, expiresAt: at + (validForMs ?? longest) };
}

function parsed(raw: object): Job {
  const result = parseVersioned(jobKind, raw);
  if (result.is === 'ok') return result.value;
  throw usage(result.text.replace(/^cannot read job: /, ''));
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** Lower-case base32 without padding. */
export function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{1,5}/g) ?? []).map((five) => alphabet[Number.parseInt(five.padEnd(5, '0'), 2)]).join('');
}
