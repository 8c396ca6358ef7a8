import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOfText, errorCatalogue, finding, hostId, reason } from '@felhom/protocol';
import type { HostVitals, PollAnswer, PollRequest } from '@felhom/protocol';
import { findingsOfLink } from './findings.ts';
import type { Clock } from '../kernel/clock.ts';
import type { HubAnswer } from '../ports/hub.ts';
import { createHubLink, planNextPoll } from './poll-loop.ts';
import type { HubLinkEvent, PollPace } from './poll-loop.ts';
import { fitReport } from './report.ts';
import type { ReportFacts } from './report.ts';
import { createPollSequence } from './sequence.ts';

const pace: PollPace = { minMs: 10_000, maxMs: 900_000, defaultMs: 30_000 };

test('the next poll: the hub wishes, the policy bounds, failures back off', () => {
  const answered = (hintMs: number | undefined, draw: number) => planNextPoll(pace, { is: 'answered', hintMs }, draw);
  const failed = (failures: number, draw: number, retryAfterMs?: number) =>
    planNextPoll(pace, { is: 'failed', failures, retryAfterMs }, draw);
  const rows: [string, number, number][] = [
    ['no wish', answered(undefined, 0.5), 30_000],
    ['spread below', answered(undefined, 0), 27_000],
    ['a wish inside', answered(60_000, 0.5), 60_000],
    ['a wish of a year', answered(31_536_000_000, 0.5), 900_000],
    ['a wish of a year, spread', answered(31_536_000_000, 0.99), 900_000],
    ['a wish of a millisecond', answered(1, 0.5), 10_000],
    ['a wish of a millisecond, spread', answered(1, 0), 10_000],
    ['first failure, early', failed(1, 0), 10_000],
    ['first failure, late', failed(1, 0.999999), 20_000],
    ['fifth failure, early', failed(5, 0), 160_000],
    ['hundredth failure', failed(100, 0.999999), 900_000],
    ['the hub names a time', failed(1, 0, 60_000), 60_000],
    ['the hub names a year', failed(1, 0, 31_536_000_000), 900_000],
  ];
  for (const [name, got, expect] of rows) assert.equal(got, expect, name);
});

test('the next poll of a metered host: seldom, oftener for nobody, still within what root allows', () => {
  const next = (hintMs: number | undefined, maxMs = 900_000) =>
    planNextPoll({ ...pace, maxMs, metered: true }, { is: 'answered', hintMs }, 0.5);
  const rows: [string, number, number][] = [
    ['no wish', next(undefined), 600_000],
    ['a wish for every ten seconds', next(10_000), 600_000],
    ['a wish for less', next(800_000), 800_000],
    ['a wish of a year', next(31_536_000_000), 900_000],
    ['root wants it oftener', next(undefined, 120_000), 120_000],
  ];
  for (const [name, got, expect] of rows) assert.equal(got, expect, name);
});

/** A clock whose sleepers wait until the test moves time. */
function tinyClock() {
  let now = 1_000_000;
  const sleepers = new Set<{ until: number; wake: () => void }>();
  const clock: Pick<Clock, 'now' | 'monotonicMs' | 'sleep'> = {
    now: () => now,
    monotonicMs: () => now - 1_000_000,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason as Error);
          return;
        }
        const sleeper = {
          until: now + ms,
          wake: () => {
            sleepers.delete(sleeper);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal.addEventListener('abort', () => {
          if (sleepers.delete(sleeper)) reject(signal.reason as Error);
        });
      }),
  };
  return {
    clock,
    async advance(ms: number): Promise<void> {
      const end = now + ms;
      for (;;) {
        await settle();
        const next = [...sleepers].sort((a, b) => a.until - b.until)[0];
        if (next === undefined || next.until > end) break;
        now = next.until;
        next.wake();
      }
      now = end;
      await settle();
    },
    sleepers,
  };
}
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

