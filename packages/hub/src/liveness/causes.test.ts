import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { causesOf, mostPerFinding, trustWarningMs } from './causes.ts';
import type { HostFacts } from './causes.ts';
import { mostPerHost, readReportFacts } from './report-facts.ts';
import type { ReportedFinding } from './report-facts.ts';

const now = 1_000_000_000;
const nothing = { is: 'read', findings: [], parked: [], trustExpiresAt: undefined } as const;
const alpha: HostFacts = {
  hostId: hostId.parse('alpha'),
  liveness: { is: 'up', lastContactAt: now, windowMs: 159_000 },
  report: nothing,
  fork: undefined,
  auditFork: undefined,
  stale: undefined,
};
const found = (key: string, more: Partial<ReportedFinding> = {}): ReportedFinding => ({
  key,
  severity: 'critical',
  subject: 'host',
  text: 'bad',
  next: 'mend it',
  afterMs: 0,
  ...more,
});
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
    { report: { ...nothing, findings: [found('disk.full')] } },
    ['finding:alpha:disk.full:host critical'],
  ],
  [
    'a backup that is late',
    { report: { ...nothing, findings: [found('backup.late', { severity: 'warning', subject: 'web/nas' })] } },
    ['finding:alpha:backup.late:web/nas warning'],
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
  const host = { ...alpha, report: { ...nothing, findings: [found('disk.full')], parked: [parked] } };
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
  const causes = causesOf([{ ...alpha, report: { ...nothing, findings: critical } }], undefined, now);
  assert.equal(causes.length, mostPerHost + 1);
  const evil = found('k', { subject: 'a\r\nBcc: x', text: `\u001b[2J${'y'.repeat(5000)}`, next: '\u202e' });
  const [cause] = causesOf([{ ...alpha, report: { ...nothing, findings: [evil] } }], undefined, now);
  assert.ok(cause !== undefined && cause.text.length <= 1000);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(JSON.stringify(Object.values(cause)), /\\[rn]|\\u001b|\u202e/);
});

test('what of a report is read: critical findings, parked sagas and the end of trust, and hardly anything milder', () => {
  const advice = { text: 'free space', command: 'df -h' };
  const report = reportWith(
    [
      { key: 'disk.full', severity: 'critical', subject: 'host', text: 'full', advice, since: 1 },
      { key: 'disk.filling', severity: 'warning', subject: 'host', text: 'filling', advice, since: 1 },
    ],
    [
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
  );
  assert.deepEqual(readReportFacts(JSON.stringify(report)), {
    is: 'read',
    findings: [found('disk.full', { text: 'full', next: 'free space: df -h' })],
    parked: [
      { id: 's1', text: 'bring-up of web stopped at restore: cannot restore: full', next: 'felhom-agent resume s1' },
    ],
    trustExpiresAt: undefined,
  });
  assert.deepEqual(readReportFacts('{"v":1}'), { is: 'unreadable' });
});

function reportWith(findings: readonly object[], stopped: readonly object[] = []) {
  return emptyReport({
    parked: stopped,
    findings,
  });
}

const C = 'critical';
const W = 'warning';
const sends: readonly (readonly [name: string, findings: readonly (readonly string[])[], sent: readonly string[]])[] = [
  [
    'no backup at all, which is then not proven either',
    [
      [C, 'backup.none'],
      [C, 'backup.unproven'],
    ],
    ['backup.none'],
  ],
  ['the first one is due soon', [['info', 'backup.none']], []],
  ['late', [[W, 'backup.late']], ['backup.late']],
  [
    'late and not proven are two matters',
    [
      [W, 'backup.late'],
      [C, 'backup.unproven'],
    ],
    ['backup.late', 'backup.unproven'],
  ],
  [
    'failing, which is why it is late',
    [
      [C, 'backup.failing'],
      [W, 'backup.late'],
    ],
    ['backup.failing'],
  ],
  [
    'failing, which is why there is none',
    [
      [C, 'backup.none'],
      [C, 'backup.failing'],
    ],
    ['backup.failing'],
  ],
  [
    'warnings that can wait',
    [
      [W, 'backup.crash-consistent'],
      [W, 'backup.not-a-snapshot'],
    ],
    [],
  ],
  [
    'lost',
    [
      [C, 'guest.lost'],
      [C, 'guest.missing'],
    ],
    ['guest.lost'],
  ],
  [
    'came back',
    [
      [W, 'recovery.came-back'],
      [C, 'recovery.bulk-lost'],
    ],
    ['recovery.bulk-lost', 'recovery.came-back'],
  ],
];
for (const [name, findings, sent] of sends)
  test(`what of the findings is sent: ${name}`, () => {
    const all = findings.map(([severity, key]) => ({
      key,
      severity,
      subject: 'web',
      text: 'x',
      advice: { text: 'y' },
      since: 1,
    }));
    const facts = readReportFacts(JSON.stringify(reportWith(all)));
    assert.deepEqual(facts.is === 'read' ? facts.findings.map(({ key }) => key) : undefined, sent);
  });

test('of another subject nothing is implied', () => {
  const of = (key: string, subject: string) => ({
    key,
    severity: C,
    subject,
    text: 'x',
    advice: { text: 'y' },
    since: 1,
  });
  const facts = readReportFacts(
    JSON.stringify(reportWith([of('backup.none', 'a/nas'), of('backup.unproven', 'b/nas')])),
  );
  assert.equal(facts.is === 'read' ? facts.findings.length : 0, 2);
});

test('a guest that is perhaps lost is sent once that lasts for an hour', () => {
  const finding = {
    key: 'guest.perhaps-lost',
    severity: W,
    subject: 'web',
    text: 'x',
    advice: { text: 'y' },
    since: 1,
  };
  const report = readReportFacts(JSON.stringify(reportWith([finding])));
  const causes = causesOf([{ ...alpha, report }], undefined, now);
  assert.deepEqual(
    causes.map(({ key, severity, afterMs }) => [key, severity, afterMs]),
    [['finding:alpha:guest.perhaps-lost:web', 'warning', 3_600_000]],
  );
});

test('one trouble of many guests is a few alerts, and one more guest changes none of those', () => {
  const of = (count: number) =>
    Array.from({ length: count }, (_, at) => ({
      key: 'backup.failing',
      severity: C,
      subject: `guest-${99 - at}/nas`,
      text: 'the server is down',
      advice: { text: 'y' },
      since: 1000 + at,
    }));
  const causesAt = (count: number) => {
    const report = readReportFacts(JSON.stringify(reportWith(of(count).toReversed())));
    return causesOf([{ ...alpha, report }], undefined, now);
  };
  const keys = causesAt(40).map(({ key }) => key);
  assert.equal(keys.length, mostPerFinding + 1);
  assert.deepEqual(
    causesAt(41).map(({ key }) => key),
    keys,
  );
  assert.equal(keys[0], 'finding:alpha:backup.failing:guest-99/nas');
  const rest = causesAt(40).at(-1);
  assert.equal(rest?.key, 'findings:alpha:backup.failing');
  assert.match(rest?.title ?? '', /backup.failing of 35 more/);
  assert.equal(causesAt(mostPerFinding).length, mostPerFinding);
});
