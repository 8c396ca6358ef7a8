/** What a benchmark hands back, and how it looks on a terminal and in the document. Pure. */
import { renderTable } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';

export interface BenchTable {
  readonly title: string;
  /** The first column is text; the others are figures. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Plain JSON: it is kept in `results/latest.json`. */
export interface SectionResult {
  readonly tables: readonly BenchTable[];
  /** Sentences that belong under the tables. */
  readonly notes: readonly string[];
  /** The raw figures by name, for whoever compares runs. */
  readonly figures: Readonly<Record<string, number>>;
}

export interface BenchOptions {
  /** Fewer and shorter measurements: good for trying, not for keeping. */
  readonly quick: boolean;
  /** One line about what is being measured now. */
  readonly tell: (text: string) => void;
}

export interface Section {
  readonly name: string;
  readonly title: string;
  run(options: BenchOptions): Promise<SectionResult>;
}

export function forTerminal(title: string, result: SectionResult, style: Style): string {
  const tables = result.tables.map((table) => {
    const columns = table.columns.map((title, at) => ({ title, align: at === 0 ? 'left' : 'right' }) as const);
    return `\n${table.title}\n${renderTable(columns, table.rows, style)}`;
  });
  const notes = result.notes.map((note) => `- ${note}\n`);
  return `\n${style.paint('strong', title)}\n${tables.join('')}${notes.join('')}`;
}

export function forDocument(title: string, about: string, result: SectionResult): string {
  const tables = result.tables.map((table) => {
    const rule = table.columns.map((_, at) => (at === 0 ? ':--' : '--:'));
    const lines = [table.columns, rule, ...table.rows].map((row) => `| ${row.join(' | ')} |`);
    return `${table.title}:\n\n${lines.join('\n')}\n`;
  });
  const notes = result.notes.map((note) => `- ${note}`).join('\n');
  return [`### ${title}`, `_${about}_`, ...tables, notes].filter((part) => part !== '').join('\n\n');
}