const facts: ReportFacts = {
  versions: { agent: '0.1.0', node: '26' },
  startedAt: 1,
  converged: false,
  hold: false,
  guests: [],
  sagas: [],
  parked: [],
  findings: [],
  blocked: [],
  jobs: [],
  strangers: [],
  trust: { is: 'none' },
  breakGlass: { is: 'closed' },
  consents: [],
  releases: [],
  audit: [],
  backups: [],
  bulk: [],
  copies: [],
  restoreTests: [],
  restores: [],
  queue: [],
  targets: [],
  disks: [],
  tunnel: { is: 'none' },
};
const documentText = JSON.stringify({ v: 1, lineage: 'a'.repeat(26), generation: 1, guests: [] });
const unchanged: PollAnswer = {
  v: 1,
  desired: { is: 'unchanged' },
  sendReport: false,
  sendHeld: false,
  envelopes: [],
  auditCount: 0,
};
const withDocument: PollAnswer = {
  ...unchanged,
  desired: { is: 'document', text: documentText, digest: digestOfText(documentText) },
};
const dead: HubAnswer = {
  is: 'failed',
  why: { code: 'hub.unreachable', text: 'cannot poll hub: gone', retry: 'later' },
};

interface WorldOptions {
  readonly stored?: string | undefined;
  readonly metered?: boolean;
  readonly vitals?: () => HostVitals | undefined;
  /** How long a poll takes. */
  readonly pollMs?: number;
}

function world(answers: (request: PollRequest, nth: number) => HubAnswer, options: WorldOptions = {}) {
  const time = tinyClock();
  const requests: PollRequest[] = [];
  const at: number[] = [];
  const events: HubLinkEvent[] = [];
  let wakes = 0;
  let text = options.stored;
  let sequence: string | undefined;
  let reported = facts;
  let reportsMade = 0;
  const stop = new AbortController();
  const link = createHubLink(
    {
      hub: {
        poll: async (request) => {
          requests.push(request);
          at.push(time.clock.now());
          if (options.pollMs !== undefined) await time.clock.sleep(options.pollMs, stop.signal);
          return answers(request, requests.length);
        },
      },
      clock: time.clock,
      random: { bytes: () => Uint8Array.of(128, 0) },
      heldStore: { get: () => text, put: (next) => void (text = next) },
      signed: {
        statement: (nth) => ({ text: `statement ${nth}`, signature: 's' }),
        taken: () => [],
        audit: () => undefined,
        brought: () => {},
      },
      sequence: createPollSequence({ get: () => sequence, put: (next) => void (sequence = next) }),
      report: () => {
        reportsMade += 1;
        return fitReport(reported);
      },
      vitals: options.vitals,
      wake: () => void (wakes += 1),
      note: (event) => void events.push(event),
    },
    {
      hostId: hostId.parse('alpha'),
      hostEpoch: () => 'e'.repeat(32),
      agentVersion: '0.1.0',
      pace: { ...pace, metered: options.metered === true },
    },
  );
  return {
    ...time,
    link,
    requests,
    at,
    events,
    stop,
    wakes: () => wakes,
    reportsMade: () => reportsMade,
    stored: () => text,
    report: (next: Partial<ReportFacts>) => void (reported = { ...reported, ...next }),
  };
}

test('a document is adopted, made durable, and wakes the reconciler once', async () => {
  const w = world(() => ({ is: 'answered', answer: withDocument }));
  const running = w.link.run(w.stop.signal);
  await w.advance(70_000);
  assert.deepEqual(
    w.at.map((at) => at - 1_000_000),
    [0, 2000, 32_000, 62_000],
    'at once, soon after to say that it arrived, then at the interval',
  );
  assert.equal(w.requests[0]?.held.is, 'never-received');
  assert.deepEqual(w.requests[1]?.held, {
    is: 'held',
    lineage: 'a'.repeat(26),
    generation: 1,
    digest: digestOfText(documentText),
  });
  assert.equal(w.wakes(), 1);
  const again = world(() => dead, { stored: w.stored() });
  assert.equal(again.link.held().is, 'held');
  w.stop.abort();
  await running;
});

test('a dead hub: back-off, the held document stays, one note, and recovery is noticed', async () => {
  let alive = true;
  const w = world(() => (alive ? { is: 'answered', answer: withDocument } : dead));
  const running = w.link.run(w.stop.signal);
  await w.advance(1000);
  alive = false;
  await w.advance(3_600_000);
  const whileDead = w.requests.length;
  assert.ok(whileDead >= 6 && whileDead <= 12, `${whileDead} polls in an hour`);
  const gaps = w.at.slice(1).map((t, i) => t - (w.at[i] ?? 0));
  assert.ok(gaps.every((gap) => gap <= pace.maxMs));
  assert.equal(w.link.held().is, 'held');
  assert.equal(w.events.filter((e) => e.kind === 'hub-failed').length, 1);
  assert.equal(w.link.state().lastFailure?.code, 'hub.unreachable');
  alive = true;
  await w.advance(pace.maxMs);
  assert.equal(w.link.state().failures, 0);
  assert.equal(w.events.at(-1)?.kind, 'hub-reached');
  w.stop.abort();
  await running;
});

