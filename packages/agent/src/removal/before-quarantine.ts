/** What a quarantine found and changes, so that lifting it can put exactly that back. */
import { z } from 'zod';

export const beforeQuarantine = z.strictObject({
  running: z.boolean(),
  onboot: z.boolean(),
  protection: z.boolean(),
  /** Config key of each interface → whether its link was down already. */
  linksDown: z.record(z.string().regex(/^net\d{1,2}$/), z.boolean()),
});
export type BeforeQuarantine = z.output<typeof beforeQuarantine>;

/** Out of the state that a quarantine saga ended with, or journaled so far; `undefined` = it found nothing yet. */
export function foundBefore(sagaState: Readonly<Record<string, unknown>>): BeforeQuarantine | undefined {
  const read = beforeQuarantine.safeParse(sagaState['before']);
  return read.success ? read.data : undefined;
}
