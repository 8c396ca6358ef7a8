/** What a hub says about itself and about the host: none of it is proof, whatever it is made to look like. */
import { signatureNamespaces, verifyChain } from '@felhom/protocol';
import type { SignedStatement } from '@felhom/protocol';
import { minute } from '../trick.ts';
import type { Target, Trick } from '../trick.ts';

const quiet = { nothing: 'what a hub says without proof changes nothing, so there is nothing to tell' };
const epochOf = ({ world }: Target): string => world.hub.lastStatement()?.said.hostEpoch ?? '';

/** The honest hub that stands there again afterwards has the whole log. */
async function logIsWhole(target: Target): Promise<void> {
  const { world } = target;
  target.answerWith(undefined);
  await target.pass(2 * minute);
  const texts = world.hub.audit(epochOf(target));
  const checked = verifyChain(texts);
  const head = world.hub.lastStatement()?.said.audit;
  if (checked.is !== 'whole') throw new Error(checked.text);
  if (head === undefined || checked.head.count < head.count - 2)
    throw new Error(`the hub has ${checked.head.count} entries of ${head?.count ?? 0}`);
}

/** A later statement of this host, as somebody without its key would make one. */
function forged(
  target: Target,
  sign: (text: string) => string,
  change: object = { sequence: 9_000_000 },
): SignedStatement {
  const { said } = target.world.hub.lastStatement() ?? {};
  const text = JSON.stringify({ ...said, ...change });
  return { text, signature: sign(text) };
}

function newer(name: string, make: (target: Target) => SignedStatement): Trick {
  return {
    name: `word of a newer life: ${name}`,
    gain: 'the host voids what people signed, whenever the hub likes',
    play: async (target) => {
      const epoch = epochOf(target);
      const statement = make(target);
      target.answerWith((answer) => ({ ...answer, newerStatement: statement }));
      await target.pass(2 * minute);
      target.answerWith(undefined);
      await target.pass(minute);
      if (epochOf(target) !== epoch) throw new Error('the host began a new epoch');
    },
    leaves: quiet,
  };
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

export const hubWordTricks: readonly Trick[] = [
  newer('signed by somebody else', (target) =>
    forged(target, (text) => target.cast.mallory.sign(signatureNamespaces.report, bytes(text))),
  ),
  newer('signed by one of the people', (target) =>
    forged(target, (text) => target.cast.alice.sign(signatureNamespaces.report, bytes(text))),
  ),
  newer('a real statement with another number', (target) => {
    const { signed } = target.world.hub.lastStatement() ?? {};
    return forged(target, () => signed?.signature ?? '');
  }),
  newer('a real one that is older', (target) => {
    const { signed } = target.world.hub.lastStatement() ?? {};
    return signed ?? { text: '', signature: '' };
  }),
  newer('no statement at all', () => ({ text: '{}', signature: 'none' })),
  {
    name: 'a hub that claims to have more of the audit log than there is',
    gain: 'entries are never sent, and nobody has them',
    play: async (target) => {
      target.answerWith((answer) => ({ ...answer, auditCount: Number.MAX_SAFE_INTEGER }));
      await target.deliver(target.removal([target.cast.mallory]).envelope);
      await logIsWhole(target);
    },
    leaves: { audit: /envelope\.refused/, shown: /envelope\.refused/ },
  },
  {
    name: 'a hub that never has any of the audit log',
    gain: 'the host sends the same entries for ever, and no new ones',
    play: async (target) => {
      target.answerWith((answer) => ({ ...answer, auditCount: 0 }));
      await target.deliver(target.removal([target.cast.mallory]).envelope);
      await target.pass(5 * minute);
      await logIsWhole(target);
    },
    leaves: { audit: /envelope\.refused/, shown: /envelope\.refused/ },
  },
  {
    name: 'a hub that asks for the report with every answer',
    gain: 'two polls for one, for ever',
    play: async (target) => {
      target.answerWith((answer) => ({ ...answer, sendReport: true, sendHeld: true }));
      const from = target.world.hub.polls();
      await target.pass(5 * minute);
      const polls = target.world.hub.polls() - from;
      if (polls > 120) throw new Error(`${polls} polls in five minutes`);
    },
    leaves: quiet,
  },
  {
    name: 'a hub that sends what was taken again and again',
    gain: 'the host looks at all its guests every two seconds, for nothing',
    play: async (target) => {
      const { envelope } = target.removal([target.cast.alice], { expiresAt: target.world.clock.now() + 60 * minute });
      await target.deliver(envelope);
      target.answerWith((answer) => ({ ...answer, envelopes: [envelope] }));
      const from = target.world.requests();
      await target.pass(5 * minute);
      const sent = target.world.requests() - from;
      target.answerWith(undefined);
      // Ten passes of a quiet host, and some more.
      if (sent > 500) throw new Error(`${sent} requests to the node in five minutes`);
    },
    leaves: { audit: /job\./, shown: /"state":"waiting"/ },
  },
  {
    name: 'a hub that serves no desired state any more',
    gain: 'silence is taken for a wish for nothing',
    play: async (target) => {
      target.answerWith((answer) => ({ ...answer, desired: { is: 'nothing' } }));
      await target.pass(2 * minute);
      target.answerWith((answer) => ({ ...answer, desired: { is: 'withheld', why: 'because' } }));
      await target.pass(2 * minute);
    },
    leaves: quiet,
  },
];
