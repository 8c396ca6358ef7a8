import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import {
  clip,
  createStyle,
  displayWidth,
  formatAge,
  formatBytes,
  formatDuration,
  overallFraction,
  printable,
  renderBar,
  renderProgress,
  renderTable,
  wantsColour,
} from './index.ts';

const plain = createStyle(false);
const colour = createStyle(true);

test('colour is asked for once: terminal, NO_COLOR, FORCE_COLOR, dumb', () => {
  const rows: [boolean, Record<string, string>, boolean][] = [
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { TERM: 'dumb' }, false],
    [false, { FORCE_COLOR: '1' }, true],
    [false, { FORCE_COLOR: '0' }, false],
    [true, { NO_COLOR: '1', FORCE_COLOR: '1' }, true],
  ];
  for (const [tty, env, expect] of rows) assert.equal(wantsColour(tty, env), expect, JSON.stringify([tty, env]));
});

test('without colour nothing is added to a text; with it only escapes are', () => {
  assert.equal(plain.paint('bad', 'lost'), 'lost');
  assert.notEqual(colour.paint('bad', 'lost'), 'lost');
  assert.equal(stripVTControlCharacters(colour.paint('bad', 'lost')), 'lost');
});

test('durations show at most two units and never 60 of one', () => {
  const rows: [number, string][] = [
    [0, '0 ms'],
    [840, '840 ms'],
    [1499, '1 s'],
    [12_000, '12 s'],
    [59_999, '1 min'],
    [119_999, '2 min'],
    [200_000, '3 min 20 s'],
    [7_500_000, '2 h 5 min'],
    [3_605_000, '1 h'],
    [356_400_000, '4 d 3 h'],
    [-5, '0 ms'],
    [Number.NaN, '?'],
  ];
  for (const [ms, expect] of rows) assert.equal(formatDuration(ms), expect);
});

test('ages: never, now, past, and a clock that is ahead', () => {
  assert.equal(formatAge(undefined, 5), 'never');
  assert.equal(formatAge(1000, 1500), 'now');
  assert.equal(formatAge(0, 65_000), '1 min 5 s ago');
  assert.match(formatAge(100_000, 0), /clocks differ/);
});

test('sizes are binary and short', () => {
  const rows: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1_073_741_824, '1 GiB'],
    [1_073_741_823, '1 GiB'],
    [250 * 2 ** 30, '250 GiB'],
  ];
  for (const [bytes, expect] of rows) assert.equal(formatBytes(bytes), expect);
});

test('a table aligns coloured and wide cells by what is seen', () => {
  const table = renderTable(
    [{ title: 'name' }, { title: 'size', align: 'right' }],
    [
      [colour.paint('good', 'web'), '5'],
      ['写真', '1024'],
    ],
    colour,
  );
  const lines = stripVTControlCharacters(table).trimEnd().split('\n');
  assert.deepEqual(lines, ['NAME  SIZE', 'web      5', '写真  1024']);
  assert.equal(displayWidth('写真'), 4);
});

test('a cell longer than its column is cut with an ellipsis', () => {
  assert.equal(clip('abcdefgh', 5), 'abcd…');
  assert.equal(clip('abc', 5), 'abc');
  assert.match(renderTable([{ title: 'n', max: 4 }], [['abcdefgh']], plain), /^abc…$/m);
});

test('control characters of foreign text cannot move the cursor', () => {
  assert.equal(printable('a\u001b[2Jb\r\u202ec'), 'a\\u001b[2Jb\\u000d\\u202ec');
  assert.ok(!renderTable([{ title: 'n' }], [['x\u001b[31m']], plain).includes('\u001b'));
});

test('progress counts finished steps and the known part of the running one', () => {
  assert.equal(overallFraction({ stepIndex: 2, steps: 4, fraction: 0.5 }), 0.625);
  assert.equal(overallFraction({ stepIndex: 0, steps: 0 }), 0);
  assert.equal(overallFraction({ stepIndex: 9, steps: 4 }), 1);
  assert.equal(renderBar(0.5, 4, plain), '[██░░]  50 %');
  assert.equal(renderBar(7, 4, plain), '[████] 100 %');
  assert.equal(
    renderProgress({ name: 'bring-up web', step: 'restore', stepIndex: 1, steps: 4, text: 'unpacking' }, plain, 4),
    'bring-up web  [█░░░]  25 %  2/4 restore: unpacking',
  );
});
