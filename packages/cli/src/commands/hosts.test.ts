import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostDetail, hostSummary } from '@felhom/protocol';
import { createStyle } from '@felhom/terminal';
import { renderHosts } from './hosts.ts';
import { renderStatus } from './status.ts';

const plain = createStyle(false);
const now = 1_000_000_000;
const quiet = {
  hostId: 'alpha',
  state: 'ok',
  createdAt: 1,
  lastContactAt: now - 5000,
  guests: { total: 2, running: 2, drifted: 0 },
  sagas: 0,
  parked: 0,
  findings: { total: 0, worst: 'none' },
  blocked: 0,
  converged: true,
  hold: false,
} as const;
const list = (...hosts: object[]) =>
  renderHosts(
    hosts.map((more) => hostSummary.parse({ ...quiet, ...more })),
    now,
    plain,
  );
const status = (more: object) => renderStatus(hostDetail.parse({ ...quiet, ...more }), now, plain);

test('a host that needs nobody is not marked', () => {
  assert.doesNotMatch(list({}), /signatures/);
  assert.match(list({}), /^alpha +ok +5 s ago +2\/2 +- +- +- +-/m);
});

test('hosts that wait for signatures are counted and named, whether for an action or for a job', () => {
  const text = list({ blocked: 2, jobsToSign: 1 }, { hostId: 'bravo' }, { hostId: 'charlie', jobsToSign: 1 });
  assert.match(text, /^alpha +ok +5 s ago +2\/2 +- +- +3 /m);
  assert.match(text, /\nalpha, charlie wait for signatures\. felhom status HOST shows for what\.\n$/);
  assert.match(list({ blocked: 1 }), /\nalpha waits for signatures\./);
  const many = list(...Array.from({ length: 7 }, (_, at) => ({ hostId: `h${at}`, blocked: 1 })));
  assert.match(many, /\nh0, h1, h2, h3, h4 and 2 more wait/);
});

test('a hold and a snooze stand beside the state, a snooze that is over does not', () => {
  assert.match(list({ hold: true, snoozedUntil: now + 3_600_000 }), /ok \(hold\) \(snoozed, 1 h left\)/);
  assert.match(list({ state: 'silent', snoozedUntil: now }), /^alpha +silent +5 s/m);
  assert.match(status({ state: 'silent', snoozedUntil: now + 60_000 }), /state +silent \(snoozed, 1 min left\)/);
});

const mark = { since: 1, text: 'two tales' };
const forks: [marks: object, state: RegExp, next: RegExp[]][] = [
  [{ fork: mark }, /state +forked \(polls\)/, [/felhom hosts clear-fork alpha/]],
  [
    { auditFork: mark },
    /state +forked \(audit log\)/,
    [/felhom audit verify alpha/, /felhom hosts clear-audit-fork alpha/],
  ],
  [
    { fork: mark, auditFork: mark },
    /state +forked \(polls and audit log\)/,
    [/hosts clear-fork/, /hosts clear-audit-fork/],
  ],
];
for (const [marks, state, next] of forks)
  test(`status says what is forked and what clears it: ${Object.keys(marks).join(', ')}`, () => {
    const text = status({ state: 'forked', ...marks });
    for (const expected of [state, /two tales/, ...next]) assert.match(text, expected);
    assert.equal((text.match(/next: /g) ?? []).length, Object.keys(marks).length);
  });

test('status shows the mailbox', () => {
  assert.match(status({}), /mailbox +empty/);
  assert.match(
    status({ mailbox: { waiting: 1, taken: 3 } }),
    /mailbox +1 waiting, 3 taken by the host \(felhom jobs alpha\)/,
  );
});

test('backups that are not fresh and proven, and bulk that nobody copies, are counted', () => {
  const backups = { lines: 24, ok: 21, unprotectedBulk: 2 };
  assert.match(list({ backups }), /^alpha +ok +5 s ago +2\/2 +- +- +- +- +21\/24 \+2 bulk/m);
  assert.match(list({ backups: { lines: 3, ok: 3, unprotectedBulk: 0 } }), / 3\/3 +-/);
});
