/** Whether the host may be opened, and when an open one has to be closed. Pure; the signatures are checked elsewhere. */
import { reason } from '@felhom/protocol';
import type { JobOf, Reason } from '@felhom/protocol';
import { consentStanding } from './consents.ts';
import type { Consent, ConsentingGuest, ConsentStanding } from './consents.ts';

export interface OpenFacts {
  /** Every guest on record, whether it runs or not. */
  readonly guests: readonly ConsentingGuest[];
  readonly consents: readonly Consent[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly policy: { readonly maxMinutes: number };
}

export type OpenDecision = { readonly is: 'open' } | { readonly is: 'refused'; readonly why: Reason };

/**
 * The consents that were signed must be exactly those that stand now: one that was withdrawn, given anew or came with
 * another guest since the signing makes it another thing than what the operator looked at.
 */
export function decideOpen(params: JobOf<'break-glass-open'>['params'], facts: OpenFacts): OpenDecision {
  const { maxMinutes } = facts.policy;
  if (params.minutes > maxMinutes)
    return refuse(
      'gate.out-of-range',
      `for ${params.minutes} minutes: the policy of this host allows ${maxMinutes} (breakGlass.maxMinutes)`,
    );
  const standing = consentStanding(facts.guests, facts.consents, facts.now);
  if (standing.is === 'missing') return refuse('break-glass.no-consent', `without the consent ${ofGuests(standing)}`);
  const signed = params.consents.toSorted();
  if (new Set(signed).size !== signed.length || signed.join() !== standing.ids.join())
    return refuse('job.changed', 'on the consents that were signed: they are not those that stand now');
  return { is: 'open' };
}

/** Why an open host has to be closed at once, for people; `undefined` = it may stay open. Cheap: asked in every pass. */
export function mustClose(open: { readonly until: number } | undefined, standing: ConsentStanding): string | undefined {
  if (open === undefined || standing.is === 'all') return undefined;
  return `the consent ${ofGuests(standing)} does not stand any more`;
}

const ofGuests = ({ names }: Extract<ConsentStanding, { is: 'missing' }>): string => {
  const shown = names.slice(0, 10).join(', ');
  const more = names.length > 10 ? ` and ${names.length - 10} more` : '';
  return `of the customer of ${shown}${more}`;
};

const refuse = (code: 'gate.out-of-range' | 'break-glass.no-consent' | 'job.changed', text: string): OpenDecision => ({
  is: 'refused',
  why: reason(code, `cannot open break-glass ${text}`),
});
