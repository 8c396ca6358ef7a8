// `/nodes/{node}/storage/{storage}/content` and `prunebackups`. PVE: API2/Storage/Content.pm, PruneBackups.pm.
import { die, PveError, type Call, type Route } from '../core.ts';
import { mayAccess } from './access.ts';
import { templateFormat } from './archives.ts';
import { checkRetention, contentOf, option, policyOf } from './definitions.ts';
import { nextDiskName, parseDiskName, splitVolid } from './naming.ts';
import { parseKeepPolicy, type KeepPolicy } from './prune.ts';
import type { ParsedVolid, Storage } from './room.ts';
import { needText, storageOf, text } from './routes-config.ts';
import { typeFacts } from './types.ts';

type Item = Record<string, unknown> & { readonly volid: string; readonly content: string; readonly vmid?: number };

/** Container disks: `rootdir` when their owner is a container now, else `images`. PVE: Storage/Plugin.pm. */
function diskItems(room: Storage, storage: string): Item[] {
  return room.volumesIn(storage).map(({ volid, vmid, format, sizeBytes, usedBytes, ctime }) => ({
    volid,
    content: room.pve.guests.exists(vmid) ? 'rootdir' : 'images',
    vmid,
    format,
    size: sizeBytes,
    used: usedBytes,
    ctime,
    parent: null,
  }));
}

function backupItems(room: Storage, storage: string): Item[] {
  return room.archives.list(storage).map((backup) => ({
    volid: backup.volid,
    content: 'backup',
    format: backup.format,
    size: backup.sizeBytes,
    ctime: backup.ctime,
    ...(backup.vmid === undefined ? {} : { vmid: backup.vmid }),
    ...(backup.subtype === undefined ? {} : { subtype: backup.subtype }),
    ...(backup.notes === undefined || backup.notes === '' ? {} : { notes: backup.notes.split('\n', 1)[0] }),
    ...(backup.protected ? { protected: 1 } : {}),
    ...(backup.encrypted === undefined ? {} : { encrypted: backup.encrypted }),
  }));
}

function plainItems(room: Storage, storage: string, content: string, folder: string): Item[] {
  const directory = room.diskPath(storage, folder);
  return room.disk.list(directory).flatMap((name) => {
    const facts = room.disk.file(`${directory}/${name}`);
    if (facts === undefined) return [];
    const format = { vztmpl: templateFormat(name), iso: 'iso' }[content] ?? 'snippet';
    return [{ volid: `${storage}:${content}/${name}`, content, format, size: facts.sizeBytes, ctime: facts.mtime }];
  });
}

function listContent(call: Call): unknown {
  const room = storageOf(call.pve);
  const storage = needText(call, 'storage');
  room.activate(storage);
  const definition = room.definitions.need(storage);
  const allowed = contentOf(definition);
  const wanted = text(call, 'content');
  const vmid = call.params['vmid'];
  const directory = typeFacts[definition.type].layout === 'directory';
  const items = [
    ...diskItems(room, storage),
    ...(directory || definition.type === 'pbs' ? backupItems(room, storage) : []),
    ...(directory ? plainItems(room, storage, 'iso', 'template/iso') : []),
    ...(directory ? plainItems(room, storage, 'snippets', 'snippets') : []),
    ...(directory ? plainItems(room, storage, 'vztmpl', 'template/cache') : []),
  ];
  return items.filter(
    (item) =>
      allowed.includes(item.content) &&
      (wanted === undefined || wanted === item.content) &&
      (vmid === undefined || item.vmid === vmid) &&
      mayAccess(call.pve.access, call.who, item.volid, room.parse(item.volid) ?? { storage, content: 'iso' }),
  );
}

