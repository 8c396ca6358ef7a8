/**
 * `npm run crash-matrix [-- --saga NAME] [--point SAGA/STEP[/DIRECTION[/MOMENT]]] [--full] [--seed N]`: the power goes at every
 * point of every saga, and everything adds up afterwards. Every failed case is printed with what is wrong. `--part I/N` is
 * every N-th saga only; `--points 0.5` draws half of the points of the stories that are slow to tell.
 */
import { parseArgs } from 'node:util';
import { createSimRandom } from '../simulation/sim-random.ts';
import { runMatrix } from './matrix.ts';
import type { CrashCase } from './run-case.ts';
import { unreachable } from './unreachable.ts';

const { values } = parseArgs({
  options: {
    saga: { type: 'string' },
    part: { type: 'string' },
    points: { type: 'string', default: '1' },
    point: { type: 'string' },
    full: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    verbose: { type: 'boolean', default: false },
  },
});

const nameOf = ({ point, variant, interlude, again, seed }: CrashCase): string =>
  `${point} · ${variant} · ${interlude}${again === undefined ? '' : ` · again at replayed point ${again}`} · seed ${seed}`;

const [at = 0, of = 0] = (values.part ?? '').split('/').map(Number);
if (values.part !== undefined && !(at >= 1 && at <= of)) throw new Error('cannot run a part: it is I/N, as 1/2');

const startedAt = performance.now();
const report = await runMatrix({
  random: createSimRandom(Number(values.seed)),
  full: values.full,
  points: Number(values.points),
  ...(values.saga === undefined ? {} : { saga: values.saga }),
  ...(values.part === undefined ? {} : { part: { at: at - 1, of } }),
  ...(values.point === undefined ? {} : { point: values.point }),
  onResult: (asked, { is, problems }) => {
    if (values.verbose) console.log([`${is.padEnd(12)} ${nameOf(asked)}`, ...problems].join('\n    '));
  },
});
for (const { asked, problems } of report.failures) {
  console.log(`failed: ${nameOf(asked)}`);
  for (const problem of problems) console.log(`    ${problem.replaceAll('\n', '\n    ')}`);
}
for (const complaint of report.complaints) console.log(`complaint: ${complaint}`);
const reasons = new Map(Object.entries(unreachable));
for (const point of report.notReached) console.log(`not reached: ${point}: ${reasons.get(point) ?? 'not explained'}`);
const seconds = Math.round((performance.now() - startedAt) / 1000);
const explained = report.complaints.length === 0 ? 'explained' : `${report.complaints.length} complaints`;
console.log(`took ${seconds} s`);
console.log(
  `crash matrix: ${report.cases} cases, ${report.failures.length} failed, ${report.notReached.length} points not reached (${explained})`,
);
process.exitCode = report.failures.length + report.complaints.length === 0 ? 0 : 1;
