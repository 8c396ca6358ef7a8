/**
 * The lab: a faithful fake Proxmox VE node, and everything else on loopback around it. Nothing that ships imports it.
 * Read in this order: fake-pve/core, world/enrolled-node, world/sim-world, then the scenarios.
 */
export { createFakePve } from './fake-pve/node.ts';
export { enrolNode } from './world/enrolled-node.ts';
export type { EnrolledNode, EnrolOptions } from './world/enrolled-node.ts';
export { createSimWorld } from './world/sim-world.ts';
export type { SimWorld } from './world/sim-world.ts';
export { labGuest } from './world/desired.ts';
export { createAuthority } from './stage/certificates.ts';
export type { Authority, ServerCertificate } from './stage/certificates.ts';
export { labHost, openStage } from './stage/stage.ts';
export type { Stage, StageOptions } from './stage/stage.ts';
