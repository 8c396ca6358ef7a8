/**
 * Text for people at a terminal. Pure: strings in, strings out; who may have colour is asked once, by `wantsColour`.
 * Read in this order: style, units, width, table, progress, backup-view, report-view, completion.
 */
export { createStyle, wantsColour } from './style.ts';
export type { Style, Tone } from './style.ts';
export { formatAge, formatBytes, formatCount, formatDuration } from './units.ts';
export { clip, displayWidth, printable, printableLine } from './width.ts';
export { indent, renderFacts, renderTable } from './table.ts';
export type { Column } from './table.ts';
export { overallFraction, renderBar, renderProgress } from './progress.ts';
export type { StepProgress } from './progress.ts';
export { completionScript, completionShells } from './completion.ts';
export type { CommandShape, CompletionShell } from './completion.ts';
export { renderBackups, renderCopies, renderRestoreTests } from './backup-view.ts';
export type { RestoreTestLine } from './backup-view.ts';
export { renderJobs, renderReport, reportFacts } from './report-view.ts';
export type { ReportView } from './report-view.ts';
