/**
 * Opening and closing, as sagas. What opens and closes is the root helper; closing in time is not this process's task at
 * all: a timer of systemd does that, with the agent alive or dead.
 */
import { maxEnvelopeBytes, reason } from '@felhom/protocol';
import { z } from 'zod';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { SignedHelper } from '../ports/signed-helper.ts';

export interface BreakGlassNeeds {
  readonly signedHelper: Pick<SignedHelper, 'breakGlassOpen' | 'breakGlassClose' | 'breakGlassShow' | 'show'>;
}

const openParams = z.strictObject({
  jobId: z.string().regex(/^[a-z2-7]{26}$/),
  /** As it was signed: the helper believes nobody else. */
  envelope: z.string().min(1).max(maxEnvelopeBytes),
  minutes: z.number().int().min(1).max(480),
});
export type BreakGlassOpenParams = z.output<typeof openParams>;

export interface BreakGlassOpenState {
  /** Milliseconds since the epoch. */
  readonly until: number;
}

type Opening = StepContext<BreakGlassOpenParams, BreakGlassOpenState, BreakGlassNeeds>;

export const breakGlassOpen: SagaDefinition<BreakGlassOpenParams, BreakGlassOpenState, BreakGlassNeeds> = {
  name: 'break-glass-open',
  version: 1,
  parseParams: (raw) => openParams.parse(raw),
  lanes: () => ['host'],
  attemptCap: 5,
  steps: [
    { name: 'open', run: open, probe: probeOpen, undo: undoOpen },
    { name: 'look', readOnly: true, run: look },
  ],
};

const openOperation = ({ sagaId }: Pick<Opening, 'sagaId'>): string => `${sagaId}.open`;

async function open(ctx: Opening, signal: AbortSignal): Promise<Outcome<Partial<BreakGlassOpenState>>> {
  const opened = await ctx.needs.signedHelper.breakGlassOpen(openOperation(ctx), ctx.params.envelope, signal);
  return opened.is === 'done' ? done({}) : opened;
}

/**
 * The receipt tells that it was opened, even if it has closed since. Open without a receipt is somebody else's doing or
 * still under way, and stays unknown until one of them is seen.
 */
async function probeOpen(ctx: Opening, signal: AbortSignal): Promise<Probed<Partial<BreakGlassOpenState>>> {
  const receipt = await ctx.needs.signedHelper.show(openOperation(ctx), signal);
  if (receipt.is !== 'done') return unknown(receipt.why);
  if (receipt.value !== undefined) return done({});
  const shown = await ctx.needs.signedHelper.breakGlassShow(signal);
  if (shown.is !== 'done') return unknown(shown.why);
  if (shown.value === undefined) return { is: 'never-happened' };
  return unknown(
    reason('break-glass.unclear', 'cannot tell whether this job opened break-glass: it is open, without a receipt'),
  );
}

async function undoOpen(ctx: Opening, signal: AbortSignal): Promise<Outcome<void>> {
  return close(ctx.needs, `${ctx.sagaId}.undo`, signal);
}

/** Until when, for people; that it has closed meanwhile (its time was over, a consent was withdrawn) is no failure. */
async function look(ctx: Opening, signal: AbortSignal): Promise<Outcome<Partial<BreakGlassOpenState>>> {
  const shown = await ctx.needs.signedHelper.breakGlassShow(signal);
  if (shown.is !== 'done') return unknown(shown.why);
  return done(shown.value === undefined ? {} : { until: shown.value.until });
}

const closeParams = z.strictObject({
  /** Who or what wants it closed, for the audit log. */
  reason: z.string().min(1).max(300),
});
export type BreakGlassCloseParams = z.output<typeof closeParams>;

type Closing = StepContext<BreakGlassCloseParams, object, BreakGlassNeeds>;

export const breakGlassClose: SagaDefinition<BreakGlassCloseParams, object, BreakGlassNeeds> = {
  name: 'break-glass-close',
  version: 1,
  parseParams: (raw) => closeParams.parse(raw),
  lanes: () => ['host'],
  // It only narrows, so a parked opening must not keep it from running.
  purpose: 'protection',
  attemptCap: 20,
  steps: [{ name: 'close', run: runClose, probe: probeClose }],
};

async function runClose(ctx: Closing, signal: AbortSignal): Promise<Outcome<object>> {
  const closed = await close(ctx.needs, `${ctx.sagaId}.close`, signal);
  return closed.is === 'done' ? done({}) : closed;
}

async function probeClose(ctx: Closing, signal: AbortSignal): Promise<Probed<object>> {
  const shown = await ctx.needs.signedHelper.breakGlassShow(signal);
  if (shown.is !== 'done') return unknown(shown.why);
  return shown.value === undefined ? done({}) : { is: 'never-happened' };
}

/** Believes the look, not the answer: a receipt of an earlier close says nothing about what was opened since. */
async function close(needs: BreakGlassNeeds, operation: string, signal: AbortSignal): Promise<Outcome<void>> {
  const asked = await needs.signedHelper.breakGlassClose(operation, signal);
  if (asked.is !== 'done') return asked;
  const shown = await needs.signedHelper.breakGlassShow(signal);
  if (shown.is !== 'done') return unknown(shown.why);
  if (shown.value === undefined) return done(undefined);
  return refused(
    reason('break-glass.unclear', 'cannot close break-glass: it is still open; its timer closes it at the latest'),
  );
}
