/**
 * A guest's cgroup tree, read as an ordinary user. Everything below `ns` is the guest root's to write: names are checked
 * before they become part of a path, links are not followed, reads and listings end early, and what vanishes while it is
 * read was gone in this sample. (LXC on PVE: `lxc/<vmid>/ns` is the guest's own root.)
 */
import { constants, lstatSync, opendirSync, watch as watchDirectory } from 'node:fs';
import { lstat, open, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Vmid } from '@felhom/protocol';
import type { GuestWitness, WitnessSample } from '../../ports/guest-witness.ts';

const witnessUnit = 'felhom-witness.service';
/** Bytes of one kernel file; the longest that is read has about 300. */
const mostBytes = 4096;
/** Entries of the witness's directory. A witness that works as it should has a few dozen; of more, none is believed. */
const mostFacts = 256;
const mostUnits = 64;
/** Of a slice, at the start of a watch. */
const mostListed = 1024;
/** Changes that one watch tells; a guest that makes more is looked at by samples only. */
const mostEvents = 5000;
/** Of systemd's alphabet for unit names (systemd.unit(5)); never a path of more than one part. */
const unitName = /^[A-Za-z0-9:_.\\@-]{1,255}$/;

const isUnit = (name: string): boolean => unitName.test(name) && !/^\.+$/.test(name);

/** `root`: where cgroup v2 is mounted, `/sys/fs/cgroup`. */
export function createCgroupWitness(root: string): GuestWitness {
  const slice = (vmid: Vmid): string => join(root, 'lxc', String(vmid), 'ns', 'system.slice');
  return {
    sample: async (vmid, units, signal) => {
      try {
        return await sampleOf(join(root, 'lxc', String(vmid)), units.filter(isUnit).slice(0, mostUnits), signal);
      } catch (error) {
        return { is: 'unreadable', text: `cannot read the cgroups of guest ${vmid}: ${codeOf(error)}` };
      }
    },
    watch: (vmid, seen) => watchUnits(slice(vmid), seen),
  };
}

async function sampleOf(guest: string, units: readonly string[], signal: AbortSignal): Promise<WitnessSample> {
  if ((await inodeOf(guest)) === undefined) return { is: 'stopped' };
  const whole = await events(guest);
  // Between the last process and the end of the cgroup itself.
  if (whole === undefined || whole.get('populated') === '0') return { is: 'stopped' };
  const own = join(guest, 'ns');
  const boot = await inodeOf(own);
  const found = new Map<string, { readonly inode: string; readonly populated: boolean }>();
  for (const unit of boot === undefined ? [] : units) {
    signal.throwIfAborted();
    const seen = await unitAt(join(own, 'system.slice'), unit);
    if (seen !== undefined) found.set(unit, seen);
  }
  return {
    is: 'seen',
    boot: boot ?? '',
    frozen: whole.get('frozen') === '1' || (boot !== undefined && (await events(own))?.get('frozen') === '1'),
    init: boot !== undefined && (await events(join(own, 'init.scope')))?.get('populated') === '1',
    units: found,
    facts: boot === undefined ? [] : await factsOf(join(own, 'system.slice', witnessUnit)),
    oomKills: Number((await keyed(join(guest, 'memory.events')))?.get('oom_kill') ?? 0),
  };
}

/** One that may not be read is not seen, which can only make a guest look worse. */
async function unitAt(slice: string, unit: string) {
  const path = join(slice, unit);
  const inode = await inodeOf(path).catch(nothingIfForbidden);
  const state = inode === undefined ? undefined : await events(path).catch(nothingIfForbidden);
  if (inode === undefined || state === undefined) return undefined;
  return { inode, populated: state.get('populated') === '1' };
}

