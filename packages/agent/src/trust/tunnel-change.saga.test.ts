import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, StepContext } from '../kernel/saga.ts';
import type { HelperReceipt } from '../ports/host-helper.ts';
import { tunnelChange } from './index.ts';
import type { TunnelChangeNeeds, TunnelChangeParams } from './index.ts';

const never = new AbortController().signal;
const params: TunnelChangeParams = { jobId: 'a'.repeat(26), envelope: '{"v":1}' };
const gone = reason('helper.absent', 'cannot: gone');
const [step] = tunnelChange.steps;
assert.ok(step !== undefined);

function contextOf(applied: Outcome<void>, receipt: Outcome<HelperReceipt | undefined> = done(undefined)) {
  const calls: unknown[] = [];
  const needs: TunnelChangeNeeds = {
    signedHelper: {
      tunnelApply: async (operation, envelope) => {
        calls.push(['tunnelApply', operation, envelope]);
        return applied;
      },
      show: async (operation) => {
        calls.push(['show', operation]);
        return receipt;
      },
    },
  };
  const ctx = { sagaId: 'tunnel-change-1', params, state: {}, needs };
  return { calls, ctx: ctx as unknown as StepContext<TunnelChangeParams, object, TunnelChangeNeeds> };
}

const operation = 'tunnel-change-1.apply.tunnel-apply';

test('it hands the envelope to the helper as it came, and passes on what it says', async () => {
  const { ctx, calls } = contextOf(done(undefined));
  assert.deepEqual(await step.run(ctx, never), done({}));
  assert.deepEqual(calls, [['tunnelApply', operation, params.envelope]]);
  for (const answer of [refused(gone), unknown(gone)])
    assert.deepEqual(await step.run(contextOf(answer).ctx, never), answer);
});

const rows: [name: string, receipt: Outcome<HelperReceipt | undefined>, is: string][] = [
  ['a receipt', done({ operation, verb: 'tunnel-apply', at: 1 }), 'done'],
  ['no receipt', done(undefined), 'never-happened'],
  ['no answer', unknown(gone), 'unknown'],
  ['no helper', refused(gone), 'unknown'],
];
for (const [name, receipt, is] of rows)
  test(`a probe finds ${name}: ${is}, and changes nothing`, async () => {
    const { ctx, calls } = contextOf(done(undefined), receipt);
    assert.ok('probe' in step && step.probe !== undefined);
    assert.equal((await step.probe(ctx, never)).is, is);
    assert.deepEqual(calls, [['show', operation]]);
  });
