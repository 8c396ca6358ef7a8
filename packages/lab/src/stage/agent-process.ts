/** The agent as what it is on a host: a process with a configuration file, which can be killed. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { resolve } from 'node:path';

const agentMain = resolve(import.meta.dirname, '../../../agent/src/main.ts');

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface AgentProcess {
  /** Throws when one runs already. */
  start(): void;
  readonly running: () => boolean;
  readonly pid: () => number | undefined;
  /** Sends the signal and waits until the process is gone; at once when none runs. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** How the last process ended by itself or by a signal. */
  readonly lastEnd: () => Ended | undefined;
  /** A second process beside it, until it ends. */
  another(): Promise<Ended>;
}

export interface CommandRun {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The child sees no more of the environment than it needs: nothing of the caller's can leak into its logs. */
const environment = { PATH: process.env['PATH'] ?? '', FELHOM_LAB: '1' };
const argvOf = (config: string, rest: readonly string[]): string[] => [
  '--disable-warning=ExperimentalWarning',
  agentMain,
  '--config',
  config,
  ...rest,
];

export function createAgentProcess(config: string, logFile: string): AgentProcess {
  let child: ChildProcess | undefined;
  let lastEnd: Ended | undefined;
  // Whatever ends the lab, no agent stays behind.
  const killAtExit = (): void => void child?.kill('SIGKILL');
  const spawnRun = (): ChildProcess => {
    const log = openSync(logFile, 'a', 0o600);
    try {
      return spawn(process.execPath, argvOf(config, ['run']), { env: environment, stdio: ['ignore', log, log] });
    } finally {
      closeSync(log);
    }
  };
  return {
    start() {
      if (child !== undefined) throw new Error('cannot start the agent: it runs already');
      const started = spawnRun();
      child = started;
      process.once('exit', killAtExit);
      started.once('exit', (code, signal) => {
        lastEnd = { code, signal };
        child = undefined;
        process.off('exit', killAtExit);
      });
    },
    running: () => child !== undefined,
    pid: () => child?.pid,
    kill: (signal) => {
      const dying = child;
      if (dying === undefined) return Promise.resolve();
      return new Promise((done) => {
        dying.once('exit', () => done());
        dying.kill(signal);
      });
    },
    lastEnd: () => lastEnd,
    another: () => endOf(spawnRun()),
  };
}

const endOf = (child: ChildProcess): Promise<Ended> =>
  new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code, signal) => done({ code, signal }));
  });

/** Runs `felhom-agent ARGV` as a process of its own. */
export function runAgentCommand(config: string, argv: readonly string[]): Promise<CommandRun> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, argvOf(config, argv), {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString('utf8')));
    child.once('error', fail);
    child.once('close', (code) => done({ code, out, err }));
  });
}
