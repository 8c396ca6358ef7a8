/** No shell, and an environment of two variables. */
import { execFile } from 'node:child_process';
import type { HostCommand } from '../../ports/host-command.ts';

export interface HostCommandOptions {
  /** Absolute. */
  readonly program: string;
  /** Before the arguments of each call. */
  readonly fixed?: readonly string[];
  /** A storage that hangs keeps its program for ever; this long it may. */
  readonly timeoutMs?: number;
  /** After that it is killed, and given up where it does not die of it: nothing kills who waits for a dead disk. */
  readonly graceMs?: number;
}

const longestOutputBytes = 8 * 1024 * 1024;

export function createHostCommand(options: HostCommandOptions): HostCommand {
  const { program, fixed = [], timeoutMs = 120_000, graceMs = 5_000 } = options;
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
  const how = { env, timeout: timeoutMs, maxBuffer: longestOutputBytes, encoding: 'utf8' } as const;
  return (args, input = '') =>
    new Promise((resolve, reject) => {
      const child = execFile(program, [...fixed, ...args], how, (error, stdout, stderr) => {
        clearTimeout(late);
        if (error === null) resolve({ code: 0, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else
          reject(
            new Error(`${program} ${child.pid === undefined ? 'did not start' : 'did not end'}: ${error.message}`),
          );
      });
      const late = setTimeout(() => {
        child.unref();
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
        reject(new Error(`${program} did not end: it cannot even be killed`));
      }, timeoutMs + graceMs);
      // It may end before it has read everything; how it ended tells.
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
    });
}
