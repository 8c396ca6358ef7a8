/**
 * Handing bulk volumes from one guest to another and back. A hand-over is a rename with two config writes after it, it
 * has no lock of its own, and whoever kills its worker leaves one of these [R3]:
 *
 *   at        in the config of one of the two
 *   adrift    renamed, and no config names it: finished forward by naming it in the config of its new owner
 *   astray    not to be seen, or not to be told from another one: nobody guesses, a person looks
 *
 * Where a volume is, both configs and root's listing of both VMIDs tell together; a task's own word never does. Going
 * away and going home are the same work with the sides changed, so an undo that finds anything half-done finishes it
 * first. A call that was sent twice moves a volume once: whichever comes second finds the key empty. A call that lands
 * after its volume was brought back is what `settleCalls` waits for [R31].
 */
import { reason } from '@felhom/protocol';
import type { Vmid, VolumeId } from '@felhom/protocol';
import { ownerOf } from '../bring-up/config-audit.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import type { Acting, ProtectionNeeds } from '../guests/needs.ts';
import { formatProperties, parseProperties } from '../guests/property-string.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { barrier, patiently, readOwn, upidParts, waitFor, writeConfig } from '../guests/settle.ts';
import type { Marker } from '../guests/settle.ts';
import type { CarryItem } from './carry-plan.ts';

export type CarryActing = Omit<Acting, 'needs'> & { readonly needs: ProtectionNeeds };

export interface Place {
  readonly vmid: Vmid;
  readonly marker: Marker;
}

export type SideName = 'home' | 'away';

/** Everything is journaled before the first call. */
export interface Carry {
  readonly items: readonly CarryItem[];
  /** Where they come from, where they go. */
  readonly home: Place;
  readonly away: Place;
  /** Root's listings of both before the first hand-over, without the items. */
  readonly homeRest: readonly VolumeId[];
  readonly awayRest: readonly VolumeId[];
  /** The node's clock in seconds before the first call. */
  readonly since: number;
}

/** A volume where it arrived. */
export interface Carried {
  readonly key: string;
  readonly path: string;
  readonly volid: VolumeId;
}

export interface SeenSide {
  readonly view: Pick<GuestView, 'disks' | 'unused'>;
  readonly listed: readonly VolumeId[];
}

export type Whereabouts =
  | {
      readonly is: 'at';
      readonly side: SideName;
      readonly volid: VolumeId;
      /** The other config names it still, under a name that nothing has any more. */
      readonly stale: boolean;
    }
  | { readonly is: 'adrift'; readonly side: SideName; readonly volid: VolumeId; readonly stale: boolean }
  | { readonly is: 'astray' };

const other = (side: SideName): SideName => (side === 'home' ? 'away' : 'home');

/** Where each item is. Pure and total. */
export function whereabouts(
  carry: Pick<Carry, 'items' | 'homeRest' | 'awayRest'>,
  seen: Readonly<Record<SideName, SeenSide>>,
): ReadonlyMap<string, Whereabouts> {
  const rest = { home: new Set(carry.homeRest), away: new Set(carry.awayRest) };
  const named = (side: SideName, item: CarryItem): VolumeId | undefined =>
    seen[side].view.disks.find((disk) => disk.key === item.key && disk.path === item.path)?.volid;
  const holds = (side: SideName, item: CarryItem): VolumeId | undefined => {
    const volid = named(side, item);
    return volid !== undefined && seen[side].listed.includes(volid) ? volid : undefined;
  };
  const staleAt = (side: SideName, item: CarryItem): boolean =>
    named(side, item) !== undefined && holds(side, item) === undefined;
  const lost = carry.items.filter((item) => holds('home', item) === undefined && holds('away', item) === undefined);
  const adrift = (side: SideName, item: CarryItem): readonly VolumeId[] => {
    const known = new Set([
      ...rest[side],
      ...seen[side].view.unused,
      ...seen[side].view.disks.map((disk) => disk.volid),
    ]);
    return seen[side].listed.filter((volid) => !known.has(volid) && volid.startsWith(`${item.storage}:`));
  };
  const find = (item: CarryItem): Whereabouts => {
    const [home, away] = [holds('home', item), holds('away', item)];
    if (home !== undefined && away !== undefined) return { is: 'astray' };
    for (const [side, volid] of [['home', home] as const, ['away', away] as const])
      if (volid !== undefined) return { is: 'at', side, volid, stale: staleAt(other(side), item) };
    // One is handed over after the other, so a second one that is missing on the same storage is no accident of ours.
    if (lost.some((one) => one !== item && one.storage === item.storage)) return { is: 'astray' };
    const loose = (['home', 'away'] as const).flatMap((side) => adrift(side, item).map((volid) => ({ side, volid })));
    const [only] = loose;
    if (only === undefined || loose.length > 1) return { is: 'astray' };
    return { is: 'adrift', ...only, stale: staleAt(other(only.side), item) };
  };
  return new Map(carry.items.map((item) => [item.key, find(item)]));
}

