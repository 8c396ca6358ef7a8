/** Puts the pieces together: every Proxmox port over one transport. */
import type { Clock } from '../../kernel/clock.ts';
import type { NodeDisks, NodeLogin, NodePools } from '../../ports/host-facts.ts';
import type {
  GuestDestroyer,
  GuestReader,
  GuestWriter,
  NodeFacts,
  NodePackages,
  PveTasks,
  StorageEntries,
  Stores,
  BackupRemover,
  BackupWriter,
  Snapshots,
  VolumeMover,
} from '../../ports/proxmox.ts';
import { createBackupRemover, createBackupWriter } from './backups.ts';
import { createSnapshots, createVolumeMover } from './snapshots.ts';
import { createCaller, defaultLimits } from './caller.ts';
import type { CallLimits } from './caller.ts';
import { createGuestDestroyer, createGuestReader, createGuestWriter } from './guests.ts';
import { createNodeDisks, createNodeFacts, createNodeLogin, createNodePools } from './node-facts.ts';
import type { ZfsStates } from './node-facts.ts';
import { createStorageEntries, createStores } from './stores.ts';
import { createTasks, defaultPatience } from './tasks.ts';
import type { TaskPatience } from './tasks.ts';
import type { Transport } from './transport.ts';

export interface PveClientOptions {
  readonly transport: Transport;
  /** The node's name as Proxmox writes it; another case is another node. */
  readonly node: string;
  /** One line, `USER@REALM!TOKENID=SECRET`. */
  readonly token: string;
  readonly clock: Clock;
  readonly limits?: Partial<CallLimits>;
  readonly patience?: Partial<TaskPatience>;
}

export interface PveClient {
  readonly reader: GuestReader;
  readonly writer: GuestWriter;
  readonly destroyer: GuestDestroyer;
  readonly tasks: PveTasks;
  readonly stores: Stores;
  readonly entries: StorageEntries;
  readonly backups: BackupWriter;
  readonly remover: BackupRemover;
  readonly snapshots: Snapshots;
  readonly mover: VolumeMover;
  readonly facts: NodeFacts & NodePackages;
  readonly disks: NodeDisks;
  /** With what the kernel says of pools of ZFS, on the host that this process runs on. */
  readonly pools: (zfsStates: ZfsStates) => NodePools;
  readonly login: NodeLogin;
  close(): Promise<void>;
}

/** `USER@REALM!TOKENID=SECRET`, as `pveum user token add` gives it out. */
export const tokenShape = /^[^\s:/!=]+@[A-Za-z][A-Za-z0-9._-]*![A-Za-z][A-Za-z0-9._-]*=[A-Za-z0-9-]{8,128}$/;

/** Throws when the token cannot be one; its text is never in the error. */
export function createPveClient(options: PveClientOptions): PveClient {
  const { transport, node, clock } = options;
  const token = options.token.trim();
  if (!tokenShape.test(token))
    throw new Error(`cannot use Proxmox node ${node}: the token is not of the form USER@REALM!TOKENID=SECRET`);
  const caller = createCaller({
    transport,
    clock,
    authorization: `PVEAPIToken=${token}`,
    limits: { ...defaultLimits, ...options.limits },
  });
  return {
    reader: createGuestReader(caller, node),
    writer: createGuestWriter(caller, node),
    destroyer: createGuestDestroyer(caller, node),
    tasks: createTasks(caller, node, clock, { ...defaultPatience, ...options.patience }),
    stores: createStores(caller, node),
    entries: createStorageEntries(caller),
    backups: createBackupWriter(caller, node),
    remover: createBackupRemover(caller, node),
    snapshots: createSnapshots(caller, node),
    mover: createVolumeMover(caller, node),
    facts: createNodeFacts(caller, node),
    disks: createNodeDisks(caller, node),
    pools: (zfsStates) => createNodePools(caller, node, zfsStates),
    login: createNodeLogin(caller, token.slice(0, token.indexOf('='))),
    close: () => transport.close(),
  };
}
