import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, report as reportSchema } from '@felhom/protocol';
import { causesOf, trustWarningMs } from './causes.ts';
import type { HostFacts } from './causes.ts';
import { mostPerHost, readReportFacts } from './report-facts.ts';

const now = 1_000_000_000;
const nothing = { is: 'read', critical: [], parked: [], trustExpiresAt: undefined } as const;
const alpha: HostFacts = {
  hostId: hostId.parse('alpha'),
  liveness: { is: 'up', lastContactAt: now, windowMs: 159_000 },
  report: nothing,
  fork: undefined,
  auditFork: undefined,
  stale: undefined,
};
const found = (key: string) => ({ key, subject: 'host', text: 'bad', next: 'mend it' });
const parked = { id: 's1', text: 'stopped', next: 'felhom-agent resume s1' };
const day = 86_400_000;

const rows: [name: string, host: Partial<HostFacts>, expect: string[]][] = [
  ['nothing', {}, []],
  ['silent', { liveness: { is: 'silent', lastContactAt: 1, windowMs: 1 } }, ['silence:alpha critical']],
  ['late is no matter yet', { liveness: { is: 'late', lastContactAt: 1, windowMs: 1 } }, []],
  ['never seen pages nobody', { liveness: { is: 'never-seen', windowMs: 1 }, report: undefined }, []],
  ['two agents', { fork: { since: 1, text: 'poll 4 came after 4' } }, ['fork:alpha critical']],
  ['two tales of the audit log', { auditFork: { since: 1, text: 'x' } }, ['audit-fork:alpha critical']],
  ['the hub is behind', { stale: { since: 1, generation: 7 } }, ['stale:alpha warning']],
  ['no report', { report: undefined }, ['report:alpha warning']],
  ['a report of another version', { report: { is: 'unreadable' } }, ['report:alpha warning']],
  [
    'a critical finding',
    { report: { ...nothing, critical: [found('disk.full')] } },
    ['finding:alpha:disk.full:host critical'],
  ],
  ['a parked saga', { report: { ...nothing, parked: [parked] } }, ['parked:alpha:s1 warning']],
  ['trust for long', { report: { ...nothing, trustExpiresAt: now + trustWarningMs + 1 } }, []],
  ['trust for a month', { report: { ...nothing, trustExpiresAt: now + trustWarningMs } }, ['trust:alpha warning']],
  ['trust for a week', { report: { ...nothing, trustExpiresAt: now + 7 * day } }, ['trust:alpha critical']],
  ['trust no more', { report: { ...nothing, trustExpiresAt: now - 1 } }, ['trust:alpha critical']],
];
for (const [name, host, expect] of rows)
  test(`causes: ${name}`, () => {
    const causes = causesOf([{ ...alpha, ...host }], undefined, now);
    assert.deepEqual(
      causes.map(({ key, severity }) => `${key} ${severity}`),
      expect,
    );
    for (const { next, text, title } of causes) assert.ok(next !== '' && text !== '' && title !== '');
  });

test('a parked saga and a missing report have an hour, everything else is said at once', () => {
  const host = { ...alpha, report: { ...nothing, critical: [found('disk.full')], parked: [parked] } };
  const waits = causesOf([host, { ...alpha, report: undefined }], undefined, now).map(({ afterMs }) => afterMs);
  assert.deepEqual(waits, [0, 3_600_000, 3_600_000]);
});

test('hosts of one large silence have no alert of their own', () => {
  const silent: HostFacts = { ...alpha, liveness: { is: 'silent', lastContactAt: 1, windowMs: 1 } };
  const causes = causesOf([silent], { since: 1, members: [alpha.hostId], most: 9 }, now);
  assert.deepEqual(
    causes.map(({ key }) => key),
    ['fleet:many-silent'],
  );
});

test('a host cannot flood: beyond a number its causes are counted, and its words stay short and on their line', () => {
  const critical = Array.from({ length: 300 }, (_, index) => found(`k${index}`));
  const causes = causesOf([{ ...alpha, report: { ...nothing, critical } }], undefined, now);
  assert.equal(causes.length, mostPerHost + 1);
  const evil = { key: 'k', subject: 'a\r\nBcc: x', text: `\u001b[2J${'y'.repeat(5000)}`, next: '\u202e' };
  const [cause] = causesOf([{ ...alpha, report: { ...nothing, critical: [evil] } }], undefined, now);
  assert.ok(cause !== undefined && cause.text.length <= 1000);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(JSON.stringify(Object.values(cause)), /\\[rn]|\\u001b|\u202e/);
});

test('what of a report is read: critical findings, parked sagas and the end of trust, and nothing milder', () => {
  const advice = { text: 'free space', command: 'df -h' };
  const report = reportSchema.parse({
    v: 1,
    versions: { agent: '0.1.0', node: '26' },
    startedAt: 1,
    converged: true,
    hold: false,
    guests: [],
    sagas: [],
    parked: [
      {
        id: 's1',
        name: 'bring-up',
        guest: 'web',
        step: 'restore',
        why: { code: 'x', text: 'cannot restore: full', retry: 'operator' },
        command: 'felhom-agent resume s1',
        since: 1,
      },
    ],
    findings: [
      { key: 'disk.full', severity: 'critical', subject: 'host', text: 'full', advice, since: 1 },
      { key: 'disk.filling', severity: 'warning', subject: 'host', text: 'filling', advice, since: 1 },
    ],
    blocked: [],
    jobs: [],
    strangers: [],
    trust: { is: 'none' },
    breakGlass: { is: 'closed' },
    audit: [],
    cut: { guests: 0, sagas: 0, parked: 0, findings: 0, blocked: 0, jobs: 0, strangers: 0, audit: 0 },
  });
  assert.deepEqual(readReportFacts(JSON.stringify(report)), {
    is: 'read',
    critical: [{ key: 'disk.full', subject: 'host', text: 'full', next: 'free space: df -h' }],
    parked: [
      { id: 's1', text: 'bring-up of web stopped at restore: cannot restore: full', next: 'felhom-agent resume s1' },
    ],
    trustExpiresAt: undefined,
  });
  assert.deepEqual(readReportFacts('{"v":1}'), { is: 'unreadable' });
});
