/**
 * What honest people signed, and what may happen because of it. The book is kept beside the world: nothing in it comes
 * from the agent or the hub, so that whatever they do can be held against it.
 */
import { verifyChain } from '@felhom/protocol';
import type { JobKind } from '@felhom/protocol';
import { foldSaga } from '@felhom/agent';
import type { SimWorld } from '../world/sim-world.ts';
import { openSagas, registered } from '../world/traces.ts';

export interface Order {
  readonly jobId: string;
  readonly kind: JobKind;
  readonly payload: Uint8Array;
  /** Everybody whose signature over it exists. */
  readonly by: Set<string>;
  /** Boot time, milliseconds: when it was first signed, and when its challenge was new. */
  readonly at: number;
  readonly mintedAt: number;
  /** The guest that it is about. */
  readonly uid?: string;
  /** It ends with that guest, and exactly these volumes, destroyed. */
  readonly lossSet?: readonly string[];
  /** Volumes that a restore, its undo or its end may free, with the guest that they are left with. */
  readonly frees?: readonly string[];
  /** Volumes that it gives another owner and with that another name. */
  readonly carries?: readonly string[];
  /** It gives back the guest that a restore put aside. */
  readonly undoes?: boolean;
  /** An archive that it may delete. */
  readonly deletes?: string;
  readonly adopts?: number;
  readonly hold?: { readonly scope: string; readonly set: boolean };
  /** Signers of the trust document that it leads to. */
  readonly trusts?: string;
}

export interface Book {
  readonly orders: Order[];
  /** Envelopes that ever existed, honest or not: what a hub can replay. */
  readonly envelopes: string[];
  /** Volumes that were signed away, and with which guest. */
  readonly released: Map<string, string>;
  /** Why the guest on record at this VMID must not be destroyed now; `undefined` = it was signed for. */
  whyNotDestroy(vmid: number): string | undefined;
  /** Whether enough people signed for a restore, or for the end of one, that frees this volume. */
  mayFree(volid: string): boolean;
  /** Whether it may be there under another name by now. */
  mayMove(volid: string): boolean;
  mayDelete(archive: string): boolean;
  /** Whether anything was signed for that may bring this guest down. */
  mayStop(uid: string): boolean;
  isAdopted(vmid: number): boolean;
  check(): void;
  /** Once, in the end. */
  checkChain(): void;
}

export interface RemovalPace {
  readonly coolOffMs: number;
  readonly quarantineMs: number;
  readonly perDay: number;
}

const hour = 60 * 60_000;
const day = 24 * hour;
const over = new Set(['done', 'refused', 'cancelled', 'failed']);
/** What goes on under a hold. */
const narrowing = new Set(['break-glass-close', 'trust-change']);

