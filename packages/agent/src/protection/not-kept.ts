import type { Log } from '../ports/log.ts';

/** Nobody waits for what is written when work has ended. Without a journal there is no next round, and a lease ends by itself. */
export const notKept =
  (log: Log) =>
  (error: unknown): void =>
    log.error('what became of work on a guest could not be kept', { why: String(error) });
