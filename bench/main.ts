/**
 * `npm run bench`: measures the agent against a peer in the same run. Nothing here asserts on time.
 *
 *   npm run bench -- [--only NAME]... [--quick] [--json FILE] [--save]
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createStyle, wantsColour } from '@felhom/terminal';
import { machineFacts } from './machine.ts';
import { mergeResults, readResults, saveResults } from './results.ts';
import type { KeptSection } from './results.ts';
import { forTerminal } from './section.ts';
import { sections } from './sections.ts';

const usage = `Usage: npm run bench -- [--only NAME]... [--quick] [--json FILE] [--save]

  --only NAME   one of: ${sections.map(({ name }) => name).join(', ')}; may be repeated
  --quick       fewer and shorter measurements
  --json FILE   write the figures of this run to FILE
  --save        keep them: bench/results/latest.json, and the tables of docs/benchmarks.md
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    save: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
process.exitCode = await main();

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const unknown = values.only.filter((name) => !sections.some((section) => section.name === name));
  if (unknown.length > 0) {
    process.stderr.write(`bench: cannot run ${unknown.join(', ')}: there is no such section\n\n${usage}`);
    return 2;
  }
  if (values.save && values.quick) {
    process.stderr.write('bench: cannot save figures of a --quick run: they are for trying only\n');
    return 2;
  }
  const style = createStyle(wantsColour(process.stdout.isTTY, process.env));
  const measured: Record<string, KeptSection> = {};
  for (const section of sections) {
    if (values.only.length > 0 && !values.only.includes(section.name)) continue;
    const tell = (text: string): void => void process.stderr.write(`bench: ${section.name}: ${text}\n`);
    const result = await section.run({ quick: values.quick, tell });
    measured[section.name] = { title: section.title, at: new Date().toISOString(), machine: machineFacts(), result };
    process.stdout.write(forTerminal(section.title, result, style));
    // Section by section: what was measured is kept even if a later one cannot be.
    if (values.save)
      await saveResults(
        mergeResults(readResults(), measured),
        sections.map(({ name }) => name),
      );
  }
  const results = mergeResults({ v: 1, sections: {} }, measured);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 2)}\n`);
  return 0;
}
