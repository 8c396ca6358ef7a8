import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { documentFile, formatted, mergeResults, readResults, withFigures } from './results.ts';
import type { KeptSection } from './results.ts';
import { sections } from './sections.ts';

const order = sections.map(({ name }) => name);
const kept = (title: string): KeptSection => ({
  title,
  at: '2026-11-24T04:00:00.000Z',
  machine: { cpu: 'a CPU', cores: 2, memoryGiB: 24, kernel: '6.1', node: 'v26', load: 1.5, commit: 'abc' },
  result: {
    tables: [{ title: 'Costs', columns: ['what', 'ms'], rows: [['a pass', '1.00']] }],
    notes: ['a note'],
    figures: { pass: 1 },
  },
});
const marked =
  'before\n\n<!-- figures: begin, written by npm run bench -- --save -->\nold\n<!-- figures: end -->\n\nafter\n';

test('the document shows what latest.json holds', async () => {
  const document = readFileSync(documentFile, 'utf8');
  assert.equal(document, await formatted(documentFile, withFigures(document, readResults(), order)));
});

test('figures replace what stood between the marks, and nothing else', () => {
  const text = withFigures(marked, mergeResults({ v: 1, sections: {} }, { b: kept('B'), a: kept('A') }), ['a', 'b']);
  assert.match(text, /^before\n[^]*### A[^]*\| a pass \| 1\.00 \|[^]*- a note[^]*### B[^]*\nafter\n$/);
  assert.doesNotMatch(text, /old/);
  assert.match(text, /commit abc, 2 × a CPU, 24 GiB/);
  assert.throws(() => withFigures('no marks', { v: 1, sections: {} }, []), /lacks the marks/);
});

test('a section that was not measured keeps what is known of it', () => {
  const merged = mergeResults({ v: 1, sections: { a: kept('old A'), b: kept('B') } }, { a: kept('new A') });
  assert.deepEqual(
    Object.values(merged.sections).map(({ title }) => title),
    ['new A', 'B'],
  );
});
