/**
 * A finding: something a person should know and the agent must not, or cannot, settle by itself. Findings are derived
 * anew on every pass from what is true then; `key` is the cause, so the same trouble keeps its `since`.
 */
import { z } from 'zod';

export const severities = ['info', 'warning', 'critical'] as const;

export const finding = z.strictObject({
  /** The cause, stable across passes: `<area>.<what>`, e.g. `guest.absent-from-desired`. */
  key: z
    .string()
    .regex(/^[a-z0-9]+(?:[.-][a-z0-9]+)*$/, 'must be lower-case words joined by . or -')
    .max(80),
  severity: z.enum(severities),
  /** Whom it is about: a guest's name, a storage, `host`. With `key` it tells findings apart. */
  subject: z.string().min(1).max(120),
  /** What is the matter, with the ids in it. */
  text: z.string().min(1).max(1000),
  /** What to do next, and the one command that does it where there is one. */
  advice: z.strictObject({ text: z.string().min(1).max(500), command: z.string().min(1).max(300).optional() }),
  /** Milliseconds since the epoch on the host's clock: first seen without a gap. */
  since: z.number().int().min(0),
});
export type Finding = z.output<typeof finding>;

/** Keeps `since` of what was there before: a finding that stays is old, one that left and came back is new. */
export function carrySince(now: readonly Finding[], before: readonly Finding[]): Finding[] {
  const known = new Map(before.map((f) => [`${f.key} ${f.subject}`, f.since]));
  return now.map((f) => ({ ...f, since: Math.min(f.since, known.get(`${f.key} ${f.subject}`) ?? f.since) }));
}
