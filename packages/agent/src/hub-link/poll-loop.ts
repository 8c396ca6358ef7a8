/**
 * The poll loop: report up, desired state down, for as long as the agent lives.
 *
 * Level-triggered and offline-tolerant: whatever fails, the held document stays in force and the next poll tries
 * again; nothing here can stop the reconciler. The hub's wish for another interval is clamped into the range of the
 * root-owned policy, so that it cannot make a box deaf [R15].
 *
 * Read in this order: planNextPoll (pure), createHubLink.
 */
import { digestOfReport, reason } from '@felhom/protocol';
import type { Digest, HeldReference, HostId, PollRequest, Reason, Report } from '@felhom/protocol';
import type { Clock, Random } from '../kernel/clock.ts';
import type { Hub, HubAnswer } from '../ports/hub.ts';
import { adoptDesired } from './adopt-desired.ts';
import type { Held } from './adopt-desired.ts';
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
}

const defaultNewsMs = 2000;

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
  if (last.is === 'answered') return Math.round(clamp(clamp(last.hintMs ?? pace.defaultMs) * (0.9 + 0.2 * draw)));
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
  readonly clock: Pick<Clock, 'now' | 'sleep'>;
  readonly random: Random;
  readonly heldStore: HeldStateStore;
  readonly sequence: PollSequence;
  readonly signed: SignedTraffic;
  /** What would be reported now. Called once per poll; must be cheap. */
  readonly report: () => Report;
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
   * There is news: poll as soon as `newsMs` has passed since the last attempt. Ignored while the hub fails, because
   * then the back-off decides.
   */
  pollSoon(): void;
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
  /** Digest of the last report that the hub took in. */
  let delivered: Digest | undefined;
  let heldWanted = false;
  let news = false;
  let cutWaiting: (() => void) | undefined;

  function failedWith(why: Reason): void {
    failures += 1;
    if (lastFailure?.code !== why.code) needs.note({ kind: 'hub-failed', why, failures });
    lastFailure = why;
  }

  /** A report that cannot be made is a fault of this release; guests are looked after in spite of it. */
  function makeReport(): { readonly report: Report; readonly reportDigest: Digest } | Reason {
    try {
      const report = needs.report();
      return { report, reportDigest: digestOfReport(report) };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return reason('agent.report-failed', `cannot report to the hub: ${text.slice(0, 300)}`);
    }
  }

  async function ask(signal: AbortSignal): Promise<HubAnswer> {
    const made = makeReport();
    if ('code' in made) {
      failedWith(made);
      return { is: 'failed', why: made };
    }
    const { report, reportDigest } = made;
    const withReport = reportDigest !== delivered;
    const sequence = needs.sequence.next();
    const audit = needs.signed.audit();
    const request: PollRequest = {
      v: 1,
      hostId: options.hostId,
      hostEpoch: options.hostEpoch(),
      agentVersion: options.agentVersion,
      sequence,
      held: referenceTo(held),
      reportDigest,
      statement: needs.signed.statement(sequence, reportDigest),
      taken: [...needs.signed.taken()],
      ...(audit === undefined ? {} : { audit }),
      ...(withReport ? { report } : {}),
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
    delivered = answer.answer.sendReport ? undefined : reportDigest;
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
        news = true;
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

  async function waitUntilDue(ms: number, signal: AbortSignal): Promise<void> {
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

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      news = false;
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
      const soonest = Math.min(wait, options.pace.minMs, options.pace.newsMs ?? defaultNewsMs);
      const dueAt = clock.now() + wait;
      nextPollAt = dueAt;
      if (answer.is === 'failed') {
        await waitUntilDue(wait, signal);
        continue;
      }
      // News has a shortest gap of its own; after it, news ends the waiting.
      await sleepThrough(soonest, signal);
      if (!signal.aborted && !news) await waitUntilDue(wait - soonest, signal);
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
      news = true;
      if (failures === 0) cutWaiting?.();
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