test('the report travels when it changed or when the hub asks, else only its digest', async () => {
  let ask = false;
  const w = world(() => ({ is: 'answered', answer: { ...unchanged, sendReport: ask } }));
  const signal = w.stop.signal;
  await w.link.pollOnce(signal);
  await w.link.pollOnce(signal);
  w.report({ converged: true });
  await w.link.pollOnce(signal);
  await w.link.pollOnce(signal);
  assert.deepEqual(
    w.requests.map((r) => r.report !== undefined),
    [true, false, true, false],
  );
  ask = true;
  await w.link.pollOnce(signal);
  assert.deepEqual(
    w.requests.slice(4).map((r) => r.report !== undefined),
    [false, true],
    'asked once, answered at once, and no third question however often the hub asks',
  );
});

test('a report that was lost with its poll is sent again', async () => {
  const w = world((_, nth) => (nth === 1 ? dead : { is: 'answered', answer: unchanged }));
  await w.link.pollOnce(w.stop.signal);
  await w.link.pollOnce(w.stop.signal);
  assert.deepEqual(
    w.requests.map((r) => r.report !== undefined),
    [true, true],
  );
});

test('the held text goes up only when the hub asked for it', async () => {
  const w = world((_, nth) => ({
    is: 'answered',
    answer: nth === 2 ? { ...unchanged, sendHeld: true } : withDocument,
  }));
  await w.link.pollOnce(w.stop.signal);
  await w.link.pollOnce(w.stop.signal);
  await w.link.pollOnce(w.stop.signal);
  assert.deepEqual(
    w.requests.map((r) => r.heldText),
    [undefined, undefined, documentText, undefined],
  );
});

test('news is sent early but never faster than its own gap', async () => {
  const w = world(() => ({ is: 'answered', answer: unchanged }));
  const running = w.link.run(w.stop.signal);
  let nth = 1;
  const happen = (): void => {
    nth += 1;
    w.report({ startedAt: nth });
    w.link.pollSoon();
  };
  await w.advance(500);
  happen();
  await w.advance(1400);
  assert.equal(w.requests.length, 1);
  await w.advance(200);
  assert.equal(w.requests.length, 2, 'after the gap');
  await w.advance(15_000);
  happen();
  await w.advance(1);
  assert.equal(w.requests.length, 3, 'at once, the gap has long passed');
  for (let i = 0; i < 100; i += 1) {
    happen();
    await w.advance(100);
  }
  const polls = w.at.length;
  assert.ok(polls >= 7 && polls <= 8, `${polls} polls`);
  w.stop.abort();
  await running;
});

test('where nothing changed, news is looked at and not polled for', async () => {
  const w = world(() => ({ is: 'answered', answer: unchanged }));
  const running = w.link.run(w.stop.signal);
  await w.advance(1);
  for (let at = 0; at < 290; at += 1) {
    // As after every pass: only the time of the last one is another.
    w.report({ lastPassAt: at });
    w.link.pollSoon();
    await w.advance(100);
  }
  assert.equal(w.requests.length, 1, 'not before the interval');
  assert.ok(w.reportsMade() <= 16, `${w.reportsMade()} looks`);
  await w.advance(1000);
  assert.deepEqual(
    w.requests.map(({ report }) => report !== undefined),
    [true, false],
    'then a heartbeat',
  );
  w.stop.abort();
  await running;
});

test('what is urgent goes out at once, after a poll that is under way once more, and damped', async () => {
  const w = world(() => ({ is: 'answered', answer: unchanged }), { pollMs: 200 });
  const running = w.link.run(w.stop.signal);
  await w.advance(100);
  w.report({ startedAt: 2 });
  w.link.wakePoll();
  await w.advance(110);
  assert.deepEqual(
    w.at.map((at) => at - 1_000_000),
    [0, 200],
    'no gap, and the poll that was under way did not count',
  );
  for (let i = 0; i < 100; i += 1) {
    w.link.wakePoll();
    await w.advance(100);
  }
  const gaps = w.at.slice(2).map((at, nth) => at - (w.at[nth + 1] ?? 0));
  assert.ok(gaps.length >= 3, `${gaps.length} polls`);
  assert.ok(
    gaps.every((gap) => gap >= 3000),
    gaps.join(' '),
  );
  w.stop.abort();
  await running;
});

