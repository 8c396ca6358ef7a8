/**
 * Restore-tests: whose backup is tested next, the test itself, its evidence, and sweeping what a test left.
 *
 * Owns the grade and the verdict of a backup. Never touches the guest whose backup it is, never starts what the audit
 * did not pass, and destroys only scratch guests of its own by provenance. A pass says "equals what the guest declared".
 * Read in this order: plan, restore-test.saga, check-step, watch-step, content-step, record-step, evidence-store,
 * sweep-scratch.saga.
 */
export { restoreTest } from './restore-test.saga.ts';
export { sweepScratch } from './sweep-scratch.saga.ts';
export type { SweepScratchParams } from './sweep-scratch.saga.ts';
export type { RestoreTestNeeds, RestoreTestParams } from './test-state.ts';
export { dueTests, planTests, scratchStorageOf } from './plan.ts';
export type { TestFacts, TestPlan } from './plan.ts';
export { createEvidenceStore, isEvidenceOf } from './evidence-store.ts';
export type { EvidenceStore } from './evidence-store.ts';
