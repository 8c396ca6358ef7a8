/**
 * What the hub keeps, as a small port: SQLite today, PostgreSQL beside it later with the same tests. Every method is one
 * transaction. Times are the hub's own, in milliseconds since the epoch; those of hosts are facts inside reports.
 */
import type { DesiredRef, Digest, HostId } from '@felhom/protocol';
import type { AlertStore } from '../alerts/alert-store.ts';
import type { StoredSecret } from '../credentials.ts';
import type { MailboxStore } from './mailbox-store.ts';
import type { StatementToKeep, TestimonyStore } from './testimony-store.ts';

export type Role = 'operator' | 'reader';

export interface OperatorRow {
  readonly name: string;
  readonly role: Role;
  readonly secret: StoredSecret;
  readonly createdAt: number;
}

/** The document that a host should follow, as exact text. */
export interface DesiredRow {
  readonly lineage: string;
  readonly generation: number;
  readonly digest: Digest;
  readonly text: string;
  /** The lineage that an operator left by publishing this one. */
  readonly replaces: string | undefined;
  readonly putAt: number;
  readonly putBy: string;
}

/** What the host said it holds, when that is ahead of the hub [R38]. The hub serves nothing while this stands. */
export interface StaleMark {
  readonly lineage: string;
  readonly generation: number;
  readonly digest: string;
  readonly since: number;
  /** The held document, once the agent has sent it. */
  readonly text: string | undefined;
}

export interface ContactRow {
  /** By receipt, on the hub's clock. */
  readonly at: number;
  readonly hostEpoch: string;
  readonly sequence: number;
  readonly agentVersion: string;
  /** JSON of the held reference. */
  readonly held: string;
  /** JSON of what came beside the report and is of that moment. The last one only: the hub keeps no history of it. */
  readonly heartbeat?: string;
  /** The host said that it polls seldom. */
  readonly metered?: boolean;
}

export interface ReportRow {
  readonly at: number;
  readonly digest: string;
  readonly text: string;
}

/** A sequence number came twice or went back: two agents with one key, or a journal that was rolled back. */
export interface ForkMark {
  readonly since: number;
  readonly text: string;
}

export interface HostRow {
  readonly hostId: HostId;
  readonly secret: StoredSecret;
  readonly createdAt: number;
  readonly contact: ContactRow | undefined;
  readonly report: ReportRow | undefined;
  readonly desired: DesiredRow | undefined;
  readonly stale: StaleMark | undefined;
  readonly fork: ForkMark | undefined;
  /** The host told two tales of its audit log. */
  readonly auditFork: ForkMark | undefined;
  /** What operators said about its silence. */
  readonly snoozedUntil: number | undefined;
  readonly expectSeconds: number | undefined;
}

export interface HubStore extends MailboxStore, TestimonyStore {
  readonly alerts: AlertStore;
  addOperator(row: OperatorRow): Promise<'added' | 'exists'>;
  operator(name: string): Promise<OperatorRow | undefined>;
  addHost(row: Pick<HostRow, 'hostId' | 'secret' | 'createdAt'>): Promise<'added' | 'exists'>;
  setHostSecret(hostId: HostId, secret: StoredSecret): Promise<'set' | 'no-such-host'>;
  host(hostId: string): Promise<HostRow | undefined>;
  /** By id. */
  hosts(): Promise<readonly HostRow[]>;
  recordContact(
    hostId: HostId,
    contact: ContactRow,
    changes: {
      readonly report?: ReportRow | undefined;
      readonly stale?: StaleMark | undefined;
      readonly fork?: ForkMark | undefined;
      readonly statement?: StatementToKeep | undefined;
    },
  ): Promise<void>;
  /**
   * Makes `row` the document of the host if the current one still is `base` (`undefined`: none), and clears the stale
   * mark where told so. The documents before stay readable, the last hundred of them.
   */
  putDesired(
    hostId: HostId,
    row: DesiredRow,
    base: DesiredRef | undefined,
    options: { readonly clearStale: boolean },
  ): Promise<{ readonly is: 'put' } | { readonly is: 'conflict'; readonly current: DesiredRow | undefined }>;
  desiredAt(hostId: HostId, ref: DesiredRef): Promise<DesiredRow | undefined>;
  /** The last generation of a lineage that the hub gave to the host, 0 for none. */
  highestGeneration(hostId: HostId, lineage: string): Promise<number>;
  clearFork(hostId: HostId): Promise<void>;
  close(): Promise<void>;
}
