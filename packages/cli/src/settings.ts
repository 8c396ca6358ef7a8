/** Which hub, and with what token: `~/.config/felhom/config.json`, readable by its owner only; the environment wins. */
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { CliError, exitCodes } from './io.ts';
import type { CliIo } from './io.ts';

const settingsFile = z.strictObject({
  v: z.literal(1),
  url: z.string(),
  token: z.string(),
  /** PEM of the CA that the hub's certificate is from, where it is not a public one. */
  ca: z.string().optional(),
});
export type Settings = Omit<z.output<typeof settingsFile>, 'v'>;

export function settingsPath(io: Pick<CliIo, 'env' | 'homeDirectory'>): string {
  const base = io.env['XDG_CONFIG_HOME'] ?? join(io.homeDirectory, '.config');
  return join(base, 'felhom', 'config.json');
}

/** Errors: not logged in (exit 3), a file that others can read or that cannot be read (exit 1). */
export async function loadSettings(io: CliIo): Promise<Settings> {
  const { FELHOM_HUB_URL: url, FELHOM_TOKEN: token, FELHOM_CA_FILE: caFile } = io.env;
  const stored = await readSettings(settingsPath(io));
  const merged = {
    url: url ?? stored?.url,
    // A stored token belongs to the stored hub and is not shown to another one.
    token: token ?? (url === undefined || url === stored?.url ? stored?.token : undefined),
    ca: caFile === undefined ? stored?.ca : await readText(caFile),
  };
  if (merged.url === undefined || merged.token === undefined)
    throw new CliError(
      exitCodes.hub,
      'login.missing',
      'cannot ask the hub: nobody is logged in',
      'felhom login URL, or set FELHOM_HUB_URL and FELHOM_TOKEN',
    );
  return { url: merged.url, token: merged.token, ...(merged.ca === undefined ? {} : { ca: merged.ca }) };
}

async function readSettings(path: string): Promise<Settings | undefined> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0)
      throw new CliError(
        exitCodes.failed,
        'settings.exposed',
        `cannot use ${path}: other users can read the token in it`,
        `chmod 600 ${path}, then make a new token: this one may be known`,
      );
    const parsed = settingsFile.safeParse(JSON.parse(await readFile(path, 'utf8')));
    if (parsed.success) return parsed.data;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new CliError(exitCodes.failed, 'settings.unreadable', `cannot read ${path}: it is damaged`, 'felhom login URL');
}

/** Written beside and renamed, so that a crash leaves the old file or the new one. */
export async function saveSettings(io: CliIo, settings: Settings): Promise<string> {
  const path = settingsPath(io);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const text = JSON.stringify({ v: 1, ...settings } satisfies z.input<typeof settingsFile>, null, 2);
  await writeFile(`${path}.new`, `${text}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
  return path;
}

/** Errors say which file, never what is in it. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new CliError(exitCodes.failed, 'file.unreadable', `cannot read ${path}: ${why}`);
  }
}
