/**
 * Keeps our world beside the recorded one. Two occasions only:
 *  - before a file is replayed, what its first answers show of guests, storages and archives that nothing in the file
 *    has touched yet (the machine was changed by hand between the recordings, and files may be missing);
 *  - after an answer that differs, so that one failure does not fail everything that follows.
 */
import { textOf } from '../fake-pve/core.ts';
import { seedToken } from './seed.ts';
import { translate, type Difference, type Names } from './normalise.ts';
import { barePath, beganAt, dataOf, isRecord, type Exchange, type Item } from './exchange.ts';
import type { Bench } from './bench.ts';
import { ensureImplied } from './implied.ts';
import {
  ensureArchive,
  ensureConfig,
  ensureFacts,
  ensureGuestRow,
  ensurePower,
  ensureStorage,
  ensureTemplate,
  ensureVolume,
  forgetMissing,
  removeGuest,
  rewriteArchive,
} from './world.ts';

/** Makes the node look as the first answers of a recording say it did. */
export async function prepareWorld(
  bench: Bench,
  items: readonly Item[],
  later: readonly Item[],
  names: Names,
): Promise<void> {
  await bench.clock.settle();
  bench.node.storage.vzdumpDefaults.bwlimitKiB = 0;
  seedTokens(bench, items);
  const touched = new Set<string>();
  const began = beganAt({ items });
  const changed = new Map<number, Set<string>>();
  const calls = items.flatMap((item) => (item.is === 'call' ? [item.call] : []));
  for (const call of calls) {
    if (call.method !== 'GET') {
      noteChangedKeys(call, changed);
      touched.add('lock');
      for (const thing of thingsTouched(call)) touched.add(thing);
      continue;
    }
    if (call.status !== 200) continue;
    adoptUnchanged(bench, call, touched, changed, names);
    await learnFrom(
      bench,
      call,
      names,
      (thing) => !touched.has(thing) && !touched.has(`${thing.split(' ')[0]} *`),
      began,
    );
    for (const thing of thingsRead(call)) touched.add(thing);
  }
  await ensureImplied(bench, items, later, names);
  for (const vmid of bench.sketched) fillIn(bench, vmid, [...items, ...later], names);
}

/** Tokens that call, or are given rights, without a call that makes them. */
function seedTokens(bench: Bench, items: readonly Item[]): void {
  for (const item of items) {
    if (item.is !== 'call') continue;
    seedToken(bench.node, item.call.as);
    for (const token of textOf(item.call.params?.['tokens']).split(',')) seedToken(bench.node, token);
  }
}

/** The rest of a config of which only a list has told: the next answer that shows it, if nothing made it anew before. */
function fillIn(bench: Bench, vmid: number, items: readonly Item[], names: Names): void {
  for (const item of items) {
    if (item.is !== 'call') continue;
    const path = barePath(item.call);
    if (path.endsWith('/lxc') && Number(item.call.params?.['vmid']) === vmid) return;
    if (item.call.method === 'DELETE' && path.endsWith(`/lxc/${vmid}`)) return;
    const data = dataOf(item.call);
    if (item.call.status === 200 && path.endsWith(`/lxc/${vmid}/config`) && isRecord(data)) {
      // Another name: the guest was made anew by hand in between.
      if (bench.host.rawConfig(vmid)?.includes(`hostname: ${textOf(data['hostname'])}\n`) !== true) return;
      return ensureConfig(bench, vmid, data, names);
    }
  }
}

/** Keys that `PUT config` changed; `*` when something else changed the guest. */
function noteChangedKeys(call: Exchange, changed: Map<number, Set<string>>): void {
  const path = decodeURIComponent(barePath(call));
  const match = /\/lxc\/(\d+)(\/config)?$/.exec(path);
  const vmid = Number(
    match?.[1] ?? (path.endsWith('/lxc') ? call.params?.['vmid'] : (/\/lxc\/(\d+)\/(?!status)/.exec(path)?.[1] ?? 0)),
  );
  if (vmid === 0) return;
  const keys = changed.get(vmid) ?? new Set<string>();
  changed.set(vmid, keys);
  if (match?.[2] === undefined || call.method !== 'PUT') keys.add('*');
  else
    for (const key of [...Object.keys(call.params ?? {}), ...textOf(call.params?.['delete']).split(/[,;\s]/)])
      keys.add(key);
}

