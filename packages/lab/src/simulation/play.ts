/** One simulated history under way: the world, who watches it, what is wished for, and what is written down of it. */
import type { CrashPoint } from '@felhom/agent';
import { desiredState, digestOfText, hostStatementKind, parseVersionedJson } from '@felhom/protocol';
import type { SignedStatement } from '@felhom/protocol';
import type { LabGuest } from '../world/desired.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { isPowered } from './ledger.ts';
import type { Ledger } from './ledger.ts';
import type { Book } from './orders.ts';
import type { SimRandom } from './sim-random.ts';

export interface Play {
  readonly world: SimWorld;
  readonly random: SimRandom;
  readonly ledger: Ledger;
  readonly book: Book;
  /** Challenges and statements that the host showed, by their first sight. */
  readonly challenges: { readonly challenge: string; readonly at: number }[];
  readonly statements: SignedStatement[];
  /** Nothing is asked for or done by people that only a signature could carry out or mend: it must converge. */
  readonly isMild: boolean;
  /** People sign more than they do anything else. */
  readonly isSigned: boolean;
  /** What every document asks for besides guests. */
  readonly asks?: Readonly<Record<string, unknown>>;
  /** What the last good document asks for. */
  wanted: readonly LabGuest[];
  /** Digest of the newest document of the hub. */
  newest: string;
  /** Names given so far; none is used twice. */
  named: number;
  /** Undoes mishaps that last, by what they are; called when all is healed. */
  readonly repairs: Map<string, () => void>;
  /** Whether a supervisor starts the agent again when it ends. */
  supervised: boolean;
  note(text: string): void;
}

/** Asks the hub for something else. A document that does not read is one that nobody meant. */
export function publish(play: Play, guests: readonly unknown[]): void {
  const { hub } = play.world;
  if (hub.mood === 'forged') hub.mood = 'well';
  const text = hub.publish(guests, play.asks);
  play.newest = digestOfText(text);
  if (desiredState.safeParse(JSON.parse(text)).success) play.ledger.goodDocuments.add(digestOfText(text));
}

/** Time passes; whoever ends is started again after a while, as systemd would. */
export async function pass(play: Play, ms: number): Promise<void> {
  const { world } = play;
  const end = world.clock.monotonicMs() + ms;
  for (let left = ms; left > 0; left = end - world.clock.monotonicMs()) {
    await world.clock.advance(Math.min(left, chunkMs));
    await supervise(play);
  }
}

const chunkMs = 10_000;
const restartMs = 5_000;

export async function supervise(play: Play): Promise<void> {
  const { world } = play;
  const life = world.life();
  const ended = life === undefined || !isPowered(world) || life.halted() !== undefined;
  if (!ended || !play.supervised) return;
  if (life !== undefined) play.note(`the agent is gone: ${life.power.crashedAt ?? life.halted()?.code ?? 'cut'}`);
  world.cut();
  await world.clock.advance(restartMs);
  start(play);
}

export function start(play: Play, cutsAt?: (point: CrashPoint, nth: number) => boolean): void {
  play.supervised = true;
  play.world.boot(cutsAt);
}

/** A call by root, as a person at the console; answers the body's data, or `undefined` when it was refused. */
export async function asRoot(
  { world }: Play,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  params: Readonly<Record<string, unknown>> = {},
): Promise<unknown> {
  const answer = await world.clock.runUntil(
    world.node.handle({ method, path: `/nodes/${world.node.name}${path}`, params, as: 'root@pam' }),
  );
  if (answer.status !== 200) return undefined;
  return (answer.body as { readonly data: unknown }).data;
}

/** As `asRoot`, and waits until the worker has ended; true when it ended well. */
export async function taskAsRoot(
  play: Play,
  ...call: Parameters<typeof asRoot> extends [Play, ...infer R] ? R : never
) {
  const { world } = play;
  const upid = await asRoot(play, ...call);
  if (typeof upid !== 'string') return false;
  await world.clock.runUntil(world.node.tasks.settled(upid));
  return /^(?:OK|WARNINGS)/.test(world.node.tasks.find(upid)?.exitStatus ?? '');
}

/** Writes down what the host shows with each poll. */
export function listen({ world, challenges, statements }: Play): void {
  world.hub.onPoll = ({ statement }) => {
    if (statement === undefined) return;
    statements.push(statement);
    const said = parseVersionedJson(hostStatementKind, statement.text);
    if (said.is !== 'ok') return;
    const { challenge } = said.value;
    if (challenges.at(-1)?.challenge !== challenge) challenges.push({ challenge, at: world.clock.bootMs() });
  };
}
