/**
 * What the watch keeps, as a small port. Every method is one transaction, so that a change of an alert and the messages
 * about it are either both on disk or neither: a restart neither repeats nor forgets.
 */
import type { HostId } from '@felhom/protocol';

import { z } from 'zod';
import { massIncident } from '../liveness/mass-silence.ts';
import type { Acknowledgement, Alert, KeptAlert } from './alert.ts';
import type { Message } from './message.ts';

/** What a round needs to know of a host; reports are read one by one. */
export interface WatchedHost {
  readonly hostId: HostId;
  readonly contactAt: number | undefined;
  /** It said with its last poll that it polls seldom. */
  readonly metered?: boolean;
  readonly reportDigest: string | undefined;
  readonly fork: { readonly since: number; readonly text: string } | undefined;
  readonly auditFork: { readonly since: number; readonly text: string } | undefined;
  readonly stale: { readonly since: number; readonly generation: number } | undefined;
  readonly snoozedUntil: number | undefined;
  readonly expectSeconds: number | undefined;
}

/** What the loop remembers of itself. */
export const watchMemory = z.strictObject({
  v: z.literal(1),
  /** Of its last round that was written down. */
  roundAt: z.number().int(),
  /** What agents were asked for then. */
  pollAfterSeconds: z.number(),
  mass: massIncident.optional(),
});
export type WatchMemory = z.output<typeof watchMemory>;

export interface Failure {
  readonly at: number;
  readonly text: string;
}

export interface RouteRecord {
  readonly lastSuccessAt: number | undefined;
  readonly lastFailure: Failure | undefined;
  /** In a row, and since when. */
  readonly failures: number;
  readonly failingSince: number | undefined;
  /** When the route was first seen, or last given a test of its own accord. */
  readonly testedAt: number | undefined;
  readonly digestAt: number | undefined;
  readonly lost: number;
  readonly waiting: number;
  readonly held: number;
}

/** Message that waits for its route (`waiting`), or for the end of what holds it back (`held`). */
export interface NewDelivery {
  readonly id: string;
  readonly route: string;
  readonly createdAt: number;
  readonly message: Message;
  readonly heldBy: 'quiet' | 'rate' | undefined;
}

export interface HeldDelivery {
  readonly id: string;
  readonly route: string;
  readonly heldBy: 'quiet' | 'rate';
  readonly message: Message;
}

export interface DueDelivery {
  readonly id: string;
  readonly createdAt: number;
  /** Tries so far. */
  readonly attempts: number;
  readonly message: Message;
}

export interface WatchRecord {
  readonly hosts: readonly WatchedHost[];
  /** Pending and open. */
  readonly alerts: readonly KeptAlert[];
  /** How often each cause ended since `closedAfter`. */
  readonly closures: ReadonlyMap<string, number>;
  readonly routes: ReadonlyMap<string, RouteRecord>;
  /** Messages per route that were made since `sentAfter` and not held. */
  readonly sent: ReadonlyMap<string, number>;
  /** Oldest first. */
  readonly held: readonly HeldDelivery[];
  readonly memory: WatchMemory | undefined;
}

export interface WatchChanges {
  readonly alerts: readonly Alert[];
  readonly removedAlerts: readonly string[];
  readonly deliveries: readonly NewDelivery[];
  /** Held ones that a new delivery stands for. */
  readonly releasedHeld: readonly string[];
  readonly routes: readonly {
    readonly route: string;
    readonly testedAt?: number;
    readonly digestAt?: number;
    readonly addLost?: number;
  }[];
  readonly memory: WatchMemory;
  /** What ended or was delivered before is forgotten. */
  readonly forgetBefore: number;
}

/** `waiting`: try again then. `lost`: never again. */
export type Attempt =
  | { readonly is: 'delivered'; readonly at: number }
  | {
      readonly is: 'failed';
      readonly at: number;
      readonly text: string;
      readonly next: { readonly dueAt: number } | 'lost';
    };

export interface AlertStore {
  load(since: { readonly closedAfter: number; readonly sentAfter: number }): Promise<WatchRecord>;
  reportText(hostId: HostId): Promise<string | undefined>;
  commit(changes: WatchChanges): Promise<void>;
  /** Of one route, oldest first. */
  due(route: string, now: number, limit: number): Promise<readonly DueDelivery[]>;
  /** What became of a try. The record of the route follows; a delivery that is not kept (a test) only counts there. */
  recordAttempt(route: string, deliveryId: string, attempt: Attempt): Promise<void>;
  /** Closed ones, newest first. */
  recent(limit: number): Promise<readonly KeptAlert[]>;
  /** The alert as it is then; `undefined`: there is no open one of that id. A second acknowledgement changes nothing. */
  acknowledge(alertId: string, ack: Acknowledgement): Promise<KeptAlert | undefined>;
  /** Answers whether there is such a host. */
  setSnooze(hostId: HostId, until: number | undefined): Promise<boolean>;
  setExpected(hostId: HostId, seconds: number | undefined): Promise<boolean>;
}
