/**
 * Recovery: a guest that is gone comes back by itself, from the fastest backup that was proven. Owns the judgement that it
 * is lost, the choice of the backup, and the saga. Never restores into an old VMID and never frees anything that its own
 * saga did not make.
 *
 * Read in this order: lost, look, choose-source, plan-recovery, plan-restore, recover.saga, assess, carry-over.
 */
export { recoverGuest } from './recover.saga.ts';
export type { RecoverNeeds, RecoverParams } from './recover-state.ts';
export { planRecovery } from './plan-recovery.ts';
export type { RecoveryFacts, RecoveryPlan } from './plan-recovery.ts';
export { lookForUnseen } from './look.ts';
export { noLooks } from './lost.ts';
export type { LossMemory } from './lost.ts';
export { chooseSource } from './choose-source.ts';
export { createRecoveryStore } from './recovery-store.ts';
export type { Recovery, RecoveryStore } from './recovery-store.ts';
