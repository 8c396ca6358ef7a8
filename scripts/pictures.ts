/**
 * Draws the pictures of the documentation from what the code says, so that they cannot go stale.
 *
 *   node scripts/run.cjs scripts/pictures.ts [--check]
 *
 * The maps are mermaid blocks between markers in docs/architecture.md, drawn from the arrows that the walls enforce.
 * The terminal picture in the README is a recording of a real lab run, drawn as SVG by `--record FILE`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { agentArrows, packageArrows } from './walls.ts';
import { terminalSvg } from './terminal-svg.ts';

const root = resolve(import.meta.dirname, '..');
const page = resolve(root, 'docs/architecture.md');

const packageMap = (): string[] =>
  Object.entries(packageArrows).flatMap(([from, targets]) =>
    targets.length === 0 ? [`  ${from}`] : targets.map((to) => `  ${from} --> ${to}`),
  );

/** Rooms only: the composition root may import everything, which would hide every other arrow. */
const roomMap = (): string[] =>
  Object.entries(agentArrows)
    .filter(([room, targets]) => !room.endsWith('.ts') && !targets.includes('*'))
    .flatMap(([from, targets]) => targets.filter((to) => !to.endsWith('.ts')).map((to) => `  ${from} --> ${to}`));

const block = (lines: readonly string[]): string => ['```mermaid', 'flowchart TD', ...lines, '```'].join('\n');

function fill(text: string, name: string, content: string): string {
  const pattern = new RegExp(`(<!-- picture:${name} -->\\n)[\\s\\S]*?(<!-- /picture -->)`);
  if (!pattern.test(text)) throw new Error(`cannot draw picture ${name}: docs/architecture.md has no marker for it`);
  return text.replace(pattern, (_all, open: string, close: string) => `${open}\n${content}\n\n${close}`);
}

/** The page as it should be. */
export function drawPage(text: string): string {
  return fill(fill(text, 'packages', block(packageMap())), 'rooms', block(roomMap()));
}

if (import.meta.main) {
  const [mode, file] = process.argv.slice(2);
  const text = readFileSync(page, 'utf8');
  const drawn = drawPage(text);
  if (mode === '--record' && file !== undefined) {
    writeFileSync(resolve(root, 'docs/lab.svg'), terminalSvg(readFileSync(file, 'utf8'), 'npm run lab -- --once'));
    console.log('pictures: wrote docs/lab.svg');
  } else if (mode === '--check') {
    if (drawn !== text) {
      console.error('pictures: docs/architecture.md is stale; run: node scripts/run.cjs scripts/pictures.ts');
      process.exitCode = 1;
    } else console.log('pictures: up to date');
  } else {
    writeFileSync(page, drawn);
    console.log('pictures: wrote docs/architecture.md');
  }
}
