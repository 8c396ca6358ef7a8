/**
 * The figures that are kept, and the part of `docs/benchmarks.md` that is made from them. The document is never edited
 * by hand between its two marks, and a test compares it with the figures.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { format, resolveConfig } from 'prettier';
import type { MachineFacts } from './machine.ts';
import { forDocument } from './section.ts';
import type { SectionResult } from './section.ts';

export interface KeptSection {
  readonly title: string;
  /** ISO 8601. */
  readonly at: string;
  readonly machine: MachineFacts;
  readonly result: SectionResult;
}

export interface Results {
  readonly v: 1;
  readonly sections: Readonly<Record<string, KeptSection>>;
}

export const resultsFile = resolve(import.meta.dirname, 'results/latest.json');
export const documentFile = resolve(import.meta.dirname, '../docs/benchmarks.md');

const marks = ['<!-- figures: begin, written by npm run bench -- --save -->', '<!-- figures: end -->'] as const;

export function readResults(): Results {
  if (!existsSync(resultsFile)) return { v: 1, sections: {} };
  return JSON.parse(readFileSync(resultsFile, 'utf8')) as Results;
}

/** Sections that were measured now replace what was kept of them; the others stay with their own date. */
export function mergeResults(kept: Results, measured: Readonly<Record<string, KeptSection>>): Results {
  return { v: 1, sections: { ...kept.sections, ...measured } };
}

/** The document with its figures replaced. Throws when the marks are not there. */
export function withFigures(document: string, results: Results, order: readonly string[]): string {
  const [begin, end] = marks.map((mark) => document.indexOf(mark));
  if (begin === undefined || end === undefined || begin < 0 || end < begin)
    throw new Error(`cannot put figures into the document: it lacks the marks ${marks.join(' and ')}`);
  const parts = order.flatMap((name) => {
    const kept = results.sections[name];
    return kept === undefined ? [] : [forDocument(kept.title, about(kept), kept.result)];
  });
  return `${document.slice(0, begin)}${marks[0]}\n\n${parts.join('\n\n')}\n\n${document.slice(end)}`;
}

function about({ at, machine }: KeptSection): string {
  return (
    `${at.slice(0, 16).replace('T', ' ')} UTC, commit ${machine.commit}, ${machine.cores} × ${machine.cpu}, ` +
    `${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}, load ${machine.load}`
  );
}

/** As the formatter of this repository would leave it. */
export async function formatted(file: string, text: string): Promise<string> {
  return format(text, { ...(await resolveConfig(file)), filepath: file });
}

export async function saveResults(results: Results, order: readonly string[]): Promise<void> {
  writeFileSync(resultsFile, await formatted(resultsFile, JSON.stringify(results)));
  const document = withFigures(readFileSync(documentFile, 'utf8'), results, order);
  writeFileSync(documentFile, await formatted(documentFile, document));
}
