#!/usr/bin/env node
/** felhom, the program. Everything it does is in `program.ts`. */
import { runFelhom } from './program.ts';
import { systemIo } from './system.ts';

process.exitCode = await runFelhom(process.argv.slice(2), systemIo());
