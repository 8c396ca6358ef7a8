/**
 * Where desired state comes from, behind one face: a hub that is polled, or a file on the host that is read anew before
 * every pass. What was held last is kept in the journal either way.
 */
import type { Finding, HostId, HostVitals, Reason, Report } from '@felhom/protocol';
import type { DesiredFile } from './adapters/desired-file/index.ts';
import type { HostPolicy } from './host-policy.ts';
import { createHubLink, findingsOfLink } from './hub-link/index.ts';
import type {
  Held,
  HeldStateStore,
  HubLink,
  HubLinkEvent,
  HubLinkState,
  PollSequence,
  SignedTraffic,
} from './hub-link/index.ts';
import type { Clock, Journal, Random } from './kernel/index.ts';
import type { Hub } from './ports/hub.ts';
import type { Log } from './ports/log.ts';
import type { Pulse } from './progress.ts';

export type DesiredSource =
  | { readonly is: 'hub'; readonly hub: Hub }
  /** Opened once the journal is there, because what it held last is kept in it. */
  | { readonly is: 'file'; readonly open: (store: HeldStateStore) => DesiredFile };

interface SourceParts {
  readonly source: DesiredSource;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly host: HostId;
  readonly version: string;
  readonly policy: () => HostPolicy | undefined;
}

export interface OpenSource {
  run(signal: AbortSignal): Promise<void>;
  refresh(): Promise<void>;
  held(): Held;
  /** Why desired state does not come, or is not taken. */
  findings(now: number): readonly Finding[];
  /** Something happened that the operator may want to see soon. */
  news(): void;
  /** Something happened that somebody waits for; the report says it already. */
  wakePoll(): void;
  /** Whether the hub answers, as a poll of just now says; `undefined`: there is no hub, or nobody can tell. */
  hubReached(now: number): boolean | undefined;
}

export function openSource(
  parts: SourceParts,
  about: {
    readonly report: () => Report;
    readonly vitals: (() => HostVitals | undefined) | undefined;
    readonly wake: () => void;
    /** A document was not taken; told once per cause. */
    readonly refused: (why: Reason) => void;
    readonly sequence: PollSequence;
    readonly signed: SignedTraffic;
    /** Begins to watch the polling, where there is any. */
    readonly watch: () => Pulse;
  },
): OpenSource {
  const { journal } = parts;
  if (parts.source.is === 'file') {
    const file = parts.source.open(storeIn(journal, 'desired/file'));
    return {
      run: async () => {},
      refresh: async () => void (await file.refresh()),
      held: () => file.held(),
      findings: (now) => findingsOfLink({ held: file.held(), refusal: file.refusal() }, now),
      news: () => {},
      wakePoll: () => {},
      hubReached: () => undefined,
    };
  }
  const pace = parts.policy()?.poll ?? { minSeconds: 10, maxSeconds: 900, metered: false };
  const link: HubLink = createHubLink(
    {
      hub: pulsing(parts.source.hub, about.watch(), pace.maxSeconds * 1000),
      clock: parts.clock,
      random: parts.random,
      heldStore: storeIn(journal, 'desired/held'),
      sequence: about.sequence,
      signed: about.signed,
      report: about.report,
      vitals: about.vitals,
      wake: about.wake,
      note: (event) => {
        noteHubEvent(parts.log, event);
        if (event.kind === 'desired-refused') about.refused(event.why);
      },
    },
    {
      hostId: parts.host,
      hostEpoch: () => journal.hostEpoch,
      agentVersion: parts.version,
      pace: {
        minMs: pace.minSeconds * 1000,
        maxMs: pace.maxSeconds * 1000,
        defaultMs: Math.min(30, pace.maxSeconds) * 1000,
        metered: pace.metered,
      },
    },
  );
  return {
    run: (signal) => link.run(signal),
    refresh: async () => {},
    held: () => link.held(),
    findings: (now) => findingsOfLink(link.state(), now),
    news: () => link.pollSoon(),
    wakePoll: () => link.wakePoll(),
    hubReached: (now) => reachedBy(link.state(), now),
  };
}

/** However a poll ends, the next one comes within `restMs`. */
function pulsing(hub: Hub, pulse: Pulse, restMs: number): Hub {
  return {
    poll: async (request, signal) => {
      pulse.moved();
      try {
        return await hub.poll(request, signal);
      } finally {
        pulse.rests(restMs);
      }
    },
  };
}

const justNowMs = 120_000;
/** The hub said no, so it is there; behind any other failure may be a line, or somebody in between. */
const itsOwnNo: ReadonlySet<string> = new Set([
  'hub.unauthorized',
  'hub.forbidden',
  'hub.throttled',
  'hub.unavailable',
  'hub.refused',
]);
const notThere: ReadonlySet<string> = new Set(['hub.unreachable', 'hub.timeout']);

function reachedBy(
  { lastAttemptAt, failures, lastFailure }: Pick<HubLinkState, 'lastAttemptAt' | 'failures' | 'lastFailure'>,
  now: number,
): boolean | undefined {
  if (lastAttemptAt === undefined || now - lastAttemptAt > justNowMs) return undefined;
  if (failures === 0 || itsOwnNo.has(lastFailure?.code ?? '')) return true;
  return notThere.has(lastFailure?.code ?? '') ? false : undefined;
}

function noteHubEvent(log: Log, event: HubLinkEvent): void {
  switch (event.kind) {
    case 'hub-reached':
      return log.info('hub reached', { afterFailures: event.afterFailures });
    case 'hub-failed':
      return log.warn('hub failed', { code: event.why.code, why: event.why.text });
    case 'desired-adopted':
      return log.info('desired state adopted', { lineage: event.lineage, generation: event.generation });
    case 'desired-refused':
      return log.warn('desired state refused', { code: event.why.code, why: event.why.text });
  }
}

export function storeIn(journal: Journal, key: string): HeldStateStore {
  return {
    get: () => {
      const body = journal.get(key)?.body;
      return typeof body === 'string' ? body : undefined;
    },
    put: (text) => journal.put({ key, v: 1, body: text }),
  };
}
