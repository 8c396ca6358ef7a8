/** Files of the operator beside the login: readable by their owner only, replaced whole, read through a schema. */
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseVersionedJson } from '@felhom/protocol';
import type { Versioned } from '@felhom/protocol';
import { CliError, exitCodes } from './io.ts';
import type { CliIo } from './io.ts';
import { settingsPath } from './settings.ts';

const largestPrivateFile = 4 * 1024 * 1024;

/** Absolute path of a file beside the settings. */
export function privatePath(io: Pick<CliIo, 'env' | 'homeDirectory'>, name: string): string {
  return join(dirname(settingsPath(io)), name);
}

/**
 * `undefined`: there is no such file. A file that others may write, or that does not parse, ends the command: what it
 * says decides what is believed, so there is no default to fall back to.
 */
export async function readPrivateFile<T>(path: string, kind: Versioned<T>): Promise<T | undefined> {
  let text: string;
  try {
    const { mode, size } = await stat(path);
    if ((mode & 0o077) !== 0)
      throw new CliError(
        exitCodes.failed,
        'settings.exposed',
        `cannot use ${path}: other users can reach it`,
        `look at what is in it, then chmod 600 ${path}`,
      );
    text = size > largestPrivateFile ? '' : await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const parsed = parseVersionedJson(kind, text);
  if (parsed.is === 'ok') return parsed.value;
  throw new CliError(
    exitCodes.failed,
    'settings.unreadable',
    `cannot use ${path}: ${parsed.text}`,
    'put a copy of it back, or move it away and pin every host again from its own screen',
  );
}

/** Written beside and renamed, so that a crash leaves the old file or the new one. */
export async function writePrivateFile(path: string, value: object): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(`${path}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}
