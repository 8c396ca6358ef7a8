/** The file that an operator writes: YAML, of which JSON is a part. */
import { desiredStateFile, desiredStateVersions, maxDesiredStateBytes, parseVersioned } from '@felhom/protocol';
import type { DesiredStateFile } from '@felhom/protocol';
import { parse, stringify } from 'yaml';
import { CliError, exitCodes } from './io.ts';
import type { CliIo } from './io.ts';
import { readText } from './settings.ts';

/** `-` reads standard input. Errors name the file and the place in it. */
export async function readDesiredFile(io: CliIo, path: string): Promise<DesiredStateFile> {
  const name = path === '-' ? 'standard input' : path;
  const text = path === '-' ? await io.readStdin() : await readText(path);
  if (Buffer.byteLength(text) > maxDesiredStateBytes)
    throw invalid(`cannot use ${name}: it is larger than ${maxDesiredStateBytes} bytes`);
  let raw: unknown;
  try {
    raw = parse(text, { maxAliasCount: 20, uniqueKeys: true, strict: true });
  } catch (error) {
    throw invalid(`cannot use ${name}: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'no YAML'}`);
  }
  const parsed = parseVersioned(
    { what: 'desired state', versions: desiredStateVersions, schema: desiredStateFile },
    raw,
  );
  if (parsed.is === 'ok') return parsed.value;
  throw invalid(`cannot use ${name}: ${parsed.text}`);
}

function invalid(text: string): CliError {
  return new CliError(exitCodes.failed, 'desired.invalid', text, 'correct the file; nothing was sent');
}

export function renderDesiredYaml(text: string): string {
  return stringify(JSON.parse(text), { lineWidth: 0 });
}
