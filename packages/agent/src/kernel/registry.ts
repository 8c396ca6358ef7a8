/**
 * The sagas that this release can carry out, and therefore replay. Recovery and the crash matrix both start here, so a
 * saga that is registered cannot skip either.
 */
import type { AnySaga } from './saga.ts';

export interface SagaRegistry {
  readonly all: readonly AnySaga[];
  find(name: string, version: number): AnySaga | undefined;
}

/** Throws for a definition that could not be replayed: that is a bug of this release, found at its start. */
export function createRegistry(sagas: readonly AnySaga[]): SagaRegistry {
  const byKey = new Map<string, AnySaga>();
  for (const saga of sagas) {
    const key = `${saga.name}@${saga.version}`;
    const problem = byKey.has(key) ? 'it is registered twice' : problemOf(saga);
    if (problem !== undefined) throw new TypeError(`cannot register saga ${key}: ${problem}`);
    byKey.set(key, saga);
  }
  return { all: [...byKey.values()], find: (name, version) => byKey.get(`${name}@${version}`) };
}

const slug = /^[a-z][a-z0-9-]*$/;

function problemOf(saga: AnySaga): string | undefined {
  if (!slug.test(saga.name)) return 'its name is not made of lower-case letters, digits and -';
  if (saga.steps.length === 0) return 'it has no steps';
  if (!Number.isSafeInteger(saga.attemptCap) || saga.attemptCap < 1) return 'its attemptCap is below 1';
  const names = new Set<string>();
  for (const step of saga.steps) {
    if (!slug.test(step.name)) return `step ${step.name}: a name is lower-case letters, digits and -`;
    if (names.has(step.name)) return `step ${step.name} is there twice`;
    names.add(step.name);
    if (step.readOnly !== true && step.probe === undefined)
      return `step ${step.name} changes something and has no probe, so a crash in it could not be settled`;
    if (step.readOnly === true && (step.pivot !== undefined || step.undo !== undefined))
      return `step ${step.name} changes nothing, so it has no pivot and no undo`;
  }
  return undefined;
}
