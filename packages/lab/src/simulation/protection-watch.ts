/**
 * What must never happen to copies, to what is restored from them, and to apps that are held still for them. Looked at
 * every few seconds and at every start of a guest, from the node's own files; the journal is asked only for what it claims.
 */
import { createCatalogue } from '@felhom/agent';
import type { BackupRecord } from '@felhom/agent';
import { checkLedger, guestPaths } from '@felhom/controller';
import type { GuestFiles } from '@felhom/controller';
import { fileMember } from '../fake-pve/storage/index.ts';
import { diskGuestFiles, guestFacts } from '../guest/index.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { markedUid, openSagas, rangeOf, registered, volumesNamedIn } from '../world/traces.ts';
import type { Book } from './orders.ts';

export interface ProtectionWatch {
  /** Archives that somebody else made. */
  readonly foreign: Set<string>;
  /** Archives that were damaged after they were taken. */
  readonly damaged: Set<string>;
  /** Guests whose apps stand still now. */
  readonly standing: () => readonly number[];
  /** Copies that were read right after they came on record. */
  readonly copies: () => number;
  /** After the quiet time. */
  end(): Promise<readonly string[]>;
  stop(): void;
}

/** Milliseconds that apps may stand: the lease, the supervisor's looks, and one look from here. */
const standsMs = (world: SimWorld): number => world.policy.backups.captureSeconds * 1000 + 15_000;
const lookEveryMs = 5_000;
const ledgerFolder = '/srv/data/ledger';
const bulkMark = './sim-mark';
const stackFile = `${guestPaths.home}/ledger-stack.json`;

interface Copy {
  readonly uid: string;
  readonly count: number;
}

