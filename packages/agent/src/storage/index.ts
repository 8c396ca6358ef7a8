/**
 * Storage as the agent sees it: which declared targets are attached, since when, why not, and what waits for them.
 *
 * Owns the judgement of a target, the damping of one that comes and goes, and its durable standing. Asks root's helper to
 * mount a declared disk and to write its entry of Proxmox, and never for more; never touches a file system itself, and
 * decides nothing about what is declared: that is root's.
 * Read in this order: standing, judge-target, entry, target-policy, findings, storage.
 */
export { createStorage } from './storage.ts';
export type { Guarded, Storage, StorageNeeds } from './storage.ts';
export { judgeTarget } from './judge-target.ts';
export { withTargets } from './target-policy.ts';
