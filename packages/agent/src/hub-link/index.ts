/**
 * The agent's side of the hub: heartbeats and reports up, desired state down. Never mutates a guest; a hub that is gone, wrong or
 * hostile changes nothing that works.
 * Read in this order: adopt-desired, held-store, decide-report, poll-loop, findings, report, sequence.
 */
export type { SignedTraffic } from './signed-traffic.ts';
export { adoptDesired, heldForPlanning } from './adopt-desired.ts';
export type { Adoption, Held } from './adopt-desired.ts';
export { findingsOfLink, urgentOf } from './findings.ts';
export type { LinkTrouble } from './findings.ts';
export { loadHeld, storeHeld } from './held-store.ts';
export type { HeldStateStore } from './held-store.ts';
export { createHubLink, planNextPoll } from './poll-loop.ts';
export type { HubLink, HubLinkEvent, HubLinkNeeds, HubLinkOptions, HubLinkState, PollPace } from './poll-loop.ts';
export { fitReport } from './report.ts';
export type { ReportFacts } from './report.ts';
export { createPollSequence } from './sequence.ts';
export type { PollSequence } from './sequence.ts';
