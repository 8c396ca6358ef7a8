/**
 * The kernel: work that survives a crash at any instant.
 *
 * Owns: the meaning of the journal, the state machine of sagas, who may run when (lanes), and who may act at all (the
 * fence). Never does: know a guest or Proxmox, decide whether something is allowed, touch a disk or read a clock.
 * Read in this order: saga.ts, records.ts, fold.ts, next-move.ts, perform-step.ts, runner.ts; then recovery.ts,
 * lanes.ts, fence.ts, crash-points.ts.
 */
export * from './saga.ts';
export type * from './clock.ts';
export type * from './records.ts';
export * from './journal.ts';
export { foldSaga } from './fold.ts';
export type { Passage, SagaLog, StepLog } from './fold.ts';
export { within } from './within.ts';
export { createFence } from './fence.ts';
export type { Fence, FenceVerdict } from './fence.ts';
export { createLanes } from './lanes.ts';
export type { LaneRequest, LaneView, Lanes, Lease } from './lanes.ts';
export { createRegistry } from './registry.ts';
export type { SagaRegistry } from './registry.ts';
export { crashPointsOf, noCrashPoints } from './crash-points.ts';
export type { CrashPoint, CrashPoints } from './crash-points.ts';
export { planRecovery } from './recovery.ts';
export type { Recovery, RecoveryPlan } from './recovery.ts';
export { createRunner } from './runner.ts';
export type { NeedsOf, RecoveredSaga, Runner, RunnerOptions, SagaStatus, StartedSaga } from './runner.ts';
export { installPowerSwitch } from './power-switch.ts';
export type { PowerSwitch } from './power-switch.ts';
