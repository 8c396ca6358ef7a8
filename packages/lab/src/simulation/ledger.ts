/**
 * What must never happen, watched from the node's side. The ledger remembers what bears data and whose it is, hears of
 * every worker before it begins, and looks at everything after every event.
 */
import { createRestoreStore } from '@felhom/agent';
import { report as reportSchema } from '@felhom/protocol';
import type { Neighbour } from '../world/neighbour.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { createBook } from './orders.ts';
import type { Book, RemovalPace } from './orders.ts';
import { disorderAt, markedUid, openSagas, rangeOf, registered } from '../world/traces.ts';

export interface Ledger {
  readonly violations: readonly string[];
  /** Guests of others, also those that a person restored from an archive of ours. */
  readonly neighbours: Map<number, Neighbour>;
  /** VMIDs where a person removed, replaced or hid something: what is missing there is not our doing. */
  readonly touchedByPeople: Set<number>;
  /** VMIDs whose lock or pool membership is somebody else's doing. */
  readonly disturbed: Set<number>;
  /** Digests of the documents that may be adopted. */
  readonly goodDocuments: Set<string>;
  /** What honest people signed. */
  readonly book: Book;
  /** Somebody's volume without a guest: it must not go away, and nothing may be made at its VMID. */
  keep(volid: string, vmid: number): void;
  /** After every event. */
  check(): void;
}

interface Kept {
  readonly vmid: number;
  /** Of the guest, if it is one's. */
  readonly uid: string | undefined;
  readonly sizeBytes: number;
}