/** Names of its sub-cgroups; none where there are more than any witness makes. */
async function factsOf(path: string): Promise<readonly string[]> {
  if ((await inodeOf(path).catch(nothingIfForbidden)) === undefined) return [];
  const directory = await opendir(path, { bufferSize: 32 }).catch((error: unknown) => nothingIfGone(error, true));
  if (directory === undefined) return [];
  const names: string[] = [];
  let entries = 0;
  try {
    for await (const entry of directory) {
      entries += 1;
      if (entries > mostFacts) return [];
      if (entry.isDirectory()) names.push(entry.name);
    }
  } catch (error) {
    nothingIfGone(error, true);
    return [];
  }
  return names;
}

const events = (directory: string): Promise<ReadonlyMap<string, string> | undefined> =>
  keyed(join(directory, 'cgroup.events'));

/** A flat keyed file: one `name value` per line. `undefined`: gone. */
async function keyed(path: string): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(mostBytes), 0, mostBytes, 0);
      const lines = buffer.toString('latin1', 0, bytesRead).split('\n');
      return new Map(lines.map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]));
    } finally {
      await file.close();
    }
  } catch (error) {
    return nothingIfGone(error);
  }
}

/** Of a directory that is no link; `undefined`: there is none. Inodes of cgroups count up and do not come back. */
async function inodeOf(path: string): Promise<string | undefined> {
  try {
    const stat = await lstat(path, { bigint: true });
    return stat.isDirectory() ? String(stat.ino) : undefined;
  } catch (error) {
    return nothingIfGone(error);
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'it failed';

const gone = new Set(['ENOENT', 'ENODEV', 'ENOTDIR', 'ELOOP', 'EISDIR', 'ENXIO', 'EINVAL']);

function nothingIfGone(error: unknown, orForbidden = false): undefined {
  const code = codeOf(error);
  if (gone.has(code) || (orForbidden && (code === 'EACCES' || code === 'EPERM'))) return undefined;
  throw error;
}

const nothingIfForbidden = (error: unknown): undefined => nothingIfGone(error, true);

/**
 * The kernel tells that a name came or went, not which; looking tells. Two changes that were merged show another inode,
 * and a unit that is gone again at the first look was there all the same. What an overflow swallowed shows at the next
 * change of the same name.
 */
function watchUnits(slice: string, seen: (unit: string, what: 'came' | 'went') => void): { close(): void } | undefined {
  const known = new Map<string, string>();
  /** Came and went before the first look: its second event is due. */
  const passed = new Set<string>();
  let told = 0;
  const look = (name: string): string | undefined => {
    try {
      const stat = lstatSync(join(slice, name), { bigint: true });
      return stat.isDirectory() ? String(stat.ino) : undefined;
    } catch {
      return undefined;
    }
  };
  const onChange = (name: string): void => {
    const now = look(name);
    const before = known.get(name);
    if (now !== undefined) {
      passed.delete(name);
      known.set(name, now);
      if (before !== undefined && before !== now) seen(name, 'went');
      if (before !== now) seen(name, 'came');
    } else if (before !== undefined) {
      known.delete(name);
      seen(name, 'went');
    } else if (passed.delete(name)) seen(name, 'went');
    else {
      passed.add(name);
      seen(name, 'came');
    }
  };
  try {
    if (!lstatSync(slice).isDirectory()) return undefined;
    const watcher = watchDirectory(slice, { persistent: false });
    watcher.on('error', () => watcher.close());
    watcher.on('change', (_event, file) => {
      const name = String(file);
      told += 1;
      if (told > mostEvents) watcher.close();
      // Files are of the slice itself; every unit has a suffix, and the kernel's files are not told of.
      else if (isUnit(name)) onChange(name);
    });
    for (const name of namesIn(slice)) {
      const inode = isUnit(name) ? look(name) : undefined;
      if (inode !== undefined) known.set(name, inode);
    }
    return { close: () => watcher.close() };
  } catch {
    return undefined;
  }
}

function namesIn(path: string): readonly string[] {
  const directory = opendirSync(path);
  const names: string[] = [];
  try {
    for (let entry = directory.readSync(); entry !== null && names.length < mostListed; entry = directory.readSync())
      names.push(entry.name);
  } finally {
    directory.closeSync();
  }
  return names;
}
