/**
 * The poll loop: a heartbeat or a report up, desired state down, for as long as the agent lives.
 *
 * While nothing changes a poll is a heartbeat: it names the report that stands by its digest. News is whatever would
 * make the next poll carry a report; where it only might be, the loop looks before it polls.
 *
 * Level-triggered and offline-tolerant: whatever fails, the held document stays in force and the next poll tries
 * again; nothing here can stop the reconciler. The hub's wish for another interval is clamped into the range of the
 * root-owned policy, so that it cannot make a box deaf [R15].
 *
 * Read in this order: planNextPoll (pure), decide-report, createHubLink.
 */
import {
  digestOfReport,
  hostVitals,
  matterOfReport,
  meteredPollSeconds,
  reason,
  stateOfReport,
} from '@felhom/protocol';
import type { Digest, HeldReference, HostId, HostVitals, PollRequest, Reason, Report } from '@felhom/protocol';
import type { Clock, Random } from '../kernel/clock.ts';
import type { Hub, HubAnswer } from '../ports/hub.ts';
import { adoptDesired } from './adopt-desired.ts';
import type { Held } from './adopt-desired.ts';
import { decideReport } from './decide-report.ts';
import type { ReportDigests, SaidReport } from './decide-report.ts';
import { loadHeld, storeHeld } from './held-store.ts';
import type { HeldStateStore } from './held-store.ts';
import type { PollSequence } from './sequence.ts';
import type { SignedTraffic } from './signed-traffic.ts';

/** Milliseconds. `minMs` and `maxMs` come from the root-owned policy. */
export interface PollPace {
  readonly minMs: number;
  readonly maxMs: number;
  /** Used while the hub expresses no wish. */
  readonly defaultMs: number;
  /**
   * Shortest gap when the agent itself has news, such as progress of a saga that a person may be watching. The range
   * above binds the hub's wishes, not this; 2 s unless told, never above `minMs`.
   */
  readonly newsMs?: number;
  /** Bytes are paid for, says root: polls are seldom, without vitals, and only what matters is reported at once. */
  readonly metered?: boolean;
}

const defaultNewsMs = 2000;
/** At most one poll out of turn per so long, however much is urgent. */
const urgentMs = 3000;

/**
 * How long to wait before the next poll, in milliseconds. `draw` is uniform in [0, 1).
 * After a success: the clamped wish, spread by ±10 % so that a fleet does not poll in step. After the n-th failure in a
 * row: a random point in the upper half of min·2ⁿ, at most max, and never before the hub's own retry-after (clamped).
 */
export function planNextPoll(
  pace: PollPace,
  last:
    | { readonly is: 'answered'; readonly hintMs: number | undefined }
    | { readonly is: 'failed'; readonly failures: number; readonly retryAfterMs: number | undefined },
  draw: number,
): number {
  const clamp = (ms: number) => Math.min(pace.maxMs, Math.max(pace.minMs, ms));
  const leastMs = pace.metered === true ? meteredPollSeconds * 1000 : 0;
  if (last.is === 'answered')
    return Math.round(clamp(clamp(Math.max(leastMs, last.hintMs ?? pace.defaultMs)) * (0.9 + 0.2 * draw)));
  const ceiling = clamp(pace.minMs * 2 ** Math.min(30, last.failures));
  const wait = ceiling * (0.5 + 0.5 * draw);
  return Math.round(Math.min(pace.maxMs, Math.max(wait, clamp(last.retryAfterMs ?? 0))));
}

/** For `felhom-agent status` and the log. */
export interface HubLinkState {
  readonly held: Held;
  readonly lastAttemptAt: number | undefined;
  readonly lastContactAt: number | undefined;
  /** Failures in a row. */
  readonly failures: number;
  readonly lastFailure: Reason | undefined;
  /** Why the document offered last was not adopted; cleared by the next one that is. */
  readonly refusal: Reason | undefined;
  readonly nextPollAt: number | undefined;
}

export type HubLinkEvent =
  | { readonly kind: 'hub-reached'; readonly afterFailures: number }
  | { readonly kind: 'hub-failed'; readonly why: Reason; readonly failures: number }
  | { readonly kind: 'desired-adopted'; readonly lineage: string; readonly generation: number; readonly digest: Digest }
  | { readonly kind: 'desired-refused'; readonly why: Reason };

