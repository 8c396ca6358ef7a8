/**
 * One seed, one history: a world, twenty to sixty events, a look at everything after each, and in the end a healed
 * world in which whatever is wished for is there or named.
 */
import { createHash } from 'node:crypto';
import type { LabGuest } from '../world/desired.ts';
import { createSimWorld } from '../world/sim-world.ts';
import { diagnosis, openSagas, registered } from '../world/traces.ts';
import { createLedger } from './ledger.ts';
import { hubTurns } from './hostile-hub.ts';
import * as mishaps from './mishaps.ts';
import * as people from './people.ts';
import { listen, pass, start, supervise } from './play.ts';
import type { Play } from './play.ts';
import * as signing from './signing.ts';
import { createSimRandom } from './sim-random.ts';
import { changeMood, nonsensicalWish, wish } from './wishes.ts';
import { publish } from './play.ts';

export interface SeedResult {
  readonly seed: number;
  readonly events: number;
  readonly violations: readonly string[];
  /** The story, one line each, with its moment. */
  readonly trail: readonly string[];
  /** Same seed, same hash. */
  readonly hash: string;
}

type Event = (play: Play) => void | Promise<void>;

interface Kind {
  /** How often it comes, relative to the others. */
  readonly weight: number;
  readonly event: Event;
  /** Leaves behind what only a person or a signature settles; left out of mild histories. */
  readonly harsh?: true;
  /** Every fourth history is mostly about what is signed. */
  readonly signed?: true;
}

const signedFactor = 4;

const kinds: readonly Kind[] = [
  { weight: 34, event: wish },
  { weight: 3, event: nonsensicalWish },
  { weight: 6, event: changeMood },
  { weight: 20, event: mishaps.callFails },
  { weight: 4, event: mishaps.vmidIsTaken },
  { weight: 12, event: mishaps.workerDies },
  { weight: 5, event: mishaps.guestsCannotStart },
  { weight: 4, event: mishaps.nodeReboots },
  { weight: 14, event: mishaps.powerLoss },
  { weight: 3, event: mishaps.stopped },
  { weight: 3, event: mishaps.clockJumps },
  { weight: 3, event: mishaps.suspended },
  { weight: 4, event: mishaps.storageTrouble },
  { weight: 4, event: mishaps.slowness },
  { weight: 1, event: mishaps.rightsLost },
  { weight: 2, event: mishaps.tokenRevoked },
  { weight: 1, event: mishaps.goldenMissing },
  { weight: 30, event: mishaps.mended },
  { weight: 4, event: people.memoryEdited },
  { weight: 4, event: people.guestStopped },
  { weight: 2, event: people.markerDeleted, harsh: true },
  { weight: 2, event: people.guestDestroyed, harsh: true },
  { weight: 3, event: people.archiveRestored, harsh: true },
  { weight: 2, event: (play) => play.world.clock.runUntil(people.strangerMoves(play)) },
  { weight: 2, event: people.volumeLeftLying },
  { weight: 2, event: people.guestLocked },
  { weight: 1, event: people.leftPool },
  { weight: 8, event: hubTurns },
  { weight: 10, event: signing.approves, harsh: true, signed: true },
  { weight: 14, event: signing.decommissions, harsh: true, signed: true },
  { weight: 5, event: signing.cosigns, harsh: true, signed: true },
  { weight: 3, event: signing.cancels, harsh: true, signed: true },
  { weight: 2, event: signing.holds, harsh: true, signed: true },
  { weight: 2, event: signing.changesTrust, harsh: true, signed: true },
  { weight: 3, event: signing.adopts, harsh: true, signed: true },
  { weight: 6, event: (play) => pass(play, 6 * minute), harsh: true, signed: true },
];
/** Short enough that a history sees the end of a removal. */
const removal = { coolOffMinutes: 1, quarantineHours: 0.05, perDay: 2 };
const guestRange = 12;
const reconcileMs = 60_000;
/** Pauses between events, milliseconds: what happens shall happen in the middle of something. */
const whileAtWork = [0, 1, 200, 700, 1_500, 4_000, 20_000];
const betweenTimes = [0, 500, 10_000, 45_000, 60_000, 120_000];
const minute = 60_000;

export async function runSeed(seed: number, onNote: (line: string) => void = () => undefined): Promise<SeedResult> {
  // The usual limits would end most stories early; some keep them.
  const isMild = seed % 2 === 1;
  const limits = seed % 4 === 0 ? {} : { blastRadius: 50, growPercentPerDay: 400 };
  const world = await createSimWorld({ seed, guestRange, reconcileMs, policy: { limits, removal } });
  const random = createSimRandom(seed).fork('script');
  const trail: string[] = [];
  const ledger = createLedger(world, {
    coolOffMs: removal.coolOffMinutes * minute,
    quarantineMs: removal.quarantineHours * 60 * minute,
    perDay: removal.perDay,
  });
  const play: Play = {
    world,
    random,
    ledger,
    book: ledger.book,
    challenges: [],
    statements: [],
    isMild,
    isSigned: seed % 4 === 2,
    wanted: [],
    newest: '',
    named: 0,
    repairs: new Map(),
    supervised: true,
    note: (text) => {
      const line = `${(world.clock.monotonicMs() / 1000).toFixed(3).padStart(10)}  ${text}`;
      trail.push(line);
      onNote(line);
    },
  };
  listen(play);
  start(play);
  await wish(play);
  const count = 20 + random.int(41);
  let done = 0;
  while (done < count && ledger.violations.length === 0) {
    await pickEvent(play)(play);
    done += 1;
    await supervise(play);
    ledger.check();
    await pass(play, random.pick(openSagas(world).length > 0 ? whileAtWork : betweenTimes));
    ledger.check();
  }
  if (ledger.violations.length === 0) await epilogue(play);
  const violations = [...ledger.violations];
  if (violations.length > 0) for (const line of diagnosis(world)) play.note(line);
  const life = world.life();
  if (life !== undefined) await world.clock.runUntil(life.agent.stop());
  world.cut();
  const tasks = world.node.tasks.all().map(({ upid, exitStatus }) => `${upid} ${exitStatus}`);
  const hash = createHash('sha256')
    .update([...trail, ...tasks, String(world.requests())].join('\n'))
    .digest('hex');
  return { seed, events: done, violations, trail, hash };
}

