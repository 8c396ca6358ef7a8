/**
 * The matrix: every registered saga × every crash point × what happens while the agent is down, and again a crash
 * during the replay. Generated from the registry; the only tables are the stories and the points nobody comes by.
 */
import { crashPointsOf, createSagaRegistry } from '@felhom/agent';
import type { AnySaga, CrashPoint } from '@felhom/agent';
import type { SimRandom } from '../simulation/sim-random.ts';
import { interludes, runCase } from './run-case.ts';
import type { CaseResult, CrashCase } from './run-case.ts';
import { stories } from './stories.ts';
import { unreachable } from './unreachable.ts';

export interface MatrixOptions {
  readonly random: SimRandom;
  readonly saga?: string;
  /** Only every so-many-eth saga: what several processes at once share out among them. */
  readonly part?: { readonly at: number; readonly of: number };
  readonly point?: string;
  /** Every variant with every interlude, and a second crash at every point of every replay. */
  readonly full: boolean;
  /** Of the points of sparse stories, which are many and slow, this share is drawn; 1 unless told. */
  readonly points?: number;
  /** Of the generated first crashes, this share is run; 1 unless told. */
  readonly share?: number;
  readonly onResult?: (done: CrashCase, result: CaseResult) => void;
}

export interface MatrixReport {
  readonly cases: number;
  readonly failures: readonly { readonly asked: CrashCase; readonly problems: readonly string[] }[];
  /** Asked for, and no variant of the story came by. */
  readonly notReached: readonly CrashPoint[];
  /** Disagreements between the tables and the registry. */
  readonly complaints: readonly string[];
}

export async function runMatrix(options: MatrixOptions): Promise<MatrixReport> {
  const sagas = createSagaRegistry()
    .all.filter((_, at) => options.part === undefined || at % options.part.of === options.part.at)
    .filter(({ name }) => options.saga === undefined || name === options.saga);
  const failures: { asked: CrashCase; problems: readonly string[] }[] = [];
  const asked = new Set<CrashPoint>();
  const reached = new Set<CrashPoint>();
  let cases = 0;
  const run = async (crash: CrashCase): Promise<CaseResult> => {
    const result = await runCase(crash);
    options.onResult?.(crash, result);
    if (result.is === 'not-reached') return result;
    cases += 1;
    reached.add(crash.point);
    if (result.is === 'failed') failures.push({ asked: crash, problems: result.problems });
    return result;
  };
  /** Ways of a story that lead past a step's undo, which most do: found out once. */
  const barren = new Set<string>();
  const tellings = new Map<CrashPoint, { readonly told: number; readonly came: number }>();
  // Drawn by name, so that a saga has the same cases whichever others are asked for.
  const drawn = sagas.map((saga) => ({ saga, random: options.random.fork(saga.name) }));
  const firsts = drawn.flatMap(({ saga, random }) =>
    firstCrashes(saga, { ...options, random }).map((first) => ({ first, random })),
  );
  for (const { first, random } of firsts) {
    if (!random.chance(options.share ?? 1)) continue;
    asked.add(first.point);
    const way = `${first.point.slice(0, first.point.lastIndexOf('/'))} ${first.variant}`;
    if (!options.full && barren.has(way)) continue;
    const told = tellings.get(first.point) ?? { told: 0, came: 0 };
    if (!options.full && isEnough(first, told.told, told.came)) continue;
    const result = await run(first);
    const came = told.came + (result.is === 'not-reached' ? 0 : 1);
    tellings.set(first.point, { told: told.told + 1, came });
    if (result.is === 'not-reached' && first.point.endsWith('/undo/before-intent')) barren.add(way);
    for (const again of secondCrashes(result, { ...options, random })) await run({ ...first, again });
  }
  const notReached = [...asked].filter((point) => !reached.has(point));
  // Of a draw it is chance which ways were tried for a slow story.
  const judged = notReached.filter((crash) => (options.points ?? 1) === 1 || !isSparse(crash));
  return { cases, failures, notReached, complaints: complaintsAbout(sagas, judged, reached) };
}

/**
 * `well` reaches what a run comes by, the spoiled variants what an unwinding comes by; both are tried for both. A sparse
 * story is told until it came by often enough, with whatever happens meanwhile.
 */
function firstCrashes(
  saga: AnySaga,
  { point, full, random, share = 1, points = 1 }: MatrixOptions,
): readonly CrashCase[] {
  const story = stories[saga.name];
  if (story === undefined) return [];
  const spoils = Object.keys(story.spoils);
  return crashPointsOf(saga)
    .filter((candidate) => point === undefined || candidate === point || candidate.startsWith(`${point}/`))
    .filter(() => story.sparse === undefined || full || points === 1 || random.chance(points))
    .flatMap((candidate) => {
      const variants = (): readonly string[] => {
        const everyOne = isUndo(candidate) ? spoils : ['well', ...spoils];
        if (full || isUndo(candidate)) return everyOne;
        if (story.sparse === undefined) return ['well', random.pick(spoils)];
        return story.sparse === true ? ['well', ...shuffled(spoils, random)] : shuffled(everyOne, random);
      };
      const ways =
        story.sparse !== undefined && !full
          ? variants().map((variant) => ({ variant, interlude: random.pick(interludes) }))
          : interludes.flatMap((interlude) => variants().map((variant) => ({ variant, interlude })));
      // A sample wants no ways that are there for where the ones before do not lead.
      const some = story.sparse === undefined || share === 1 ? ways : ways.slice(0, 2);
      return some.map((way) => ({ saga: saga.name, story, ...way, point: candidate, seed: random.int(2 ** 31) }));
    });
}

/** Of a sparse story: once is enough for an unwinding, which is the same whatever made it turn back. */
function isEnough({ story, point }: CrashCase, told: number, came: number): boolean {
  if (story.sparse === undefined) return false;
  return came >= (isUndo(point) || story.sparse === 'once' ? 1 : 2) || (told >= 2 && Object.hasOwn(unreachable, point));
}

function shuffled(names: readonly string[], random: SimRandom): readonly string[] {
  return names
    .map((name) => ({ name, at: random.int(2 ** 31) }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ name }) => name);
}

const isSparse = (point: CrashPoint): boolean => stories[point.slice(0, point.indexOf('/'))]?.sparse !== undefined;

const isUndo = (point: CrashPoint): boolean => point.includes('/undo/');

function secondCrashes({ replayed }: CaseResult, { full, random }: MatrixOptions): readonly number[] {
  if (replayed.length === 0) return [];
  if (full) return replayed.map((_, at) => at + 1);
  return random.chance(0.2) ? [1 + random.int(replayed.length)] : [];
}

function complaintsAbout(
  sagas: readonly AnySaga[],
  notReached: readonly CrashPoint[],
  reached: ReadonlySet<CrashPoint>,
): readonly string[] {
  const explained = (point: CrashPoint): boolean => Object.hasOwn(unreachable, point);
  return [
    ...sagas.filter(({ name }) => stories[name] === undefined).map(({ name }) => `saga ${name} has no story`),
    ...notReached.filter((point) => !explained(point)).map((point) => `no story comes by ${point}`),
    ...[...reached].filter(explained).map((point) => `${point} is in the table of unreachable points and was reached`),
  ];
}
