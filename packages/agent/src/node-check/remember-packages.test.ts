import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import { done, unknown } from '../kernel/saga.ts';
import { rememberPackages } from './remember-packages.ts';

test('package versions are read again after ten minutes, and at once where nobody could be asked', async () => {
  const answers = [
    unknown(reason('pve.unreachable', 'cannot read')),
    done(new Map([['pve-container', '6.0']])),
    done(new Map([['pve-container', '6.1']])),
  ];
  let now = 0;
  const remembered = rememberPackages(
    { packages: async () => answers.shift() ?? assert.fail('asked too often') },
    { monotonicMs: () => now },
  );
  const version = async (): Promise<string | undefined> => {
    const answer = await remembered.packages(new AbortController().signal);
    return answer.is === 'done' ? answer.value.get('pve-container') : answer.is;
  };
  assert.equal(await version(), 'unknown');
  assert.equal(await version(), '6.0');
  now = 599_000;
  assert.equal(await version(), '6.0');
  now = 600_000;
  assert.equal(await version(), '6.1');
});
