// `/nodes/{node}/vzdump`. PVE: API2/VZDump.pm.
import { die, perlText, type Call, type Route, type Task } from '../../core.ts';
import { decodeUpid } from '../../tasks/upid.ts';
import { option } from '../definitions.ts';
import { splitVolid } from '../naming.ts';
import { shownPath } from '../places.ts';
import type { Storage } from '../room.ts';
import { needText, storageOf, text } from '../routes-config.ts';
import { backupGuest } from './vzdump-guest.ts';
import { readOrder, type VzdumpOrder } from './vzdump-order.ts';

async function start(call: Call): Promise<string> {
  const room = storageOf(call.pve);
  const order = readOrder(call, room);
  if (call.params['stop'] === 1) await stopRunningJob(room);
  // Nothing on this node to do: not a task but a word.
  if (order === undefined) return 'OK';
  const asked = order.vmids;
  const id = asked.length === 1 ? String(asked[0]) : '';
  return call.pve.tasks.fork(call.who, 'vzdump', id, async (task) => {
    checkTarget(room, order.storage);
    await takeGlobalLock(room, task, order);
    task.log(`INFO: starting new backup job: ${order.commandLine}`);
    const vmids = permittedGuests(room, task, order);
    let failed = false;
    for (const vmid of vmids) failed = !(await backupGuest(room, task, order, vmid)) || failed;
    task.log(`INFO: Backup job finished ${failed ? 'with errors' : 'successfully'}`);
    if (failed) die('job errors');
  });
}

/** With `all` a guest that the caller may not back up is passed over in silence. */
function permittedGuests(room: Storage, task: Task, order: VzdumpOrder): readonly number[] {
  const { access } = room.pve;
  if (order.everyGuest) return order.vmids.filter((vmid) => access.has(task.who, `/vms/${vmid}`, ['VM.Backup']));
  for (const vmid of order.vmids) access.check(task.who, `/vms/${vmid}`, ['VM.Backup']);
  return order.vmids;
}

/** PVE: VZDump.pm stop_running_backups: the holder of the lock gets SIGTERM and 15 seconds. */
async function stopRunningJob(room: Storage): Promise<void> {
  const { tasks, clock } = room.pve;
  const holder = tasks.running().find(({ upid }) => upid === room.vzdumpHolder)?.upid;
  if (holder === undefined) return;
  tasks.abort(holder);
  const patience = new AbortController();
  const late = clock.sleep(15_000, patience.signal).then(
    () => true,
    () => false,
  );
  const tooLate = await Promise.race([tasks.settled(holder).then(() => false), late]);
  patience.abort();
  if (tooLate) die(`stopping backup process ${decodeUpid(holder)?.pid ?? 0} failed`);
}

/** Both complaints of VZDump.pm about its target, in one text. */
function checkTarget(room: Storage, storage: string): void {
  const complaint = (what: string, check: () => void): string[] => {
    try {
      check();
      return [];
    } catch (error) {
      return [`${what} '${storage}': ${perlText(error).trimEnd()}`];
    }
  };
  const complaints = [
    ...complaint('could not activate storage', () => room.activate(storage)),
    ...complaint('could not get storage information for', () => room.archives.needBackupContent(storage)),
  ];
  if (complaints.length > 0) die(complaints.join('\n'));
}

/** `/var/run/vzdump.lock`: one job per node, whoever started it. A dead holder holds nothing. */
async function takeGlobalLock(room: Storage, task: Task, order: VzdumpOrder): Promise<void> {
  const { tasks, clock } = room.pve;
  const held = () => room.vzdumpHolder !== undefined && tasks.running().some(({ upid }) => upid === room.vzdumpHolder);
  if (held()) {
    task.log('INFO: trying to get global lock - waiting...');
    const until = clock.now() + order.lockwait * 60_000;
    while (held()) {
      const patience = new AbortController();
      const late = clock.sleep(until - clock.now(), patience.signal).catch(() => undefined);
      const holder = room.vzdumpHolder ?? '';
      await task.io(() => Promise.race([tasks.settled(holder), late]));
      patience.abort();
      if (!held() || clock.now() < until) continue;
      task.log("ERROR: can't acquire lock '/var/run/vzdump.lock' - got timeout");
      // The worker leaves without a last word, which is what `unexpected status` means.
      tasks.kill(task.upid);
      await task.work(0);
    }
    task.log('INFO: got global lock');
  }
  room.vzdumpHolder = task.upid;
}

function defaults(call: Call): unknown {
  const room = storageOf(call.pve);
  const storage = text(call, 'storage') ?? 'local';
  call.pve.access.check(call.who, `/storage/${storage}`, ['Datastore.Audit', 'Datastore.AllocateSpace'], { any: true });
  const definition = room.definitions.need(storage);
  room.archives.needBackupContent(storage);
  return {
    all: 0,
    bwlimit: room.vzdumpDefaults.bwlimitKiB,
    compress: '0',
    dumpdir: `${shownPath(definition)}/dump`,
    fleecing: { enabled: 0 },
    ionice: 7,
    lockwait: 180,
    mailnotification: 'always',
    mode: 'snapshot',
    'notification-mode': 'auto',
    performance: { 'max-workers': 16, 'pbs-entries-max': 1_048_576 },
    pigz: 0,
    'prune-backups': option(definition, 'prune-backups') ?? 'keep-all=1',
    quiet: 0,
    remove: 1,
    stdexcludes: 1,
    stop: 0,
    stopwait: 10,
    storage,
    zstd: 1,
  };
}

function extractConfig(call: Call): Promise<string> {
  const room = storageOf(call.pve);
  const volume = needText(call, 'volume');
  room.checkAccess(call.who, volume);
  const parsed = room.parse(volume);
  if (parsed?.content !== 'backup' && splitVolid(volume) !== undefined) {
    die(`unable to get vzdump configuration from '${volume}' - not a backup`);
  }
  if (parsed?.vmid !== undefined) call.pve.access.check(call.who, `/vms/${parsed.vmid}`, ['VM.Backup']);
  return room.archivedConfig(volume);
}

export const vzdumpRoutes: readonly Route[] = [
  { method: 'POST', path: '/nodes/{node}/vzdump', handler: start },
  { method: 'GET', path: '/nodes/{node}/vzdump/defaults', handler: defaults },
  { method: 'GET', path: '/nodes/{node}/vzdump/extractconfig', handler: extractConfig },
];