test('vitals go with every heartbeat; those that cannot be had or sent hold nothing up', async () => {
  const good: HostVitals = { at: 5, uptimeSeconds: 7, targets: [] };
  const rows: readonly [string, (() => HostVitals | undefined) | undefined, HostVitals | undefined][] = [
    ['none', undefined, undefined],
    ['not yet', () => undefined, undefined],
    ['good', () => good, good],
    ['out of range', () => ({ ...good, cpuPercent: 101 }), undefined],
    [
      'broken',
      () => {
        throw new Error('a bug');
      },
      undefined,
    ],
  ];
  for (const [name, vitals, sent] of rows) {
    const w = world(() => ({ is: 'answered', answer: unchanged }), vitals === undefined ? {} : { vitals });
    await w.link.pollOnce(w.stop.signal);
    await w.link.pollOnce(w.stop.signal);
    assert.deepEqual(
      w.requests.map((request) => request.vitals),
      [sent, sent],
      name,
    );
  }
});

test('a metered host: what does not matter waits and the digest of what the hub has stands; what matters goes at once', async () => {
  const w = world(() => ({ is: 'answered', answer: unchanged }), {
    metered: true,
    vitals: () => ({ at: 5, uptimeSeconds: 7, targets: [] }),
  });
  const running = w.link.run(w.stop.signal);
  await w.advance(1);
  const first = w.requests[0]?.reportDigest;
  w.report({ converged: true });
  w.link.pollSoon();
  await w.advance(600_000);
  assert.deepEqual(
    w.requests.map(({ report, reportDigest, metered, vitals }) => [
      report !== undefined,
      reportDigest === first,
      metered,
      vitals,
    ]),
    [
      [true, true, true, undefined],
      [false, true, true, undefined],
    ],
  );
  await w.advance(60_000);
  w.report({ hold: true });
  w.link.pollSoon();
  await w.advance(1);
  assert.deepEqual([w.requests.length, w.requests[2]?.report?.hold], [3, true]);
  w.report({ converged: false });
  w.link.pollSoon();
  await w.advance(3_700_000);
  const told = w.requests.slice(3).map(({ report }) => report?.converged);
  assert.deepEqual(told, [undefined, undefined, undefined, undefined, undefined, false], 'all else after an hour');
  w.stop.abort();
  await running;
});

test('news does not break the back-off', async () => {
  const w = world(() => dead);
  const running = w.link.run(w.stop.signal);
  await w.advance(1);
  for (let i = 0; i < 100; i += 1) w.link.pollSoon();
  await w.advance(9000);
  assert.equal(w.requests.length, 1);
  w.stop.abort();
  await running;
});

test('aborting ends the loop while it waits', async () => {
  const w = world(() => ({ is: 'answered', answer: unchanged }));
  const running = w.link.run(w.stop.signal);
  await w.advance(15_000);
  w.stop.abort();
  await running;
  assert.equal(w.sleepers.size, 0);
});

test('a refused document is noted once, kept in the state, and cleared by a good answer', async () => {
  let answer: PollAnswer = { ...unchanged, desired: { is: 'document', text: 'x', digest: digestOfText('x') } };
  const w = world(() => ({ is: 'answered', answer }));
  await w.link.pollOnce(w.stop.signal);
  await w.link.pollOnce(w.stop.signal);
  assert.equal(w.events.filter((e) => e.kind === 'desired-refused').length, 1);
  assert.equal(w.link.state().refusal?.code, 'desired.unreadable');
  answer = unchanged;
  await w.link.pollOnce(w.stop.signal);
  assert.equal(w.link.state().refusal, undefined);
});

test('poll numbers never repeat across a crash and skip none, so a store that is put back repeats the next one', () => {
  let stored: string | undefined;
  const store = { get: () => stored, put: (text: string) => void (stored = text) };
  const seen: number[] = [];
  for (let life = 0; life < 3; life += 1) {
    const sequence = createPollSequence(store);
    for (let i = 0; i < 5; i += 1) seen.push(sequence.next());
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 15 }, (_, at) => at + 1),
  );
  const copy = stored;
  assert.equal(createPollSequence(store).next(), 16);
  stored = copy;
  assert.equal(createPollSequence(store).next(), 16);
  stored = 'x';
  assert.throws(() => createPollSequence(store), /cannot number polls/);
});

