// Every path below /nodes/{node}/lxc that this node serves. The declared permission of a method comes from the schema
// facts; what Proxmox checks in code is in the handlers.
import type { Call, Handler, Route } from '../core.ts';
import { clone, makeTemplate } from './clone.ts';
import { createGuest } from './create-worker.ts';
import { destroy } from './destroy.ts';
import { moveVolume } from './move-volume.ts';
import { reboot, resume, shutdown, start, stop, suspend } from './power.ts';
import { resize } from './resize.ts';
import { getConfig, getPending, putConfig } from './routes-config.ts';
import {
  createSnapshot,
  deleteSnapshot,
  hasFeature,
  listSnapshots,
  putSnapshotConfig,
  rollbackSnapshot,
  snapshotConfig,
} from './snapshots.ts';
import { currentStatus, interfacesOf, listGuests, rrdData } from './status.ts';
import { storeOf, vmidOf } from './store.ts';

const GUEST_INDEX = [
  'config',
  'pending',
  'status',
  'vncproxy',
  'termproxy',
  'vncwebsocket',
  'spiceproxy',
  'migrate',
  'clone',
  'rrd',
  'rrddata',
  'firewall',
  'snapshot',
  'resize',
  'interfaces',
];

function guestIndex(call: Call): unknown {
  storeOf(call.pve).load(vmidOf(call));
  return GUEST_INDEX.map((subdir) => ({ subdir }));
}

function statusIndex(call: Call): unknown {
  storeOf(call.pve).load(vmidOf(call));
  return ['current', 'start', 'stop', 'shutdown', 'migrate'].map((subdir) => ({ subdir }));
}

const snapshotIndex = (): unknown => [{ cmd: 'rollback' }, { cmd: 'config' }];

const TABLE: readonly (readonly [method: Route['method'], below: string, handler: Handler])[] = [
  ['GET', '', listGuests],
  ['POST', '', createGuest],
  ['GET', '/{vmid}', guestIndex],
  ['DELETE', '/{vmid}', destroy],
  ['GET', '/{vmid}/config', getConfig],
  ['PUT', '/{vmid}/config', putConfig],
  ['GET', '/{vmid}/pending', getPending],
  ['GET', '/{vmid}/status', statusIndex],
  ['GET', '/{vmid}/status/current', currentStatus],
  ['POST', '/{vmid}/status/start', start],
  ['POST', '/{vmid}/status/stop', stop],
  ['POST', '/{vmid}/status/shutdown', shutdown],
  ['POST', '/{vmid}/status/reboot', reboot],
  ['POST', '/{vmid}/status/suspend', suspend],
  ['POST', '/{vmid}/status/resume', resume],
  ['GET', '/{vmid}/interfaces', interfacesOf],
  ['GET', '/{vmid}/feature', hasFeature],
  ['GET', '/{vmid}/rrddata', rrdData],
  ['PUT', '/{vmid}/resize', resize],
  ['POST', '/{vmid}/move_volume', moveVolume],
  ['POST', '/{vmid}/clone', clone],
  ['POST', '/{vmid}/template', makeTemplate],
  ['GET', '/{vmid}/snapshot', listSnapshots],
  ['POST', '/{vmid}/snapshot', createSnapshot],
  ['GET', '/{vmid}/snapshot/{snapname}', snapshotIndex],
  ['DELETE', '/{vmid}/snapshot/{snapname}', deleteSnapshot],
  ['POST', '/{vmid}/snapshot/{snapname}/rollback', rollbackSnapshot],
  ['GET', '/{vmid}/snapshot/{snapname}/config', snapshotConfig],
  ['PUT', '/{vmid}/snapshot/{snapname}/config', putSnapshotConfig],
];

export const guestRoutes: readonly Route[] = TABLE.map(([method, below, handler]) => ({
  method,
  path: `/nodes/{node}/lxc${below}`,
  handler,
}));
