/** Weeks of a fleet on a simulated clock: nobody is paged for the hub's own absence, and every real silence is paged once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId } from '@felhom/protocol';
import type { HostId } from '@felhom/protocol';
import { continueUp, expectedWindowMs } from '../liveness/judge.ts';
import type { HubUp } from '../liveness/judge.ts';
import { keptRecord } from './kept-record.fixture.ts';
import { planRound } from './plan-round.ts';
import { alertSettings, rankedRoutes } from './settings.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

interface Span {
  readonly from: number;
  readonly to: number;
}
interface Silence extends Span {
  readonly host: HostId;
}

interface SoakOptions {
  readonly hosts: number;
  readonly days: number;
  readonly seed: number;
  readonly pollAfterSeconds: number;
  readonly roundMs: number;
  readonly silences: number;
  readonly hubAbsences: number;
  /** Times in which the hub runs and hears nobody. */
  readonly cuts: number;
}

const within = (spans: readonly Span[], at: number) => spans.find(({ from, to }) => at >= from && at < to);

function soak(options: SoakOptions) {
  const draw = drawsOf(options.seed);
  const start = Date.UTC(2026, 0, 1);
  const length = options.days * day;
  const ids = Array.from({ length: options.hosts }, (_, index) => hostId.parse(`h${index}`));
  // Silences of one host and absences of the hub leave room in between, so that each can be told from the next.
  const spread = (count: number, longest: number): Span[] =>
    Array.from({ length: count }, (_, index) => {
      const slot = length / count;
      const from = start + index * slot + (0.2 + 0.4 * draw()) * slot;
      return { from, to: from + Math.min(0.3 * slot, 30 * second + draw() * longest) };
    });
  const absences = spread(options.hubAbsences, 6 * hour);
  const cuts = spread(options.cuts, 3 * hour).map(({ from }) => ({ from, to: from + 3 * hour }));
  const silences: Silence[] = spread(options.silences, 10 * hour).map(({ from }, index) => ({
    host: ids[(index * 7) % ids.length] ?? assert.fail('no host'),
    from,
    to: from + 90 * minute + draw() * 8 * hour,
  }));
  const silencesOf = Map.groupBy(silences, ({ host }) => host);

  const liveness = { pollAfterSeconds: options.pollAfterSeconds, slackSeconds: 60, longestPauseSeconds: 900 };
  const alerts = alertSettings.parse({
    routes: { ops: { type: 'webhook', url: 'https://ops.example/', secretFile: '/s', perHour: 1000 } },
  });
  const settings = { liveness, ...rankedRoutes(alerts), escalateAfterMs: 30 * minute };
  const record = keptRecord(
    ids.map((id) => ({
      hostId: id,
      contactAt: start,
      reportDigest: undefined,
      fork: undefined,
      auditFork: undefined,
      stale: undefined,
      snoozedUntil: undefined,
      expectSeconds: undefined,
    })),
  );
  // Reports are not what this is about.
  const reports = new Map(
    ids.map((id) => [id, { is: 'read', findings: [], parked: [], trustExpiresAt: undefined } as const]),
  );
  const agents = ids.map((id) => ({ id, nextAt: start + draw() * minute, failures: 0 }));
  let minted = 0;
  const mintId = (bytes: number) => (minted += 1).toString(16).padStart(bytes * 2, '0');
  let up: HubUp | undefined;
  let lastRoundAt = 0;
  let rounds = 0;
  for (let now = start; now < start + length; now += options.roundMs) {
    const hubAway = within(absences, now) !== undefined;
    for (const agent of agents)
      while (agent.nextAt <= now) {
        const at = agent.nextAt;
        const down = within(silencesOf.get(agent.id) ?? [], at) !== undefined;
        const heard = !down && within(absences, at) === undefined && within(cuts, at) === undefined;
        const host = record.hosts.get(agent.id) ?? assert.fail('no host');
        if (heard) record.hosts.set(agent.id, { ...host, contactAt: at });
        agent.failures = heard || down ? 0 : agent.failures + 1;
        // As the agent's own poll loop: ±10 % after an answer, back-off up to 15 min after failures.
        const pause =
          heard || down
            ? options.pollAfterSeconds * (0.9 + 0.2 * draw())
            : Math.min(900, 10 * 2 ** agent.failures) * (0.5 + 0.5 * draw());
        agent.nextAt = at + Math.round(pause * second);
      }
    if (hubAway) {
      // Half of the absences end with a new process, the others with one that was only stopped.
      if (up !== undefined && draw() < 0.02) up = undefined;
      continue;
    }
    const kept = record.load(now);
    up =
      up === undefined
        ? {
            since: now,
            awayMs: now - (kept.memory?.roundAt ?? now),
            pollAfterSecondsBefore: kept.memory?.pollAfterSeconds ?? liveness.pollAfterSeconds,
          }
        : continueUp(up, lastRoundAt, now, options.roundMs * 1.5);
    lastRoundAt = now;
    rounds += 1;
    record.commit(planRound({ now, up, record: kept, reports }, settings, mintId).changes);
  }
  return {
    record,
    absences,
    cuts,
    silences,
    rounds,
    window: expectedWindowMs(liveness, undefined),
    end: start + length,
  };
}