test('a report at every bound fits; texts are cut, the newest entries survive, the rest is counted', () => {
  const findings = Array.from({ length: 500 }, (_, i) => ({
    key: 'host.trouble',
    severity: 'warning' as const,
    subject: `guest-${i}`,
    text: 'x'.repeat(5000),
    advice: { text: 'look' },
    since: i,
  }));
  const fitted = fitReport({ ...facts, findings });
  assert.equal(fitted.findings.length, 300);
  assert.equal(fitted.cut.findings, 200);
  assert.equal(fitted.findings.at(-1)?.subject, 'guest-499');
  assert.equal(fitted.findings[0]?.text.length, 1000);
  assert.ok(fitted.findings[0]?.text.endsWith('…'));
});

test('of copies, which come newest first, the newest survive a report that has to shrink', () => {
  const copies = Array.from({ length: 400 }, (_, i) => ({
    id: `copy${i}`,
    uid: 'a'.repeat(26) as never,
    guest: 'web' as never,
    tier: 'local',
    archive: `backup:backup/${'v'.repeat(80)}${i}.tar.zst` as never,
    sha256: 'f'.repeat(64) as never,
    at: 1000 - i,
    sizeBytes: 1,
    consistency: 'app' as const,
    class: 'scheduled' as const,
    proven: i === 0,
    protected: false,
  }));
  const findings = Array.from({ length: 300 }, (_, i) => ({
    key: 'host.trouble',
    severity: 'warning' as const,
    subject: `guest-${i}`,
    text: '☃'.repeat(1000),
    advice: { text: '☃'.repeat(500) },
    since: i,
  }));
  const backups = Array.from({ length: 900 }, () => ({
    guest: 'web' as never,
    uid: 'a'.repeat(26) as never,
    tier: 'local',
    target: 'local',
    state: 'failing' as const,
    copies: 1,
    lastFailure: '☃'.repeat(1000),
    risks: [],
  }));
  const fitted = fitReport({ ...facts, copies, findings, backups });
  assert.ok(fitted.cut.copies > 0, 'it had to shrink');
  assert.equal(fitted.copies[0]?.id, 'copy0');
});

test('an entry that cannot be cut to the schema is dropped and counted, not fatal', () => {
  const fitted = fitReport({
    ...facts,
    sagas: [
      { id: 's', name: 'bring-up', direction: 'forward', step: 'x', stepIndex: -1, steps: 3, startedAt: 0 },
      { id: 't', name: 'bring-up', direction: 'forward', step: 'x', stepIndex: 0, steps: 3, startedAt: 0 },
    ],
  });
  assert.deepEqual(
    fitted.sagas.map((s) => s.id),
    ['t'],
  );
  assert.equal(fitted.cut.sagas, 1);
});

test('every trouble with the hub or the document is a finding with advice', () => {
  const held = { is: 'unreadable', why: reason('desired.store-unreadable', 'cannot read: damaged') } as const;
  const refusal = reason('desired.older-generation', 'cannot adopt: older');
  const lastFailure = reason('hub.certificate-expired', 'cannot poll: expired');
  const found = findingsOfLink({ held, refusal, lastFailure }, 5);
  assert.deepEqual(
    found.map((f) => [f.key, f.severity, f.subject, f.since]),
    [
      ['desired.store-unreadable', 'critical', 'desired state', 5],
      ['desired.older-generation', 'warning', 'desired state', 5],
      ['hub.certificate-expired', 'warning', 'hub', 5],
    ],
  );
  assert.deepEqual(findingsOfLink({ held: { is: 'never-received' }, refusal: undefined }, 5), []);
  for (const code of Object.keys(errorCatalogue))
    assert.ok(finding.shape.key.safeParse(code).success, `${code} can be the key of a finding`);
});

test('a report that cannot be made silences the link for a while and ends nothing', async () => {
  const w = world(() => ({ is: 'answered', answer: unchanged }));
  w.report({ versions: { agent: '0.1.0', node: 'n'.repeat(100_000) } });
  const running = w.link.run(w.stop.signal);
  await w.advance(5000);
  assert.deepEqual(w.requests, []);
  assert.equal(w.link.state().lastFailure?.code, 'agent.report-failed');
  w.report({ versions: { agent: '0.1.0', node: '26' } });
  await w.advance(60_000);
  assert.ok(w.requests.length > 0);
  assert.equal(w.link.state().lastFailure, undefined);
  w.stop.abort();
  await running;
});