export interface HubLinkNeeds {
  readonly hub: Hub;
  readonly clock: Pick<Clock, 'now' | 'monotonicMs' | 'sleep'>;
  readonly random: Random;
  readonly heldStore: HeldStateStore;
  readonly sequence: PollSequence;
  readonly signed: SignedTraffic;
  /** What would be reported now. Called once per poll and once per look for news; must be cheap. */
  readonly report: () => Report;
  /** Numbers of now, where they are known. */
  readonly vitals?: (() => HostVitals | undefined) | undefined;
  /** Wakes the reconciler, without a hint; it reads `held()` for itself. */
  readonly wake: () => void;
  /** One line per change of state, never per poll. */
  readonly note: (event: HubLinkEvent) => void;
}

export interface HubLinkOptions {
  readonly hostId: HostId;
  /** As it is at the moment of the poll: a journal that turns out to be old gets another one. */
  readonly hostEpoch: () => string;
  readonly agentVersion: string;
  readonly pace: PollPace;
}

export interface HubLink {
  /** Polls until aborted; then resolves. Aborting ends a request in flight. */
  run(signal: AbortSignal): Promise<void>;
  /** One poll, at once. For the simulation and `felhom-agent doctor`. */
  pollOnce(signal: AbortSignal): Promise<HubAnswer>;
  /**
   * There may be news: once `newsMs` has passed since the last attempt or look, the loop looks, and polls where the
   * report changed. Ignored while the hub fails, because then the back-off decides.
   */
  pollSoon(): void;
  /**
   * There is news that somebody waits for: poll now, and after a poll that is under way once more. Damped; ignored while
   * the hub fails. What calls it is already in the report.
   */
  wakePoll(): void;
  held(): Held;
  state(): HubLinkState;
}