/** The first config after nothing but `PUT config`: what those did not name was so before. */
function adoptUnchanged(
  bench: Bench,
  call: Exchange,
  touched: ReadonlySet<string>,
  changed: ReadonlyMap<number, ReadonlySet<string>>,
  names: Names,
): void {
  const vmid = Number(/\/lxc\/(\d+)\/config$/.exec(barePath(call))?.[1]);
  const data = dataOf(call);
  const keys = changed.get(vmid);
  if (!isRecord(data) || keys === undefined || keys.has('*') || touched.has(`read ${vmid}`)) return;
  if (Object.keys(call.params ?? {}).length > 0 || data['lock'] === 'create') return;
  const before = bench.host.rawConfig(vmid) ?? '';
  const kept = Object.entries(data).filter(([key]) => !keys.has(key) && !/^(unused\d+|lock)$/.test(key));
  const ours =
    before
      .split(/^\[/m, 1)[0]
      ?.split('\n')
      .flatMap((line) => /^([a-z]+\d*): (.*)$/.exec(line)?.slice(1, 3).join('\0') ?? []) ?? [];
  const own = ours
    .map((line) => line.split('\0'))
    .filter(([key = '']) => keys.has(key) || /^(unused\d+|lock)$/.test(key));
  ensureConfig(bench, vmid, { ...Object.fromEntries(own), ...Object.fromEntries(kept) }, names);
}

/** After an answer that differed: the recorded one is the truth. */
export async function followAnswer(
  bench: Bench,
  call: Exchange,
  found: readonly Difference[],
  names: Names,
): Promise<void> {
  if (found.length === 0 || call.method !== 'GET' || call.status !== 200) return;
  await learnFrom(bench, call, names, () => true, Infinity);
}

async function learnFrom(
  bench: Bench,
  call: Exchange,
  names: Names,
  isOpen: (thing: string) => boolean,
  began: number,
): Promise<void> {
  const path = decodeURIComponent(barePath(call));
  const data = dataOf(call);
  const params = call.params ?? {};
  const guest = /^\/nodes\/[^/]+\/lxc\/(\d+)\/(config|status\/current)$/.exec(path);
  if (guest !== null && isRecord(data)) {
    const vmid = Number(guest[1]);
    if (guest[2] === 'config' && isOpen(`guest ${vmid}`) && Object.keys(params).length === 0)
      ensureConfig(bench, vmid, isOpen('lock') ? data : unlocked(data), names);
    if (guest[2] === 'status/current' && isOpen(`power ${vmid}`))
      ensurePower(bench, vmid, data['status'] === 'running');
    if (guest[2] === 'status/current' && isOpen(`guest ${vmid}`)) ensureFacts(bench, vmid, data);
    return;
  }
  if (isRecord(data) && Array.isArray(data['members']))
    for (const row of data['members'].filter(isRecord))
      if (row['type'] === 'lxc' && isOpen(`guest ${Number(row['vmid'])}`)) ensureGuestRow(bench, row);
  const volume = params['volume'];
  if (path.endsWith('/vzdump/extractconfig') && typeof data === 'string' && typeof volume === 'string')
    if (archiveTime(volume) < began - 2000)
      await rewriteArchive(bench, translate(volume, names), translate(data, names));
  if (!Array.isArray(data)) return;
  const rows = data.filter(isRecord);
  if (/^\/(cluster\/resources|pools.*|nodes\/[^/]+\/lxc)$/.test(path)) {
    if (isWholeList(call)) await removeUnlisted(bench, new Set(rows.map((row) => Number(row['vmid']))), isOpen);
    for (const row of rows.flatMap((one) => (Array.isArray(one['members']) ? one['members'].filter(isRecord) : [one])))
      if (row['type'] === 'lxc' && isOpen(`guest ${Number(row['vmid'])}`)) ensureGuestRow(bench, row);
  }
  if (/^\/nodes\/[^/]+\/lxc$/.test(path))
    for (const row of rows)
      if (isOpen(`power ${Number(row['vmid'])}`)) ensurePower(bench, Number(row['vmid']), row['status'] === 'running');
  if (path === '/storage')
    for (const row of rows) if (isOpen(`storage ${textOf(row['storage'])}`)) await ensureStorage(bench, row);
  const content = /^\/nodes\/[^/]+\/storage\/([^/]+)\/content$/.exec(path)?.[1];
  if (content === undefined) return;
  // What is older than the recording was there when it began, whatever was done since.
  if (!isOpen(`content ${content}`)) {
    for (const row of rows)
      if (row['content'] === 'backup' && Number(row['ctime']) * 1000 < began - 2000)
        await ensureArchive(bench, row, names);
    return;
  }
  for (const row of rows) {
    if (row['content'] === 'vztmpl') await ensureTemplate(bench, textOf(row['volid']));
    else if (row['content'] === 'backup') await ensureArchive(bench, row, names);
    else if (row['content'] === 'rootdir' || row['content'] === 'images') ensureVolume(bench, row);
  }
  forgetMissing(bench, content, rows, params, names);
}

/** Those who see every guest. */
function isWholeList(call: Exchange): boolean {
  const type = call.params?.['type'];
  return (
    /^\/(cluster\/resources|nodes\/[^/]+\/lxc)$/.test(barePath(call)) &&
    /^(root@pam|felhom-agent@pve!agent)$/.test(call.as) &&
    (type === undefined || type === 'vm')
  );
}

async function removeUnlisted(
  bench: Bench,
  listed: ReadonlySet<number>,
  isOpen: (thing: string) => boolean,
): Promise<void> {
  for (const vmid of bench.node.guests.ids())
    if (!listed.has(vmid) && isOpen(`guest ${vmid}`)) await removeGuest(bench, vmid);
}

/** When a backup was made, by its name, milliseconds since the epoch. */
function archiveTime(volid: string): number {
  const [, year = 0, month = 1, ...rest] = /(\d{4})_(\d\d)_(\d\d)-(\d\d)_(\d\d)_(\d\d)/.exec(volid)?.map(Number) ?? [];
  return Date.UTC(year, month - 1, ...rest);
}

/** A lock that is seen after calls may be theirs. */
function unlocked({ lock: _lock, ...config }: Record<string, unknown>): Record<string, unknown> {
  return config;
}

function thingsTouched(call: Exchange): string[] {
  const path = decodeURIComponent(barePath(call));
  const params = call.params ?? {};
  const powered = /\/lxc\/(\d+)\/status\//.exec(path)?.[1];
  if (powered !== undefined) return [`power ${powered}`];
  const vmid = /\/lxc\/(\d+)/.exec(path)?.[1] ?? (path.endsWith('/lxc') ? textOf(params['vmid']) : undefined);
  const storage = params['storage'] ?? /\/storage\/([^/]+)/.exec(path)?.[1];
  return [
    ...(vmid === undefined ? [] : [`guest ${vmid}`, `power ${vmid}`, 'content *']),
    ...(path.endsWith('/vzdump') ? ['content *'] : []),
    ...(storage === undefined ? [] : [`storage ${textOf(storage)}`, `content ${textOf(storage)}`]),
  ];
}

/** The first answer about a thing counts. */
function thingsRead(call: Exchange): string[] {
  const path = decodeURIComponent(barePath(call));
  const vmid = /\/lxc\/(\d+)\/config$/.exec(path)?.[1];
  const powered = /\/lxc\/(\d+)\/status\/current$/.exec(path)?.[1];
  return [
    ...(vmid === undefined ? [] : [`guest ${vmid}`, `read ${vmid}`]),
    ...(powered === undefined ? [] : [`power ${powered}`]),
  ];
}
