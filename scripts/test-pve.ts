/**
 * `npm run test:pve`: the contract suite against a real Proxmox VE node, as docs/how-to/test-against-a-real-node.md
 * describes. Without the explicit opt-in it says what it would do and ends with 2.
 *
 * With `--fake` it serves an enrolled fake node and runs the same suite against that: the test of the suite itself.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readEnvironment, whatItDoes } from '../packages/agent/test/pve/environment.ts';

if (process.argv.includes('--fake')) {
  const { runSuiteOnFake } = await import('../packages/lab/src/stage/suite-on-fake.ts');
  const withoutHelper = process.argv.includes('--without-helper');
  const { code, left } = await runSuiteOnFake({ output: 'terminal', withoutHelper });
  if (left.length > 0) console.error(`test:pve left guests behind: ${left.join(', ')}`);
  process.exit(left.length > 0 && code === 0 ? 1 : (code ?? 1));
}

const root = resolve(import.meta.dirname, '..');
const folder = join(root, 'packages/agent/test/pve');
const environment = readEnvironment(process.env);

if (environment.is === 'not-opted-in') {
  console.error(`test:pve did nothing: the opt-in is missing.\n\n${whatItDoes}`);
  process.exit(2);
}
if (environment.is === 'incomplete') {
  console.error(`test:pve cannot start:\n${environment.problems.map((problem) => `  - ${problem}`).join('\n')}`);
  console.error('See docs/how-to/test-against-a-real-node.md.');
  process.exit(2);
}
const { settings } = environment;
console.log(
  `test:pve works on node ${settings.node} at ${settings.url}, pool ${settings.pool}, VMIDs ${settings.vmids.from}-${settings.vmids.to}`,
);
const only = process.env['FELHOM_PVE_ONLY']?.split(',');
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.pve.test.ts'))
  // The first one is never left out.
  .filter((name) => name.startsWith('00-') || (only?.some((part) => name.startsWith(part)) ?? true))
  .sort()
  .map((name) => join(folder, name));

/** One file after the other: they share the node and its VMIDs. The first proves that nothing else is in reach. */
for (const [at, file] of files.entries()) {
  const run = spawnSync(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--test',
      '--test-concurrency=1',
      '--test-timeout=900000',
      '--test-reporter=spec',
      file,
    ],
    { cwd: root, stdio: 'inherit' },
  );
  if (run.status === 0) continue;
  if (at === 0) console.error('\ntest:pve stopped: the token is not the one it must be; nothing was created.');
  process.exitCode = 1;
  if (at === 0) break;
}
