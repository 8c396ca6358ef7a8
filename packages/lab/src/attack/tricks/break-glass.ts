/** The host itself, opened for SSH: never without every customer, never without a signature, never twice [R42]. */
import { hour, minute } from '../trick.ts';
import type { JobOverrides } from '../../world/sign-job.ts';
import type { Operator } from '../../world/operators.ts';
import { labTrust } from '../../world/trust.ts';
import { startAt } from '../../world/sim-world.ts';
import type { Target, Trick } from '../trick.ts';

const gain = 'a shell on the host';
const refused = {
  audit: /job\.refused|job\.|envelope\./,
  shown: /"state":"(?:refused|waiting|failed)"|envelope\.refused/,
};

/** Customers of both guests say yes, by the word of root at the host. */
function consentOf(target: Target, names: readonly string[] = ['photos', 'web']): readonly string[] {
  const agent = target.agent();
  for (const name of names) agent.recordConsent(name, true);
  return agent.consents().flatMap(({ id }) => id ?? []);
}

function order(
  target: Target,
  people: readonly Pick<Operator, 'sign'>[],
  consents: readonly string[],
  overrides: JobOverrides = {},
  minutes = 30,
): string {
  const params = { minutes, key: target.cast.alice.keyLine, consents: consents.toSorted() };
  return target.world.sign('break-glass-open', params, people, overrides).envelope;
}

function row(name: string, envelope: (target: Target) => string | Promise<string>, more: Partial<Trick> = {}): Trick {
  return {
    name: `break-glass ${name}`,
    gain,
    play: async (target) => {
      await target.deliver(await envelope(target));
      await target.pass(minute);
    },
    leaves: refused,
    ...more,
  };
}

export const breakGlassTricks: readonly Trick[] = [
  row('without any consent', (target) => order(target, [target.cast.alice], [])),
  row('with the consent of one of two customers', (target) =>
    order(target, [target.cast.alice], consentOf(target, ['web'])),
  ),
  row('with consents that nobody gave', (target) =>
    order(target, [target.cast.alice], ['a'.repeat(26), 'b'.repeat(26)]),
  ),
  row('with a consent that was withdrawn after the signing', (target) => {
    const envelope = order(target, [target.cast.alice], consentOf(target));
    target.agent().recordConsent('web', false);
    return envelope;
  }),
  row('with a consent that was given anew after the signing', (target) => {
    const envelope = order(target, [target.cast.alice], consentOf(target));
    target.agent().recordConsent('web', true);
    return envelope;
  }),
  row('signed by nobody whom the host trusts', (target) => order(target, [target.cast.mallory], consentOf(target))),
  row('signed by one where disclosing takes two', (target) => order(target, [target.cast.alice], consentOf(target)), {
    host: (cast) => {
      const { thresholds } = labTrust([cast.alice, cast.bob, cast.carol], startAt);
      return { trust: { thresholds: { ...thresholds, disclose: 2 } } };
    },
  }),
  row('for longer than the policy of the host', (target) =>
    order(target, [target.cast.alice], consentOf(target), {}, 480),
  ),
  row('signed for another host', (target) => order(target, [target.cast.alice], consentOf(target), { host: 'other' })),
  {
    name: 'break-glass a second time with one order',
    gain,
    play: async (target) => {
      const envelope = order(target, [target.cast.alice], consentOf(target), {}, 5);
      await target.deliver(envelope);
      await target.reach('it is open', () => target.world.root.openUntil() !== undefined);
      await target.pass(10 * minute);
      target.answerWith((answer) => ({ ...answer, envelopes: [envelope] }));
      await target.restart();
      await target.pass(2 * minute);
    },
    leaves: { audit: /break-glass|job\.done/, shown: /"state":"done"/ },
  },
  {
    name: 'break-glass that stays open after a consent is withdrawn',
    gain,
    play: async (target) => {
      await target.deliver(order(target, [target.cast.alice], consentOf(target), {}, 60));
      await target.reach('it is open', () => target.world.root.openUntil() !== undefined);
      target.agent().recordConsent('photos', false);
      await target.pass(2 * minute);
    },
    leaves: { audit: /break-glass\.must-close|break-glass\.closed/, shown: /"state":"done"/ },
  },
  {
    name: 'break-glass that stays open while the agent is dead',
    gain,
    play: async (target) => {
      await target.deliver(order(target, [target.cast.alice], consentOf(target), {}, 30));
      await target.reach('it is open', () => target.world.root.openUntil() !== undefined);
      target.world.cut();
      await target.pass(hour);
      target.world.boot();
      await target.pass(minute);
    },
    leaves: { audit: /job\.done|break-glass/, shown: /"state":"done"/ },
  },
];
