/**
 * How a story is told: a person at a terminal sees bars that move, a log sees one line per event. Nothing is told that
 * was not read from the agent, the node or the hub a moment ago.
 */
import { createStyle, formatDuration, printable, renderProgress, wantsColour } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import type { Report } from '@felhom/protocol';

export interface Telling {
  readonly style: Style;
  readonly live: boolean;
  title(text: string): void;
  /** What is done next. */
  step(text: string): void;
  /** What was seen, checked on the spot. */
  seen(text: string): void;
  note(text: string): void;
  /** Output of a program, as it is. */
  output(command: string, text: string): void;
  /** The sagas of this report, in place of the ones before. */
  progress(report: Report | undefined): void;
  /** What follows comes below the bars. */
  settle(): void;
}

export interface TellingOptions {
  readonly out: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
}

export function createTelling({ out, env, now }: TellingOptions): Telling {
  const live = out.isTTY === true && env['TERM'] !== 'dumb';
  const style = createStyle(wantsColour(out.isTTY === true, env));
  const startedAt = now();
  let drawn = 0;
  /** Guest → the step that was told last, where lines cannot be taken back. */
  const told = new Map<string, string>();

  const settle = (): void => {
    drawn = 0;
    told.clear();
  };
  const line = (text: string): void => {
    settle();
    out.write(`${text}\n`);
  };
  const clock = (): string => style.paint('dim', `${((now() - startedAt) / 1000).toFixed(1).padStart(6)} s`);

  const drawBars = (sagas: readonly string[]): void => {
    const up = drawn === 0 ? '' : `\u001B[${drawn}A\u001B[J`;
    out.write(up + sagas.map((saga) => `${saga}\n`).join(''));
    drawn = sagas.length;
  };
  const tellSteps = (report: Report): void => {
    for (const saga of report.sagas) {
      const who = saga.guest ?? saga.name;
      const step = `${saga.direction === 'back' ? 'undoing ' : ''}${saga.step}`;
      if (told.get(who) === step) continue;
      told.set(who, step);
      out.write(`${clock()}    ${who}: ${Math.min(saga.stepIndex + 1, saga.steps)}/${saga.steps} ${printable(step)}\n`);
    }
  };
  return {
    style,
    live,
    title: (text) => line(`\n${style.paint('strong', text)}`),
    step: (text) => line(`${clock()}  ${style.paint('note', '›')} ${text}`),
    seen: (text) => line(`${clock()}  ${style.paint('good', '✓')} ${text}`),
    note: (text) => line(`${' '.repeat(8)}    ${style.paint('dim', text)}`),
    output: (command, text) => {
      line(`\n${style.paint('dim', '$')} ${style.paint('strong', command)}`);
      out.write(`${text.trimEnd()}\n\n`);
    },
    progress: (report) => {
      if (report === undefined) return;
      if (!live) {
        tellSteps(report);
        return;
      }
      drawBars(
        report.sagas.map((saga) => {
          const name = `          ${(saga.guest ?? saga.name).padEnd(10)}`;
          const step = saga.direction === 'back' ? `undoing ${saga.step}` : saga.step;
          const took = formatDuration(now() - saga.startedAt);
          return `${renderProgress({ ...saga, name, step, text: undefined }, style)} ${style.paint('dim', `(${took})`)}`;
        }),
      );
    },
    settle,
  };
}
