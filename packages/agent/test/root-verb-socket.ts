/** Root's program behind a socket, as systemd has it with `Accept=yes` and `StandardInput=socket`. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import type { TestContext } from 'node:test';

export const rootVerbEntry = resolve(import.meta.dirname, 'root-verb-entry.ts');

/** Each connection to `socket` becomes the stdin and stdout of a process of its own, on the host in `folder`. */
export async function listenForRoot(t: TestContext, socket: string, folder: string, now: number): Promise<string> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (connection) => {
    spawn(process.execPath, ['--disable-warning=ExperimentalWarning', rootVerbEntry, folder, String(now)], {
      stdio: [connection, connection, 'ignore'],
    });
    connection.destroy();
  });
  await new Promise<void>((listening) => server.listen(socket, listening));
  t.after(() => server.close());
  return socket;
}
