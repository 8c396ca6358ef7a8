/**
 * Reconcile: makes observed match desired, level-triggered. Owns the snapshot, the plan and the loop; never decides what
 * is allowed and never touches Proxmox except by reading.
 *
 * Read in this order: loop, pass, observe, plan, back-off.
 */
export { createReconcileLoop } from './loop.ts';
export type { LoopNeeds, ReconcileLoop } from './loop.ts';
export { newPassMemory, pass } from './pass.ts';
export type { PassMemory, PassNeeds, PassReport } from './pass.ts';
export { plan } from './plan.ts';
export type { Plan, PlanInput } from './plan.ts';
export { emptyMemory, observe } from './observe.ts';
export type { Observation, ObserveNeeds, ObserverMemory } from './observe.ts';
export { forget, noteFailure, prune, sift } from './back-off.ts';
export type { Failures } from './back-off.ts';
export { gatherFacts } from './gate-facts.ts';
export type { GateFactsNeeds } from './gate-facts.ts';
