/**
 * The hub: hands out desired state, takes in reports, shows the fleet. Holds no signing key and never calls a box.
 * Read in this order: hub, api/poll-route, fleet/decide-poll, mailbox/deliver, testimony/hear-testimony,
 * api/operator-routes, store/store, dashboard/dashboard.
 */
export { createHub } from './hub.ts';
export type { Hub, HubOptions } from './hub.ts';
export { openSqliteStore } from './store/sqlite.ts';
export type { HubStore, Role } from './store/store.ts';
export { runHub } from './program.ts';
export { system as hubSystem } from './system.ts';
