/** A diff of desired state for people. */
import { formatCount, indent, printableLine } from '@felhom/terminal';
import type { Style, Tone } from '@felhom/terminal';
import type { DesiredChange, Verdict } from './desired-diff.ts';

const verdicts = {
  unsigned: ['dim', 'by itself'],
  ranged: ['dim', 'by itself, inside the ranges of the host'],
  signed: ['warn', 'blocked until it is signed'],
  finding: ['note', 'reported only, nothing is done'],
} as const satisfies Record<Verdict, readonly [Tone, string]>;

/** Ends with a line that counts; says so where nothing differs. Labels may be a host's words: none forges a line. */
export function renderDiff(changes: readonly DesiredChange[], style: Style): string {
  if (changes.length === 0) return 'No differences.\n';
  const guests = [...new Set(changes.map((change) => change.guest))];
  const blocks = guests.map((guest) => {
    const mine = changes.filter((change) => change.guest === guest);
    const whole = mine.find((change) => change.kind !== 'change');
    if (whole === undefined)
      return `${style.paint('note', '~')} ${style.paint('strong', guest)}\n${mine.map((change) => indent(line(change, style))).join('')}`;
    const [tone, sign] = whole.kind === 'add' ? (['good', '+'] as const) : (['bad', '-'] as const);
    const [, what] = verdicts[whole.verdict];
    const text =
      whole.kind === 'add'
        ? `${whole.to} (made ${what})`
        : 'not wanted any more (it stays until people sign its removal: felhom approve)';
    return `${style.paint(tone, sign)} ${style.paint('strong', guest)}  ${text}\n`;
  });
  const signed = changes.filter((change) => change.verdict === 'signed').length;
  const need = signed === 0 ? 'none needs' : signed === 1 ? 'one needs' : `${signed} need`;
  return `${blocks.join('')}${formatCount(changes.length, 'difference')}; ${need} a signature.\n`;
}

function line(change: DesiredChange, style: Style): string {
  const [tone, what] = verdicts[change.verdict];
  const from = change.from === '' ? '(none)' : printableLine(change.from);
  const to = change.to === '' ? '(none)' : printableLine(change.to);
  return `${change.field}  ${style.paint('bad', from)} → ${style.paint('good', to)}  ${style.paint(tone, what)}\n`;
}
