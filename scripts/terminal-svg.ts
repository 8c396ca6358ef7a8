/** Draws recorded terminal output, colours included, as an SVG that needs no font of its own. */

const palette: Record<string, string> = { 31: '#e06c75', 32: '#98c379', 33: '#e5c07b', 36: '#56b6c2', 2: '#7f848e' };
const text = '#d7dae0';
const lineHeight = 19;
const charWidth = 8.43;

interface Span {
  readonly text: string;
  readonly fill: string;
  readonly bold: boolean;
}

/** The escape sequences of colour in one line, as spans. Sequences other than colour are dropped. */
export function spansOf(line: string): Span[] {
  const spans: Span[] = [];
  let fill = text;
  let bold = false;
  // oxlint-disable-next-line no-control-regex
  for (const part of line.split(/(\u001B\[[0-9;]*m)/)) {
    // oxlint-disable-next-line no-control-regex
    const codes = /^\u001B\[([0-9;]*)m$/.exec(part)?.[1];
    if (codes === undefined) {
      if (part !== '') spans.push({ text: part, fill, bold });
      continue;
    }
    for (const code of codes.split(';')) {
      if (code === '' || code === '0') [fill, bold] = [text, false];
      else if (code === '1') bold = true;
      else if (code === '22') [fill, bold] = [fill === palette['2'] ? text : fill, false];
      else if (code === '39') fill = text;
      else fill = palette[code] ?? fill;
    }
  }
  return spans;
}

const escapeXml = (value: string): string =>
  value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

export function terminalSvg(recording: string, title: string): string {
  const lines = recording.replace(/\n+$/, '').split('\n');
  const columns = Math.max(60, ...lines.map((line) => spansOf(line).reduce((n, span) => n + span.text.length, 0)));
  const width = Math.ceil(columns * charWidth) + 40;
  const height = (lines.length + 1) * lineHeight + 50;
  const rows = lines.map((line, at) => {
    const spans = spansOf(line).map(
      (span) => `<tspan fill="${span.fill}"${span.bold ? ' font-weight="bold"' : ''}>${escapeXml(span.text)}</tspan>`,
    );
    return `<text x="20" y="${56 + at * lineHeight}" xml:space="preserve">${spans.join('')}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(title)}">`,
    '<rect width="100%" height="100%" rx="8" fill="#1e2127"/>',
    `<text x="20" y="26" fill="#7f848e" font-family="monospace" font-size="13">$ ${escapeXml(title)}</text>`,
    '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="14">',
    ...rows,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}
