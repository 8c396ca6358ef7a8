/** Width on a terminal: escape sequences take no room, wide characters take two columns. */
import { stripVTControlCharacters } from 'node:util';

const segments = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
const wide = /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u;

export function displayWidth(text: string): number {
  let width = 0;
  for (const { segment } of segments.segment(stripVTControlCharacters(text))) width += wide.test(segment) ? 2 : 1;
  return width;
}

/** Cuts plain text to `columns`, ending in "…" where something was cut. Text with escape sequences is returned as is. */
export function clip(text: string, columns: number): string {
  if (displayWidth(text) <= columns || stripVTControlCharacters(text) !== text) return text;
  let out = '';
  let width = 0;
  for (const { segment } of segments.segment(text)) {
    const next = wide.test(segment) ? 2 : 1;
    if (width + next > columns - 1) break;
    out += segment;
    width += next;
  }
  return `${out}…`;
}

/** `printable` for what must stay on its line, such as a cell of a table: a line feed is shown as well. */
export function printableLine(text: string): string {
  return printable(text).replaceAll('\n', '\\u000a');
}

/**
 * Makes text from elsewhere (a guest's name, a task log) safe to print: control characters, which could move the
 * cursor or forge lines, become visible escapes. Line feeds are kept.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
