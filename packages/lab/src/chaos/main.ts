/**
 * `npm run chaos -- --kills N [--seed S]`: a real agent process brings up real guests (of a fake node with real files)
 * and is killed with SIGKILL at N moments, from its first millisecond on. The seed chooses the moments; what the agent
 * is doing then is up to the machine.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mkdtempSync, rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { playSeason } from './season.ts';
import type { SeasonResult } from './season.ts';

const usage = `usage: npm run chaos -- [--kills N] [--seed S] [--json]

  --kills N  how often the agent is killed; 50 unless told
  --seed S   chooses the moments; 1 unless told

Ends with 0 when everything converged, 1 when not (the folder is kept), 2 on wrong usage.
`;

/** A node fills up, and a policy admits 200 guests: after so many kills everything is checked and begun anew. */
const killsPerSeason = 60;

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      kills: { type: 'string', default: '50' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [kills, seed] = [Number(values.kills), Number(values.seed)];
  if (values.help || !Number.isInteger(kills) || kills < 1 || !Number.isInteger(seed)) {
    (values.help ? process.stdout : process.stderr).write(usage);
    return values.help ? 0 : 2;
  }
  const startedAt = Date.now();
  const results: SeasonResult[] = [];
  let left = kills;
  while (left > 0 && results.every(({ faults }) => faults.length === 0)) {
    const folder = mkdtempSync(join(tmpdir(), 'felhom-chaos-'));
    const count = Math.min(left, killsPerSeason);
    const before = kills - left;
    const tell = (text: string): void => tellProgress(text);
    const result = await playSeason({
      folder,
      kills: count,
      seed: seed * 1000 + results.length,
      onKill: (done, where) => tell(`chaos: kill ${before + done} of ${kills}, at ${where}`),
    });
    results.push(result);
    left -= count;
    if (result.faults.length === 0) rmSync(folder, { recursive: true });
    else process.stderr.write(`\n${result.faults.join('\n')}\nEverything is kept in ${folder}\n`);
  }
  endProgress();
  const summary = summarise(results, kills, seed, Date.now() - startedAt);
  process.stdout.write(values.json ? `${JSON.stringify(summary)}\n` : renderSummary(summary));
  return summary.converged ? 0 : 1;
}

interface Summary {
  readonly kills: number;
  readonly seed: number;
  readonly converged: boolean;
  readonly guests: number;
  readonly seconds: number;
  /** Where the agent was, by its own last word, and how often. */
  readonly at: Readonly<Record<string, number>>;
}

function summarise(results: readonly SeasonResult[], kills: number, seed: number, ms: number): Summary {
  const at: Record<string, number> = {};
  for (const { killedAt } of results) for (const where of killedAt) at[where] = (at[where] ?? 0) + 1;
  const done = results.reduce((sum, { killedAt }) => sum + killedAt.length, 0);
  return {
    kills: done,
    seed,
    converged: done === kills && results.every(({ faults }) => faults.length === 0),
    guests: results.reduce((sum, { guests }) => sum + guests, 0),
    seconds: Number((ms / 1000).toFixed(1)),
    at,
  };
}

function renderSummary({ kills, seed, converged, guests, seconds, at }: Summary): string {
  const places = Object.entries(at)
    .toSorted(([, a], [, b]) => b - a)
    .map(([where, count]) => `${where} ${count}`)
    .join(', ');
  const verdict = converged
    ? `converged, ${guests} guests wanted and ${guests} there, no leftovers, foreign guest untouched`
    : 'NOT as it has to be, see above';
  return `killed at: ${places}\nchaos: ${kills} kills, ${verdict}, ${seconds} s (seed ${seed})\n`;
}

function tellProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${text}`);
  else process.stderr.write(`${text}\n`);
}

function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001B[K');
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
    process.stderr.write(`chaos: ${error.message}\n${usage}`);
    process.exitCode = 2;
  } else throw error;
}
