/** Progress on long work, as text; whoever prints it decides whether to overwrite the line before. */
import type { Style } from './style.ts';

/** "[#####-----]  50 %"; without a fraction the bar shows where the work is unknown. */
export function renderBar(fraction: number | undefined, columns: number, style: Style): string {
  const inner = Math.max(4, columns);
  if (fraction === undefined) return `${style.paint('dim', `[${'·'.repeat(inner)}]`)}     `;
  const clamped = Math.min(1, Math.max(0, fraction));
  const filled = Math.round(clamped * inner);
  const bar = style.paint('note', '█'.repeat(filled)) + style.paint('dim', '░'.repeat(inner - filled));
  return `[${bar}] ${String(Math.floor(clamped * 100)).padStart(3)} %`;
}

export interface StepProgress {
  readonly name: string;
  readonly step: string;
  readonly stepIndex: number;
  readonly steps: number;
  readonly fraction?: number | undefined;
  readonly text?: string | undefined;
}

/** Fraction of the whole: finished steps, plus the part of the running one where it is known. */
export function overallFraction(at: Pick<StepProgress, 'stepIndex' | 'steps' | 'fraction'>): number {
  if (at.steps <= 0) return 0;
  const within = Math.min(1, Math.max(0, at.fraction ?? 0));
  return Math.min(1, Math.max(0, (at.stepIndex + within) / at.steps));
}

/** "bring-up web  [███░░░░░░░]  30 %  3/9 restore: 120 MiB of 400 MiB" */
export function renderProgress(at: StepProgress, style: Style, barColumns = 20): string {
  const bar = renderBar(overallFraction(at), barColumns, style);
  const text = at.text === undefined || at.text === '' ? '' : `: ${at.text}`;
  return `${style.paint('strong', at.name)}  ${bar}  ${Math.min(at.stepIndex + 1, at.steps)}/${at.steps} ${at.step}${style.paint('dim', text)}`;
}
