/** One program of the host with arguments, no shell. A port, because only root's program runs any. */
export interface CommandEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Throws when it could not be run, was killed, or did not end in time. `input` is its stdin, empty where there is none:
 * secrets go there, because everybody on a host may read arguments.
 */
export type HostCommand = (args: readonly string[], input?: string) => Promise<CommandEnd>;
