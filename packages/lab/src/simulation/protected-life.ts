/**
 * One seed, one history of guests that are protected: copies every few minutes, restore-tests, apps that are held still,
 * guests that are lost, copies that rot and restores that people sign. Heavier than `run-seed` and as short as can be.
 */
import { createHash } from 'node:crypto';
import { createSimWorld } from '../world/sim-world.ts';
import { diagnosis, openSagas } from '../world/traces.ts';
import { createLedger } from './ledger.ts';
import * as mishaps from './mishaps.ts';
import { listen, pass, publish, start, supervise } from './play.ts';
import type { Play } from './play.ts';
import * as events from './protection-events.ts';
import type { Protected } from './protection-events.ts';
import { watchProtection } from './protection-watch.ts';
import type { SeedResult } from './run-seed.ts';
import { createSimRandom } from './sim-random.ts';
import { changeMood } from './wishes.ts';

const minute = 60_000;
const hour = 60 * minute;

type Event = (scene: Protected) => void | Promise<void>;
const ofPlay =
  (event: (play: Play) => void | Promise<void>): Event =>
  ({ play }) =>
    event(play);

const kinds: readonly { readonly weight: number; readonly event: Event }[] = [
  { weight: 6, event: events.changes },
  { weight: 16, event: events.callFails },
  { weight: 12, event: events.workerDies },
  { weight: 12, event: events.untilApartStands },
  { weight: 10, event: events.programsDie },
  { weight: 14, event: ofPlay(mishaps.powerLoss) },
  { weight: 5, event: ofPlay(mishaps.nodeReboots) },
  { weight: 3, event: ofPlay(mishaps.stopped) },
  { weight: 4, event: ofPlay(changeMood) },
  { weight: 4, event: ofPlay(mishaps.storageTrouble) },
  { weight: 4, event: ofPlay(mishaps.slowness) },
  { weight: 20, event: ofPlay(mishaps.mended) },
  { weight: 8, event: events.guestLost },
  { weight: 6, event: events.archiveRots },
  { weight: 3, event: events.foreignBackup },
  { weight: 8, event: ({ play }) => aDayAsleep(play) },
  { weight: 8, event: events.overwrites },
  { weight: 8, event: events.endsWindow },
  { weight: 4, event: events.deletesCopy },
  { weight: 2, event: events.restoresCopy },
  { weight: 3, event: events.wantsBackup },
];

/** What is due once a day becomes due, and costs nothing. */
function aDayAsleep(play: Play): void {
  play.note('the machine sleeps for 25 h');
  play.world.clock.suspend(25 * hour);
}

const whileAtWork = [0, 100, 700, 2_000, 6_000, 20_000];
const betweenTimes = [1_000, 30_000, 2 * minute, 6 * minute, 11 * minute];
const removal = { coolOffMinutes: 1, quarantineHours: 0.05, perDay: 2 };
const policy = {
  limits: { blastRadius: 50, growPercentPerDay: 400 },
  removal,
  backups: {
    targets: {
      local: { storage: 'backup', class: 'fast' },
      offsite: { storage: 'offsite', class: 'slow', offsite: true },
    },
    minIntervalMinutes: 5,
    captureSeconds: 60,
  },
  restoreTests: { bootSeconds: 60, healthySeconds: 30 },
};

