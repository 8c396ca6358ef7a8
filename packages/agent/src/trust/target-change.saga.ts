/**
 * A storage target is attached or detached. One step: the root helper verifies the envelope again and does all of it, each
 * part once, so it is asked until it has said that it is done. Nothing to undo: the way back is another signed job.
 */
import { jobId, maxEnvelopeBytes } from '@felhom/protocol';
import { z } from 'zod';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { SignedHelper } from '../ports/signed-helper.ts';

const params = z.strictObject({
  jobId,
  /** As it came; the helper believes nothing else. */
  envelope: z.string().min(1).max(maxEnvelopeBytes),
});
export type TargetChangeParams = z.output<typeof params>;

export interface TargetChangeNeeds {
  readonly signedHelper: Pick<SignedHelper, 'targetApply' | 'show'>;
}

type Context = StepContext<TargetChangeParams, object, TargetChangeNeeds>;

export const targetChange: SagaDefinition<TargetChangeParams, object, TargetChangeNeeds> = {
  name: 'target-change',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: () => ['host'],
  attemptCap: 8,
  steps: [{ name: 'apply', pivot: 'at-outcome', run: apply, probe: probeApply }],
};

const operationOf = (ctx: Context): string => `${ctx.sagaId}.apply.target-apply`;

async function apply(ctx: Context, signal: AbortSignal): Promise<Outcome<object>> {
  const applied = await ctx.needs.signedHelper.targetApply(operationOf(ctx), ctx.params.envelope, signal);
  return applied.is === 'done' ? done({}) : applied;
}

/**
 * The receipt tells. Without one it did not come to its end, and what a crash left of it is gone on with when it is asked
 * again: the helper does each part once.
 */
async function probeApply(ctx: Context, signal: AbortSignal): Promise<Probed<object>> {
  const shown = await ctx.needs.signedHelper.show(operationOf(ctx), signal);
  if (shown.is !== 'done') return unknown(shown.why);
  return shown.value === undefined ? { is: 'never-happened' } : done({});
}
