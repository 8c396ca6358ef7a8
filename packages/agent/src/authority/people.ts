/**
 * How many different people must have signed. The number hangs on what an effect does and never on the road by which it
 * comes: to approve, resume or abandon takes as many people as the strictest that it leads to [R14].
 */
import { effectClasses, peopleNeeded, raisesFloor } from '@felhom/protocol';
import type { BuiltEffect } from './effects.ts';
import type { Evidence, GuestFacts } from './facts.ts';
import type { GateRow } from './gate-row.ts';
import { gateTable, rowOf } from './gate-table.ts';

export type SignedJob = Extract<Evidence, { is: 'signed-job' }>;
type Classes = Parameters<typeof peopleNeeded>[1];

const removalOfServed: Classes = ['destroy', 'removal'];
const everyThreshold: Classes = [...effectClasses, 'removal', 'trust'];

/**
 * The most that any row asks for by itself. A change of trust decides over all of them: whoever could declare a host
 * to have one operator would else remove a guest alone in two steps.
 */
const mostOfAnyRow = Math.max(
  ...Object.values<GateRow>(gateTable).map(({ signers }) => (typeof signers === 'number' ? signers : 1)),
);

export function peopleFor(
  effect: BuiltEffect,
  evidence: Pick<SignedJob, 'trust' | 'next'>,
  guest: GuestFacts | undefined,
): number {
  const { trust, next } = evidence;
  const row = rowOf(effect.kind);
  if (effect.kind === 'saga-resume' || effect.kind === 'saga-abandon')
    return effect.removal
      ? peopleNeeded(trust, [...effect.classes, ...removalOfServed], leastOf(rowOf('guest-decommission')))
      : peopleNeeded(trust, effect.classes, 1);
  // What they discard or free is what a restore discards: its class, and as many people as it took.
  if (effect.kind === 'restore-undo' || effect.kind === 'restore-finish') return peopleNeeded(trust, ['destroy'], 1);
  if (effect.kind === 'trust-change')
    return Math.max(...[trust, next ?? trust].map((policy) => peopleNeeded(policy, everyThreshold, mostOfAnyRow)));
  if (effect.kind === 'floor-change' && !raisesFloor(effect.floor, effect.to, effect.from)) return 1;
  const removes = effect.kind === 'guest-remove' || effect.kind === 'guest-decommission';
  const classes = removes && guest?.record.servedAt !== undefined ? [...row.classes, ...removalOfServed] : row.classes;
  // Asked of an operator for its number or size alone, it guards no class and counts as the mildest.
  const mild = row.verdict !== 'signed' && classes.length === 0;
  return peopleNeeded(trust, mild ? ['divert'] : classes, leastOf(row));
}

/** Rows whose number hangs on something else are told apart before they come here. */
const leastOf = ({ signers }: GateRow): number => (typeof signers === 'number' ? signers : mostOfAnyRow);
