/**
 * The trust document is changed. One step: the root helper verifies the envelope again and renames the file; the rename is
 * the point of no return. Nothing to undo: the way back is another signed change.
 */
import { digest, jobId, maxEnvelopeBytes, reason } from '@felhom/protocol';
import type { Digest } from '@felhom/protocol';
import { z } from 'zod';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { SignedHelper } from '../ports/signed-helper.ts';
import type { TrustStore } from '../ports/trust-store.ts';

const params = z.strictObject({
  jobId,
  envelope: z.string().max(maxEnvelopeBytes),
  before: digest,
  after: digest,
});

export interface TrustChangeParams {
  readonly jobId: string;
  /** As it came; the helper believes nothing else. */
  readonly envelope: string;
  /** Digests of the documents. */
  readonly before: Digest;
  readonly after: Digest;
}

export interface TrustChangeNeeds {
  readonly signedHelper: Pick<SignedHelper, 'trustUpdate' | 'show'>;
  readonly trustStore: TrustStore;
}

export interface TrustChangeState {
  /** Wall time at which the new document was seen to be in force. */
  readonly replacedAt: number;
}

type Context = StepContext<TrustChangeParams, TrustChangeState, TrustChangeNeeds>;

export const trustChange: SagaDefinition<TrustChangeParams, TrustChangeState, TrustChangeNeeds> = {
  name: 'trust-change',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: () => ['host'],
  attemptCap: 8,
  steps: [{ name: 'replace', pivot: 'at-outcome', run: replace, probe: probeReplace }],
};

const operationOf = (ctx: Context): string => `${ctx.sagaId}.replace.trust-update`;

async function replace(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<TrustChangeState>>> {
  const replaced = await ctx.needs.signedHelper.trustUpdate(operationOf(ctx), ctx.params.envelope, signal);
  return replaced.is === 'done' ? done({ replacedAt: ctx.clock.now() }) : replaced;
}

/**
 * The file itself tells first: its digest names one document. Where it is neither of the two, somebody changed it since,
 * and only the receipt says whether ours came in between.
 */
async function probeReplace(ctx: Context, signal: AbortSignal): Promise<Probed<Partial<TrustChangeState>>> {
  const held = ctx.needs.trustStore.read();
  if (held.is === 'held' && held.digest === ctx.params.after) return done({ replacedAt: ctx.clock.now() });
  const shown = await ctx.needs.signedHelper.show(operationOf(ctx), signal);
  // No receipt to be had is no proof that nothing happened.
  if (shown.is !== 'done') return unknown(shown.why);
  if (shown.value !== undefined) return done({ replacedAt: ctx.clock.now() });
  if (held.is === 'unreadable') return unknown(held.why);
  if (held.is === 'none')
    return unknown(reason('trust.none', 'cannot tell what became of the trust document: it is gone'));
  // Of another document than `before` the helper will say so itself when it is asked again.
  return { is: 'never-happened' };
}
