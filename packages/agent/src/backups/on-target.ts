/**
 * A backup holds to one attachment of its target: looked at before, watched during, compared after [R8]. What was away
 * meanwhile may have lost what was not yet on it, and may be another disk.
 */
import { reason } from '@felhom/protocol';
import type { Reason } from '@felhom/protocol';
import { refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { BackupContext, Partly } from './backup-state.ts';

type Run = (ctx: BackupContext, signal: AbortSignal) => Promise<Outcome<Partly>>;

/** The step ends, and with it the backup, as soon as the target goes away; also where it went while nobody watched. */
export function onTarget(run: Run): Run {
  return async (ctx, signal) => {
    const { targets } = ctx.needs;
    const { storage } = ctx.params;
    const { attachment } = ctx.state;
    // Declared since it began, or no more: then its archive alone has to tell.
    if (attachment === undefined) return run(ctx, signal);
    if (targets.attachment(storage) !== attachment)
      return refused(dropped(ctx, (await targets.check(storage))?.text ?? 'it is back, and was away'));
    const work = await targets.whileAttached(storage, signal, (inner) => run(ctx, inner));
    return work.is === 'ended' ? work.value : refused(dropped(ctx, work.why.text));
  };
}

const dropped = ({ params }: BackupContext, why: string): Reason =>
  reason('backup.target-dropped', `cannot count the backup of ${params.guest.name} to ${params.storage}: ${why}`);
