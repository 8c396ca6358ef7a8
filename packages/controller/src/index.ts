/**
 * What runs in a guest. Owns the client library of the local API, the bootstrap, the supervisor and the reference
 * controller; knows of its host nothing but the local API, and of other guests nothing at all.
 * Read in this order: ports, guest, bootstrap, standstill, supervisor/supervisor, controller/controller and its duties.
 */
export type * from './ports.ts';
export { createLocalClient } from './client/client.ts';
export type { AskOptions, LocalClient, LocalClientNeeds, LocalInput, LocalResult } from './client/client.ts';
export { httpsConnect } from './client/https.ts';
export { runGuest } from './guest.ts';
export type { GuestImages, GuestNeeds } from './guest.ts';
export { createController } from './controller/controller.ts';
export type { Controller, ControllerNeeds } from './controller/controller.ts';
export { parseFelhomFile } from './controller/felhom-file.ts';
export { placeVolumes } from './controller/placement.ts';
export { guestPaths } from './paths.ts';
export { realFiles } from './adapters/real-files.ts';
export { publicKeyOnly } from './adapters/host-keys.ts';
export { createInProcessImages } from './stand-ins/in-process-images.ts';
export { ledgerStack, openLedgerStack } from './stand-ins/ledger-stack.ts';
export { checkLedger } from './stand-ins/ledger.ts';
