/** Tables of text, aligned by display width. Cells may carry colour. */
import type { Style } from './style.ts';
import { clip, displayWidth, printable } from './width.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Widest a cell of this column may be; longer plain cells are cut with "…". */
  readonly max?: number;
}

/** One line per row under a line of titles; no trailing spaces; ends with a line feed. */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], style: Style): string {
  const cells = rows.map((row) =>
    columns.map((column, i) => {
      const cell = style.colour ? (row[i] ?? '') : printable(row[i] ?? '');
      return column.max === undefined ? cell : clip(cell, column.max);
    }),
  );
  const widths = columns.map((column, i) =>
    Math.max(displayWidth(column.title), ...cells.map((row) => displayWidth(row[i] ?? ''))),
  );
  const line = (row: readonly string[]) =>
    columns
      .map((column, i) => {
        const cell = row[i] ?? '';
        const gap = ' '.repeat(Math.max(0, (widths[i] ?? 0) - displayWidth(cell)));
        return column.align === 'right' ? gap + cell : cell + gap;
      })
      .join('  ')
      .trimEnd();
  const titles = columns.map((column) => style.paint('dim', column.title.toUpperCase()));
  return [line(titles), ...cells.map(line)].join('\n') + '\n';
}

/** "name   value" lines, names aligned. */
export function renderFacts(facts: readonly (readonly [name: string, value: string])[], style: Style): string {
  const width = Math.max(0, ...facts.map(([name]) => displayWidth(name)));
  return facts
    .map(([name, value]) => `${style.paint('dim', name)}${' '.repeat(width - displayWidth(name) + 2)}${value}\n`)
    .join('');
}

/** Every line of a text moved right. */
export function indent(text: string, columns = 2): string {
  return text.replace(/^(?=.)/gm, ' '.repeat(columns));
}
