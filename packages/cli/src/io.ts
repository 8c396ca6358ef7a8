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

/** Documented in `felhom --help`; scripts rely on them. */
export const exitCodes = { done: 0, failed: 1, usage: 2, hub: 3, conflict: 4, differs: 5 } as const;
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
