/**
 * Parsing at the edge. A document of a version that this release does not know is refused before anything else of it
 * is looked at, and the refusal names the versions that are known, so that the other side can tell which to update.
 */
import type { z } from 'zod';

export type Parsed<T> =
  | { readonly is: 'ok'; readonly value: T }
  | { readonly is: 'unknown-version'; readonly text: string }
  | { readonly is: 'invalid'; readonly text: string };

export interface Versioned<T> {
  /** What it is called in messages, e.g. "poll answer". */
  readonly what: string;
  readonly versions: readonly number[];
  readonly schema: z.ZodType<T>;
}

/** Texts read "cannot read <what>: …" and name paths and rules, never values: a value may be a secret. */
export function parseVersioned<T>(kind: Versioned<T>, raw: unknown): Parsed<T> {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    return { is: 'invalid', text: `cannot read ${kind.what}: it is not a mapping of fields` };
  const version: unknown = 'v' in raw ? raw.v : undefined;
  if (!kind.versions.some((known) => known === version)) {
    const found = typeof version === 'number' ? `version ${version}` : 'a missing or malformed version "v"';
    return {
      is: 'unknown-version',
      text: `cannot read ${kind.what}: it has ${found}, known here: ${kind.versions.join(', ')}`,
    };
  }
  const parsed = kind.schema.safeParse(raw);
  if (parsed.success) return { is: 'ok', value: parsed.data };
  return { is: 'invalid', text: `cannot read ${kind.what}: ${describeIssues(parsed.error)}` };
}

/** JSON text first. */
export function parseVersionedJson<T>(kind: Versioned<T>, text: string): Parsed<T> {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may hold anything.
    return { is: 'invalid', text: `cannot read ${kind.what}: it is not JSON` };
  }
  return parseVersioned(kind, raw);
}

const shownIssues = 4;

/** "guests.0.name: must be …; guests.1: unknown field color; and 3 more" */
export function describeIssues(error: z.ZodError): string {
  const lines = error.issues.slice(0, shownIssues).map((issue) => {
    const at = issue.path.map(String).join('.');
    const text =
      issue.code === 'unrecognized_keys'
        ? `unknown field ${issue.keys
            .slice(0, 5)
            .map((key) => JSON.stringify(key.slice(0, 60)))
            .join(', ')}`
        : issue.message;
    return at === '' ? text : `${at}: ${text}`;
  });
  const more = error.issues.length - lines.length;
  return lines.join('; ') + (more > 0 ? `; and ${more} more` : '');
}
