/** One fake Proxmox VE node: the composition root of its rooms. */
import { textOf } from './core.ts';
import { accessRoutes } from './access/routes.ts';
import { groupRoutes } from './access/group-routes.ts';
import { poolRoutes } from './access/pool-routes.ts';
import { identity } from './access/acl.ts';
import { createAccessRoom, type AccessRoom } from './access/room.ts';
import { createDispatcher, type WireRequest } from './api/dispatch.ts';
import { formatTable } from './api/formats.ts';
import { createRouteTable } from './api/route-table.ts';
import { statusCycleMs } from './cluster/resources.ts';
import { clusterRoutes, defaultNodeFacts, type NodeFacts } from './cluster/routes.ts';
import type {
  ApiRequest,
  ApiResponse,
  FakeClock,
  FakePve,
  FakeRandom,
  GuestsRoom,
  Pace,
  Route,
  StorageRoom,
} from './core.ts';
import { createFaults, type Faults } from './faults/faults.ts';
import { createGuestsRoom, guestRoutes, type GuestTraits } from './guests/index.ts';
import { loadSchemaFacts } from './schema/facts.ts';
import { createStorageRoom, storageRoutes, type Disk, type Storage, type StorageRoomOptions } from './storage/index.ts';
import { createTaskRoom, type TaskRoom } from './tasks/engine.ts';
import { taskRoutes } from './tasks/routes.ts';

/** The rooms that are built by others; each gets the node it lives in. */
export interface Rooms<S extends StorageRoom, G extends GuestsRoom> {
  readonly storage: (pve: FakePve) => S;
  readonly storageRoutes: readonly Route[];
  readonly guests: (pve: FakePve) => G;
  readonly guestRoutes: readonly Route[];
}

export interface NodeOptions {
  readonly clock: FakeClock;
  readonly random: FakeRandom;
  readonly name?: string;
  readonly bridges?: readonly string[];
  readonly pace?: Partial<Pace>;
  readonly facts?: Partial<NodeFacts>;
  /** How long the node has been up when it appears, milliseconds. */
  readonly uptimeMs?: number;
}

export interface FakePveOptions extends NodeOptions {
  readonly disk: Disk;
  readonly storage?: StorageRoomOptions;
  readonly traits?: GuestTraits;
}

/** A request in process: by a named identity that needs no proof, or with the headers of one that has. */
export type InProcessRequest = Pick<ApiRequest, 'method' | 'path'> & {
  readonly params?: Readonly<Record<string, unknown>>;
  readonly as?: string;
  readonly headers?: Readonly<Record<string, string>>;
};

export interface FakeNode<S extends StorageRoom = StorageRoom, G extends GuestsRoom = GuestsRoom> extends FakePve {
  readonly access: AccessRoom;
  readonly tasks: TaskRoom;
  readonly storage: S;
  readonly guests: G;
  readonly faults: Faults;
  /** A call in process. Without `as` the headers are authenticated as on the wire. */
  handle(request: InProcessRequest): Promise<ApiResponse>;
  /** A request as it came off a socket, with form or JSON body. */
  wire(request: WireRequest): Promise<ApiResponse>;
  /** `pct unlock {vmid}` on the host. */
  unlock(vmid: number): void;
  /** kill -9 of the newest running worker of this type (and id); its UPID, or undefined when there is none. */
  killWorker(type: string, id?: string): string | undefined;
  /** Power loss and start: every worker dies, guests stop, backup locks go, guests with onboot start. */
  reboot(): Promise<void>;
}

const defaultPace: Pace = {
  restoreMs: 1500,
  startMs: 800,
  stopMs: 500,
  allocateMs: 200,
  backupMs: 1000,
  unauthorizedMs: 3000,
};

