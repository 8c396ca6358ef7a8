/**
 * Whether a verified job is meant for this host, in this life of its journal, now [R11]. Pure. Freshness counts from the
 * challenge on the host's own elapsed time; wall time can only make it stricter.
 */
import { longestLifeMs, reason } from '@felhom/protocol';
import type { HostId, Job, Reason } from '@felhom/protocol';

export interface Here {
  readonly host: HostId;
  readonly hostEpoch: string;
  /** Milliseconds since the job's challenge was minted; `undefined`: it is not one of ours, or void. */
  readonly ageMs: number | undefined;
  /** Wall time, milliseconds. */
  readonly now: number;
  /** Class of what an approval approves, where that is known. */
  readonly effectClass: string | undefined;
  /** Distinct people who signed. */
  readonly people: number;
}

export type Bound =
  | { readonly is: 'bound' }
  /** Its id is not spent; it is looked at again. */
  | { readonly is: 'wait'; readonly why: Reason }
  | { readonly is: 'refused'; readonly why: Reason };

/** How far an operator's clock may be ahead. */
const skewMs = 60 * 60_000;
const longestWindowMs = 7 * 24 * 60 * 60_000;

export function bindJob(job: Job, here: Here): Bound {
  const refuse = (code: Parameters<typeof reason>[0], because: string): Bound => ({
    is: 'refused',
    why: reason(code, `cannot take job ${job.jobId} (${job.kind}): ${because}`),
  });
  const wait = (because: string): Bound => ({
    is: 'wait',
    why: reason('job.not-yet', `cannot begin job ${job.jobId} (${job.kind}) yet: ${because}`),
  });
  if (job.host !== here.host) return refuse('job.other-host', `it is for host ${job.host}, this is ${here.host}`);
  if (job.hostEpoch !== here.hostEpoch)
    return refuse('job.other-epoch', 'it was signed for an earlier life of this host, before its journal was lost');
  if (job.expiresAt <= job.notBefore || job.expiresAt - job.issuedAt > longestWindowMs)
    return refuse('job.expired', 'its own times contradict each other, or span more than seven days');
  if (here.now >= job.expiresAt) return refuse('job.expired', 'its time is over');
  if (here.ageMs === undefined)
    return refuse('job.not-fresh', 'its challenge was not issued by this host, or more than seven days ago');
  const lifeMs = longestLifeMs(job, here.effectClass, here.people);
  if (here.ageMs > lifeMs)
    return refuse(
      'job.not-fresh',
      `its challenge is ${minutes(here.ageMs)} old, at most ${minutes(lifeMs)} for this kind and ${here.people} signers`,
    );
  if (here.now < job.notBefore) return wait('it says that it is not to be carried out before a later time');
  if (here.now < job.issuedAt - skewMs) return wait('it was issued in the future by the clock of this host');
  return { is: 'bound' };
}

const minutes = (ms: number): string => `${Math.ceil(ms / 60_000)} min`;
