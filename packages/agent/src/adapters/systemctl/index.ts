/** systemd's own command: the adapter of `ports/systemctl.ts`. No shell, and an environment of two variables. */
import { execFile } from 'node:child_process';
import type { Systemctl } from '../../ports/systemctl.ts';

export interface SystemctlOptions {
  readonly program?: string;
  /** Longer than any start of a unit may take by its own timeouts. */
  readonly timeoutMs?: number;
}

export function createSystemctl({
  program = '/usr/bin/systemctl',
  timeoutMs = 100_000,
}: SystemctlOptions = {}): Systemctl {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
  const options = { env, timeout: timeoutMs, maxBuffer: 256 * 1024, encoding: 'utf8' } as const;
  return (args) =>
    new Promise((resolve, reject) => {
      const child = execFile(program, args, options, (error, stdout, stderr) => {
        if (error === null) resolve({ code: 0, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else
          reject(
            new Error(`${program} ${child.pid === undefined ? 'did not start' : 'did not end'}: ${error.message}`),
          );
      });
      child.stdin?.end();
    });
}
