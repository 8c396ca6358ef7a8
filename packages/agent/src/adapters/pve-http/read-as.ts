/** Answers become values of a known shape here; an answer of another shape is `unknown`, never a crash. */
import { reason } from '@felhom/protocol';
import type { z } from 'zod';
import { done, unknown } from '../../kernel/saga.ts';
import type { Outcome } from '../../kernel/saga.ts';
import type { Answer } from './caller.ts';

export function readAs<T>(what: string, outcome: Outcome<Answer>, shape: z.ZodType<T>): Outcome<T> {
  if (outcome.is !== 'done') return outcome;
  const parsed = shape.safeParse(outcome.value.data);
  if (parsed.success) return done(parsed.data);
  const issue = parsed.error.issues[0];
  const place = issue === undefined ? '' : ` at ${issue.path.map(String).join('.')}: ${issue.message}`;
  return unknown(reason('pve.unreadable-answer', `cannot ${what}: the answer has an unknown shape${place}`));
}
