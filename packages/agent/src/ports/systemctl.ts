/** Runs `systemctl` with these arguments; rejects when it cannot be run at all, or does not end. */
export type Systemctl = (
  args: readonly string[],
) => Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>;
