/**
 * The files of the health gate: root's, `key=value` a line, and small. What does not read is as if it were not there: the
 * gate itself says in the journal of systemd what it makes of it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { GateTrial, GateVerdict, ReadGate } from '../../ports/slots.ts';

const word = z.string().regex(/^[0-9A-Za-z.+-]{1,100}$/);
const slot = z.enum(['a', 'b', 'base']);
const seconds = z
  .string()
  .regex(/^\d{1,11}$/)
  .transform((text) => Number(text) * 1000);

const trialFile = z
  .object({
    slot,
    previous: slot,
    build: word,
    why: word.default('none'),
    phase: z.enum(['try', 'watch', 'back', 'control']),
    began: seconds,
  })
  .transform(({ phase, began, ...about }): GateTrial => ({
    ...about,
    watched: phase === 'try' || phase === 'watch' ? 'trial' : 'previous',
    since: began,
  }));

const lastFile = z
  .object({
    verdict: z.enum(['good', 'good-local', 'reverted', 'stuck', 'void']),
    slot,
    previous: slot,
    // The gate changes with the package, a build of the agent with its slot: an older gate does not say it.
    in_force: z.enum(['a', 'b', 'base', 'other']).optional(),
    build: word,
    why: word,
    pinned: z.enum(['yes', 'no']),
    at: seconds,
  })
  .transform(({ pinned, at, in_force: inForce, ...about }): GateVerdict => ({
    ...about,
    inForce,
    pinned: pinned === 'yes',
    since: at,
  }));

/** `folder`: `/var/lib/felhom-gate`. Never throws. */
export const createGateFiles =
  (folder: string): ReadGate =>
  () => ({ trial: read(join(folder, 'trial'), trialFile), last: read(join(folder, 'last'), lastFile) });

function read<T>(file: string, shape: z.ZodType<T>): T | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // Nothing was ever tried.
    return undefined;
  }
  const lines = text.split('\n').map((line): [string, string] => {
    const [key = '', ...rest] = line.split('=');
    return [key, rest.join('=')];
  });
  return shape.safeParse(Object.fromEntries(lines)).data;
}