export function createHubLink(needs: HubLinkNeeds, options: HubLinkOptions): HubLink {
  const { clock, hub } = needs;
  let held = loadHeld(needs.heldStore);
  let lastAttemptAt: number | undefined;
  let lastContactAt: number | undefined;
  let nextPollAt: number | undefined;
  let failures = 0;
  let lastFailure: Reason | undefined;
  let refusal: Reason | undefined;
  let said: SaidReport | undefined;
  let heldWanted = false;
  /** `sure`: besides the report there is something to tell. */
  let news: 'none' | 'perhaps' | 'sure' = 'none';
  let urgent = false;
  /** Monotonic; no poll out of turn before. */
  let urgentAt = 0;
  let cutWaiting: (() => void) | undefined;
  const metered = options.pace.metered === true;

  function failedWith(why: Reason): void {
    failures += 1;
    if (lastFailure?.code !== why.code) needs.note({ kind: 'hub-failed', why, failures });
    lastFailure = why;
  }

  /** A report that cannot be made is a fault of this release; guests are looked after in spite of it. */
  function makeReport(): { readonly report: Report; readonly digests: ReportDigests } | Reason {
    try {
      const report = needs.report();
      return { report, digests: { state: digestOfReport(report), matter: matterOfReport(report) } };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return reason('agent.report-failed', `cannot report to the hub: ${text.slice(0, 300)}`);
    }
  }

  /** Whatever is wrong with them must not keep the heartbeat from the hub. */
  function vitalsNow(): HostVitals | undefined {
    if (metered) return undefined;
    try {
      return hostVitals.safeParse(needs.vitals?.()).data;
    } catch {
      return undefined;
    }
  }

  function hasNews(): boolean {
    if (news === 'sure') return true;
    const made = makeReport();
    return 'code' in made || decideReport(metered, said, made.digests, clock.now()).is === 'report';
  }

  async function ask(signal: AbortSignal): Promise<HubAnswer> {
    const made = makeReport();
    if ('code' in made) {
      failedWith(made);
      return { is: 'failed', why: made };
    }
    const { report, digests } = made;
    const decision = decideReport(metered, said, digests, clock.now());
    const withReport = decision.is === 'report';
    const reportDigest = decision.is === 'report' ? digests.state : decision.standing;
    const sequence = needs.sequence.next();
    const audit = needs.signed.audit();
    const vitals = vitalsNow();
    const request: PollRequest = {
      v: 1,
      hostId: options.hostId,
      hostEpoch: options.hostEpoch(),
      agentVersion: options.agentVersion,
      sequence,
      held: referenceTo(held),
      ...(vitals === undefined ? {} : { vitals }),
      ...(metered ? { metered } : {}),
      reportDigest,
      statement: needs.signed.statement(sequence, reportDigest, report.lastPassAt),
      taken: [...needs.signed.taken()],
      ...(audit === undefined ? {} : { audit }),
      ...(withReport ? { report: stateOfReport(report) } : {}),
      ...(heldWanted && held.is === 'held' ? { heldText: held.text } : {}),
    };
    lastAttemptAt = clock.now();
    const answer = await hub.poll(request, signal);
    if (answer.is === 'failed') {
      if (signal.aborted) return answer;
      failedWith(answer.why);
      return answer;
    }
    if (failures > 0 || lastContactAt === undefined) needs.note({ kind: 'hub-reached', afterFailures: failures });
    failures = 0;
    lastFailure = undefined;
    lastContactAt = clock.now();
    if (answer.answer.sendReport) said = undefined;
    else if (withReport) said = { ...digests, at: clock.now() };
    heldWanted = answer.answer.sendHeld;
    needs.signed.brought(answer.answer, sequence);
    settle(answer.answer.desired);
    return answer;
  }

  function settle(offer: Parameters<typeof adoptDesired>[0]): void {
    const adoption = adoptDesired(offer, held, clock.now());
    switch (adoption.is) {
      case 'kept':
        refusal = undefined;
        return;
      case 'refused':
        if (refusal?.text !== adoption.why.text) needs.note({ kind: 'desired-refused', why: adoption.why });
        refusal = adoption.why;
        return;
      case 'adopted': {
        // Durable before it is believed: after a crash the agent must not go by an older document than it reported.
        storeHeld(needs.heldStore, adoption.held);
        held = adoption.held;
        refusal = undefined;
        // The hub learns soon that the document arrived.
        news = 'sure';
        const { lineage, generation } = adoption.held.state;
        needs.note({ kind: 'desired-adopted', lineage, generation, digest: adoption.held.digest });
        needs.wake();
      }
    }
  }

  /** One more question at once when the hub asked for something; never more, whatever it asks. */
  async function pollOnce(signal: AbortSignal): Promise<HubAnswer> {
    const first = await ask(signal);
    if (first.is !== 'answered' || !(first.answer.sendReport || first.answer.sendHeld)) return first;
    return ask(signal);
  }

  async function sleepUnlessCut(ms: number, signal: AbortSignal): Promise<void> {
    const cut = new AbortController();
    cutWaiting = () => cut.abort();
    try {
      await clock.sleep(ms, AbortSignal.any([signal, cut.signal]));
    } catch (error) {
      if (!cut.signal.aborted && !signal.aborted) throw error;
    } finally {
      cutWaiting = undefined;
    }
  }

  /** Until the interval is over, or there is news and its own shortest gap is. */
  async function waitForPoll(ms: number, signal: AbortSignal): Promise<void> {
    const gap = Math.min(options.pace.minMs, options.pace.newsMs ?? defaultNewsMs);
    const dueAt = clock.monotonicMs() + ms;
    let lookAt = clock.monotonicMs() + gap;
    for (let now = clock.monotonicMs(); now < dueAt && !signal.aborted; now = clock.monotonicMs()) {
      if (urgent && now >= urgentAt) {
        urgentAt = now + urgentMs;
        return;
      }
      if (news !== 'none' && now >= lookAt) {
        if (hasNews()) return;
        news = 'none';
        lookAt = now + gap;
        continue;
      }
      const until = [dueAt, ...(urgent ? [urgentAt] : []), ...(news === 'none' ? [] : [lookAt])];
      await sleepUnlessCut(Math.min(...until) - now, signal);
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      news = 'none';
      urgent = false;
      const answer = await pollOnce(signal);
      if (signal.aborted) return;
      const wait =
        answer.is === 'answered'
          ? planNextPoll(options.pace, { is: 'answered', hintMs: toMs(answer.answer.pollAfterSeconds) }, draw())
          : planNextPoll(
              options.pace,
              { is: 'failed', failures, retryAfterMs: toMs(answer.retryAfterSeconds) },
              draw(),
            );
      nextPollAt = clock.now() + wait;
      if (answer.is === 'answered') await waitForPoll(wait, signal);
      else await sleepThrough(wait, signal);
    }
  }

  async function sleepThrough(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await clock.sleep(ms, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  function draw(): number {
    const [a = 0, b = 0] = needs.random.bytes(2);
    return (a * 256 + b) / 65_536;
  }

  return {
    run,
    pollOnce,
    pollSoon() {
      if (news === 'none') news = 'perhaps';
      cutWaiting?.();
    },
    wakePoll() {
      urgent = true;
      cutWaiting?.();
    },
    held: () => held,
    state: () => ({ held, lastAttemptAt, lastContactAt, failures, lastFailure, refusal, nextPollAt }),
  };
}

function referenceTo(held: Held): HeldReference {
  if (held.is !== 'held') return { is: held.is };
  return { is: 'held', lineage: held.state.lineage, generation: held.state.generation, digest: held.digest };
}

function toMs(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}
