/**
 * The verbs about storage that nobody has to sign: each does what root's own declarations say already, so whoever asks
 * chooses a name and nothing else [R13].
 */
import type { HelperOperation } from '../../ports/host-helper.ts';
import type { Receipts } from '../receipts.ts';
import { defineStorage } from './define.ts';
import { mountTarget, unmountTarget } from './mount.ts';
import type { StorageAnswer, StorageWorld } from './world.ts';

export interface StorageRequest {
  readonly verb: 'mount' | 'unmount' | 'storage-define';
  readonly operation: HelperOperation;
  /** Name of a declared target. */
  readonly target: string;
}

/** The same operation twice does the work once. Throws what leaves open whether something was changed. */
export async function serveStorage(
  { verb, operation, target }: StorageRequest,
  {
    storage,
    receipts,
    now,
  }: { readonly storage: StorageWorld; readonly receipts: Receipts; readonly now: () => number },
): Promise<StorageAnswer> {
  const before = receipts.of(operation);
  if (before?.verb === verb) return { is: 'done' };
  if (before !== undefined)
    return { is: 'refused', text: `cannot ${verb} ${target}: operation ${operation} was a ${before.verb}` };
  const answer = await work[verb](storage, target);
  if (answer.is === 'done') receipts.keep({ operation, verb, at: now() });
  return answer;
}

const work = {
  mount: mountTarget,
  unmount: unmountTarget,
  'storage-define': (world: StorageWorld, target: string) => defineStorage(world, target),
} as const satisfies Record<StorageRequest['verb'], unknown>;
