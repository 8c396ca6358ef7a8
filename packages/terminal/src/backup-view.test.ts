import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportedBackup, reportedBulk } from '@felhom/protocol';
import type { Report } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { createStyle, renderBackups, renderReport, reportFacts } from './index.ts';

const now = Date.UTC(2026, 0, 10);
const hour = 3_600_000;
const uid = 'a'.repeat(26);
const style = createStyle(false);

function reportWith(more: Readonly<Record<string, unknown>>): Report {
  return emptyReport({
    ...more,
  });
}
const line = (guest: string, more: object = {}) =>
  reportedBackup.parse({ guest, uid, tier: 'nas', target: 'nas', state: 'ok', copies: 3, risks: [], ...more });
const newest = { id: 'b', at: now - 21 * hour, consistency: 'app', mode: 'snapshot', sizeBytes: 1 };
const bulk = (volume: string, decision: string, more: object = {}) =>
  reportedBulk.parse({ guest: 'cloud', volume, decision, ...more });
const shown = (more: Readonly<Record<string, unknown>>, host?: string): string =>
  renderReport(reportWith(more), { now, style, blockedAdvice: '', host });

test('one line per guest and tier: ages, how long a restore takes, when the next one is; the worst first', () => {
  const text = renderBackups(
    [
      line('cloud', {
        newest,
        proven: { id: 'b', at: now - 45 * hour, testedAt: now },
        rtoMs: 94_000,
        nextAt: now + 3 * hour,
      }),
      line('web', { state: 'failing', lastFailure: 'the storage\nis full', risks: ['key 3 is gone'], nextAt: now - 1 }),
    ],
    now,
    style,
  );
  assert.equal(
    text,
    [
      'GUEST  TIER  NEWEST COPY  PROVEN COPY   RESTORE TAKES  NEXT    STATE',
      'web    nas   none         none                      -  due     failing',
      'cloud  nas   21 h ago     1 d 21 h ago     1 min 34 s  in 3 h  ok',
      'web/nas: the storage\\u000ais full',
      'web/nas: a restore would fail: key 3 is gone',
      '',
    ].join('\n'),
  );
});

test('states have their colours, and a crash-consistent copy says so', () => {
  const states = ['ok', 'late', 'unproven', 'failing', 'none'] as const;
  const lines = states.map((state, at) => line(`g${at}`, { state, newest: { ...newest, consistency: 'crash' } }));
  const text = renderBackups(lines, now, createStyle(true));
  for (const [word, code] of [
    ['ok', 32],
    ['late', 33],
    ['unproven', 33],
    ['failing', 31],
    ['without a copy', 31],
  ] as const)
    assert.ok(text.includes(`\u001b[${code}m${word}`), word);
  assert.match(text, /21 h ago \(crash\)/);
});

test('the head counts what is good, what is not, and bulk without any copy', () => {
  const more = {
    backups: [line('a'), line('b', { state: 'late' }), line('c', { state: 'failing' })],
    bulk: [bulk('media', 'undecided')],
  };
  assert.equal(
    new Map(reportFacts(reportWith(more), now)).get('backups'),
    '1 of 3 fresh and proven, 1 failing, 1 late, 1 bulk without any',
  );
  assert.equal(new Map(reportFacts(reportWith({}), now)).has('backups'), false);
});

const bulks: readonly (readonly [name: string, more: ReturnType<typeof bulk>, says: RegExp])[] = [
  ['undecided', bulk('media', 'undecided'), /cloud\/media: UNPROTECTED, and nobody decided that/],
  ['accepted', bulk('media', 'none-acknowledged'), /cloud\/media: not backed up, and that was accepted/],
  ['no copy yet', bulk('media', 'controller', { target: 'usb' }), /UNPROTECTED: no copy yet by its controller to usb/],
  [
    'a copy that nobody checked',
    bulk('media', 'controller', { target: 'usb', newestAt: now - hour }),
    /1 h ago by its controller to usb, never read back by its controller/,
  ],
  [
    'a copy that was checked',
    bulk('media', 'controller', { target: 'usb', newestAt: now - hour, checkedAt: now }),
    /to usb, read back now/,
  ],
];
for (const [name, one, says] of bulks) test(`bulk is named: ${name}`, () => assert.match(shown({ bulk: [one] }), says));

const restore = {
  id: 'restore-overwrite-1',
  guest: 'cloud',
  uid,
  kind: 'overwrite',
  state: 'undoable',
  at: now - hour,
  until: now + 47 * hour,
  text: 'Restored as 9001.\nnext: forged',
};
test('an undo window has its time and the exact command; what is over has no line', () => {
  const text = shown({ restores: [restore, { ...restore, id: 'r-2', state: 'finished' }] }, 'alpha');
  assert.match(text, /cloud: overwrite restore-overwrite-1 \(1 h ago, 1 d 23 h left to undo it\)/);
  assert.match(
    text,
    /next: felhom job undo alpha restore-overwrite-1, or felhom job finish alpha restore-overwrite-1 to/,
  );
  assert.doesNotMatch(text, /r-2|^\s*next: forged/m);
  assert.match(shown({ restores: [restore] }), /next: have an operator sign its undo/);
});

test('the queue says what runs and what waits for whom', () => {
  const queue = [
    { saga: 's-1', what: 'backup', guest: 'cloud', since: now - 60_000, waitsFor: [] },
    { saga: 's-2', what: 'restore-test', guest: 'web', since: now, waitsFor: ['storage:nas'] },
  ];
  assert.match(shown({ queue }), /backup of cloud: runs \(1 min ago\)\n {2}restore-test of web: waits for storage:nas/);
});