function pickEvent({ random, isMild, isSigned }: Play): Event {
  const possible = kinds
    .filter(({ harsh }) => !isMild || harsh !== true)
    .map((kind) => (isSigned && kind.signed === true ? { ...kind, weight: kind.weight * signedFactor } : kind));
  let left = random.int(possible.reduce((sum, { weight }) => sum + weight, 0));
  for (const { weight, event } of possible) {
    if (left < weight) return event;
    left -= weight;
  }
  return wish;
}

/** Everything is mended and the agent begins afresh; what is wished for must be there, or the report says why not. */
async function epilogue(play: Play): Promise<void> {
  const { world, ledger } = play;
  play.note('everything is mended');
  mishaps.healAll(play);
  publish(play, play.wanted);
  world.cut();
  start(play);
  await pass(play, minute);
  // An operator sees to what is parked, as the report says.
  for (const { id, parked } of openSagas(world)) if (parked) world.life()?.agent.resumeSaga(id, 'operator');
  const isDone = (): boolean => world.life()?.agent.report().converged === true;
  for (let minutes = 0; minutes < 20 && !isDone(); minutes += 1) await pass(play, minute);
  const working = (): boolean => openSagas(world).some(({ parked }) => !parked);
  for (let hours = 0; hours < 12 && working(); hours += 1) await pass(play, 60 * minute);
  ledger.check();
  ledger.book.checkChain();
  const problems = [
    ...openSagas(world).flatMap(({ id, parked }) => (parked ? [] : [`saga ${id} neither ends nor parks`])),
    ...unexplained(play),
    ...(play.isMild && !isDone() ? ['everything is mended, nothing needs a signature, and it does not converge'] : []),
  ];
  for (const problem of problems) play.note(`VIOLATION ${problem}`);
  if (problems.length > 0) play.note(JSON.stringify(world.life()?.agent.report(), undefined, 1));
  (ledger.violations as string[]).push(...problems);
}

/** Guests that are neither as wished nor spoken of; a report that claims to be converged is taken at its word. */
function unexplained({ world, wanted }: Play): readonly string[] {
  const agent = world.life()?.agent;
  if (agent === undefined) return ['nobody is there to say what is missing'];
  const report = agent.report();
  const spoken = JSON.stringify([report.findings, report.blocked, report.parked, report.sagas, report.jobs]);
  const records = registered(world);
  const isNamed = (name: string): boolean => {
    const uid = records.find((record) => record.name === name)?.uid;
    return (
      spoken.includes(`"${name}"`) || spoken.includes(`"guest:${name}"`) || (uid !== undefined && spoken.includes(uid))
    );
  };
  const surplus = records.filter((record) => !wanted.some(({ name }) => name === record.name));
  return [
    ...wanted.flatMap((guest) => {
      const lacks = shortcomings(guest, world);
      if (lacks === undefined) return [];
      if (report.converged) return [`the report says converged, and guest ${guest.name} ${lacks}`];
      return isNamed(guest.name) ? [] : [`guest ${guest.name} ${lacks}, and nothing in the report is about it`];
    }),
    ...surplus.filter(({ name }) => !isNamed(name)).map(({ name }) => `guest ${name} is surplus, and nobody says so`),
  ];
}

/** Judged by the node's own files. */
function shortcomings(guest: LabGuest, world: Play['world']): string | undefined {
  const record = registered(world).find(({ name }) => name === guest.name);
  if (record === undefined) return 'is not on record';
  const config = world.host.rawConfig(record.vmid);
  if (config === undefined) return `has no config at ${record.vmid}`;
  const value = (key: string): string | undefined => new RegExp(`^${key}: (.*)$`, 'm').exec(config)?.[1];
  if (value('memory') !== String(guest.memoryMiB)) return `has memory ${value('memory')}, not ${guest.memoryMiB}`;
  if (value('cores') !== String(guest.cores)) return `has ${value('cores')} cores, not ${guest.cores}`;
  if (!config.includes(`felhom%3A${record.uid}`)) return 'lacks its marker';
  for (const { path, sizeGiB } of guest.volumes)
    if (!new RegExp(`^mp\\d+: .*mp=${path},.*size=${sizeGiB}G`, 'm').test(config)) return `lacks volume ${path}`;
  if (!world.node.guests.isRunning(record.vmid)) return 'does not run';
  return undefined;
}
