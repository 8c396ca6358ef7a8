/**
 * The tunnel lets in what operators signed. One step: the root helper verifies the envelope again, puts it in force and
 * puts the earlier one back where the tunnel does not come up. Nothing to undo: the way back is another signed job.
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
export type TunnelChangeParams = z.output<typeof params>;

export interface TunnelChangeNeeds {
  readonly signedHelper: Pick<SignedHelper, 'tunnelApply' | 'show'>;
}

type Context = StepContext<TunnelChangeParams, object, TunnelChangeNeeds>;

export const tunnelChange: SagaDefinition<TunnelChangeParams, object, TunnelChangeNeeds> = {
  name: 'tunnel-change',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: () => ['host'],
  attemptCap: 8,
  steps: [{ name: 'apply', pivot: 'at-outcome', run: apply, probe: probeApply }],
};

const operationOf = (ctx: Context): string => `${ctx.sagaId}.apply.tunnel-apply`;

async function apply(ctx: Context, signal: AbortSignal): Promise<Outcome<object>> {
  const applied = await ctx.needs.signedHelper.tunnelApply(operationOf(ctx), ctx.params.envelope, signal);
  return applied.is === 'done' ? done({}) : applied;
}

/**
 * The receipt tells. Without one it did not come to its end; asked again, root first puts back what a crash left half
 * changed.
 */
async function probeApply(ctx: Context, signal: AbortSignal): Promise<Probed<object>> {
  const shown = await ctx.needs.signedHelper.show(operationOf(ctx), signal);
  if (shown.is !== 'done') return unknown(shown.why);
  return shown.value === undefined ? { is: 'never-happened' } : done({});
}
