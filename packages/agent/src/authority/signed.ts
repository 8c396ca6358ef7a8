/**
 * What a signature opens: exactly the action whose digest it covers, while that is still what would happen, for as many
 * different people as the action takes. It does not make a stranger ours, and never what is nobody's to change; limits
 * on how much may happen unasked do not bind it, because it was asked.
 */
import { digestOfBlocked, digestOfTrust } from '@felhom/protocol';
import type { ErrorCode } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import { documentOf } from './action-document.ts';
import { askedFor } from './asked.ts';
import { isBlastLimitReached } from './blast-radius.ts';
import { heldBy, refuse, verdictFor } from './decision.ts';
import type { Decision } from './decision.ts';
import type { BuiltEffect } from './effects.ts';
import type { GateFacts } from './facts.ts';
import { effectRows, rowOf } from './gate-table.ts';
import { peopleFor } from './people.ts';
import type { SignedJob } from './people.ts';
import { rangeBreaches } from './ranges.ts';
import { whoseGuest } from './whose-guest.ts';

export function decideSigned(
  effect: BuiltEffect,
  evidence: SignedJob,
  facts: GateFacts,
  policy: HostPolicy,
  now: number,
): Decision {
  const id = effectRows[effect.kind];
  const row = rowOf(effect.kind);
  const asked = askedFor(effect, facts.guest);
  const no = (code: ErrorCode, because: string): Decision => refuse(id, asked.words, code, because);
  const contradiction = asked.contradiction ?? unsaid(effect, evidence);
  if (contradiction !== undefined) return no('gate.contradictory', contradiction);
  const verdict = verdictFor(row, facts.guest);
  switch (verdict) {
    case 'finding-only':
    case 'never-from-hub':
    case 'refused-document':
    case 'not-in-schema':
      return no('gate.never', `${row.what} is not the agent's to change, whoever signs`);
    case 'signed':
    case 'unsigned':
    case 'ranged':
      break;
  }
  const stranger = whoseGuest(effect, asked, row, facts);
  if (stranger !== undefined) return no(stranger.code, stranger.text);

  const digest = digestOfBlocked(documentOf(asked, row, facts.hostEpoch));
  if (digest !== evidence.signed)
    return no('job.changed', `what would happen now is ${digest}, what was signed is ${evidence.signed}`);

  const breaches = rangeBreaches(effect, facts, policy);
  const name = asked.name;
  const tooMany =
    name !== undefined && isBlastLimitReached(row.blast, name, facts.touches, policy.limits.blastRadius, now);
  const people = new Set(evidence.people).size;
  const needed = verdict === 'signed' || breaches.length > 0 || tooMany ? peopleFor(effect, evidence, facts.guest) : 1;
  if (people < needed) {
    const missing = needed - people;
    const because = `${people} of ${needed} people have signed (${evidence.people.join(', ') || 'nobody'}); ${missing} more must`;
    return { ...refuse(id, asked.words, 'job.more-people', because), missing };
  }

  const held = heldBy(row, name, facts);
  if (held !== undefined) return no(held.code, held.text);
  // Unknown is never room, whoever says that there is.
  const binding = row.beyondRange === 'sign' ? breaches.filter((breach) => breach.unknown) : breaches;
  if (binding.length > 0)
    return no(
      binding.every((breach) => breach.unknown) ? 'gate.room-unknown' : 'gate.out-of-range',
      binding.map((breach) => breach.text).join('; '),
    );
  return { is: 'allowed', row: id, warrants: [] };
}

/** What a signed job must say besides, or the signature would cover more than it seems to. */
function unsaid(effect: BuiltEffect, { next }: SignedJob): string | undefined {
  if (effect.kind === 'guest-remove' && effect.stage === undefined)
    return 'it does not say whether the guest is put into quarantine or freed';
  if (effect.kind === 'trust-change' && (next === undefined || digestOfTrust(next) !== effect.after))
    return 'the document to be put in force is not the one that is named';
  return undefined;
}
