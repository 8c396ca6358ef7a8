/**
 * The hub as an agent in a simulation meets it: one host, one document, and every way in which a hub can be wrong.
 * The real hub has its own tests; here the question is what the agent does with what it hears.
 */
import { createHash } from 'node:crypto';
import { digestOfText, hostStatementKind, maxEnvelopesPerPoll, parseVersionedJson, reason } from '@felhom/protocol';
import type { DesiredOffer, HostStatement, PollAnswer, PollRequest, Report, SignedStatement } from '@felhom/protocol';
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
  /** `more`: what the document asks for besides guests. */
  publish(guests: readonly unknown[], more?: Readonly<Record<string, unknown>>): string;
  mood: HubMood;
  /** Polls that were answered. */
  readonly polls: () => number;
  readonly lastPoll: () => PollRequest | undefined;
  /** Without ages: the hub was sent none. */
  readonly lastReport: () => Report | undefined;
  /** Puts an envelope into the mailbox; it is sent with every poll until the host says that it took it. */
  mail(envelope: string): void;
  /** What still lies there, oldest first. */
  readonly mailbox: () => readonly string[];
  /** The last statement as the host signed it, and what it says; nobody verified it here. */
  readonly lastStatement: () => { readonly signed: SignedStatement; readonly said: HostStatement } | undefined;
  /** Entries of the audit log that arrived without a gap, of one epoch. */
  readonly audit: (hostEpoch: string) => readonly string[];
  /** What a hub that means ill makes of its answer. */
  twist: ((answer: PollAnswer, request: PollRequest) => PollAnswer) | undefined;
  /** Hears every poll. */
  onPoll: ((request: PollRequest) => void) | undefined;
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
  let polls = 0;
  let report: Report | undefined;
  let reportDigest: string | undefined;
  let envelopes: readonly string[] = [];
  const audits = new Map<string, string[]>();
  const newest = new Map<string, SignedStatement & { readonly sequence: number }>();

  /** Answers whether this host has already spoken with a later number. */
  const takeIn = (request: PollRequest): SignedStatement | undefined => {
    last = request;
    polls += 1;
    report = request.report ?? report;
    if (request.report !== undefined) reportDigest = request.reportDigest;
    const taken = new Set<string>(request.taken);
    envelopes = envelopes.filter((text) => !taken.has(digestOfText(text)));
    const entries = audits.get(request.hostEpoch) ?? [];
    audits.set(request.hostEpoch, entries);
    if (request.audit?.from === entries.length + 1) entries.push(...request.audit.entries);
    const before = newest.get(request.hostEpoch);
    if (before !== undefined && before.sequence >= request.sequence)
      return { text: before.text, signature: before.signature };
    if (request.statement !== undefined)
      newest.set(request.hostEpoch, { ...request.statement, sequence: request.sequence });
    return undefined;
  };

  const hub: SimHub = {
    mood: 'well',
    twist: undefined,
    onPoll: undefined,
    polls: () => polls,
    lastPoll: () => last,
    lastReport: () => report,
    mail: (envelope) => {
      envelopes = [...envelopes, envelope];
    },
    mailbox: () => envelopes,
    lastStatement: () => {
      const signed = last?.statement;
      const said = signed === undefined ? undefined : parseVersionedJson(hostStatementKind, signed.text);
      return signed !== undefined && said?.is === 'ok' ? { signed, said: said.value } : undefined;
    },
    audit: (hostEpoch) => audits.get(hostEpoch) ?? [],
    publish: (guests, more = {}) => {
      const text = JSON.stringify({ v: 1, lineage, generation: texts.length + 1, guests, ...more });
      texts.push(text);
      return text;
    },
    poll: async (request, signal): Promise<HubAnswer> => {
      await clock.sleep(20 + random.int(200), signal).catch(() => undefined);
      if (hub.mood === 'unreachable')
        return { is: 'failed', why: reason('hub.unreachable', 'cannot reach the hub: connection refused') };
      hub.onPoll?.(request);
      const newerStatement = takeIn(request);
      const answer: PollAnswer = {
        v: 1,
        desired: offer(hub.mood),
        sendReport: reportDigest !== request.reportDigest,
        sendHeld: false,
        envelopes: envelopes.slice(0, maxEnvelopesPerPoll),
        auditCount: hub.audit(request.hostEpoch).length,
        ...(newerStatement === undefined ? {} : { newerStatement }),
      };
      return { is: 'answered', answer: hub.twist?.(answer, request) ?? answer };
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
