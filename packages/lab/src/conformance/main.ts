/**
 * `npm run conformance -- [--dir DIR] [--json] [--file NN]`: replays recorded exchanges with a real Proxmox VE against
 * the fake. Without recordings there is nothing to do, and it says so.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createBench } from './bench.ts';
import { beganAt, readRecordings } from './exchange.ts';
import { replay, type Outcome } from './replay.ts';
import { seedBench } from './seed.ts';

const { values } = parseArgs({
  options: { dir: { type: 'string' }, json: { type: 'boolean' }, file: { type: 'string' } },
});
const directory = values.dir ?? fileURLToPath(new URL('../../../../../shared/pve/exchanges', import.meta.url));

const hasRecordings = existsSync(directory) && readRecordings(directory, values.file).length > 0;
if (hasRecordings) process.exitCode = await run(directory, values.file, values.json === true);
else {
  console.log(`conformance: skipped, there are no recordings in ${directory}`);
  console.log('conformance: 0 passed, 0 failed, 0 not applicable');
}

async function run(from: string, file: string | undefined, asJson: boolean): Promise<number> {
  const recordings = readRecordings(from, file);
  const bench = createBench(Math.min(...recordings.map(beganAt)) - 60_000);
  await seedBench(bench, recordings);
  const outcomes = await replay(bench, recordings);
  const count = (is: Outcome['verdict']['is']): number => outcomes.filter(({ verdict }) => verdict.is === is).length;
  if (asJson) console.log(JSON.stringify(outcomes, null, 1));
  else report(outcomes);
  console.log(
    `conformance: ${count('passed')} passed, ${count('failed')} failed, ${count('not-applicable')} not applicable`,
  );
  return count('failed') > 0 ? 1 : 0;
}

function report(outcomes: readonly Outcome[]): void {
  for (const { file, index, what, verdict } of outcomes) {
    if (verdict.is !== 'failed') continue;
    console.log(`${file} [${index}] ${what}`);
    for (const reason of verdict.reasons) console.log(`    ${reason}`);
  }
  const reasons = outcomes.flatMap(({ verdict }) => (verdict.is === 'not-applicable' ? [verdict.reason] : []));
  for (const [reason, times] of Map.groupBy(reasons, (reason) => reason))
    console.log(`not applicable: ${times.length} × ${reason}`);
}
