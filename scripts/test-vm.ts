/**
 * `npm run test:vm`: what only a whole machine can show, on Debian 13 under QEMU without KVM. docs/how-to/test-in-a-vm.md
 * says what it needs, how long it takes and how to add a test.
 *
 *   npm run test:vm [-- [--only WORD]...]
 *
 * Exit code 0 also where this machine cannot run a VM: one line says why.
 */
import { parseArgs } from 'node:util';
import { cases } from './vm/cases.ts';
import { journalOf } from './vm/case.ts';
import { ensureImage } from './vm/image.ts';
import { install } from './vm/install.ts';
import { restore } from './vm/machine.ts';
import { ensureRequirements } from './vm/requirements.ts';

const say = (line: string): void => void process.stdout.write(`test:vm: ${line}\n`);
const secondsSince = (start: number): string => `${((performance.now() - start) / 1000).toFixed(1)} s`;

const { values } = parseArgs({ options: { only: { type: 'string', multiple: true, default: [] } } });
const chosen = cases.filter(({ name }) => values.only.length === 0 || values.only.some((word) => name.includes(word)));
const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(name, () => stop.abort(new Error(`got ${name}`)));

process.exitCode = await main();

async function main(): Promise<number> {
  const start = performance.now();
  const requirements = ensureRequirements(say);
  if (requirements.is === 'missing') {
    say(`skipped: ${requirements.why}`);
    return 0;
  }
  try {
    const image = await ensureImage(say, stop.signal);
    for (const { what, seconds } of image.made) say(`${what} made, ${seconds.toFixed(1)} s`);
    const restoring = performance.now();
    const vm = await restore(image.files, stop.signal);
    try {
      say(`the VM is restored and answers, ${secondsSince(restoring)}`);
      const installing = performance.now();
      await install(vm);
      say(`the project is installed, ${secondsSince(installing)}`);
      let failed = 0;
      for (const { name, run } of chosen) {
        const begun = performance.now();
        try {
          const figures = await run(vm);
          say(`ok ${name} (${secondsSince(begun)})${figures === undefined ? '' : `: ${figures}`}`);
        } catch (error) {
          stop.signal.throwIfAborted();
          failed += 1;
          say(`FAILED ${name} (${secondsSince(begun)})`);
          console.error(error instanceof Error ? error.message : error);
          console.error(await journalOf(vm));
        }
      }
      say(`${chosen.length - failed} of ${chosen.length} passed, ${secondsSince(start)} in all`);
      return failed === 0 ? 0 : 1;
    } finally {
      await vm.end();
    }
  } catch (error) {
    if (stop.signal.aborted) say(`interrupted: ${(stop.signal.reason as Error).message}`);
    else console.error(`test:vm: ${error instanceof Error ? error.message : String(error)}`);
    return stop.signal.aborted ? 130 : 1;
  }
}
