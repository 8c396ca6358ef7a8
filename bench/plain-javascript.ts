/**
 * The agent as plain JavaScript in a folder of its own, as a release carries it: in development Node strips the types
 * itself, and the compiler that it loads for that takes more memory than the agent does.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
/** What the agent is made of. */
const packages = ['protocol', 'terminal', 'agent'] as const;

/** Writes it below `folder`, which must not exist; answers the path of the agent's program. */
export function writePlainAgent(folder: string): string {
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, '@felhom'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules')))
    if (name !== '@felhom' && !name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  for (const name of packages) writePackage(join(root, 'packages', name), join(modules, '@felhom', name));
  return join(modules, '@felhom/agent/src/main.js');
}

function writePackage(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  const manifest = readFileSync(join(from, 'package.json'), 'utf8').replaceAll('.ts"', '.js"');
  writeFileSync(join(to, 'package.json'), manifest);
  for (const entry of readdirSync(join(from, 'src'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith('.test.ts')) continue;
    const source = join(entry.parentPath, entry.name);
    const target = join(to, source.slice(from.length));
    if (!existsSync(dirname(target))) mkdirSync(dirname(target), { recursive: true });
    if (entry.name.endsWith('.ts')) writeFileSync(target.replace(/\.ts$/, '.js'), strip(readFileSync(source, 'utf8')));
    else cpSync(source, target);
  }
}

/** Only specifiers end in `.ts'`; texts that do would be changed too, which measures the same. */
const strip = (source: string): string => stripTypeScriptTypes(source).replaceAll(".ts'", ".js'");