/** Three: attach what is adrift, hand it over, see it there; one more for a task that somebody killed. */
const movesPerItem = 4;

/** All of them to one side, one after the other. Done only when each was seen there; answers where. */
export async function carryTo(
  ctx: CarryActing,
  carry: Carry,
  side: SideName,
  signal: AbortSignal,
): Promise<Outcome<readonly Carried[]>> {
  const arrived: Carried[] = [];
  for (const item of carry.items) {
    const moved = await moveOne(ctx, carry, item, side, signal);
    if (moved.is !== 'done') return moved;
    arrived.push({ key: item.key, path: item.path, volid: moved.value });
  }
  if (carry.items.length > 0)
    for (const place of [carry.home, carry.away]) {
      const tidied = await tidy(ctx, place, signal);
      if (tidied.is !== 'done') return tidied;
    }
  return done(arrived);
}

async function moveOne(
  ctx: CarryActing,
  carry: Carry,
  item: CarryItem,
  side: SideName,
  signal: AbortSignal,
): Promise<Outcome<VolumeId>> {
  let last = '';
  for (let moves = 0; moves < movesPerItem; moves++) {
    const where = await find(ctx, carry, item, signal);
    if (where.is !== 'done') return where;
    const now = where.value;
    if (now.is === 'astray') return unknown(astray(carry, item));
    if (now.is === 'adrift') {
      const attached = await attach(ctx, carry[now.side], item, now.volid, signal);
      if (attached.is !== 'done') return attached;
      if (now.stale) {
        const forgotten = await forget(ctx, carry[other(now.side)], item, signal);
        if (forgotten.is !== 'done') return forgotten;
      }
      continue;
    }
    if (now.stale) {
      const forgotten = await forget(ctx, carry[other(now.side)], item, signal);
      if (forgotten.is !== 'done') return forgotten;
    }
    if (now.side === side) return done(now.volid);
    const open = await unprotected(ctx, carry[side], signal);
    if (open.is !== 'done') return open;
    const handed = await handOver(ctx, carry[now.side].vmid, carry[side].vmid, item, signal);
    if (handed.is !== 'done') return handed;
    last = handed.value;
  }
  return unknown(
    reason(
      'guest.unsettled',
      `cannot carry ${item.path} from guest ${carry[other(side)].vmid} to ${carry[side].vmid}: it did not arrive`,
      last,
    ),
  );
}

/** Answers the end of the task's log; where the volume is afterwards, the world shows. */
function handOver(
  ctx: CarryActing,
  from: Vmid,
  to: Vmid,
  item: CarryItem,
  signal: AbortSignal,
): Promise<Outcome<string>> {
  const what = `handing ${item.path} from guest ${from} to ${to}`;
  return patiently(ctx, what, signal, async () => {
    ctx.progress({ text: what });
    const posted = await ctx.needs.mover.reassign({ vmid: from, key: item.key }, { vmid: to, key: item.key }, signal);
    if (posted.is !== 'done') return posted;
    ctx.recordHandle(posted.value);
    const ended = await waitFor(ctx, posted.value, what, signal);
    if (ended.is !== 'done') return ended;
    if (ended.value.verdict.is === 'lost')
      return unknown(reason('guest.unsettled', `cannot tell whether ${what} goes on: Proxmox forgot ${posted.value}`));
    return done(ended.value.logTail.slice(-6).join('\n'));
  });
}