test('200 hosts, 30 days, hub restarts and cut networks: no false page, each real silence paged once and recovered once', () => {
  for (const { seed, hosts } of [
    { seed: 1, hosts: 200 },
    { seed: 2, hosts: 40 },
  ]) {
    const result = soak({
      hosts,
      days: 30,
      seed,
      pollAfterSeconds: 300,
      roundMs: 2 * minute,
      silences: 120,
      hubAbsences: 40,
      cuts: 3,
    });
    const { record, silences, absences, cuts, window } = result;
    const told = record.delivered.map(({ message, createdAt }) => ({ ...message, createdAt }));
    const about = (kind: string, cause: string) =>
      told.filter((message) => message.kind === kind && message.alert?.cause === cause);

    // No page without a real silence behind it.
    const opened = told.filter(({ kind, alert }) => kind === 'opened' && alert?.cause.startsWith('silence:') === true);
    for (const { alert, createdAt } of opened)
      assert.ok(
        silences.some(({ host, from, to }) => host === alert?.host && createdAt > from && createdAt < to + window),
        `seed ${seed}: ${alert?.cause ?? ''} was paged at ${createdAt} for nothing`,
      );
    // Each one that the hub could see was paged once, and every page ended once.
    const longGrace = 2 * window + 16 * minute;
    let certain = 0;
    for (const { host, from, to } of silences) {
      const pages = opened.filter(
        ({ alert, createdAt }) => alert?.host === host && createdAt > from && createdAt < to + window,
      );
      assert.ok(pages.length <= 1, `seed ${seed}: ${host} was paged ${pages.length} times for one silence`);
      const disturbed = [...absences, ...cuts].some((span) => span.from < to && span.to + longGrace > from);
      if (disturbed || to - from < longGrace) continue;
      certain += 1;
      assert.equal(pages.length, 1, `seed ${seed}: the silence of ${host} from ${from} to ${to} was not paged`);
    }
    assert.ok(certain > 40, `${certain} undisturbed silences prove something`);
    const recovered = told.filter(
      ({ kind, alert }) => kind === 'recovered' && alert?.cause.startsWith('silence:') === true,
    );
    const still = record.load(result.end).alerts.filter(({ state }) => state === 'open');
    assert.equal(recovered.length + still.length, opened.length);
    assert.equal(new Set(recovered.map(({ alert }) => alert?.id)).size, recovered.length);

    // The hub's own cut network is one incident each, whatever the size of the fleet.
    assert.equal(about('opened', 'fleet:many-silent').length, cuts.length);
    assert.equal(about('recovered', 'fleet:many-silent').length, cuts.length);
  }
});

function drawsOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
