/**
 * `npm run simulate -- [--seeds N] [--protected N] [--from N] [--events N] | --seed N [--life protected] [--trace]`: random
 * histories, everything checked after every event; some of them of guests that are backed up, lost and restored. A failure
 * prints its seed, the last events and the command that repeats it.
 */
import { parseArgs } from 'node:util';
import { runProtectedSeed } from './protected-life.ts';
import { runSeed } from './run-seed.ts';
import type { SeedResult } from './run-seed.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    from: { type: 'string', default: '1' },
    protected: { type: 'string', default: '0' },
    /** Of a protected history. */
    events: { type: 'string', default: '16' },
    life: { type: 'string', default: 'plain' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});
const shownEvents = 25;

const one = values.seed === undefined ? undefined : Number(values.seed);
const from = one ?? Number(values.from);
const seeds = one === undefined ? Number(values.seeds) : values.life === 'plain' ? 1 : 0;
const protectedSeeds = one === undefined ? Number(values.protected) : 1 - seeds;
const trace = one !== undefined && values.trace;

const startedAt = performance.now();
let [events, failed] = [0, 0];
const onNote = trace ? (line: string): void => console.log(line) : undefined;
for (let seed = from; seed < from + seeds; seed += 1) take(await runSeed(seed, onNote), '');
for (let seed = from; seed < from + protectedSeeds; seed += 1)
  take(await runProtectedSeed(seed, onNote, Number(values.events)), ' --life protected');
console.log(`took ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
console.log(
  `simulation: ${seeds} + ${protectedSeeds} seeds, ${events} events, ${failed === 0 ? '0 violations' : `${failed} seeds with violations`}`,
);
process.exitCode = failed === 0 ? 0 : 1;

function take(result: SeedResult, life: string): void {
  events += result.events;
  if (result.violations.length === 0) return;
  failed += 1;
  complain(result, life);
}

function complain({ seed, violations, trail, hash }: SeedResult, life: string): void {
  console.log(`seed ${seed} (${hash.slice(0, 12)}):`);
  if (!trace) for (const line of trail.slice(-shownEvents)) console.log(`  ${line}`);
  for (const violation of violations) console.log(`  VIOLATION ${violation}`);
  console.log(`  to repeat: npm run simulate -- --seed ${seed}${life} --trace`);
}
