/**
 * The record of a standstill: which stacks stand still for a backup, and until when at the latest. Written before the
 * first app is touched, so that whoever lives at the deadline (the controller, its next start, the supervisor, or a guest
 * that came out of an archive taken meanwhile) knows what to let go on [R35].
 */
import { z } from 'zod';
import { guestPaths } from './paths.ts';
import type { Apps, Clock, Done, GuestFiles } from './ports.ts';
import { readRecord, writeRecord } from './record.ts';
import type { RecordKind } from './record.ts';

const standstillSchema = z.object({
  v: z.literal(1),
  /** Absent: apps go on as they like. */
  now: z
    .object({
      /** Milliseconds since the epoch. */
      until: z.number(),
      stacks: z.array(z.string()),
      due: z.string().optional(),
    })
    .optional(),
});
export type Standstill = NonNullable<z.output<typeof standstillSchema>['now']>;

const record: RecordKind<z.output<typeof standstillSchema>> = {
  path: guestPaths.standstill,
  schema: standstillSchema,
};

export type StandstillNeeds = { readonly files: GuestFiles; readonly apps: Apps; readonly clock: Clock };

/** `unreadable` is not "none": whoever sees it lets everything go on. */
export async function readStandstill(files: GuestFiles): Promise<Standstill | 'none' | 'unreadable'> {
  const held = await readRecord(files, record);
  if (held.is === 'unreadable') return 'unreadable';
  return held.is === 'held' && held.value.now !== undefined ? held.value.now : 'none';
}

export async function writeStandstill(files: GuestFiles, now: Standstill): Promise<void> {
  await writeRecord(files, record, { v: 1, now });
}

/**
 * Lets the stacks go on and then forgets the standstill, in this order: a crash between the two lets them go on once
 * more, which is nothing. A stack that does not start keeps the record for the next try.
 */
export async function endStandstill({ files, apps }: StandstillNeeds): Promise<Done> {
  const held = await readStandstill(files);
  if (held === 'none') return { is: 'done' };
  const gone = await apps.unquiesce(held === 'unreadable' ? 'all' : held.stacks);
  if (gone.is === 'failed') return gone;
  const still = await readStandstill(files);
  // Meanwhile another began: it has an end of its own.
  if (held !== 'unreadable' && still !== 'unreadable' && (still === 'none' || still.until !== held.until)) return gone;
  await writeRecord(files, record, { v: 1 });
  return gone;
}

/** No host grants more; an end that is further off was written under another clock. */
const longestMs = 15 * 60_000;

/**
 * For the supervisor: a standstill that goes on at its end plus `graceMs` belongs to nobody who is alive, and one that
 * would end in hours was written before the clock was set back.
 */
export async function endOverdue(needs: StandstillNeeds, graceMs: number): Promise<'none' | 'ended' | 'failed'> {
  const held = await readStandstill(needs.files);
  if (held === 'none') return 'none';
  const leftMs = held === 'unreadable' ? 0 : held.until + graceMs - needs.clock.now();
  if (leftMs > 0 && leftMs <= longestMs) return 'none';
  return (await endStandstill(needs)).is === 'done' ? 'ended' : 'failed';
}