/** The volume a path names: `store:name`, or only `name` below `{storage}`. */
function named(call: Call): { room: Storage; volid: string; parsed: ParsedVolid } {
  const room = storageOf(call.pve);
  const storage = text(call, 'storage');
  const volume = needText(call, 'volume');
  const id = splitVolid(volume);
  if (id === undefined && storage === undefined) die('no storage ID specified');
  if (id !== undefined && storage !== undefined && id.storage !== storage) {
    die(`storage ID mismatch (${id.storage} != ${storage})`);
  }
  const volid = id === undefined ? `${storage}:${volume}` : volume;
  const type = room.definitions.need(splitVolid(volid)?.storage ?? '').type;
  const kind = { directory: 'directory', lvm: 'lvm', zfs: 'zfs' }[typeFacts[type].layout ?? 'directory'];
  const parsed = room.parse(volid) ?? die(`unable to parse ${kind} volume name '${splitVolid(volid)?.name}'`);
  return { room, volid, parsed };
}

const onDisk = (bytes: number) => Math.ceil(bytes / 4096) * 4096;

function attributes(call: Call): unknown {
  const { room, volid, parsed } = named(call);
  room.checkAccess(call.who, volid);
  room.activate(parsed.storage);
  const path = room.path(volid);
  const gone = (): never => die(`volume_size_info on '${volid}' failed - no format`);
  if (parsed.content === 'images') {
    const { sizeBytes, usedBytes, format } = room.volume(volid) ?? gone();
    return { path, size: sizeBytes, used: usedBytes, format };
  }
  const file = room.archives.volidPath(volid);
  const facts = (file === undefined ? undefined : room.disk.file(file)) ?? gone();
  const size = onDisk(facts.sizeBytes);
  const base = { path, size, used: size, format: 'raw' };
  if (parsed.content === 'vztmpl') return base;
  return { ...base, notes: room.archives.notes(volid), protected: room.archives.isProtected(volid) ? 1 : 0 };
}

function setAttributes(call: Call): null {
  const { room, volid, parsed } = named(call);
  room.checkAccess(call.who, volid);
  room.activate(parsed.storage);
  // A form sends an empty note as no value at all; the parameter is there nevertheless.
  if ('notes' in call.params) room.archives.setNotes(volid, text(call, 'notes') ?? '');
  if (call.params['protected'] !== undefined) {
    room.archives.setProtected(call.who, volid, call.params['protected'] === 1);
  }
  return null;
}

/** Bytes of `1G`, `512M` or a number of KiB. */
function sizeOf(size: string): number {
  const [, digits, unit = ''] = /^(\d+)([MG]?)$/.exec(size) ?? [];
  const factors: Record<string, number> = { '': 1024, M: 1024 ** 2, G: 1024 ** 3 };
  const factor = factors[unit];
  if (digits === undefined || factor === undefined) return die(`unable to parse size '${size}'`);
  return Number(digits) * factor;
}

function allocateImage(call: Call): string {
  const room = storageOf(call.pve);
  const storage = needText(call, 'storage');
  const vmid = Number(call.params['vmid']);
  const filename = needText(call, 'filename');
  room.activate(storage);
  const { layout } = typeFacts[room.definitions.need(storage).type];
  if (layout === undefined) return die(`can't allocate images on storage '${storage}'`);
  if (!filename.startsWith(`vm-${vmid}-`) && !filename.startsWith(`subvol-${vmid}-`)) {
    die(`illegal name '${filename}' - should be 'vm-${vmid}-*'`);
  }
  const name = layout === 'directory' ? `${vmid}/${filename}` : filename;
  const format = filename.startsWith('subvol-') ? 'subvol' : 'raw';
  if (parseDiskName(layout, name) === undefined) {
    die(`illegal name '${filename}' - should be '${nextDiskName(layout, vmid, format, [])}'`);
  }
  const volid = `${storage}:${name}`;
  if (room.volume(volid) !== undefined) die(`disk image '${room.path(volid)}' already exists`);
  room.createVolume(storage, name, sizeOf(needText(call, 'size')));
  return volid;
}