export function createBook(world: SimWorld, pace: RemovalPace, accuse: (text: string) => void): Book {
  const orders: Order[] = [];
  const envelopes: string[] = [];
  const released = new Map<string, string>();
  /** Last state of each job that is over. */
  const ended = new Map<string, string>();
  const destroys: { readonly order: Order; readonly at: number; readonly uid: string }[] = [];
  const firstEpoch = world.disk().hostEpoch;
  const firstTrust = trusted(world);
  let chain: readonly string[] = [];
  let held: { readonly open: ReadonlySet<string> } | undefined;

  const jobs = (): readonly JobSeen[] =>
    world
      .disk()
      .list('job/')
      .map(({ body }) => body as JobSeen);

  const enough = (order: Order): boolean => {
    const now = trusted(world).split(',');
    return [...order.by].filter((person) => now.includes(person)).length >= 2;
  };

  const mayFree = (volid: string): boolean =>
    orders.some((order) => order.frees?.includes(volid) === true && enough(order));

  const whyNotDestroy: Book['whyNotDestroy'] = (vmid) => {
    const record = registered(world).find((each) => each.vmid === vmid);
    if (record === undefined) return undefined;
    const lies = world.node.storage
      .volumesOf(vmid)
      .map(({ volid }) => volid)
      .toSorted();
    if (lies.length > 0 && lies.every(mayFree)) return undefined;
    const about = orders.filter(({ uid, lossSet }) => uid === record.uid && lossSet !== undefined);
    if (about.length === 0) return 'nobody signed for that';
    const complaints = about.map((order) => {
      const now = world.clock.bootMs();
      if (!enough(order)) return `job ${order.jobId} was signed by ${[...order.by].join(', ') || 'nobody'}`;
      if (ended.get(order.jobId) !== undefined) return `job ${order.jobId} is ${ended.get(order.jobId)}`;
      const surplus = lies.filter((volid) => order.lossSet?.includes(volid) !== true);
      if (surplus.length > 0) return `job ${order.jobId} does not name ${surplus.join(', ')}`;
      if (now - order.at < pace.coolOffMs + pace.quarantineMs)
        return `job ${order.jobId} was signed ${Math.round((now - order.at) / 1000)} s ago`;
      const today = new Set(
        destroys.filter(({ at, uid }) => now - at < day && uid !== record.uid).map(({ uid }) => uid),
      );
      if (today.size >= pace.perDay) return `${today.size} guests were destroyed within a day already`;
      destroys.push({ order, at: now, uid: record.uid });
      for (const volid of order.lossSet ?? []) released.set(volid, record.uid);
      return undefined;
    });
    return complaints.includes(undefined) ? undefined : complaints.join('; ');
  };

  const checkJobs = (): void => {
    for (const job of jobs()) {
      const order = orders.find(({ jobId }) => jobId === job.jobId);
      const was = ended.get(job.jobId);
      if (was !== undefined && was !== job.state) accuse(`job ${job.jobId} was ${was} and is ${job.state}`);
      const isNew = was === undefined;
      if (over.has(job.state)) ended.set(job.jobId, job.state);
      if (order === undefined) {
        // Signed by somebody trusted it may be known, never carried out: of these there are none here.
        accuse(`job ${job.jobId} (${job.kind}) is on record, and no honest person signed it`);
        continue;
      }
      for (const person of job.people)
        if (!order.by.has(person)) accuse(`job ${job.jobId} counts ${person}, who did not sign it`);
      const begins = job.acceptedAt !== undefined || job.state === 'running' || (job.state === 'done' && isNew);
      const life = order.lossSet === undefined ? 7 * day : hour;
      if (begins && !begun.has(job.jobId)) {
        begun.add(job.jobId);
        // Looked at between two events only, so a while may have passed.
        if (world.clock.bootMs() - order.mintedAt > life + lookedEveryMs)
          accuse(`job ${job.jobId} (${job.kind}) began, and its challenge is long over`);
      }
    }
  };
  const begun = new Set<string>();

  const checkHolds = (): void => {
    const now = world.disk().get('holds')?.body as { host: boolean; guests: readonly string[] } | undefined;
    const scopes = [...(now?.host === true ? ['host'] : []), ...(now?.guests ?? [])];
    for (const scope of scopes)
      if (!orders.some(({ hold }) => hold?.scope === scope && hold.set))
        accuse(`a hold on ${scope} that nobody signed`);
    for (const scope of heldScopes)
      if (!scopes.includes(scope) && !orders.some(({ hold }) => hold?.scope === scope && !hold.set))
        accuse(`the hold on ${scope} is gone, and nobody signed for that`);
    heldScopes = scopes;
    const open = openSagas(world).map(({ id }) => id);
    if (now?.host !== true) held = undefined;
    else if (held === undefined) held = { open: new Set(open) };
    else
      for (const id of open) {
        if (held.open.has(id)) continue;
        const name = foldSaga(world.disk().recordsOf(id))?.name ?? '';
        if (!narrowing.has(name)) accuse(`saga ${id} began while the host was on hold`);
      }
  };
  let heldScopes: readonly string[] = [];

  return {
    orders,
    envelopes,
    released,
    whyNotDestroy,
    mayFree,
    mayMove: (volid) => orders.some((order) => order.carries?.includes(volid) === true && enough(order)),
    mayDelete: (archive) => orders.some((order) => order.deletes === archive && enough(order)),
    mayStop: (uid) => orders.some((order) => order.uid === uid && order.hold === undefined && order.by.size > 0),
    isAdopted: (vmid) => orders.some((order) => order.adopts === vmid && order.by.size > 0),
    check: () => {
      if (world.disk().hostEpoch !== firstEpoch) accuse('the host began another life, and its journal was never lost');
      const trust = trusted(world);
      if (trust !== firstTrust && !orders.some(({ trusts }) => trusts === trust))
        accuse(`trusted are ${trust}, which nobody signed`);
      checkJobs();
      checkHolds();
      const agent = world.life()?.agent;
      if (agent === undefined || world.life()?.power.off.aborted === true) return;
      const { entries, head } = agent.auditFrom(chain.length + 1);
      chain = [...chain, ...entries];
      if (head.count < chain.length) accuse(`the audit log had ${chain.length} entries and has ${head.count}`);
    },
    checkChain: () => {
      const agent = world.life()?.agent;
      if (agent === undefined) return;
      const { entries, head } = agent.auditFrom(1);
      const verdict = verifyChain(entries);
      if (entries.length === head.count && (verdict.is !== 'whole' || verdict.head.head !== head.head))
        accuse(`the audit chain is ${JSON.stringify(verdict)}`);
      if (entries.some((entry, at) => at < chain.length && entry !== chain[at])) accuse('the audit log was rewritten');
      if (world.hub.audit(firstEpoch).some((entry, at) => at < entries.length && entry !== entries[at]))
        accuse('the hub was told another audit log');
    },
  };
}

const lookedEveryMs = 9 * hour;

interface JobSeen {
  readonly jobId: string;
  readonly kind: string;
  readonly state: string;
  readonly people: readonly string[];
  readonly acceptedAt?: number;
}

const trusted = ({ root }: SimWorld): string => {
  const held = root.store.read();
  return held.is === 'held' ? held.document.signers.map(({ principal }) => principal).join() : held.is;
};
