/**
 * `npm run test:systemd`: the files of `packaging/` under a real systemd, in containers of Debian 13. Where this machine
 * cannot boot one it says so in one line and ends with 0. docs/how-to/test-under-systemd.md
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDebian, project } from './systemd/debian.ts';
import { ensureRequirements } from './systemd/requirements.ts';

const say = (line: string): void => console.log(`test:systemd: ${line}`);

const requirements = ensureRequirements(say);
if (requirements.is === 'missing') {
  say(`skipped: ${requirements.why}`);
  process.exit(0);
}
try {
  await ensureDebian(say);
} catch (error) {
  say(
    `skipped: no Debian 13 can be built: ${error instanceof Error ? error.message.replaceAll('\n', ' ') : String(error)}`,
  );
  process.exit(0);
}
const only = process.argv.slice(2);
const folder = join(project, 'scripts/systemd');
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.systemd.ts') && (only.length === 0 || only.some((part) => name.startsWith(part))))
  .sort()
  .map((name) => join(folder, name));
const { status } = spawnSync(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=4',
    '--test-timeout=300000',
    '--test-reporter=spec',
    ...files,
  ],
  { cwd: project, stdio: 'inherit' },
);
process.exitCode = status ?? 1;
