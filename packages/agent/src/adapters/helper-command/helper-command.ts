/** One process per verb. */
import { execFile } from 'node:child_process';
import type { HostHelper } from '../../ports/host-helper.ts';
import type { RootChecks } from '../../ports/root-checks.ts';
import type { SignedHelper } from '../../ports/signed-helper.ts';
import type { StorageHelper } from '../../ports/storage-helper.ts';
import { createHelper, longestAnswerBytes } from './ask-helper.ts';
import type { Carried, HelperTimes } from './ask-helper.ts';

export interface HelperCommandOptions extends HelperTimes {
  /** Program and its fixed arguments, e.g. `['/usr/bin/sudo', '-n', '/usr/lib/felhom/helper']`. */
  readonly command: readonly string[];
}

/** Throws when the command is empty. */
export function createHelperCommand(
  options: HelperCommandOptions,
): HostHelper & SignedHelper & StorageHelper & RootChecks {
  const [program, ...fixed] = options.command;
  if (program === undefined) throw new Error('cannot use the root helper: its command is empty');
  return createHelper({ name: program, carry: (request, stop) => execute(program, fixed, request, stop) }, options);
}

function execute(program: string, fixed: readonly string[], request: string, stop: AbortSignal): Promise<Carried> {
  return new Promise((resolve) => {
    const options = { signal: stop, maxBuffer: longestAnswerBytes, windowsHide: true, encoding: 'utf8' } as const;
    const child = execFile(program, fixed, options, (error, stdout, stderr) => {
      if (error === null) resolve({ is: 'answered', text: stdout });
      else if (child.pid === undefined) resolve({ is: 'not-started', text: `did not start (${String(error.code)})` });
      else resolve({ is: 'died', text: describeEnd(error, stderr) });
    });
    // A helper that ends before it has read everything breaks the pipe; its exit code tells the story.
    child.stdin?.on('error', () => {});
    child.stdin?.end(request);
  });
}

function describeEnd(error: { code?: unknown; signal?: unknown }, stderr: string): string {
  const how = typeof error.signal === 'string' ? error.signal : `exit code ${String(error.code)}`;
  const said = stderr.trim().slice(-300);
  return said === '' ? `ended with ${how}` : `ended with ${how}: ${said}`;
}
