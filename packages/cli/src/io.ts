/** What the program touches besides the network: handed in, so that tests run it without a terminal or a home. */

export interface OutStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export interface CliIo {
  readonly stdout: OutStream;
  readonly stderr: OutStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
  readStdin(): Promise<string>;
  /** Asks at the terminal; `undefined` when there is none. Hidden input is not echoed. */
  ask(question: string, options: { readonly hidden: boolean }): Promise<string | undefined>;
}

/** What signing needs besides streams: a clock, randomness, and OpenSSH's own program, which alone touches keys. */
export interface Machine {
  /** Milliseconds since the epoch. */
  now(): number;
  random(count: number): Uint8Array;
  sleep(ms: number): Promise<void>;
  /**
   * Runs `ssh-keygen` without a shell. `attached`: it may talk to the person at the terminal, to ask for a passphrase or
   * a touch; what it says there does not come back.
   */
  sshKeygen(
    args: readonly string[],
    options: { readonly attached: boolean; readonly input?: Uint8Array | undefined },
  ): Promise<ToolResult>;
}

export type ToolResult =
  | { readonly is: 'ran'; readonly status: number; readonly stdout: string; readonly stderr: string }
  | { readonly is: 'missing' };

/** Documented in `felhom --help`; scripts rely on them. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  hub: 3,
  conflict: 4,
  differs: 5,
  /** What the hub shows is not what the host signed, or nothing tells that it is. */
  unproven: 6,
  /** Sent, and waits: for more people, or for the host. */
  waiting: 7,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends a command: "cannot …: reason", what to do next, and the exit code. */
export class CliError extends Error {
  readonly exit: ExitCode;
  readonly code: string;
  readonly next: string | undefined;
  constructor(exit: ExitCode, code: string, text: string, next?: string) {
    super(text);
    this.name = 'CliError';
    this.exit = exit;
    this.code = code;
    this.next = next;
  }
}
