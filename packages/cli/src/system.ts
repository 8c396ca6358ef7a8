/** The real streams, home, terminal, clock and `ssh-keygen`. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { homedir } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CliIo, Machine, ToolResult } from './io.ts';

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

/** `env`: what `ssh-keygen` sees; agent socket and askpass program are found there. */
export function systemMachine(env: NodeJS.ProcessEnv = process.env): Machine {
  return {
    now: () => Date.now(),
    random: (count) => randomBytes(count),
    sleep: (ms) => sleep(ms),
    sshKeygen: (args, options) => runSshKeygen(args, options, env),
  };
}

/** More than any answer of ours; what runs longer than that is cut and fails to parse. */
const longestToolOutput = 65_536;

function runSshKeygen(
  args: readonly string[],
  { attached, input }: { readonly attached: boolean; readonly input?: Uint8Array | undefined },
  env: NodeJS.ProcessEnv,
): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const child = spawn('ssh-keygen', args, {
      env: { ...env, LC_ALL: 'C' },
      stdio: [input === undefined ? (attached ? 'inherit' : 'ignore') : 'pipe', 'pipe', attached ? 'inherit' : 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      stdout = (stdout + chunk).slice(0, longestToolOutput);
    });
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(0, longestToolOutput);
    });
    child.on('error', (error) => {
      if ('code' in error && error.code === 'ENOENT') resolve({ is: 'missing' });
      else reject(error);
    });
    child.on('close', (status) => resolve({ is: 'ran', status: status ?? 1, stdout, stderr }));
    // A program that ends before it read everything is judged by its status.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}
