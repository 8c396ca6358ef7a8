/** What a parked saga leads to, which decides how many people let it go on or give it up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { effectClasses } from '@felhom/protocol';
import type { SagaStatus } from '../kernel/index.ts';
import { parkedSaga } from './saga-outcome.ts';

const parkedOf = (name: string) => {
  const parked = { step: 'one', why: { code: 'x', text: 'x', retry: 'operator' }, command: 'x' };
  const status = { id: `${name}-1`, name, version: 1, doing: 'parked', step: 'one', parked, lanes: [] };
  return parkedSaga(`${name}-1`, [status as unknown as SagaStatus], { recordsOf: () => [] });
};

for (const [name, classes, removal] of [
  ['free-guest', ['destroy'], true],
  ['quarantine', ['destroy'], true],
  ['lift-quarantine', ['divert'], false],
  ['adopt', ['destroy'], false],
  ['break-glass-open', ['disclose'], false],
  ['start', ['divert'], false],
  ['trust-change', effectClasses, false],
  ['change-at-rest', effectClasses, false],
  ['a saga of a later release', effectClasses, false],
] as const)
  test(`a parked ${name} leads to ${classes.join(', ')}${removal ? ' and the end of a guest' : ''}`, () => {
    const parked = parkedOf(name);
    assert.deepEqual(parked?.classes, classes);
    assert.equal(parked?.removal, removal);
  });
