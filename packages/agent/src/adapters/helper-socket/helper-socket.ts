/** One connection per verb: the request, half a close, the answer, the end. */
import { createConnection } from 'node:net';
import type { HostHelper } from '../../ports/host-helper.ts';
import type { RootChecks } from '../../ports/root-checks.ts';
import type { SignedHelper } from '../../ports/signed-helper.ts';
import type { StorageHelper } from '../../ports/storage-helper.ts';
import { createHelper, longestAnswerBytes } from '../helper-command/index.ts';
import type { Carried, HelperTimes } from '../helper-command/index.ts';

export interface HelperSocketOptions extends HelperTimes {
  /** Path of the socket. */
  readonly socket: string;
}

export function createHelperSocket(
  options: HelperSocketOptions,
): HostHelper & SignedHelper & StorageHelper & RootChecks {
  const { socket } = options;
  return createHelper({ name: `at ${socket}`, carry: (request, stop) => connectOnce(socket, request, stop) }, options);
}

function connectOnce(path: string, request: string, stop: AbortSignal): Promise<Carried> {
  return new Promise((resolve) => {
    const connection = createConnection({ path, allowHalfOpen: true, signal: stop });
    const chunks: Buffer[] = [];
    let size = 0;
    let connected = false;
    const end = (came: Carried): void => {
      connection.destroy();
      resolve(came);
    };
    connection.once('connect', () => {
      connected = true;
      connection.end(request);
    });
    connection.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > longestAnswerBytes) end({ is: 'died', text: `answered more than ${longestAnswerBytes} bytes` });
      else chunks.push(chunk);
    });
    connection.once('end', () => {
      if (size === 0) end({ is: 'died', text: 'ended without an answer; the journal of felhom-root@ says why' });
      else end({ is: 'answered', text: Buffer.concat(chunks).toString('utf8') });
    });
    connection.once('error', (error: NodeJS.ErrnoException) => {
      const what = error.code ?? error.message;
      end(connected ? { is: 'died', text: `broke off (${what})` } : { is: 'not-started', text: whyNot(what) });
    });
  });
}

/** EACCES is the mode of the socket, ENOENT and ECONNREFUSED that systemd does not listen. */
function whyNot(code: string): string {
  if (code === 'EACCES') return 'does not let this user in (EACCES); is it in the group of felhom-root.socket';
  return `cannot be reached (${code}); is felhom-root.socket started`;
}