/** A protected guest would refuse the volume after it was renamed, and lose it every time [R3]. */
async function unprotected(ctx: CarryActing, place: Place, signal: AbortSignal): Promise<Outcome<unknown>> {
  return writeConfig(
    ctx,
    {
      ...place,
      what: 'protection',
      missing: (view) => ({ set: view.protection ? { protection: '0' } : {}, delete: [] }),
    },
    signal,
  );
}

async function attach(
  ctx: CarryActing,
  place: Place,
  item: CarryItem,
  volid: VolumeId,
  signal: AbortSignal,
): Promise<Outcome<unknown>> {
  const open = await unprotected(ctx, place, signal);
  if (open.is !== 'done') return open;
  const line = formatProperties(new Map(parseProperties(item.line, 'volume')).set('volume', volid), 'volume');
  const isThere = (view: GuestView): boolean =>
    view.disks.some((disk) => disk.key === item.key && disk.volid === volid);
  return writeConfig(
    ctx,
    {
      ...place,
      what: `volume ${item.path}`,
      missing: (view) => ({ set: isThere(view) ? {} : { [item.key]: line }, delete: [] }),
    },
    signal,
  );
}

/** Takes a line out of the config whose volume was renamed away. Proxmox keeps the dead name as `unusedN`. */
async function forget(ctx: CarryActing, place: Place, item: CarryItem, signal: AbortSignal): Promise<Outcome<unknown>> {
  const listed = await volumesAt(ctx, place.vmid, [item], signal);
  if (listed.is !== 'done') return listed;
  return writeConfig(
    ctx,
    {
      ...place,
      what: `the left-over line ${item.key}`,
      missing: (view) => {
        const disk = view.disks.find((one) => one.key === item.key && one.path === item.path);
        return { set: {}, delete: disk === undefined || listed.value.includes(disk.volid) ? [] : [item.key] };
      },
    },
    signal,
  );
}

/** Config keys of unused entries whose volume root does not see: names of nothing, which would keep a guest for ever. */
const deadEntries = (view: Pick<GuestView, 'unused' | 'rawKeys'>, listed: readonly VolumeId[]): readonly string[] => {
  const keys = view.rawKeys.filter((key) => /^unused\d+$/.test(key));
  return keys.filter((_, at) => {
    const volid = view.unused[at];
    return volid !== undefined && !listed.includes(volid);
  });
};

/** Nothing has these names, and nothing gives them while both guests stand still in this saga's hands. */
async function tidy(ctx: CarryActing, place: Place, signal: AbortSignal): Promise<Outcome<unknown>> {
  const listed = await ctx.needs.helper.volumesOf(place.vmid, signal);
  if (listed.is !== 'done') return listed;
  return writeConfig(
    ctx,
    { ...place, what: 'dead entries', missing: (view) => ({ set: {}, delete: deadEntries(view, listed.value) }) },
    signal,
  );
}

/**
 * Root's listing of a VMID, and of the items that lie under another one: bulk that outlived an earlier guest keeps the
 * name it had then until it is handed over for the first time [R30].
 */
async function volumesAt(
  ctx: CarryActing,
  vmid: Vmid,
  items: readonly CarryItem[],
  signal: AbortSignal,
): Promise<Outcome<readonly VolumeId[]>> {
  const own = await ctx.needs.helper.volumesOf(vmid, signal);
  if (own.is !== 'done') return own;
  const all = [...own.value];
  const named = new Set(items.map(({ volid }) => volid));
  for (const before of new Set(items.flatMap(({ volid }) => ownerOf(volid) ?? []))) {
    if (before === vmid) continue;
    const listed = await ctx.needs.helper.volumesOf(before as Vmid, signal);
    if (listed.is !== 'done') return listed;
    all.push(...listed.value.filter((volid) => named.has(volid)));
  }
  return done(all);
}

