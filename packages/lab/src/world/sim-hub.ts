/**
 * The hub as an agent in a simulation meets it: one host, one document, and every way in which a hub can be wrong.
 * The real hub has its own tests; here the question is what the agent does with what it hears.
 */
import { createHash } from 'node:crypto';
import { digestOfText, reason } from '@felhom/protocol';
import type { DesiredOffer, PollRequest } from '@felhom/protocol';
import type { Hub, HubAnswer } from '@felhom/agent';
import type { SimClock } from '../simulation/sim-clock.ts';
import type { SimRandom } from '../simulation/sim-random.ts';

export type HubMood =
  | 'well'
  | 'unreachable'
  /** Serves the document before the current one. */
  | 'old'
  /** Same generation, other bytes; a field nobody knows; a text that is cut short; nothing at all. */
  | 'forged'
  | 'unknown-field'
  | 'truncated'
  | 'empty-offer';

export interface SimHub extends Hub {
  /** Publishes the next generation; answers its text. */
  publish(guests: readonly unknown[]): string;
  mood: HubMood;
  readonly lastPoll: () => PollRequest | undefined;
}

const lineage = 'labzlabzlabzlabzlabzlabzla';

export function createSimHub(clock: SimClock, random: SimRandom): SimHub {
  const texts: string[] = [];
  let last: PollRequest | undefined;
  const offer = (mood: HubMood): DesiredOffer => {
    const text = mood === 'old' ? (texts.at(-2) ?? texts.at(-1)) : texts.at(-1);
    if (text === undefined || mood === 'empty-offer') return { is: 'nothing' };
    const sent = distort(text, mood);
    return { is: 'document', digest: digestOfText(sent), text: sent };
  };
  const hub: SimHub = {
    mood: 'well',
    lastPoll: () => last,
    publish: (guests) => {
      const text = JSON.stringify({ v: 1, lineage, generation: texts.length + 1, guests });
      texts.push(text);
      return text;
    },
    poll: async (request, signal): Promise<HubAnswer> => {
      await clock.sleep(20 + random.int(200), signal).catch(() => undefined);
      if (hub.mood === 'unreachable')
        return { is: 'failed', why: reason('hub.unreachable', 'cannot reach the hub: connection refused') };
      last = request;
      return {
        is: 'answered',
        answer: {
          v: 1,
          desired: offer(hub.mood),
          sendReport: request.report === undefined && last === undefined,
          sendHeld: false,
          envelopes: [],
          auditCount: 0,
        },
      };
    },
  };
  return hub;
}

function distort(text: string, mood: HubMood): string {
  switch (mood) {
    case 'forged':
      return text.replace('"guests":[', `"guests":[${JSON.stringify(forgedGuest())},`).replace(',]', ']');
    case 'unknown-field':
      return text.replace('{"v":1', '{"scratch":true,"v":1');
    case 'truncated':
      return text.slice(0, Math.floor(text.length / 2));
    case 'well':
    case 'old':
    case 'unreachable':
    case 'empty-offer':
      return text;
  }
}

/** Would be a fine guest, were it not of a generation that is already held. */
const forgedGuest = (): unknown => ({
  name: `x${createHash('sha256').update('forged').digest('hex').slice(0, 6)}`,
  golden: 'debian-13',
  hostname: 'x',
  cores: 1,
  memoryMiB: 128,
  rootfs: { storage: 'guests', sizeGiB: 1 },
  networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
});
