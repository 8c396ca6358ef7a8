/** Runs a program of this machine to its end. */
import { spawn } from 'node:child_process';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  readonly signal?: AbortSignal;
  /** Ended by force after so many milliseconds. */
  readonly timeoutMs?: number;
}

/** Resolves however it ends; rejects only where it cannot be started, was aborted, or took too long. */
export function runProgram(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const limit = AbortSignal.timeout(options.timeoutMs ?? 300_000);
  const signal = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal]);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', (error) =>
      reject(limit.aborted ? new Error(`${program} ${args.join(' ').slice(-200)} took too long`) : error),
    );
    child.on('close', (code) => resolve({ code: code ?? 128, stdout, stderr }));
    // A program that ends before it has read everything breaks the pipe; its exit code tells the story.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input);
  });
}

/** The same, and throws with what it said on any exit code but 0. */
export async function mustRun(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await runProgram(program, args, options);
  if (code !== 0)
    throw new Error(
      `cannot run ${program} ${args.join(' ').slice(0, 200)}: it ended with ${code}: ${(stderr + stdout).trim().slice(-800)}`,
    );
  return stdout;
}
