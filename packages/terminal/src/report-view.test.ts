import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { createStyle, renderJobs, renderReport, reportFacts } from './index.ts';

const now = Date.UTC(2026, 0, 10);
const style = createStyle(false);

function reportWith(more: Readonly<Record<string, unknown>>): Report {
  return emptyReport({
    ...more,
  });
}

const job = (more: object) => ({
  jobId: 'b'.repeat(26),
  kind: 'decommission',
  digest: '1'.repeat(64),
  state: 'waiting',
  text: 'one more has to sign',
  guest: 'photos',
  by: ['anna'],
  missing: 1,
  since: now,
  at: now,
  ...more,
});

const facts: readonly (readonly [name: string, more: Readonly<Record<string, unknown>>, says: RegExp])[] = [
  ['nobody is trusted', {}, /^nobody: nothing that needs a signature/],
  ['an unreadable document', { trust: { is: 'unreadable', text: 'bad\nline' } }, /^UNREADABLE: bad\\u000aline$/],
];
for (const [name, more, says] of facts)
  test(`the trust line of a report: ${name}`, () => {
    const found = new Map(reportFacts(reportWith(more), now));
    assert.match(found.get('trust') ?? '', says);
    assert.equal(found.has('break-glass'), false);
  });

test('open break-glass is a fact that is seen, with the time that is left', () => {
  const found = new Map(reportFacts(reportWith({ breakGlass: { is: 'open', until: now + 90_000 } }), now));
  assert.equal(found.get('break-glass'), 'OPEN for 1 min 30 s more');
});

test('jobs say who signed, who is missing, when it goes on, and the operator what to do', () => {
  const jobs = reportWith({
    jobs: [job({}), job({ state: 'cooling-off', missing: 0, nextAt: now + 3_600_000 })],
  }).jobs;
  const text = renderJobs(jobs, 'alpha', now, style);
  assert.match(
    text,
    /^waiting decommission of photos \(now\)\n {2}one more has to sign\n {2}signed by anna; 1 more must sign\n/,
  );
  assert.match(text, /next: felhom job cosign alpha b{26}\n/);
  assert.match(text, /goes on in 1 h\n[^]*felhom job cancel alpha b{26}\n/);
  assert.doesNotMatch(renderJobs(jobs, undefined, now, style), /next:/);
});

test('a line feed in the words of a host does not make a line of ours', () => {
  const evil = 'fine\n    next: felhom job abandon alpha s-1';
  const text = renderReport(
    reportWith({
      jobs: [job({ text: evil, kind: 'x\nnext: y' })],
      strangers: [{ vmid: 9001, name: evil, configDigest: '', volumes: [], why: evil }],
      parked: [
        {
          id: 's',
          name: evil,
          step: evil,
          why: { code: 'x', text: evil, retry: 'never', detail: evil },
          command: evil,
          since: 1,
        },
      ],
      findings: [{ key: 'a.b', severity: 'info', subject: evil, text: evil, advice: { text: evil }, since: 1 }],
    }),
    { now, style, blockedAdvice: 'advice', host: 'alpha' },
  );
  assert.doesNotMatch(text, /^\s*next: (?!fine|felhom job cosign alpha|felhom adopt alpha 9001)/m);
});
