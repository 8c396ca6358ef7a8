/** The script of the page on a document of its own: that it runs over whatever a report may say, and what it shows. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createContext, runInContext } from 'node:vm';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { z } from 'zod';

const now = Date.UTC(2026, 0, 10);
const hour = 3_600_000;
const uid = 'a'.repeat(26);

interface Made {
  readonly tag: string;
  readonly kept: (Made | string)[];
  className: string;
}
const textOf = (part: Made | string): string =>
  typeof part === 'string' ? part : part.kept.map(textOf).join(part.tag === 'td' || part.tag === 'th' ? ' ' : '');
const classesOf = (part: Made | string): string[] =>
  typeof part === 'string' ? [] : [part.className, ...part.kept.flatMap(classesOf)];

function shown(more: Readonly<Record<string, unknown>>) {
  const element = (tag: string) => ({
    tag,
    className: '',
    kept: [] as (Made | string)[],
    value: 0,
    append(child: Made | string) {
      this.kept.push(child);
    },
    setAttribute: () => undefined,
    addEventListener: () => undefined,
    set textContent(text: string) {
      this.kept.splice(0, this.kept.length, text);
    },
  });
  const report = emptyReport({
    ...more,
  });
  const page = createContext({ document: { createElement: element }, report });
  const script = ['elements.js', 'protection.js'].map((name) => readFileSync(new URL(name, import.meta.url), 'utf8'));
  const made: unknown = runInContext(
    `${script.join('\n')}; elements.clock.skewMs = ${now} - Date.now(); protection.sections(report, 'alpha')`,
    page,
  );
  const sections = z.array(z.tuple([z.string(), z.array(z.custom<Made>())])).parse(made);
  return sections.map(([title, parts]) => ({
    title,
    text: parts.map(textOf).join('\n'),
    classes: parts.flatMap(classesOf).join(' '),
  }));
}
const section = (title: string, more: Readonly<Record<string, unknown>>) => {
  const found = shown(more).find((one) => one.title.startsWith(title));
  assert.ok(found, title);
  return found;
};

const line = (more: object) => ({
  guest: 'cloud',
  uid,
  tier: 'nas',
  target: 'nas',
  state: 'ok',
  copies: 3,
  risks: [],
  ...more,
});
const newest = { id: 'b', at: now - 21 * hour, consistency: 'crash', mode: 'snapshot', sizeBytes: 1 };

test('a host of which nothing is told has no section with anything in it', () => {
  for (const { title, text } of shown({})) assert.equal(text, '', title);
});

test('backups: the worst first, ages, how long a restore takes, why it fails', () => {
  const { text, classes } = section('Backups', {
    backups: [
      line({ newest, proven: { id: 'b', at: now - 45 * hour, testedAt: now }, rtoMs: 94_000, nextAt: now - 1 }),
      line({ guest: 'web', state: 'failing', lastFailure: '<b>full</b>', risks: ['key 3 is gone'] }),
    ],
  });
  assert.match(text, /1 failing/);
  assert.match(text, /web.*failing.*<b>full<\/b>.*A restore would fail: key 3 is gone.*none.*not measured[^]*cloud/);
  assert.match(text, /cloud.*ok.*21 h 0 min ago *crash.*1 d 21 h ago.*1 min 34 s.*due.*3/);
  assert.match(classes, /badge bad/);
  assert.match(section('Backups', { backups: [line({ newest })] }).text, /1 of 1 good: the newest copy is fresh/);
});

test('a host with guests and no tier is told so', () => {
  const guests = [{ name: 'web', status: 'running', drift: [], pending: [], held: false }];
  assert.match(section('Backups', { guests }).text, /No guest of this host is on any tier/);
});

test('an undo window shows what it frees and both commands', () => {
  const restores = [
    {
      id: 'r-1',
      guest: 'cloud',
      uid,
      kind: 'overwrite',
      state: 'undoable',
      at: 1,
      until: now,
      lossSet: ['local:9/root'],
      text: 'kept',
    },
    { id: 'r-0', guest: 'cloud', uid, kind: 'overwrite', state: 'finished', at: 1, text: 'over' },
  ];
  const { text } = section('Restores', { restores });
  assert.match(text, /local:9\/root[^]*felhom job undo alpha r-1[^]*felhom job finish alpha r-1/);
  assert.doesNotMatch(text, /r-0|over$/);
});

test('bulk, restore-tests and the queue', () => {
  const bulk = [
    { guest: 'cloud', volume: 'a', decision: 'undecided' },
    { guest: 'cloud', volume: 'b', decision: 'none-acknowledged' },
    { guest: 'cloud', volume: 'c', decision: 'controller', target: 'usb' },
    { guest: 'cloud', volume: 'd', decision: 'controller', target: 'usb', newestAt: now - hour, checkedAt: now },
  ];
  const said = section('Bulk', { bulk }).text;
  assert.match(said, /a is backed up by nobody, and nobody decided[^]*b is backed up by nobody, and that was accepted/);
  assert.match(said, /c has no copy yet[^]*d copied by its controller to usb 1 h 0 min ago, checked now/);
  const evidence = {
    v: 1,
    host: 'alpha',
    test: 't',
    guest: uid,
    name: 'cloud',
    tier: 'nas',
    backup: { id: 'b', archive: 'nas:x', sha256: '0'.repeat(64), takenAt: 1 },
    verdict: 'failed',
    grade: 'booted',
    code: 'x.y',
    text: 'its unit crash-loops',
    startedAt: 1,
    endedAt: now,
    timings: { restoreMs: 60_000, bootMs: 0 },
    content: { volumes: 1, files: 2, mismatches: 1 },
  };
  const tests = section('Restore-tests', { restoreTests: [{ evidence, digest: 'c'.repeat(64), signature: '' }] }).text;
  assert.match(
    tests,
    /failed.*booted.*restore 1 min 0 s, boot 0 s.*its unit crash-loops \(x\.y\).*2 files compared, 1 differ/,
  );
  const queue = [{ saga: 's', what: 'backup', guest: 'cloud', since: now, waitsFor: ['storage:nas'] }];
  assert.match(section('Queue', { queue }).text, /backup.*cloud.*now.*waits for storage:nas/);
});
