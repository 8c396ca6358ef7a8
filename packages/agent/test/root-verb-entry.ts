/**
 * Root's program as a process of its own, on a folder that a test made: what `main.ts root-verb` is on a host, with other
 * places and a time that stands still. `root-verb-entry.ts FOLDER TIME`
 */
import { enterRoot, runRootVerb } from '../src/commands/root-verb.ts';
import { rootIn } from './root-world.ts';

const [folder = '', now = ''] = process.argv.slice(2);
enterRoot();
const { signal } = new AbortController();
process.exitCode = await runRootVerb(process, rootIn(folder, Number(now)), signal);
