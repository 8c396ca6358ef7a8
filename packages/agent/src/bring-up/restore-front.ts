/**
 * The front half of every saga that brings a guest back from an archive: the restore with its undo, the barrier before
 * the first start, and the volumes that are added afterwards. What differs between sagas is the plan.
 */
import { reason } from '@felhom/protocol';
import type { DesiredVolume } from '@felhom/protocol';
import type { GuestNeeds } from '../guests/needs.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, Step, StepContext } from '../kernel/saga.ts';
import { auditConfig } from './config-audit.ts';
import { intendMounts, probeMounts, runMounts } from './mounts-step.ts';
import { want } from './restore-state.ts';
import type { FrontContext, RestoreFrontState, RestorePlan } from './restore-state.ts';
import { intendRestore, probeRestore, runRestore } from './restore-step.ts';
import type { OnFailure } from './restore-step.ts';
import { clearRestored } from './restore-undo.ts';

export interface RestoreFront<P, S extends RestoreFrontState, N extends GuestNeeds> {
  /**
   * Reads the world and decides; asked once, its answer is durable before the call. A refusal ends the saga with
   * nothing done.
   */
  readonly planOf: (ctx: StepContext<P, S, N>, signal: AbortSignal) => Promise<Outcome<RestorePlan>>;
  /**
   * `refuse` (unless told): a restore or an audit that fails unwinds the saga. `value`: it goes on with
   * `restoreFailure` in its state, and without `vmid` where there is no guest; every later step has to look.
   */
  readonly onFailure?: OnFailure;
}

/** The steps `restore` (what its undo is, `clearRestored` is as a step forward) and `audit`, in this order. */
export function restoreFront<P, S extends RestoreFrontState, N extends GuestNeeds>(
  front: RestoreFront<P, S, N>,
): readonly [Step<P, S, N>, Step<P, S, N>] {
  const onFailure = front.onFailure ?? 'refuse';
  const restore: Step<P, S, N> = {
    name: 'restore',
    intend: async (ctx, signal) => {
      const plan = await front.planOf(ctx, signal);
      return plan.is === 'done' ? stateOf<S>(await intendRestore(ctx, plan.value, signal)) : plan;
    },
    run: async (ctx, signal) => stateOf<S>(await runRestore(ctx, onFailure, signal)),
    probe: async (ctx, signal) => stateOf<S>(await probeRestore(ctx, onFailure, signal)),
    undo: clearRestored,
  };
  const audit: Step<P, S, N> = {
    name: 'audit',
    readOnly: true,
    run: async (ctx, signal) => stateOf<S>(await auditRestored(ctx, onFailure, signal)),
  };
  return [restore, audit];
}

/** Further volumes of a restored guest, allocated empty, one at a time. What is mounted at their paths already stays. */
export function addMounts<P, S extends RestoreFrontState, N extends GuestNeeds>(
  volumesOf: (ctx: StepContext<P, S, N>) => readonly DesiredVolume[],
): Step<P, S, N> {
  return {
    name: 'mounts',
    intend: async (ctx, signal) => stateOf<S>(await intendMounts(ctx, volumesOf(ctx), signal)),
    run: async (ctx, signal) => stateOf<S>(await runMounts(ctx, volumesOf(ctx), signal)),
    probe: async (ctx, signal) => stateOf<S>(await probeMounts(ctx, volumesOf(ctx), signal)),
  };
}

type FrontAnswer = Partial<RestoreFrontState>;

/** What these steps answer are fields of the front's state, and `S` only adds to it. */
function stateOf<S extends RestoreFrontState>(answer: Outcome<FrontAnswer>): Outcome<Partial<S>>;
function stateOf<S extends RestoreFrontState>(answer: Probed<FrontAnswer>): Probed<Partial<S>>;
function stateOf<S extends RestoreFrontState>(answer: Probed<FrontAnswer>): Probed<Partial<S>> {
  return answer as Probed<Partial<S>>;
}

/** The barrier of [R7]: what was really restored, before anything of it runs. */
async function auditRestored(
  ctx: FrontContext,
  onFailure: OnFailure,
  signal: AbortSignal,
): Promise<Outcome<Partial<RestoreFrontState>>> {
  if (ctx.state.restoreFailure !== undefined) return done({});
  const vmid = want(ctx, 'vmid');
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is !== 'present')
    return read.value.is === 'absent'
      ? refused(reason('pve.guest-absent', `cannot audit guest ${vmid}: it is gone`))
      : unknown(reason('pve.forbidden', `cannot audit guest ${vmid}: the token may not read it`));
  const found = auditConfig(read.value.config, { vmid, values: want(ctx, 'sent') });
  if (found.violations.length === 0) return done({ strips: found.strips });
  const why = reason(
    'guest.archive-refused',
    `cannot start ${want(ctx, 'restoring').words.guest}: its restored config is not what was asked for, so the archive cannot be trusted`,
    found.violations.map((violation) => violation.text).join('\n'),
  );
  return onFailure === 'value' ? done({ restoreFailure: why, strips: found.strips }) : refused(why);
}
