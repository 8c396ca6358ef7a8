/** QEMU's machine protocol: one command after the other over its Unix socket, and the events in between. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface Qmp {
  /** Resolves with what QEMU returns; rejects with the words it refuses with. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** A command of the human monitor; rejects where it prints anything, because those say so only in words. */
  monitor(line: string): Promise<void>;
  /** The next event of this name; ask before causing it. */
  event(name: string, signal: AbortSignal): Promise<void>;
  close(): void;
}

interface Message {
  readonly QMP?: unknown;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Resolves when QEMU takes commands. */
export async function connectQmp(socketFile: string): Promise<Qmp> {
  const socket = await opened(socketFile);
  const asked: Waiting[] = [];
  const awaited: { readonly name: string; readonly resolve: () => void }[] = [];
  const fail = (why: string): void => {
    for (const { reject } of asked.splice(0)) reject(new Error(why));
  };
  socket.on('error', (error) => fail(error.message));
  socket.on('close', () => fail('QEMU closed its socket'));
  createInterface({ input: socket }).on('line', (line) => {
    const message = JSON.parse(line) as Message;
    if (message.event !== undefined) {
      for (const one of awaited.filter(({ name }) => name === message.event)) {
        awaited.splice(awaited.indexOf(one), 1);
        one.resolve();
      }
    } else if (message.error !== undefined) asked.shift()?.reject(new Error(message.error.desc));
    else if (message.QMP === undefined) asked.shift()?.resolve(message.return);
  });
  const execute = (command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      asked.push({ resolve, reject });
      socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
  await execute('qmp_capabilities');
  return {
    execute,
    async monitor(line) {
      const said = await execute('human-monitor-command', { 'command-line': line });
      if (typeof said === 'string' && said.trim() !== '') throw new Error(`cannot ${line}: ${said.trim()}`);
    },
    event: (name, signal) =>
      new Promise((resolve, reject) => {
        awaited.push({ name, resolve });
        signal.addEventListener('abort', () => reject(new Error(`no event ${name} came`)), { once: true });
      }),
    close: () => socket.destroy(),
  };
}

function opened(socketFile: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketFile);
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}
