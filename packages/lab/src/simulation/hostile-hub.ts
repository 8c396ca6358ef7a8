/**
 * A hub that means ill with what is signed. It holds everything that was ever signed, has a key of its own that nobody
 * trusts, and says what it likes; it has no key of anybody honest.
 */
import { payloadOf, signatureNamespaces, writeEnvelope } from '@felhom/protocol';
import type { PollAnswer, PollRequest } from '@felhom/protocol';
import { createOperator } from '../world/operators.ts';
import { signJob } from '../world/sign-job.ts';
import { registered } from '../world/traces.ts';
import type { Play } from './play.ts';

type Trick = (answer: PollAnswer, request: PollRequest) => PollAnswer;

const shuffled = <T>({ random }: Play, items: readonly T[]): T[] => {
  const left = [...items];
  return items.map(() => left.splice(random.int(left.length), 1)[0] as T);
};

/** The removal of a guest, as somebody signs it whom nobody trusts, under any name. */
function forged(play: Play, principal: string): string {
  const { world, random } = play;
  const said = world.hub.lastStatement()?.said;
  const guests = registered(world);
  if (said === undefined || guests.length === 0) return '{}';
  const { uid, incarnation, volumes } = random.pick(guests);
  const lossSet = volumes.map(({ volid }) => volid).toSorted();
  const people = [createOperator(principal, random.fork('mallory')), createOperator('bob', random.fork('eve'))];
  const params = { guest: { uid, incarnation }, lossSet, backups: 'keep' as const, coolOffMinutes: 0 };
  return signJob(said, 'decommission', params, people, { now: world.clock.now(), random }).envelope;
}

interface Parts {
  readonly v: number;
  readonly payload: string;
  readonly signatures: readonly string[];
}

/** Honest signatures over other bytes. */
function glued({ book, random }: Play): string {
  if (book.envelopes.length < 2) return '{}';
  const one = JSON.parse(random.pick(book.envelopes)) as Parts;
  const other = JSON.parse(random.pick(book.envelopes)) as Parts;
  return writeEnvelope(Buffer.from(one.payload, 'base64'), [...other.signatures, ...other.signatures]);
}

/** The payload changed after it was signed: no cool-off, another guest. */
function edited({ book, random }: Play): string {
  if (book.orders.length === 0) return '{}';
  const { payload } = random.pick(book.orders);
  const said = JSON.parse(Buffer.from(payload).toString('utf8')) as Record<string, never>;
  const parts = JSON.parse(random.pick(book.envelopes)) as Parts;
  return writeEnvelope(payloadOf({ ...said, notBefore: 0 }), [...parts.signatures]);
}

/** One honest signature, as often as it fits. */
function repeated({ book, world }: Play): string {
  const alone = book.orders.filter(({ by }) => by.size === 1);
  const [order] = alone;
  const [person] = order?.by ?? [];
  if (order === undefined || person === undefined) return '{}';
  const signer = world.people[person as keyof typeof world.people];
  const signature = signer.sign(signatureNamespaces.job, order.payload);
  return writeEnvelope(order.payload, [signature, signature]);
}

export function hubTurns(play: Play): void {
  const { hub } = play.world;
  const { random, book } = play;
  if (hub.twist !== undefined && random.chance(0.5)) {
    hub.twist = undefined;
    return play.note('hub: says what it was told again');
  }
  let kept: readonly string[] = [];
  const statements = play.statements;
  const tricks: Readonly<Record<string, Trick>> = {
    'sends everything again': (answer) => ({ ...answer, envelopes: shuffled(play, book.envelopes).slice(0, 40) }),
    'sends everything twice': (answer) => ({
      ...answer,
      envelopes: shuffled(play, [...answer.envelopes, ...answer.envelopes]),
    }),
    'sends forgeries': (answer) => ({
      ...answer,
      envelopes: [...answer.envelopes, forged(play, 'alice'), glued(play), edited(play), repeated(play)],
    }),
    'cuts envelopes short': (answer) => ({
      ...answer,
      envelopes: answer.envelopes.map((text) => text.slice(0, random.int(text.length))),
    }),
    'sends a flood': (answer) => ({
      ...answer,
      envelopes: [...Array.from({ length: 90 }, (_, n) => `{"n":${n}}`), ...answer.envelopes],
    }),
    'keeps the mail back': (answer) => ({ ...answer, envelopes: [] }),
    'sends the mail late': (answer) => {
      const late = kept;
      kept = answer.envelopes;
      return { ...answer, envelopes: [...late] };
    },
    'lies about the audit log': (answer) => ({ ...answer, auditCount: random.pick([0, 1, 7, 10_000]) }),
    'shows an old statement as a newer one': (answer) =>
      statements.length === 0 ? answer : { ...answer, newerStatement: random.pick(statements) },
    'makes a statement up': (answer, { sequence }) => {
      const said = hub.lastStatement()?.said;
      const mallory = createOperator('host', random.fork('host of mallory'));
      const text = JSON.stringify({ ...said, sequence: sequence + 1000 });
      const signature = mallory.sign(signatureNamespaces.report, Buffer.from(text, 'utf8'));
      return { ...answer, newerStatement: { text, signature } };
    },
  };
  const name = random.pick(Object.keys(tricks));
  hub.twist = tricks[name];
  play.note(`hub: ${name}`);
}