/** Looks once no hand-over of ours works on either any more. */
async function look(
  ctx: CarryActing,
  carry: Carry,
  signal: AbortSignal,
): Promise<Outcome<{ readonly where: ReadonlyMap<string, Whereabouts>; readonly tidy: boolean }>> {
  const idle = await whenStill(ctx, carry, signal);
  if (idle.is !== 'done') return idle;
  const sides: Partial<Record<SideName, SeenSide>> = {};
  let dead = 0;
  for (const side of ['home', 'away'] as const) {
    const { vmid, marker } = carry[side];
    const view = await readOwn(ctx, vmid, marker, signal);
    if (view.is !== 'done') return unknown(view.why);
    // Under a third VMID lies only what was there before the first hand-over.
    const strange = side === 'home' ? carry.items.filter(({ volid }) => ownerOf(volid) !== carry.away.vmid) : [];
    const listed = await volumesAt(ctx, vmid, strange, signal);
    if (listed.is !== 'done') return unknown(listed.why);
    sides[side] = { view: view.value, listed: listed.value };
    dead += deadEntries(view.value, listed.value).length;
  }
  const { home, away } = sides;
  if (home === undefined || away === undefined) throw new Error('cannot look for volumes: a side was not read');
  return done({ where: whereabouts(carry, { home, away }), tidy: dead === 0 });
}

async function find(
  ctx: CarryActing,
  carry: Carry,
  item: CarryItem,
  signal: AbortSignal,
): Promise<Outcome<Whereabouts>> {
  const all = await look(ctx, carry, signal);
  return all.is === 'done' ? done(all.value.where.get(item.key) ?? { is: 'astray' }) : all;
}

/** The id of such a task is no VMID, so the list is asked by type [R3]. */
async function whenStill(ctx: CarryActing, carry: Carry, signal: AbortSignal): Promise<Outcome<void>> {
  const rows = await ctx.needs.tasks.find({ type: 'move_volume', sinceSeconds: carry.since }, signal);
  if (rows.is !== 'done') return unknown(rows.why);
  const [home, away] = [carry.home.vmid, carry.away.vmid];
  const ids = new Set(
    carry.items.flatMap(({ key }) => [`${home}-${key}>${away}-${key}`, `${away}-${key}>${home}-${key}`]),
  );
  for (const { upid, endTime } of rows.value) {
    const { type, id, user } = upidParts(upid);
    if (endTime !== undefined || type !== 'move_volume' || !ids.has(id) || user !== ctx.needs.tokenId) continue;
    ctx.recordHandle(upid);
    const ended = await waitFor(ctx, upid, `waiting for an earlier hand-over of ${id}`, signal);
    if (ended.is !== 'done') return ended;
  }
  return done(undefined);
}

/** What became of `carryTo`. Never acts. */
export async function probeCarry(
  ctx: CarryActing,
  carry: Carry,
  side: SideName,
  signal: AbortSignal,
): Promise<Probed<readonly Carried[]>> {
  if (carry.items.length === 0) return done([]);
  const all = await look(ctx, carry, signal);
  if (all.is !== 'done') return all;
  const arrived: Carried[] = [];
  for (const item of carry.items) {
    const where = all.value.where.get(item.key);
    if (where === undefined || where.is === 'astray') return unknown(astray(carry, item));
    if (where.is !== 'at' || where.side !== side || where.stale) return { is: 'never-happened' };
    arrived.push({ key: item.key, path: item.path, volid: where.volid });
  }
  return all.value.tidy ? done(arrived) : { is: 'never-happened' };
}

/** pveproxy gives up on a request after 30 s; afterwards its worker no longer begins. */
const lateLandingMs = 35_000;

/**
 * Before volumes are brought back: whatever was on its way has landed or cannot any more, and the config of neither is
 * held by anybody [R31].
 */
export async function settleCalls(ctx: CarryActing, carry: Carry, signal: AbortSignal): Promise<Outcome<void>> {
  if (carry.items.length === 0) return done(undefined);
  ctx.progress({ text: 'waiting until no earlier hand-over can land any more' });
  await ctx.clock.sleep(lateLandingMs, signal);
  const still = await whenStill(ctx, carry, signal);
  if (still.is !== 'done') return still;
  for (const { vmid, marker } of [carry.home, carry.away]) {
    const free = await barrier(ctx, vmid, marker, signal);
    if (free.is !== 'done') return free;
  }
  return done(undefined);
}

const astray = ({ home, away }: Carry, item: CarryItem) =>
  reason(
    'restore.bulk-astray',
    `cannot tell where volume ${item.volid} (${item.path}, ${item.key}) is: neither guest ${home.vmid} nor guest ${away.vmid} has it, or more than one could be it; as root: pvesm list ${item.storage}`,
  );
