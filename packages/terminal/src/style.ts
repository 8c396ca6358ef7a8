/** Colour for people. Without colour every function returns its text unchanged, so that logs and pipes stay clean. */
import { styleText } from 'node:util';

export type Tone = 'plain' | 'strong' | 'dim' | 'good' | 'warn' | 'bad' | 'note';
export interface Style {
  readonly colour: boolean;
  paint(tone: Tone, text: string): string;
}

const formats = {
  plain: undefined,
  strong: 'bold',
  dim: 'dim',
  good: 'green',
  warn: 'yellow',
  bad: 'red',
  note: 'cyan',
} as const satisfies Record<Tone, Parameters<typeof styleText>[0] | undefined>;

/** `colour` as decided by `wantsColour`. */
export function createStyle(colour: boolean): Style {
  return {
    colour,
    paint(tone, text) {
      const format = formats[tone];
      if (!colour || format === undefined || text === '') return text;
      return styleText(format, text, { validateStream: false });
    },
  };
}

/** Colour on a terminal, unless NO_COLOR is set or the terminal is dumb; FORCE_COLOR wins over both. */
export function wantsColour(isTty: boolean, env: Readonly<Record<string, string | undefined>>): boolean {
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined && forced !== '0' && forced !== 'false') return true;
  const refused = env['NO_COLOR'];
  if (refused !== undefined && refused !== '') return false;
  return isTty && env['TERM'] !== 'dumb';
}
