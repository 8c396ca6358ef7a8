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
}

const longestOutputBytes = 8 * 1024 * 1024;

export function createHostCommand({ program, fixed = [], timeoutMs = 120_000 }: HostCommandOptions): HostCommand {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
  const options = { env, timeout: timeoutMs, maxBuffer: longestOutputBytes, encoding: 'utf8' } as const;
  return (args, input = '') =>
    new Promise((resolve, reject) => {
      const child = execFile(program, [...fixed, ...args], options, (error, stdout, stderr) => {
        if (error === null) resolve({ code: 0, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else
          reject(
            new Error(`${program} ${child.pid === undefined ? 'did not start' : 'did not end'}: ${error.message}`),
          );
      });
      // It may end before it has read everything; how it ended tells.
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
    });
}