export function createLedger(world: SimWorld, pace: RemovalPace): Ledger {
  const { node, tokenId } = world;
  const violations: string[] = [];
  const neighbours = new Map<number, Neighbour>();
  const touchedByPeople = new Set<number>();
  const disturbed = new Set<number>();
  const goodDocuments = new Set<string>();
  const kept = new Map<string, Kept>();
  const lying = new Map<number, string>();
  let newestGeneration = 0;
  const accuse = (text: string): void => {
    if (!violations.includes(text)) violations.push(text);
  };

  const book = createBook(world, pace, accuse);
  watchWorkers(world, neighbours, book, accuse);

  const checkVolumes = (): void => {
    for (const record of registered(world).filter(({ scratch }) => !scratch))
      for (const { volid } of record.volumes) {
        const volume = node.storage.volume(volid);
        const known = kept.get(volid);
        // Growing is allowed and remembered.
        if (volume !== undefined && volume.sizeBytes >= (known?.sizeBytes ?? 0))
          kept.set(volid, { vmid: record.vmid, uid: record.uid, sizeBytes: volume.sizeBytes });
      }
    if (!storagesAnswer(world)) return;
    for (const [volid, { vmid, uid, sizeBytes }] of kept) {
      if (touchedByPeople.has(vmid)) continue;
      if (uid !== undefined && book.released.get(volid) === uid) continue;
      if (book.mayFree(volid) || (book.mayMove(volid) && node.storage.volume(volid) === undefined)) continue;
      const now = node.storage.volume(volid);
      if (now === undefined) accuse(`volume ${volid} bore data and is gone`);
      else if (now.sizeBytes < sizeBytes) accuse(`volume ${volid} shrank from ${sizeBytes} to ${now.sizeBytes}`);
    }
  };

  const checkGuests = (): void => {
    if (storagesAnswer(world))
      for (const neighbour of neighbours.values())
        for (const difference of neighbour.differences())
          // An adoption writes into the notes, and nowhere else.
          if (!book.isAdopted(neighbour.vmid) || !difference.startsWith('config of')) accuse(difference);
    const records = registered(world).filter(({ scratch }) => !scratch);
    for (const { vmid, name } of records) {
      if (!neighbours.has(vmid)) continue;
      if (!book.isAdopted(vmid)) accuse(`guest ${name} (${vmid}) is on record, and it is somebody else's`);
      neighbours.delete(vmid);
    }
    for (const [name, same] of Map.groupBy(records, (record) => record.name))
      if (same.length > 1) accuse(`guest ${name} is on record ${same.length} times`);
    for (const { name, vmid } of records) {
      const volid = lying.get(vmid);
      if (volid !== undefined) accuse(`guest ${name} was made at ${vmid}, where ${volid} of somebody else lay`);
    }
    const waiting = waitingForUndo(world);
    const marked = rangeOf(world)
      .filter((vmid) => !waiting.has(vmid) && !neighbours.has(vmid) && !touchedByPeople.has(vmid))
      .flatMap((vmid) => {
        const uid = markedUid(world.host.rawConfig(vmid) ?? '');
        return uid === undefined ? [] : [{ uid, vmid }];
      });
    for (const [uid, same] of Map.groupBy(marked, ({ uid: of }) => of))
      // A restore at work has both; that only one of them serves is judged elsewhere.
      if (same.length > 1 && openSagas(world).length === 0)
        accuse(`uid ${uid} lives ${same.length} times: ${same.map(({ vmid }) => vmid).join(', ')}`);
  };

  const checkAgent = (): void => {
    const agent = world.life()?.agent;
    if (agent === undefined || !isPowered(world)) return;
    const held = agent.held();
    if (held.is === 'held') {
      if (!goodDocuments.has(held.digest))
        accuse(`a document was adopted that nobody meant: ${held.text.slice(0, 200)}`);
      if (held.state.generation < newestGeneration)
        accuse(`desired state went back from generation ${newestGeneration} to ${held.state.generation}`);
      newestGeneration = Math.max(newestGeneration, held.state.generation);
    }
    const shown = reportSchema.safeParse(agent.report());
    if (!shown.success) accuse(`the report is none: ${shown.error.message.slice(0, 500)}`);
    const parked = new Map(agent.report().parked.map((saga) => [saga.id, saga]));
    for (const saga of openSagas(world))
      if (saga.parked && !parked.get(saga.id)?.command.includes(saga.id))
        accuse(`saga ${saga.id} is parked and the report does not say how to go on`);
  };

  /** Nothing is under way: whatever lies around now was left behind. */
  const checkQuiet = (): void => {
    if (!storagesAnswer(world) || node.tasks.running().length > 0) return;
    if (openSagas(world).length > 0) return;
    const records = new Map(registered(world).map((record) => [record.vmid as number, record]));
    const said = JSON.stringify(world.life()?.agent.report().findings ?? []);
    const waiting = waitingForUndo(world);
    for (const vmid of rangeOf(world)) {
      if (waiting.has(vmid) || neighbours.has(vmid) || touchedByPeople.has(vmid) || disturbed.has(vmid)) continue;
      const record = records.get(vmid);
      if (record === undefined && node.guests.exists(vmid)) accuse(`guest ${vmid} is nobody's`);
      const present = node.storage.volumesOf(vmid).map(({ volid }) => volid);
      // A person's own volume, or one that the report names, is known.
      const isKnown = (text: string): boolean =>
        present.some((volid) => text.includes(volid) && (kept.has(volid) || said.includes(volid)));
      for (const text of disorderAt(world, vmid)) if (!isKnown(text)) accuse(`left behind: ${text}`);
    }
  };

  return {
    violations,
    neighbours,
    touchedByPeople,
    disturbed,
    goodDocuments,
    book,
    keep: (volid, vmid) => {
      lying.set(vmid, volid);
      kept.set(volid, { vmid, uid: undefined, sizeBytes: node.storage.volume(volid)?.sizeBytes ?? 0 });
    },
    check: () => {
      for (const look of [checkVolumes, checkGuests, checkAgent, checkQuiet, () => book.check()])
        try {
          look();
        } catch (error) {
          accuse(`cannot look: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
        }
      for (const { upid } of node.tasks.running())
        if (node.tasks.find(upid)?.parts.user === tokenId && !/:(?:vz|resize|imgdel|move_volume)/.test(upid))
          accuse(`a task that no saga knows: ${upid}`);
    },
  };
}

/** Whether the process lives; without power there is nobody to ask. */
export const isPowered = (world: SimWorld): boolean => world.life()?.power.off.aborted === false;

/** Guests that a restore put aside: its record has them, the registry has what took their place. */
const waitingForUndo = (world: SimWorld): ReadonlySet<number> =>
  new Set(
    createRestoreStore(world.disk())
      .all()
      .flatMap(({ state, old }) => (state === 'undoable' && old !== undefined ? [Number(old.vmid)] : [])),
  );

/** Volumes on a storage that does not answer are not gone. */
export const storagesAnswer = ({ node }: SimWorld): boolean =>
  node.storage.hardware.device('lvm:pve/data')?.online === true;

/** Every worker is judged before its first instruction, which no look between two events could do. */
function watchWorkers(
  world: SimWorld,
  neighbours: ReadonlyMap<number, Neighbour>,
  book: Book,
  accuse: (text: string) => void,
): void {
  const { node, tokenId } = world;
  const fork = node.tasks.fork.bind(node.tasks);
  const watched: typeof fork = (who, type, id, body) => {
    if (who.full === tokenId) {
      const busy = node.tasks
        .running()
        .find((other) => other.id === id && node.tasks.find(other.upid)?.parts.user === tokenId);
      if (busy !== undefined) accuse(`${type} of guest ${id} begins while our ${busy.type} is at work: ${busy.upid}`);
      const record = registered(world).find(({ vmid, scratch }) => String(vmid) === id && !scratch);
      if (neighbours.has(Number(id)) && !(record !== undefined && book.isAdopted(record.vmid)))
        accuse(`${type} on guest ${id}, which is somebody else's`);
      if (type === 'vzdestroy' && record !== undefined) {
        const why = book.whyNotDestroy(record.vmid);
        if (why !== undefined) accuse(`guest ${record.name} (${id}) is on record and is destroyed: ${why}`);
      }
      if ((type === 'vzstop' || type === 'vzshutdown') && record !== undefined && !book.mayStop(record.uid))
        accuse(`guest ${record.name} (${id}) is on record and is brought down, and nobody signed for that`);
    }
    return fork(who, type, id, body);
  };
  Object.assign(node.tasks, { fork: watched });
}
