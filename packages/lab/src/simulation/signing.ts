/** Events: honest people sign, alone or together, in time or late, and what they sign goes into the mailbox. */
import type { JobKind, JobOf } from '@felhom/protocol';
import type { JobOverrides } from '../world/sign-job.ts';
import { labPeople } from '../world/people.ts';
import type { LabPerson } from '../world/people.ts';
import { sealed } from '../world/sign-job.ts';
import { registered } from '../world/traces.ts';
import { isPowered } from './ledger.ts';
import type { Order } from './orders.ts';
import type { Play } from './play.ts';

type About = Pick<Order, 'uid' | 'lossSet' | 'adopts' | 'hold' | 'trusts' | 'undoes' | 'frees' | 'carries' | 'deletes'>;

export const some = ({ random }: Play, atLeast = 1): readonly LabPerson[] => {
  const left = [...labPeople];
  const count = Math.max(atLeast, 1 + random.int(3));
  return Array.from({ length: count }, () => left.splice(random.int(left.length), 1)[0] as LabPerson);
};

/** Nobody signs for a host that has not said anything. */
export const report = ({ world }: Play) =>
  isPowered(world) && world.hub.lastStatement() !== undefined ? world.life()?.agent.report() : undefined;

export function order<K extends JobKind>(
  play: Play,
  kind: K,
  params: JobOf<K>['params'],
  people: readonly LabPerson[],
  about: About,
): Order {
  const { world, random, book } = play;
  // Now and then from a statement that lies around for a while: the command line would refuse, the host must.
  const old = random.chance(0.1) ? random.pick(play.challenges) : undefined;
  const overrides: JobOverrides = old === undefined ? {} : { challenge: old.challenge };
  const said = world.hub.lastStatement()?.said.challenge;
  const minted = old ?? play.challenges.findLast(({ challenge }) => challenge === said);
  const job = world.sign(
    kind,
    params,
    people.map((person) => world.people[person]),
    overrides,
  );
  const made: Order = {
    jobId: job.jobId,
    kind,
    payload: job.payload,
    by: new Set(people),
    at: world.clock.bootMs(),
    mintedAt: minted?.at ?? world.clock.bootMs(),
    ...about,
  };
  book.orders.push(made);
  deliver(play, job.envelope);
  play.note(`${people.join(' and ')} sign ${kind} ${job.jobId.slice(0, 6)}${old === undefined ? '' : ', long after'}`);
  return made;
}

function deliver({ world, book }: Play, envelope: string): void {
  book.envelopes.push(envelope);
  world.hub.mail(envelope);
}

export function approves(play: Play): void {
  const blocked = report(play)?.blocked ?? [];
  if (blocked.length === 0) return;
  const { digest, document } = play.random.pick(blocked);
  const uid = /^([a-z2-7]{26})\./.exec(document.subject)?.[1];
  order(play, 'approve', { digest }, some(play), {
    ...(uid === undefined ? {} : { uid }),
    ...(document.verb === 'guest-remove' ? { lossSet: document.lossSet } : {}),
  });
}

export function decommissions(play: Play): void {
  const { world, random } = play;
  const guests = registered(world);
  if (report(play) === undefined || guests.length === 0) return;
  const { uid, incarnation, volumes } = random.pick(guests);
  const all = volumes.map(({ volid }) => volid).toSorted();
  // People can be mistaken about what is lost.
  const lossSet = random.chance(0.85) ? all : all.slice(1);
  const params = { guest: { uid, incarnation }, lossSet, backups: 'keep' as const };
  order(play, 'decommission', params, some(play, random.chance(0.7) ? 2 : 1), { uid, lossSet });
}

/** Another signature over the same bytes. */
export function cosigns(play: Play): void {
  const { random, world, book } = play;
  const alone = book.orders.filter(({ by }) => by.size < 3);
  if (alone.length === 0) return;
  const chosen = random.pick(alone);
  const person = random.pick(labPeople);
  chosen.by.add(person);
  deliver(play, sealed(chosen.payload, [world.people[person]]));
  play.note(`${person} signs ${chosen.kind} ${chosen.jobId.slice(0, 6)} too`);
}

export function cancels(play: Play): void {
  const open = (report(play)?.jobs ?? []).filter(({ state }) =>
    ['waiting', 'cooling-off', 'quarantine'].includes(state),
  );
  if (open.length === 0) return;
  const { jobId } = play.random.pick(open);
  const about = play.book.orders.find((each) => each.jobId === jobId)?.uid;
  order(play, 'cancel', { job: jobId }, some(play), about === undefined ? {} : { uid: about });
}

export function holds(play: Play): void {
  const { random, world } = play;
  if (report(play) === undefined || play.repairs.has('hold')) return;
  const [guest] = random.chance(0.5) ? registered(world) : [];
  const scope = guest === undefined ? 'host' : { uid: guest.uid, incarnation: guest.incarnation };
  const key = guest?.uid ?? 'host';
  order(play, 'hold', { scope, set: true }, some(play), { hold: { scope: key, set: true } });
  play.repairs.set('hold', () => {
    if (guest !== undefined && !registered(world).some(({ uid }) => uid === guest.uid)) return;
    if (world.hub.lastStatement() !== undefined)
      order(play, 'hold', { scope, set: false }, some(play), { hold: { scope: key, set: false } });
  });
}

export function changesTrust(play: Play): void {
  const trust = report(play)?.trust;
  if (trust?.is !== 'held') return;
  const { world, random } = play;
  const { document, digest } = trust;
  const out = random.pick(labPeople);
  const keyLine = world.people[out].keyLine;
  const others = document.signers.filter(({ principal }) => principal !== out);
  const [sample] = document.signers;
  const signers =
    others.length < document.signers.length || sample === undefined
      ? others
      : [...others, { ...sample, principal: out, key: keyLine }];
  if (signers.length < 2) return;
  const params = { before: digest, document: { ...document, version: document.version + 1, signers } };
  order(play, 'trust-change', params, some(play), { trusts: signers.map(({ principal }) => principal).join() });
}

export function adopts(play: Play): void {
  const strangers = report(play)?.strangers ?? [];
  if (strangers.length === 0) return;
  const { vmid, configDigest, volumes } = play.random.pick(strangers);
  play.named += 1;
  const params = { vmid, name: `a${play.named}`, configDigest, volumes } as JobOf<'adopt'>['params'];
  order(play, 'adopt', params, some(play), { adopts: vmid });
}
