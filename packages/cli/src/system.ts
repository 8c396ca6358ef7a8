/** The real streams, home and terminal. */
import { homedir } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { CliIo } from './io.ts';

export function systemIo(): CliIo {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    homeDirectory: homedir(),
    readStdin: () => text(process.stdin),
    ask: askAtTerminal,
  };
}

async function askAtTerminal(question: string, options: { readonly hidden: boolean }): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined;
  // Readline echoes what is typed to its output; a hidden answer goes to an output that drops it.
  const output = options.hidden
    ? new Writable({ write: (_chunk, _encoding, done: () => void) => done() })
    : process.stderr;
  if (options.hidden) process.stderr.write(question);
  const terminal = createInterface({ input: process.stdin, output, terminal: true });
  try {
    return await terminal.question(options.hidden ? '' : question);
  } finally {
    terminal.close();
    if (options.hidden) process.stderr.write('\n');
  }
}
