/**
 * `npm run simulate -- [--seeds N] [--from N] | --seed N [--trace]`: random histories, everything checked after every
 * event. A failure prints its seed, the last events and the command that repeats it.
 */
import { parseArgs } from 'node:util';
import { runSeed } from './run-seed.ts';
import type { SeedResult } from './run-seed.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});
const shownEvents = 25;

const one = values.seed === undefined ? undefined : Number(values.seed);
const from = one ?? Number(values.from);
const seeds = one === undefined ? Number(values.seeds) : 1;
const trace = one !== undefined && values.trace;

const startedAt = performance.now();
let [events, failed] = [0, 0];
for (let seed = from; seed < from + seeds; seed += 1) {
  const result = await runSeed(seed, trace ? (line) => console.log(line) : undefined);
  events += result.events;
  if (result.violations.length === 0) continue;
  failed += 1;
  complain(result);
}
console.log(`took ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
console.log(
  `simulation: ${seeds} seeds, ${events} events, ${failed === 0 ? '0 violations' : `${failed} seeds with violations`}`,
);
process.exitCode = failed === 0 ? 0 : 1;

function complain({ seed, violations, trail, hash }: SeedResult): void {
  console.log(`seed ${seed} (${hash.slice(0, 12)}):`);
  if (!trace) for (const line of trail.slice(-shownEvents)) console.log(`  ${line}`);
  for (const violation of violations) console.log(`  VIOLATION ${violation}`);
  console.log(`  to repeat: npm run simulate -- --seed ${seed} --trace`);
}
