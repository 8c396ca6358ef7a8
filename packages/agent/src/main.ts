/** The process `felhom-agent`. */
import { setTimeout as wait } from 'node:timers/promises';
import { runAgentProgram } from './commands/program.ts';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(`got ${name}`)));

process.exitCode = await runAgentProgram(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: stop.signal,
  now: () => Date.now(),
  sleep: (ms) => wait(ms),
});
