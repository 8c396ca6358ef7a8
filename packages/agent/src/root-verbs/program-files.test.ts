import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileFacts } from '../trust/index.ts';
import { exposedProgram } from './program-files.ts';

const root = { uid: 0, mode: 0o755 };
const main = '/opt/felhom/src/main.ts';

function lookAt(changes: Readonly<Record<string, FileFacts>>): string {
  const reason = exposedProgram(['/usr/bin/node', main], (path) => changes[path] ?? root, 0);
  return reason?.text ?? 'believed';
}

const rows: [name: string, changes: Record<string, FileFacts>, says: RegExp][] = [
  ['all is root’s', {}, /^believed$/],
  ['the file is somebody else’s', { [main]: { uid: 1000, mode: 0o644 } }, /main\.ts: it belongs to uid 1000/],
  ['the file may be written by its group', { [main]: { uid: 0, mode: 0o664 } }, /main\.ts: it has mode 664/],
  ['its folder', { '/opt/felhom/src': { uid: 0, mode: 0o777 } }, /its folder has mode 777/],
  ['a folder far above', { '/opt': { uid: 1000, mode: 0o755 } }, /\/opt\/felhom: its folder belongs to uid 1000/],
  ['a place like /tmp', { '/opt': { uid: 0, mode: 0o41777 } }, /its folder has mode 1777/],
  ['the first of the files', { '/usr/bin/node': { uid: 7, mode: 0o755 } }, /\/usr\/bin\/node: it belongs to uid 7/],
  ['the very top', { '/': { uid: 0, mode: 0o777 } }, /its folder has mode 777/],
];
for (const [name, changes, says] of rows)
  test(`${name}: ${says.source}`, () => {
    assert.match(lookAt(changes), says);
  });
