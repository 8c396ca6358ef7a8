/**
 * Guests that a recording takes for granted: it works on them without having made or shown them. They are made from the
 * first config that is read later, or else like the golden guest.
 */
import { textOf } from '../fake-pve/core.ts';
import type { Bench } from './bench.ts';
import { barePath, dataOf, isRecord, type Exchange, type Item } from './exchange.ts';
import type { Names } from './normalise.ts';
import { btrfsStorage, ensureConfig, ensurePower, ensureStorage, goldenConfig } from './world.ts';

export async function ensureImplied(
  bench: Bench,
  items: readonly Item[],
  later: readonly Item[],
  names: Names,
): Promise<void> {
  const calls = items.flatMap((item) => (item.is === 'call' ? [item.call] : []));
  const following = later.flatMap((item) => (item.is === 'call' ? [item.call] : []));
  for (const vmid of impliedIds(calls)) {
    if (bench.node.guests.exists(vmid)) continue;
    const config = firstConfig(vmid, [...calls, ...following]);
    if (config !== undefined) ensureConfig(bench, vmid, config, names);
    else {
      const guessed = guess(vmid, calls);
      if (textOf(guessed['rootfs']).startsWith('btr:')) await ensureStorage(bench, btrfsStorage);
      ensureConfig(bench, vmid, guessed, names);
    }
    if (calls.some((call) => pathOf(vmid).test(call.path) && /container is running|already running/.test(call.reason)))
      ensurePower(bench, vmid, true);
  }
}

/** Ids that calls succeed on, or are refused for another reason than that they do not exist, before any create. */
function impliedIds(calls: readonly Exchange[]): Set<number> {
  const found = new Set<number>();
  const made = new Set<number>();
  for (const [n, call] of calls.entries()) {
    if (call.method === 'POST' && barePath(call).endsWith('/lxc') && call.status === 200)
      made.add(Number(call.params?.['vmid']));
    for (const vmid of namedIn(call)) if (!made.has(vmid) && exists(call, calls.slice(n + 1, n + 4))) found.add(vmid);
  }
  return found;
}

function namedIn(call: Exchange): number[] {
  const inPath = /\/lxc\/(\d+)/.exec(call.path)?.[1];
  const log = JSON.stringify((barePath(call).endsWith('/log') ? dataOf(call) : '') ?? '');
  const inLog = [...log.matchAll(/Starting Backup of VM (\d+)/g)].map((match) => Number(match[1]));
  return [...(inPath === undefined ? [] : [Number(inPath)]), ...inLog];
}

function exists(call: Exchange, next: readonly Exchange[]): boolean {
  if (call.path.startsWith('!')) return false;
  const started = typeof dataOf(call) === 'string' && call.method !== 'GET';
  const text = started ? next.map((other) => JSON.stringify(dataOf(other) ?? '')).join('\n') : call.reason;
  return (
    ![400, 401, 403, 501].includes(call.status) && !/does not exist|CT \d+ not running|VM \d+ not running/.test(text)
  );
}

function firstConfig(vmid: number, calls: readonly Exchange[]): Record<string, unknown> | undefined {
  for (const call of calls) {
    if (call.method === 'POST' && barePath(call).endsWith('/lxc') && Number(call.params?.['vmid']) === vmid)
      return undefined;
    const data = dataOf(call);
    if (call.status !== 200 || !isRecord(data) || !barePath(call).endsWith(`/lxc/${vmid}/config`)) continue;
    const { lock: _lock, parent: _parent, ...config } = data;
    return config;
  }
  return undefined;
}

/** Like the golden guest, on btrfs when a snapshot of it is taken. */
function guess(vmid: number, calls: readonly Exchange[]): Record<string, unknown> {
  const snapshots = calls.some(
    (call, n) =>
      call.method !== 'GET' &&
      pathOf(vmid).test(call.path) &&
      /\/snapshot/.test(call.path) &&
      /"exitstatus":"OK"/.test(JSON.stringify(calls.slice(n + 1, n + 3).map(dataOf))),
  );
  const lines = goldenConfig(vmid)
    .replaceAll('felhom:', snapshots ? 'btr:' : 'felhom:')
    .split('\n');
  const status = calls.find((call) => barePath(call).endsWith(`/lxc/${vmid}/status/current`) && call.status === 200);
  const facts = status === undefined ? undefined : dataOf(status);
  const config = Object.fromEntries(
    lines
      .filter((line) => /^[a-z]+\d*: /.test(line))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  );
  const logged = new RegExp(`Starting Backup of VM ${vmid} .{0,600}?CT Name: ([A-Za-z0-9.-]+)`, 's').exec(
    JSON.stringify(calls.map(dataOf)),
  )?.[1];
  if (!isRecord(facts)) return logged === undefined ? config : { ...config, hostname: logged };
  return {
    ...config,
    ...(facts['name'] === undefined ? {} : { hostname: facts['name'] }),
    ...(facts['tags'] === undefined ? {} : { tags: facts['tags'] }),
  };
}

function pathOf(vmid: number): RegExp {
  return new RegExp(`/lxc/${vmid}(/|$|\\?)`);
}
