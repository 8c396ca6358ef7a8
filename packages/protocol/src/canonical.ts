/**
 * Canonical JSON: one value has exactly one text, so that a digest of the text is a digest of the value. Keys are
 * sorted by UTF-16 code units and nothing is optional about white space, as in RFC 8785; numbers are narrowed to safe
 * integers, because nothing that is ever signed here is a fraction and two runtimes may print a fraction differently.
 */
import { createHash } from 'node:crypto';
import type { Digest } from './ids.ts';

export type CanonicalValue =
  null | boolean | number | string | readonly CanonicalValue[] | { readonly [key: string]: CanonicalValue };

/** Far above anything that is signed; a cycle ends here instead of in a stack overflow. */
const deepest = 32;

/**
 * Throws a `TypeError` that names the path for everything JSON would drop, round or repair in silence: undefined,
 * NaN, fractions, integers beyond 2^53, lone surrogates, array holes, symbols, and objects that are not plain.
 */
export function canonicalJson(value: CanonicalValue): string {
  return write(value, '$', 0);
}

/** SHA-256 of the canonical text in UTF-8. Throws as `canonicalJson` does. */
export function canonicalDigest(value: CanonicalValue): Digest {
  return createHash('sha256').update(canonicalJson(value), 'utf8').digest('hex') as Digest;
}

function write(value: unknown, path: string, depth: number): string {
  if (depth > deepest) throw new TypeError(`cannot write canonical JSON: ${path} is nested deeper than ${deepest}`);
  if (value === null) return 'null';
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new TypeError(`cannot write canonical JSON: ${path} is not a safe integer`);
    // Negative zero prints as 0 and equals 0.
    return String(value);
  }
  if (typeof value === 'string') return writeString(value, path);
  if (Array.isArray(value)) {
    if (Reflect.ownKeys(value).length !== value.length + 1)
      throw new TypeError(`cannot write canonical JSON: ${path} has holes or fields of its own`);
    return `[${value.map((item, at) => write(item, `${path}[${at}]`, depth + 1)).join(',')}]`;
  }
  if (typeof value === 'object') return writeObject(value, path, depth);
  throw new TypeError(`cannot write canonical JSON: ${path} is ${typeof value}`);
}

function writeString(text: string, path: string): string {
  if (!text.isWellFormed()) throw new TypeError(`cannot write canonical JSON: ${path} holds a lone surrogate`);
  return JSON.stringify(text);
}

function writeObject(value: object, path: string, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    throw new TypeError(`cannot write canonical JSON: ${path} is not a plain object`);
  if (Object.getOwnPropertySymbols(value).length > 0)
    throw new TypeError(`cannot write canonical JSON: ${path} has symbol keys`);
  const fields = Object.entries(Object.getOwnPropertyDescriptors(value)).map(([key, field]) => {
    if (field.enumerable !== true || !('value' in field))
      throw new TypeError(`cannot write canonical JSON: ${path}.${key} is hidden or computed`);
    return [key, field.value as unknown] as const;
  });
  return `{${fields
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${writeString(key, path)}:${write(field, `${path}.${key}`, depth + 1)}`)
    .join(',')}}`;
}
