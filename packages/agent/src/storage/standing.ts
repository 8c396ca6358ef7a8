/** How a target stands, and since when; what is kept of it over a restart of the agent. */
import { z } from 'zod';
import { targetStates } from '@felhom/protocol';

/** Why a target counts as away. */
export const causes = [
  /** No disk with its UUID is there. */
  'absent',
  'not-mounted',
  /** It is plugged in again, and the mount of the disk that was pulled is kept where it is by who uses it. */
  'in-use',
  /** Another disk, share or server is where it should be. */
  'other',
  /** The right UUID without the file that was written when it was attached. */
  'no-mark',
  'read-only',
  'hung',
  /** It answers with errors. */
  'failing',
  /** Its server does not answer, or Proxmox has not mounted it. */
  'unreachable',
  'definition-missing',
  'definition-differs',
  /** Its entry of Proxmox stands for another thing, and Proxmox cannot change that. */
  'definition-other',
  /** It is there, and was not asked yet. */
  'not-asked',
  /** It came and went too often, and is not yet trusted again. */
  'settling',
] as const;
export type Cause = (typeof causes)[number];

const wallTime = z.number().int().min(0);

export const standing = z.strictObject({
  state: z.enum(targetStates),
  cause: z.enum(causes).optional(),
  /** For people; empty where it is attached. Says nothing that changes while the state does not. */
  why: z.string(),
  /** Of this state, wall time in milliseconds; of the first time where it comes and goes. */
  since: wallTime,
  /** What lies there now or lay there last, as the kernel tells one plugging in from the next. */
  appearance: z.string().optional(),
  /** Wall times at which it went away of late. */
  drops: z.array(wallTime),
  /** Since when nothing is wrong with it; absent where something is. */
  wellSince: wallTime.optional(),
});
export type Standing = z.output<typeof standing>;