export function watchProtection(world: SimWorld, book: Book, accuse: (text: string) => void): ProtectionWatch {
  const { node, clock, host, policy } = world;
  const foreign = new Set<string>();
  const damaged = new Set<string>();
  const standing = new Map<number, number>();
  const copies = new Map<string, Copy>();
  /** Highest entry seen of each guest, wherever it lived. */
  const entries = new Map<string, { readonly count: number; readonly life: string }>();
  /** The last count seen in each life of a guest. */
  const endings = new Map<string, Map<string, number>>();
  const bulk = new Set<string>();
  const tokens = new Map<string, string>();
  let proven = new Map<string, BackupRecord>();
  const over = new AbortController();

  const catalogue = (): readonly BackupRecord[] => createCatalogue(world.disk()).all();
  const guestsOnRecord = () => registered(world).filter(({ scratch }) => !scratch);
  const isScratch = (vmid: number): boolean => vmid >= policy.vmids.scratch.from && vmid <= policy.vmids.scratch.to;
  const config = (vmid: number): string => (host.rawConfig(vmid) ?? '').split(/^\[/m)[0] ?? '';
  const linksUp = (vmid: number): boolean =>
    [...config(vmid).matchAll(/^net\d+: (.*)$/gm)].some(([, net = '']) => !/\blink_down=1\b/.test(net));
  const running = (): readonly number[] =>
    rangeOf(world).filter((vmid) => node.guests.exists(vmid) && node.guests.isRunning(vmid));
  const filesOf = (vmid: number): GuestFiles =>
    diskGuestFiles(node.storage.disk, guestFacts(node, vmid).mounts, () => Math.floor(clock.now() / 1000));
  const hasRoot = (vmid: number): boolean => guestFacts(node, vmid).mounts.has('/');
  const hasLedger = (vmid: number): boolean => guestFacts(node, vmid).mounts.has('/srv/data');

  /** Apps that stand still for ever are an outage that a backup made. */
  const quiesceIsUndone = async (): Promise<void> => {
    const up = new Set(running());
    for (const vmid of standing.keys()) if (!up.has(vmid)) standing.delete(vmid);
    for (const vmid of up) {
      const state = isScratch(vmid) || !hasRoot(vmid) ? undefined : await filesOf(vmid).read(stackFile, 4096);
      if (state === undefined || !textOf(state).includes('"standing"')) {
        standing.delete(vmid);
        continue;
      }
      const since = standing.get(vmid) ?? clock.monotonicMs();
      standing.set(vmid, since);
      const ms = clock.monotonicMs() - since;
      if (ms > standsMs(world)) accuse(`apps of guest ${vmid} stand still for longer than ${standsMs(world) / 1000} s`);
    }
  };

  /** What an undo gives back: the guest as it stood when it was put aside, at the VMID that it has kept. */
  const wasPutAside = (uid: string, vmid: number, count: number): boolean =>
    book.orders.some((order) => order.undoes === true && order.uid === uid) &&
    [...(endings.get(uid) ?? [])].some(([life, ended]) => life.startsWith(`${vmid}.`) && near(ended, count));

  /** What an app wrote is lost with its guest only, and then back to a copy that existed or to a guest that was kept. */
  const ledgerLosesNothing = async (): Promise<void> => {
    for (const record of guestsOnRecord()) {
      const { uid, vmid, incarnation } = record;
      if (!node.guests.exists(vmid) || !hasLedger(vmid) || markedUid(config(vmid)) !== uid) continue;
      const { count } = await checkLedger(filesOf(vmid), ledgerFolder);
      const known = entries.get(uid);
      const life = `${vmid}.${incarnation}`;
      if (known !== undefined && count < known.count) {
        if (known.life === life)
          accuse(`the ledger of guest ${uid} (${life}) went back from ${known.count} to ${count}`);
        else if (
          ![...copies.values()].some((copy) => copy.uid === uid && near(copy.count, count)) &&
          !wasPutAside(uid, vmid, count)
        )
          accuse(`guest ${uid} came back as ${life} with ${count} entries, and no copy ended there`);
      }
      entries.set(uid, { count, life });
      endings.set(uid, (endings.get(uid) ?? new Map<string, number>()).set(life, count));
    }
  };

  /** Bulk has one history: nothing that restores, tests or removes may touch it unsigned. A hand-over gives it a new name. */
  const bulkStays = async (): Promise<void> => {
    const volumes = rangeOf(world).flatMap((vmid) =>
      node.storage.volumesOf(vmid).filter(({ volid }) => volid.startsWith('bulk:')),
    );
    const marks = new Map<string, string[]>();
    for (const { volid } of volumes) {
      const path = node.storage.volumeDiskPath(volid);
      const mark = (await node.storage.disk.readTree(path)).find(({ name }) => name === bulkMark);
      if (mark !== undefined) marks.set(textOf(mark.content), [...(marks.get(textOf(mark.content)) ?? []), volid]);
      else if (guestsOnRecord().some((record) => record.volumes.some((one) => one.volid === volid))) {
        const text = `${volid} ${clock.monotonicMs()}`;
        bulk.add(text);
        marks.set(text, [volid]);
        await node.storage.disk.writeTree(path, [fileMember(bulkMark, text)], { skipExisting: false });
      }
    }
    for (const mark of bulk) {
      const there = marks.get(mark) ?? [];
      if (there.length !== 1) accuse(`the bulk that was ${mark} is there ${there.length} times: ${there.join()}`);
    }
    for (const { volid } of volumes) {
      const at = rangeOf(world).filter((vmid) => volumesNamedIn(config(vmid)).includes(volid));
      if (at.length > 1) accuse(`bulk volume ${volid} is attached to ${at.join(' and ')}`);
    }
  };

  /** Two that answer to one name tear whatever they both serve. */
  const servesOnce = (): void => {
    const up = running().flatMap((vmid) => {
      const uid = markedUid(config(vmid));
      return uid !== undefined && linksUp(vmid) ? [{ uid, vmid }] : [];
    });
    for (const [uid, same] of Map.groupBy(up, ({ uid: of }) => of))
      if (same.length > 1) accuse(`guest ${uid} runs and is linked twice: ${same.map(({ vmid }) => vmid).join()}`);
  };

  /** The last proof there is must not be pruned, and what others keep is theirs. */
  const provenStays = (): void => {
    const now = new Map<string, BackupRecord>();
    const records = catalogue();
    for (const record of records) {
      const key = `${record.guest} ${record.tier}`;
      const best = now.get(key);
      if (record.proven !== undefined && (best === undefined || record.takenAt >= best.takenAt)) now.set(key, record);
    }
    for (const [key, before] of proven) {
      const gone = !records.some(({ id }) => id === before.id);
      const replaced = (now.get(key)?.takenAt ?? 0) > before.takenAt;
      if (gone && !replaced && !book.mayDelete(before.archive) && !damaged.has(before.archive))
        accuse(`${before.archive} was the newest proven copy of ${key} and is pruned`);
    }
    for (const archive of foreign) if (!lies(world, archive)) accuse(`${archive} is somebody else's and is deleted`);
    proven = now;
  };

  /** A test has no right to be met by anybody, nor to take more than its room. */
  const scratchIsAlone = (): void => {
    const there = rangeOf(world).filter((vmid) => isScratch(vmid) && node.guests.exists(vmid));
    if (there.length > 1) accuse(`there are scratch guests ${there.join(' and ')} at once`);
    for (const vmid of there) if (linksUp(vmid)) accuse(`scratch guest ${vmid} has a link that is up`);
  };

  /** A copy is called app-consistent on the word of a lease: then its apps stood still in it, and its books agree. */
  const appMeansApp = async (): Promise<void> => {
    for (const record of catalogue()) {
      if (copies.has(record.id)) continue;
      const seen = damaged.has(record.archive) ? undefined : await readCopy(world, record.archive);
      if (seen === undefined) continue;
      copies.set(record.id, { uid: record.guest, count: seen.count });
      if (record.consistency !== 'app') continue;
      if (!seen.standing) accuse(`${record.archive} is called app-consistent, and its apps ran`);
      if (seen.torn) accuse(`${record.archive} is called app-consistent, and its books are torn`);
    }
  };

  /** One read of the disk at a time is what a small node can bear. */
  const oneDump = (): void => {
    const dumps = node.tasks
      .running()
      .filter(({ upid, type }) => type === 'vzdump' && node.tasks.find(upid)?.parts.user === world.tokenId);
    if (dumps.length > 1) accuse(`${dumps.length} of our vzdump run at once: ${dumps.map(({ upid }) => upid).join()}`);
  };

  const looks: readonly (() => void | Promise<void>)[] = [
    quiesceIsUndone,
    appMeansApp,
    ledgerLosesNothing,
    bulkStays,
    servesOnce,
    provenStays,
    scratchIsAlone,
    oneDump,
  ];
  const look = async (): Promise<void> => {
    for (const one of looks)
      try {
        await one();
      } catch (error) {
        accuse(
          `cannot look at ${one.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
      }
  };
  const unlisten = node.guests.onPower(({ is }) => {
    if (is !== 'up') return;
    servesOnce();
    scratchIsAlone();
  });
  const looking = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await clock.sleep(lookEveryMs);
      if (!over.signal.aborted) await look();
    }
  };
  void looking();

  /** What came out of an archive must be able to do nothing until it is told who it is. */
  if (world.guests !== undefined)
    world.guests.onAnswer = ({ vmid, authorization, status }) => {
      // An answer that comes when its guest is off reaches nobody.
      if (authorization === undefined || status >= 400 || !node.guests.isRunning(vmid)) return;
      const record = registered(world).find((each) => each.vmid === vmid);
      if (record === undefined || record.scratch) return accuse(`guest ${vmid} is nobody's, and its token counts`);
      const life = `${record.uid}.${record.incarnation}`;
      const before = tokens.get(authorization) ?? life;
      tokens.set(authorization, before);
      if (before !== life) accuse(`a token of ${before} is accepted from ${life}`);
    };

  /** Nothing of a guest that is not there any more may still open a door. */
  const strayDocuments = (): readonly string[] => {
    if (openSagas(world).length > 0) return [];
    const known = guestsOnRecord().map(({ uid }) => uid as string);
    return ['token/', 'claim/', 'quiesce/'].flatMap((prefix) =>
      world
        .disk()
        .list(prefix)
        .map(({ key }) => key)
        .filter((key) => /\/[a-z2-7]{26}$/.test(key) && !known.some((uid) => key.includes(uid)))
        .map((key) => `${key} is of a guest that is not on record`),
    );
  };

  return {
    foreign,
    damaged,
    standing: () => [...standing.keys()],
    copies: () => copies.size,
    end: async () => {
      await look();
      return [
        ...[...standing.keys()].map((vmid) => `in the end the apps of guest ${vmid} stand still`),
        ...rangeOf(world)
          .filter((vmid) => isScratch(vmid) && (node.guests.exists(vmid) || node.storage.volumesOf(vmid).length > 0))
          .map((vmid) => `in the end scratch guest ${vmid} is left`),
        ...strayDocuments(),
        ...catalogue()
          .filter(({ archive }) => !lies(world, archive))
          .map(({ archive }) => `${archive} is on record and does not lie there`),
        ...(world.guests?.failures() ?? []).map((failed) => `programs of a guest ended by themselves: ${told(failed)}`),
      ];
    },
    stop: () => {
      over.abort();
      unlisten();
    },
  };
}

/** Entries that were made between the copy, or the start, and the look. */
const near = (copy: number, now: number): boolean => now >= copy && now <= copy + entriesBetweenLooks;
const entriesBetweenLooks = 2;

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const told = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

const lies = ({ node }: SimWorld, archive: string): boolean => {
  const path = node.storage.archives.volidPath(archive);
  return path !== undefined && node.storage.disk.file(path) !== undefined;
};

async function readCopy(
  { node }: SimWorld,
  archive: string,
): Promise<{ readonly count: number; readonly torn: boolean; readonly standing: boolean } | undefined> {
  const path = node.storage.archives.volidPath(archive);
  if (path === undefined || node.storage.disk.file(path) === undefined) return undefined;
  const found = new Map<string, string>();
  for await (const member of node.storage.disk.readArchive(path)) {
    const name = /\.\/(?:srv\/data\/ledger\/(left|right)|var\/lib\/felhom\/(ledger-stack))\.json$/.exec(member.name);
    if (name !== null) found.set(name[1] ?? name[2] ?? '', textOf(member.content));
  }
  const count = /"count":(\d+)/.exec(found.get('left') ?? '')?.[1];
  return {
    count: Number(count ?? 0),
    torn: found.get('left') !== found.get('right'),
    standing: found.get('ledger-stack')?.includes('"standing"') === true,
  };
}
