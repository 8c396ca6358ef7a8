/** One program of the host with arguments, no shell. A port, because only root's program runs any. */
export interface CommandEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Throws when it could not be run, was killed, or did not end in time. */
export type HostCommand = (args: readonly string[]) => Promise<CommandEnd>;
