/** Where the host helper's program brings its requests: a unix socket that only this user can open. */
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { helperRequest } from '@felhom/agent';
import type { HelperAnswer } from '@felhom/agent';
import type { RootHelper } from '../world/root-helper.ts';

export async function openControlSocket(file: string, helper: RootHelper): Promise<{ close(): Promise<void> }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    // The agent may be killed, and its helper with it, in the middle of anything.
    socket.on('error', () => socket.destroy());
    void wholeOf(socket)
      .then((body) => reply(helper, body))
      .then((answer) => socket.end(JSON.stringify(answer)))
      .catch(() => socket.destroy());
  });
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(file, resolve);
    });
  } finally {
    process.umask(mask);
  }
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          rmSync(file, { force: true });
          resolve();
        });
      }),
  };
}

/** Reading a socket with an iterator would close it for writing, too. */
function wholeOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
  });
}

async function reply(helper: RootHelper, body: string): Promise<HelperAnswer> {
  const request = helperRequest.safeParse(JSON.parse(body));
  if (!request.success) return { v: 1, is: 'refused', text: 'cannot answer: the request does not fit its schema' };
  return helper.answer(request.data);
}
