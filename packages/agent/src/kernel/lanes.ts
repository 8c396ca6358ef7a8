/**
 * Lanes: one thing at a time per guest, per host, and at most so many per storage.
 *
 * Whoever needs several lanes gets all of them in one moment or waits holding none, so nobody ever waits for somebody
 * who waits: there is no deadlock to order away. Nobody overtakes an earlier waiter on a lane that both want, so there
 * is no starvation either.
 *
 * A parked saga keeps its lanes closed for changes and open for protection [R34]. Whoever is stuck behind one keeps
 * nobody else waiting.
 */
import type { Clock } from './clock.ts';

export interface Lanes {
  /** Waits for its turn. Rejects with the signal's reason when aborted first; aborting afterwards does nothing. */
  acquire(request: LaneRequest, signal: AbortSignal): Promise<Lease>;
  /** What an open saga held when the process ended is its own again, at once and whoever waits. */
  adopt(request: LaneRequest): Lease;
  isParked(lane: string): boolean;
  /** Who holds and who waits, lane by lane, by name. */
  queue(): readonly LaneView[];
}

export interface LaneRequest {
  /** The saga's id, or who else asks; for people. */
  readonly owner: string;
  readonly lanes: readonly string[];
  readonly purpose: 'change' | 'protection';
  /** Gives up the lanes by itself after this long without `renew`. Sagas have none: theirs end with the saga. */
  readonly ttlMs?: number;
}

export interface Lease {
  readonly owner: string;
  /** To be asked before each act under a lease with a ttl. */
  check(): 'held' | 'ended';
  /** Begins the ttl anew. Answers `ended` when it was too late. */
  renew(): 'held' | 'ended';
  park(): void;
  /** Waits until whoever passed the parked lanes has left them, and lets nobody pass meanwhile. */
  unpark(signal: AbortSignal): Promise<void>;
  /** Twice is the same as once. */
  release(): void;
}

export interface LaneView {
  readonly lane: string;
  readonly holders: readonly { readonly owner: string; readonly since: number; readonly parked: boolean }[];
  readonly waiting: readonly { readonly owner: string; readonly since: number }[];
}

interface Holder {
  readonly request: LaneRequest;
  readonly since: number;
  parked: boolean;
  timer: AbortController | undefined;
}

interface Waiter {
  readonly request: LaneRequest;
  readonly since: number;
  /** Set when a parked holder wants its lanes back for itself. */
  readonly holder: Holder | undefined;
  readonly granted: () => void;
}

/** `capacityOf`: how many may hold a lane at once; 1 unless told. */
export function createLanes(
  clock: Pick<Clock, 'now' | 'sleep'>,
  capacityOf: (lane: string) => number = () => 1,
): Lanes {
  const holders = new Set<Holder>();
  /** In the order of arrival; returning holders first. */
  const waiters: Waiter[] = [];

  const mayHold = ({ request, holder }: Waiter): boolean =>
    request.lanes.every((lane) => obstacles(holders, lane, request, holder).length < capacityOf(lane));

  /** Behind a parked saga, which may last days. */
  const isStuck = ({ request, holder }: Waiter): boolean =>
    request.lanes.some((lane) => obstacles(holders, lane, request, holder).some(({ parked }) => parked));

  const grantAll = (): void => {
    const spokenFor = new Set<string>();
    for (const waiter of waiters.slice()) {
      const { lanes } = waiter.request;
      if (!lanes.some((lane) => spokenFor.has(lane)) && mayHold(waiter)) {
        waiters.splice(waiters.indexOf(waiter), 1);
        waiter.granted();
      } else if (!isStuck(waiter)) for (const lane of lanes) spokenFor.add(lane);
    }
  };

  /** Resolves in the very moment of the grant; `granted` takes the lanes before anybody else is looked at. */
  const wait = <T>(
    waiter: Omit<Waiter, 'granted' | 'since'>,
    place: 'first' | 'last',
    take: () => T,
    signal: AbortSignal,
  ): Promise<T> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const giveUp = (): void => {
        waiters.splice(waiters.indexOf(entry), 1);
        reject(signal.reason as Error);
        grantAll();
      };
      const entry: Waiter = {
        ...waiter,
        since: clock.now(),
        granted: () => {
          signal.removeEventListener('abort', giveUp);
          resolve(take());
        },
      };
      signal.addEventListener('abort', giveUp, { once: true });
      if (place === 'first') waiters.unshift(entry);
      else waiters.push(entry);
      grantAll();
    });

  const end = (holder: Holder): void => {
    holder.timer?.abort();
    if (holders.delete(holder)) grantAll();
  };

  const startTtl = (holder: Holder): void => {
    const { ttlMs } = holder.request;
    if (ttlMs === undefined) return;
    holder.timer?.abort();
    const timer = new AbortController();
    holder.timer = timer;
    void clock.sleep(ttlMs, timer.signal).then(
      () => end(holder),
      () => undefined,
    );
  };

  const take = (request: LaneRequest): Holder => {
    const holder: Holder = { request, since: clock.now(), parked: false, timer: undefined };
    holders.add(holder);
    startTtl(holder);
    return holder;
  };

  const leaseOf = (holder: Holder): Lease => ({
    owner: holder.request.owner,
    check: () => (holders.has(holder) ? 'held' : 'ended'),
    renew: () => {
      if (!holders.has(holder)) return 'ended';
      startTtl(holder);
      return 'held';
    },
    park: () => {
      holder.parked = true;
      grantAll();
    },
    unpark: async (signal) => {
      const open = (): void => {
        holder.parked = false;
      };
      await wait({ request: holder.request, holder }, 'first', open, signal);
    },
    release: () => end(holder),
  });

  return {
    acquire: async (asked, signal) => {
      const request = { ...asked, lanes: [...new Set(asked.lanes)].toSorted() };
      return leaseOf(await wait({ request, holder: undefined }, 'last', () => take(request), signal));
    },
    adopt: (request) => leaseOf(take(request)),
    isParked: (lane) => [...holders].some(({ parked, request }) => parked && request.lanes.includes(lane)),
    queue: () => {
      const names = [...holders, ...waiters].flatMap(({ request }) => request.lanes);
      return [...new Set(names)].toSorted().map((lane) => ({
        lane,
        holders: [...holders]
          .filter(({ request }) => request.lanes.includes(lane))
          .map(({ request, since, parked }) => ({ owner: request.owner, since, parked })),
        waiting: waiters
          .filter(({ request }) => request.lanes.includes(lane))
          .map(({ request, since }) => ({ owner: request.owner, since })),
      }));
    },
  };
}

/** Who stands in the way of a request on one lane. */
function obstacles(
  holders: ReadonlySet<Holder>,
  lane: string,
  request: LaneRequest,
  self: Holder | undefined,
): readonly Holder[] {
  return [...holders].filter(
    (holder) =>
      holder !== self && holder.request.lanes.includes(lane) && !(holder.parked && request.purpose === 'protection'),
  );
}
