import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOfTrust, reason } from '@felhom/protocol';
import type { TrustDocument } from '@felhom/protocol';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, StepContext } from '../kernel/saga.ts';
import type { HelperReceipt } from '../ports/host-helper.ts';
import type { TrustRead } from '../ports/trust-store.ts';
import { trustChange } from './index.ts';
import type { TrustChangeNeeds, TrustChangeParams } from './index.ts';
import { makeDocument, now } from './test/people.ts';

const never = new AbortController().signal;
const before = makeDocument();
const after = makeDocument({ version: 4 });
const params: TrustChangeParams = {
  jobId: 'a'.repeat(26),
  envelope: '{"v":1}',
  before: digestOfTrust(before),
  after: digestOfTrust(after),
};
const gone = reason('helper.absent', 'cannot: gone');
const [step] = trustChange.steps;
assert.ok(step !== undefined);

interface World {
  readonly read?: TrustRead;
  readonly receipt?: Outcome<HelperReceipt | undefined>;
  readonly update?: Outcome<void>;
}

const holds = (document: TrustDocument): TrustRead => ({ is: 'held', document, digest: digestOfTrust(document) });

function contextOf({ read = holds(before), receipt = done(undefined), update = done(undefined) }: World) {
  const calls: unknown[] = [];
  const needs: TrustChangeNeeds = {
    signedHelper: {
      trustUpdate: async (operation: string, envelope: string) => {
        calls.push(['trustUpdate', operation, envelope]);
        return update;
      },
      show: async (operation) => {
        calls.push(['show', operation]);
        return receipt;
      },
    },
    trustStore: { read: () => read },
  };
  const ctx = { sagaId: 'trust-change-1', params, state: {}, needs, clock: { now: () => now } };
  return { calls, ctx: ctx as unknown as StepContext<TrustChangeParams, { replacedAt: number }, TrustChangeNeeds> };
}

const operation = 'trust-change-1.replace.trust-update';

test('it hands the envelope to the helper as it came', async () => {
  const { ctx, calls } = contextOf({});
  assert.deepEqual(await step.run(ctx, never), done({ replacedAt: now }));
  assert.deepEqual(calls, [['trustUpdate', operation, params.envelope]]);
});

for (const update of [refused(gone), unknown(gone)])
  test(`what the helper says is passed on: ${update.is}`, async () => {
    assert.deepEqual(await step.run(contextOf({ update }).ctx, never), update);
  });

const receipt = done({ operation, verb: 'trust-update', at: now });
const other = makeDocument({ version: 5 });
const rows: [name: string, world: World, is: string][] = [
  ['the new document is in force', { read: holds(after), receipt: unknown(gone) }, 'done'],
  ['there is a receipt, and the file was changed again since', { read: holds(other), receipt }, 'done'],
  ['there is a receipt, and the file cannot be read', { read: { is: 'unreadable', why: gone }, receipt }, 'done'],
  ['the old document, no receipt', {}, 'never-happened'],
  ['another document, no receipt: the helper will refuse', { read: holds(other) }, 'never-happened'],
  ['the old document, and no answer about receipts', { receipt: unknown(gone) }, 'unknown'],
  ['the old document, and no helper', { receipt: refused(gone) }, 'unknown'],
  ['no receipt, and the file cannot be read', { read: { is: 'unreadable', why: gone } }, 'unknown'],
  ['no receipt, and no file', { read: { is: 'none' } }, 'unknown'],
];
for (const [name, world, is] of rows)
  test(`a probe finds: ${name}: ${is}`, async () => {
    assert.equal((await step.probe?.(contextOf(world).ctx, never))?.is, is);
  });

test('parameters are parsed strictly, and it holds the lane of the host', () => {
  assert.deepEqual(trustChange.parseParams(params), params);
  assert.throws(() => trustChange.parseParams({ ...params, more: 1 }));
  assert.throws(() => trustChange.parseParams({ ...params, after: 'x' }));
  assert.deepEqual(trustChange.lanes(params), ['host']);
});
