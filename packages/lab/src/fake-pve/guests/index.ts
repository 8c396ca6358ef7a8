/**
 * Owns the LXC guests of a fake node: their config files, their power state and every API call below
 * `/nodes/{node}/lxc`. Never touches volume content itself (storage/), never decides who may call (access/).
 *
 * Read in this order: store.ts (what is held), config-file.ts and property-string.ts (the formats), stage-changes.ts
 * and apply-changes.ts (how a config changes), create-request.ts and create-worker.ts (create and restore), power.ts,
 * snapshots.ts, routes.ts.
 */
export { hostActions } from './host-actions.ts';
export type { CreatingTask, HostActions, StubFacts } from './host-actions.ts';
export { benchTraits, createGuestsRoom, ordinaryTraits } from './room.ts';
export { guestRoutes } from './routes.ts';
export type { GuestTraits, InitBehaviour, PowerEvent, PowerListener, PowerSource } from './store.ts';
