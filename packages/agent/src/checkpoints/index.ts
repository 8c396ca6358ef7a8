/**
 * Checkpoints: the state of a guest before a deploy or an update, by snapshot where every volume can and nothing of the
 * bulk would go back, else by a quick backup, else refused with the cause.
 *
 * Owns which of them a guest has and until when. Never rolls back unasked, and never lets a guest name the agent's own.
 * Read in this order: checkpoint-by, checkpoint-store, checkpoint.saga, drop-checkpoint.saga,
 * roll-back.saga, roll-back-assess, roll-back-trace, roll-back-step.
 */
export { checkpointBy } from './checkpoint-by.ts';
export { createCheckpoints, expiredCheckpoints } from './checkpoint-store.ts';
export type { Checkpoint, Checkpoints } from './checkpoint-store.ts';
export { checkpointGuest } from './checkpoint.saga.ts';
export { dropCheckpoint } from './drop-checkpoint.saga.ts';
export { rollBack } from './roll-back.saga.ts';
export type { CheckpointNeeds, RollBackNeeds } from './needs.ts';
