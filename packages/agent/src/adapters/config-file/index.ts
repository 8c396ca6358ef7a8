/**
 * Reads the agent's own files: configuration, policy, secrets. Bad input is an answer, not an exception: the agent then
 * runs degraded and says which file, which line and what was expected.
 */
import { readFileSync, statSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { type Reason, reason } from '@felhom/protocol';

const largestFileBytes = 1024 * 1024;

export type Loaded<T> = { readonly is: 'loaded'; readonly value: T } | { readonly is: 'bad'; readonly why: Reason };

/** Parses a YAML (or JSON) file by one schema. Errors: `config.unreadable`, `config.invalid`. */
export function loadFile<T>(file: string, schema: z.ZodType<T>): Loaded<T> {
  let text: string;
  try {
    const { size, isFile } = facts(file);
    // Reading a pipe or a device would wait, or fill the memory, for ever.
    if (!isFile) return bad('config.unreadable', `cannot read ${file}: it is no plain file`);
    if (size > largestFileBytes)
      return bad('config.invalid', `cannot read ${file}: ${size} bytes, at most ${largestFileBytes} are allowed`);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return bad('config.unreadable', `cannot read ${file}: ${(error as Error).message}`);
  }
  let raw: unknown;
  try {
    raw = parseYaml(text, { maxAliasCount: 0, logLevel: 'error' });
  } catch (error) {
    return bad('config.invalid', `cannot parse ${file}: ${(error as Error).message.split('\n')[0] ?? ''}`);
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return { is: 'loaded', value: Object.freeze(parsed.data) };
  const issues = parsed.error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.join('.') || 'document'}: ${issue.message}`);
  return bad('config.invalid', `cannot use ${file}: ${issues.join('; ')}`);
}

/** Where systemd lays down what a unit says with `LoadCredential=`: readable by its user alone, by an ACL that shows as group. */
const credentials = /^\/run\/credentials\/[^/]+\/[^/]+$/;

/**
 * Reads a secret from a file that others cannot read. The content never appears in an error.
 * Errors: `config.unreadable`, `config.secret-exposed` (mode allows group or others).
 */
export function loadSecret(file: string): Loaded<string> {
  try {
    const { mode, size, isFile } = facts(file);
    if (!isFile) return bad('config.unreadable', `cannot read ${file}: it is no plain file`);
    if ((mode & 0o077) !== 0 && !credentials.test(file))
      return bad(
        'config.secret-exposed',
        `cannot use ${file}: mode ${(mode & 0o777).toString(8)} lets others read it; run: chmod 600 ${file}`,
      );
    if (size > 4096) return bad('config.invalid', `cannot use ${file}: ${size} bytes are too many for a secret`);
    const secret = readFileSync(file, 'utf8').trim();
    if (secret === '') return bad('config.invalid', `cannot use ${file}: it is empty`);
    return { is: 'loaded', value: secret };
  } catch (error) {
    return bad('config.unreadable', `cannot read ${file}: ${(error as Error).message}`);
  }
}

function facts(file: string): { readonly mode: number; readonly size: number; readonly isFile: boolean } {
  const found = statSync(file);
  return { mode: found.mode, size: found.size, isFile: found.isFile() };
}

function bad(
  code: 'config.unreadable' | 'config.invalid' | 'config.secret-exposed',
  text: string,
): { is: 'bad'; why: Reason } {
  return { is: 'bad', why: reason(code, text) };
}