/** One history of `length` events. */
export async function runProtectedSeed(
  seed: number,
  onNote: (line: string) => void = () => undefined,
  length = 16,
): Promise<SeedResult> {
  const world = await createSimWorld({ seed, guestRange: 14, reconcileMs: minute, policy, programs: true });
  const random = createSimRandom(seed).fork('script');
  const trail: string[] = [];
  const ledger = createLedger(world, {
    coolOffMs: removal.coolOffMinutes * minute,
    quarantineMs: removal.quarantineHours * hour,
    perDay: removal.perDay,
  });
  const play: Play = {
    world,
    random,
    ledger,
    book: ledger.book,
    challenges: [],
    statements: [],
    isMild: true,
    isSigned: false,
    asks: { backups: events.plan({ random }) },
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
  const violations = ledger.violations as string[];
  const watch = watchProtection(world, ledger.book, (text) => {
    if (!violations.includes(text)) violations.push(text);
  });
  const scene: Protected = { play, watch };
  listen(play);
  play.wanted = events.firstGuests(play);
  publish(play, play.wanted);
  start(play);
  // What breaks is to break among copies.
  await pass(play, 13 * minute);
  let done = 0;
  while (done < length && violations.length === 0) {
    await pickEvent(random)(scene);
    done += 1;
    await supervise(play);
    ledger.check();
    await pass(play, random.pick(openSagas(world).length > 0 ? whileAtWork : betweenTimes));
    ledger.check();
  }
  if (violations.length === 0) violations.push(...(await epilogue(scene)));
  watch.stop();
  if (violations.length > 0) for (const line of diagnosis(world)) play.note(line);
  play.note(`${watch.copies()} copies`);
  const life = world.life();
  if (life !== undefined) await world.clock.runUntil(life.agent.stop());
  world.cut();
  const tasks = world.node.tasks.all().map(({ upid, exitStatus }) => `${upid} ${exitStatus}`);
  const hash = createHash('sha256')
    .update([...trail, ...tasks, String(world.requests())].join('\n'))
    .digest('hex');
  return { seed, events: done, violations: [...violations], trail, hash };
}

function pickEvent(random: Play['random']): Event {
  let left = random.int(kinds.reduce((sum, { weight }) => sum + weight, 0));
  for (const { weight, event } of kinds) {
    if (left < weight) return event;
    left -= weight;
  }
  return events.changes;
}

/** Everything is mended and nobody disturbs any more: all comes to rest, and every guest has a young copy on every tier. */
async function epilogue({ play, watch }: Protected): Promise<readonly string[]> {
  const { world, ledger } = play;
  play.note('everything is mended');
  mishaps.healAll(play);
  // Somebody who plans no more copies sees which of the last ones are there.
  publish(play, play.wanted);
  world.cut();
  start(play);
  await pass(play, minute);
  for (const { id, parked } of openSagas(world)) if (parked) world.life()?.agent.resumeSaga(id, 'operator');
  let missing: readonly string[] = ['nobody looked'];
  for (let minutes = 0; minutes < 90 && missing.length > 0; minutes += 1) {
    await pass(play, minute);
    missing = restless(play);
    if (ledger.violations.length > 0) return [];
  }
  ledger.check();
  ledger.book.checkChain();
  const problems = [...missing, ...(await watch.end())];
  for (const problem of problems) play.note(`VIOLATION ${problem}`);
  if (problems.length > 0) play.note(JSON.stringify(world.life()?.agent.report(), undefined, 1));
  return problems;
}

/** Whatever is still to come before there is peace. What is a matter for people is said and stays. */
function restless({ world, wanted }: Play): readonly string[] {
  const report = world.life()?.agent.report();
  if (report === undefined) return ['nobody is there to report'];
  const forPeople = (name: string): boolean =>
    report.findings.some(({ key, subject }) => key.startsWith('guest.lost') && subject === name);
  const guests = wanted.filter(({ name }) => !forPeople(name));
  const mayDiffer = guests.length < wanted.length || report.guests.length > wanted.length;
  return [
    ...openSagas(world).map(({ id, parked }) => `saga ${id} is ${parked ? 'parked' : 'under way'}`),
    ...(report.converged || mayDiffer ? [] : ['it does not converge']),
    ...guests.flatMap(({ name }) =>
      ['local', 'offsite'].flatMap((tier) => {
        const line = report.backups.find((one) => one.guest === name && one.tier === tier);
        if (line?.rpoMs === undefined) return [`no RPO of ${name} on ${tier}`];
        return line.state === 'ok' || line.state === 'unproven' ? [] : [`${name} on ${tier} is ${line.state}`];
      }),
    ),
  ];
}