function removeVolume(call: Call): unknown {
  const { room, volid, parsed } = named(call);
  const { storage, vmid, content } = parsed;
  const { access, tasks, clock } = call.pve;
  if (content === 'backup' && vmid !== undefined) {
    access.check(call.who, `/storage/${storage}`, ['Datastore.AllocateSpace']);
    access.check(call.who, `/vms/${vmid}`, ['VM.Backup']);
  } else access.check(call.who, `/storage/${storage}`, ['Datastore.Allocate']);
  let failure: unknown;
  const upid = tasks.fork(call.who, 'imgdel', vmid === undefined ? storage : `${vmid}@${storage}`, async (task) => {
    try {
      room.activate(storage);
      await task.io(async () => undefined);
      const there = content === 'images' ? room.volume(volid) !== undefined : room.archive(volid) !== undefined;
      if (content !== 'images') room.archives.remove(volid);
      if (!there) task.log(`disk image '${room.path(volid)}' does not exist`);
      if (content === 'images') await task.io(() => room.free(volid));
      task.log(`Removed volume '${volid}'`);
    } catch (error) {
      failure = error;
      throw error;
    }
  });
  const delay = call.params['delay'];
  if (typeof delay !== 'number') return upid;
  const done = new AbortController();
  const patience = clock.sleep(delay * 1000, done.signal).then(
    () => 'late' as const,
    () => 'settled' as const,
  );
  return Promise.race([tasks.settled(upid).then(() => 'settled' as const), patience]).then((outcome) => {
    done.abort();
    if (outcome === 'late') return upid;
    if (failure instanceof PveError) throw failure;
    return null;
  });
}

/** PVE: Storage.pm prune_backups. */
function policyFor(call: Call, room: Storage, storage: string): KeepPolicy {
  const given = text(call, 'prune-backups');
  const definition = room.definitions.need(storage);
  if (!contentOf(definition).includes('backup')) die(`storage '${storage}' does not support backups`);
  if (given !== undefined) {
    const parsed = parseKeepPolicy(given);
    if (parsed.is === 'policy') return parsed.policy;
  }
  if (option(definition, 'prune-backups') === undefined) {
    die(`no prune-backups options configured for storage '${storage}'`);
  }
  return policyOf(definition);
}

const guestFilter = (call: Call) => ({
  vmid: typeof call.params['vmid'] === 'number' ? call.params['vmid'] : undefined,
  type: text(call, 'type'),
});

function previewPrune(call: Call): unknown {
  const room = storageOf(call.pve);
  const storage = needText(call, 'storage');
  checkRetention(text(call, 'prune-backups'));
  const policy = policyFor(call, room, storage);
  room.activate(storage);
  const { vmid, type } = guestFilter(call);
  return room.archives.marks(storage, policy, vmid, type).map(({ backup, mark }) => ({
    volid: backup.volid,
    ctime: backup.ctime,
    type: backup.subtype ?? 'unknown',
    mark,
    ...(backup.vmid === undefined ? {} : { vmid: backup.vmid }),
  }));
}

function prune(call: Call): string {
  const room = storageOf(call.pve);
  const storage = needText(call, 'storage');
  const { access, tasks } = call.pve;
  const { vmid, type } = guestFilter(call);
  if (vmid === undefined) access.check(call.who, `/storage/${storage}`, ['Datastore.Allocate']);
  else {
    access.check(call.who, `/storage/${storage}`, ['Datastore.AllocateSpace']);
    access.check(call.who, `/vms/${vmid}`, ['VM.Backup']);
  }
  checkRetention(text(call, 'prune-backups'));
  const id = vmid === undefined ? storage : `${vmid}@${storage}`;
  return tasks.fork(call.who, 'prunebackups', id, async (task) => {
    const policy = policyFor(call, room, storage);
    room.activate(storage);
    await task.io(async () => undefined);
    room.archives.prune(storage, policy, (line) => task.log(line), vmid, type);
  });
}

const content = '/nodes/{node}/storage/{storage}/content';
const pruning = '/nodes/{node}/storage/{storage}/prunebackups';

export const contentRoutes: readonly Route[] = [
  { method: 'GET', path: content, handler: listContent },
  { method: 'POST', path: content, handler: allocateImage },
  { method: 'GET', path: `${content}/{volume}`, handler: attributes },
  { method: 'PUT', path: `${content}/{volume}`, handler: setAttributes },
  { method: 'DELETE', path: `${content}/{volume}`, handler: removeVolume },
  { method: 'GET', path: pruning, handler: previewPrune },
  { method: 'DELETE', path: pruning, handler: prune },
];
