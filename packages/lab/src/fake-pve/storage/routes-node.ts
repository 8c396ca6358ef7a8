// `/nodes/{node}/storage`: what a node sees of its storages. PVE: API2/Storage/Status.pm, FileRestore.pm, Scan.pm.
import { die, paramError, type Call, type Route } from '../core.ts';
import { contentOf, option } from './definitions.ts';
import type { Storage } from './room.ts';
import { isVisible, needText, storageOf, text } from './routes-config.ts';

function statusOf(room: Storage, storage: string): Record<string, unknown> {
  const definition = room.definitions.need(storage);
  const { enabled, active, total, used, avail } = room.status(storage);
  return {
    type: definition.type,
    content: contentOf(definition).join(','),
    shared: room.sharedFlag(definition),
    enabled: enabled ? 1 : 0,
    active: active ? 1 : 0,
    total,
    used,
    avail,
  };
}

function list(call: Call): unknown {
  const room = storageOf(call.pve);
  const content = text(call, 'content')?.split(/[,;\s]+/) ?? [];
  const only = text(call, 'storage');
  return room.ids().flatMap((storage) => {
    if ((only !== undefined && only !== storage) || !isVisible(call, storage)) return [];
    if (content.length > 0 && !content.some((one) => room.hasContent(storage, one))) return [];
    const status = statusOf(room, storage);
    if (call.params['enabled'] === 1 && status['enabled'] !== 1) return [];
    const total = Number(status['total']);
    const fraction = total > 0 ? { used_fraction: Number(status['used']) / total } : {};
    return [{ storage, ...status, ...fraction }];
  });
}

/** A storage that must exist; the node view answers 400 where the others die. */
function known(call: Call): { room: Storage; storage: string } {
  const room = storageOf(call.pve);
  const storage = needText(call, 'storage');
  if (!room.exists(storage)) paramError({ storage: 'No such storage.' });
  return { room, storage };
}

const fileRestore = (call: Call): unknown => {
  const room = storageOf(call.pve);
  if (room.type(needText(call, 'storage')) !== 'pbs') {
    paramError({ storage: 'Only PBS storages supported for file-restore.' });
  }
  room.checkAccess(call.who, needText(call, 'volume'));
  return die('cannot restore single files: the fake Proxmox Backup Server holds whole archives');
};

/** Two points of the running hour; pvestatd samples once a minute. */
function rrd(call: Call): unknown {
  const { room, storage } = known(call);
  const { total, used } = room.status(storage);
  const minute = room.nowSeconds() - (room.nowSeconds() % 60);
  return [minute - 60, minute].map((time) => ({ time, total, used }));
}

function identity(call: Call): unknown {
  const { room, storage } = known(call);
  if (room.type(storage) !== 'pbs') die(`storage identity is not implemented for storage type '${room.type(storage)}'`);
  room.activate(storage);
  const definition = room.definitions.need(storage);
  return { type: 'pbs', identity: `${option(definition, 'server')}:${option(definition, 'datastore')}` };
}

function scanPbs(call: Call): unknown {
  const server = needText(call, 'server');
  const prefix = `pbs:${server}/`;
  const found = storageOf(call.pve).hardware.idsOf(prefix);
  if (found.length > 0) return found.map((id) => ({ store: id.slice(prefix.length) }));
  const port = text(call, 'port') ?? '8007';
  return die(`error fetching datastores - 500 Can't connect to ${server}:${port} (Connection refused)`);
}

function scanNfs(call: Call): unknown {
  const server = needText(call, 'server');
  const prefix = `nfs:${server}:`;
  const found = storageOf(call.pve).hardware.idsOf(prefix);
  if (found.length > 0) return found.map((id) => ({ path: id.slice(prefix.length), options: '*' }));
  return die(`command '/sbin/showmount --no-headers --exports ${server}' failed: exit code 1`);
}

function scanCifs(call: Call): unknown {
  const prefix = `cifs:${needText(call, 'server')}/`;
  const found = storageOf(call.pve).hardware.idsOf(prefix);
  return found.map((id) => ({ share: id.slice(prefix.length), description: '' }));
}

export const nodeRoutes: readonly Route[] = [
  { method: 'GET', path: '/nodes/{node}/storage', handler: list },
  {
    method: 'GET',
    path: '/nodes/{node}/storage/{storage}/status',
    handler: (call) => {
      const { room, storage } = known(call);
      return statusOf(room, storage);
    },
  },
  { method: 'GET', path: '/nodes/{node}/storage/{storage}/rrddata', handler: rrd },
  { method: 'GET', path: '/nodes/{node}/storage/{storage}/identity', handler: identity },
  { method: 'GET', path: '/nodes/{node}/storage/{storage}/file-restore/list', handler: fileRestore },
  { method: 'GET', path: '/nodes/{node}/storage/{storage}/file-restore/download', handler: fileRestore },
  {
    method: 'POST',
    path: '/nodes/{node}/storage/{storage}/download-url',
    handler: (call) => die(`cannot download ${needText(call, 'url')}: the fake node has no way out`),
  },
  { method: 'GET', path: '/nodes/{node}/scan/nfs', handler: scanNfs },
  { method: 'GET', path: '/nodes/{node}/scan/cifs', handler: scanCifs },
  { method: 'GET', path: '/nodes/{node}/scan/pbs', handler: scanPbs },
];
