/** Too much, too often, too deep, too late: a hub that means to drown, deafen or fill the host. */
import { maxEnvelopeBytes } from '@felhom/protocol';
import { minute } from '../trick.ts';
import type { Target, Trick } from '../trick.ts';

const gain = 'the host is too busy, or too full, to look after its guests';
const unreadable = { audit: /envelope\.refused|job\.unreadable/, shown: /job\.unreadable/ };

const junk = (target: Target, at: number): string =>
  target.removal([target.cast.mallory], { nonce: at.toString(16).padStart(32, '0') }).envelope;

export const floodTricks: readonly Trick[] = [
  {
    name: 'two hundred envelopes in one answer',
    gain: 'the one that matters hides among others',
    play: async (target) => {
      const envelopes = Array.from({ length: 200 }, (_, at) => junk(target, at));
      target.answerWith((answer) => ({ ...answer, envelopes }));
      await target.pass(minute);
    },
    leaves: { audit: /too-many|envelope/, shown: /job\.too-many/ },
  },
  {
    name: 'an envelope of one byte too many',
    gain,
    play: async (target) => {
      const good = target.removal([target.cast.alice, target.cast.bob]).envelope;
      await target.deliver(good + ' '.repeat(maxEnvelopeBytes + 1 - Buffer.byteLength(good)));
    },
    leaves: unreadable,
  },
  {
    name: 'an envelope of ten mebibytes',
    gain,
    play: (target) => target.deliver('['.repeat(10 * 2 ** 20)),
    leaves: unreadable,
  },
  {
    name: 'an envelope with a hundred signatures',
    gain,
    play: async (target) => {
      const { payload, envelope } = target.removal([target.cast.alice]);
      const [signature = ''] = (JSON.parse(envelope) as { readonly signatures: readonly string[] }).signatures;
      const signatures = Array.from({ length: 100 }, () => signature);
      await target.deliver(JSON.stringify({ v: 1, payload: payload.toString('base64'), signatures }));
    },
    leaves: unreadable,
  },
  {
    name: 'new junk with every answer',
    gain: 'the audit log is so full of junk that nobody finds anything in it',
    play: async (target) => {
      let at = 0;
      target.answerWith((answer) => ({
        ...answer,
        envelopes: Array.from({ length: 32 }, () => junk(target, (at += 1))),
      }));
      await target.pass(10 * minute);
      const entries = target.world.disk().facts('audit-chain', 20_000).length;
      target.answerWith(undefined);
      if (entries > 100) throw new Error(`the audit log has ${entries} entries after ten minutes of junk`);
    },
    leaves: { audit: /envelope\.refused|job\.not-signed/, shown: /job\.not-signed/ },
  },
  {
    name: 'junk that makes the host verify, with every answer',
    gain,
    play: async (target) => {
      // Good signatures of listed people over other bytes: every one of them costs a process.
      const other = target.removal([target.cast.alice, target.cast.bob, target.cast.carol]);
      const { signatures } = JSON.parse(other.envelope) as { readonly signatures: readonly string[] };
      let at = 0;
      target.answerWith((answer) => ({
        ...answer,
        envelopes: Array.from({ length: 4 }, () => {
          const { payload } = target.removal([], { nonce: (at += 1).toString(16).padStart(32, '0') });
          return JSON.stringify({ v: 1, payload: payload.toString('base64'), signatures });
        }),
      }));
      await target.pass(90_000);
      target.answerWith(undefined);
    },
    leaves: { audit: /envelope\.refused|job\.not-signed/, shown: /job\.not-signed/ },
  },
  {
    name: 'a poll interval of a day',
    gain: 'the host is deaf for a day, and to every revocation',
    play: async (target) => {
      target.answerWith((answer) => ({ ...answer, pollAfterSeconds: 86_400 }));
      await target.pass(2 * minute);
      const from = target.world.hub.polls();
      await target.reach('it polls all the same', () => target.world.hub.polls() > from + 1, 40 * minute);
    },
    leaves: { nothing: 'the wish is clamped into the range of the policy, as wishes are' },
  },
  {
    name: 'a wish for a poll every second',
    gain: 'the host does nothing else any more',
    play: async (target) => {
      target.answerWith((answer) => ({ ...answer, pollAfterSeconds: 1, sendReport: true, sendHeld: true }));
      const from = target.world.hub.polls();
      await target.pass(10 * minute);
      const polls = target.world.hub.polls() - from;
      target.answerWith(undefined);
      if (polls > 300) throw new Error(`it polled ${polls} times in ten minutes`);
    },
    leaves: { nothing: 'the wish is clamped into the range of the policy, as wishes are' },
  },
];