/** Puts a node together from rooms. `createFakePve` is this with the rooms of the fake. */
export function assembleNode<S extends StorageRoom, G extends GuestsRoom>(
  options: NodeOptions,
  rooms: Rooms<S, G>,
): FakeNode<S, G> {
  const { clock, random, name = 'pve1' } = options;
  const schema = loadSchemaFacts();
  const facts: NodeFacts = { ...defaultNodeFacts, ...options.facts };
  let bootedAt = clock.now() - (options.uptimeMs ?? 3_600_000);
  const access = createAccessRoom(schema, clock, random);
  const tasks = createTaskRoom(name, clock, random, bootedAt);
  const firstSeen = new Map<number, number>();

  const pve: FakePve & { storage: S; guests: G } = {
    name,
    clock,
    random,
    access,
    tasks,
    bridges: new Set(options.bridges ?? ['vmbr0']),
    pace: { ...defaultPace, ...options.pace },
    get seen() {
      return seenGuests(guests, firstSeen, clock.now());
    },
    get storage() {
      return storage;
    },
    get guests() {
      return guests;
    },
  };
  const storage: S = rooms.storage(pve);
  const guests: G = rooms.guests(pve);
  seenGuests(guests, firstSeen, bootedAt);

  const faults = createFaults();
  const table = createRouteTable(schema, [
    ...accessRoutes(access),
    ...groupRoutes(access),
    ...poolRoutes(access),
    ...taskRoutes(tasks),
    ...clusterRoutes(facts, () => bootedAt),
    ...rooms.storageRoutes,
    ...rooms.guestRoutes,
  ]);
  const rules = { formats: formatTable(schema.privileges), propertyStrings: schema.formats };
  const dispatcher = createDispatcher({ pve, access, table, rules, faults });
  const noticing = async (answer: Promise<ApiResponse>): Promise<ApiResponse> => {
    seenGuests(guests, firstSeen, clock.now());
    const done = await answer;
    seenGuests(guests, firstSeen, clock.now());
    return done;
  };

  return {
    name,
    clock,
    random,
    bridges: pve.bridges,
    pace: pve.pace,
    get seen() {
      return pve.seen;
    },
    access,
    tasks,
    storage,
    guests,
    faults,
    handle(request) {
      const { method, path, params = {}, headers = {}, as } = request;
      if (as !== undefined) return noticing(dispatcher.call({ method, path, params, headers }, identity(as)));
      const body = method === 'GET' || method === 'DELETE' ? '' : JSON.stringify(params);
      const query = body === '' ? queryString(params) : '';
      const target = `/api2/json${path}${query === '' ? '' : `?${query}`}`;
      return noticing(
        dispatcher.wire({ method, target, headers: { 'content-type': 'application/json', ...headers }, body }),
      );
    },
    wire: (request) => noticing(dispatcher.wire(request)),
    unlock: (vmid) => guests.setLock(vmid, undefined),
    killWorker(type, id) {
      const worker = tasks
        .running()
        .filter((running) => running.type === type && (id === undefined || running.id === id))
        .at(-1);
      if (worker !== undefined) tasks.kill(worker.upid);
      return worker?.upid;
    },
    async reboot() {
      tasks.killAll();
      bootedAt = clock.now();
      firstSeen.clear();
      await guests.reboot();
    },
  };
}

/** A whole fake node on a disk: in memory for simulations, with real files for people and end-to-end tests. */
export function createFakePve(options: FakePveOptions): FakeNode<Storage, ReturnType<typeof createGuestsRoom>> {
  return assembleNode(options, {
    storage: (pve) => createStorageRoom(pve, options.disk, options.storage),
    storageRoutes,
    guests: (pve) => createGuestsRoom(pve, options.traits),
    guestRoutes,
  });
}

/** Notes guests as they appear; answers those that pvestatd has passed since. */
function seenGuests(guests: GuestsRoom, firstSeen: Map<number, number>, now: number): ReadonlySet<number> {
  const ids = new Set(guests.ids());
  for (const vmid of firstSeen.keys()) if (!ids.has(vmid)) firstSeen.delete(vmid);
  for (const vmid of ids) if (!firstSeen.has(vmid)) firstSeen.set(vmid, now);
  const cycle = (at: number): number => Math.floor(at / statusCycleMs);
  return new Set([...firstSeen].filter(([, at]) => cycle(at) < cycle(now)).map(([vmid]) => vmid));
}

function queryString(params: Readonly<Record<string, unknown>>): string {
  return Object.entries(params)
    .flatMap(([key, value]) => (value === undefined || value === null ? [] : [[key, textOf(value)]]))
    .map(([key = '', value = '']) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
    .join('&');
}
