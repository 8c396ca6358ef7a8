#!/usr/bin/env node
/** felhom-hub, the program. Everything it does is in `program.ts`. */
import { once } from 'node:events';
import { runHub } from './program.ts';

const stopped = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
process.exitCode = await runHub(process.argv.slice(2), {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  untilStopped: stopped,
});
