/**
 * Ids of the jobs that root carried out for good, one line each in a file of root's own. The journal of the agent counts
 * them too, but it belongs to the agent: a copy of it that was put back has forgotten [R11].
 */
import { closeSync, constants, fsyncSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { syncFolder } from './durable-file.ts';
import { ownFolder, ownText } from './root-files.ts';

export interface ConsumedJobs {
  has(jobId: string): boolean;
  /** On disk when it returns. `at`: milliseconds since the epoch, for people. */
  add(jobId: string, at: number): void;
}

/** Throws what the disk throws: a list that cannot be read must never look like one without the job. */
export function consumedJobsIn(file: string): ConsumedJobs {
  return {
    has: (jobId) =>
      ownText(file)
        .split('\n')
        .some((line) => line.split(' ')[0] === jobId),
    add: (jobId, at) => {
      ownFolder(dirname(file));
      // What a power cut left of a line must not swallow the next one.
      const torn = !/(?:^|\n)$/.test(ownText(file));
      const flags = constants.O_CREAT | constants.O_APPEND | constants.O_WRONLY | constants.O_NOFOLLOW;
      const opened = openSync(file, flags, 0o600);
      try {
        writeSync(opened, `${torn ? '\n' : ''}${jobId} ${new Date(at).toISOString()}\n`);
        fsyncSync(opened);
      } finally {
        closeSync(opened);
      }
      syncFolder(dirname(file));
    },
  };
}
