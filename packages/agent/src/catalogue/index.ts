/**
 * Catalogue: which good backups there are, and what follows from them: how old the newest is, which are kept, what is
 * due, what policy is in force.
 *
 * Owns the records of backups, the guests' content manifests and every pure decision over them. Never talks to Proxmox
 * and takes no backup itself. Read in this order: backup-record, catalogue, manifests, mass-change, effective-policy, due,
 * retention, standing.
 */
export { backupId, backupRecord } from './backup-record.ts';
export type { BackupRecord } from './backup-record.ts';
export { createCatalogue } from './catalogue.ts';
export type { Catalogue } from './catalogue.ts';
export { createManifests } from './manifests.ts';
export type { Manifests } from './manifests.ts';
export { compareSamples, judgeChange, sumsOf } from './mass-change.ts';
export { effectivePlan } from './effective-policy.ts';
export type { EffectivePlan, EffectivePlanInput, EffectiveTier, PlanGuest } from './effective-policy.ts';
export { dueBackups } from './due.ts';
export type { Announcement, BackupFailure, DueDecision, DueGuest, DueInput, Dues, DueVerdict } from './due.ts';
export { isGood, planPrune } from './retention.ts';
export type { PruneInput, PrunePlan } from './retention.ts';
export { standings } from './standing.ts';
export type { BulkCopy, Standing, StandingGuest, StandingInput } from './standing.ts';
