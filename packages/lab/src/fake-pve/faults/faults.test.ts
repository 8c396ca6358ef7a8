import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFaults } from './faults.ts';

const drop = { is: 'drop', when: 'after' } as const;

test('a rule strikes the nth match, once', () => {
  const faults = createFaults();
  faults.add({ method: 'POST', path: /\/lxc$/, nth: 2, fault: drop });
  const struck = ['GET', 'POST', 'POST', 'POST'].map((method) => faults.strike(method, '/nodes/pve1/lxc').length);
  assert.deepEqual(struck, [0, 0, 1, 0]);
});

test('a standing rule strikes from the nth match on, until cleared', () => {
  const faults = createFaults();
  faults.add({ path: /./, nth: 2, always: true, fault: drop });
  assert.deepEqual(
    [1, 2, 3].map(() => faults.strike('GET', '/version').length),
    [0, 1, 1],
  );
  faults.clear();
  assert.deepEqual(faults.strike('GET', '/version'), []);
});
