/**
 * PVE::JSONSchema for the parameters of a call: what Perl checks, in its order, in its words.
 */
import { textOf } from '../core.ts';
import type { Properties, Property } from '../schema/facts.ts';
import { splitList, type FormatCheck } from './formats.ts';

export interface SchemaRules {
  readonly formats: ReadonlyMap<string, FormatCheck>;
  /** Named property strings, e.g. `prune-backups`. */
  readonly propertyStrings: Readonly<Record<string, Properties>>;
}

export type CheckedParams =
  | { readonly is: 'ok'; readonly params: Readonly<Record<string, unknown>> }
  | { readonly is: 'refused'; readonly errors: Readonly<Record<string, string>> };

/** Checks `given` and turns numbers into numbers and booleans into 0 or 1. `open`: unknown keys are let through. */
export function checkParams(
  given: Readonly<Record<string, unknown>>,
  properties: Properties,
  rules: SchemaRules,
  open = false,
): CheckedParams {
  const errors: Record<string, string> = {};
  const params: Record<string, unknown> = {};
  checkObject(given, properties, rules, open, '', errors, params);
  return Object.keys(errors).length === 0 ? { is: 'ok', params } : { is: 'refused', errors };
}

function checkObject(
  given: Readonly<Record<string, unknown>>,
  properties: Properties,
  rules: SchemaRules,
  open: boolean,
  path: string,
  errors: Record<string, string>,
  params: Record<string, unknown>,
): void {
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  for (const name of Object.keys(properties).sort()) {
    const property = properties[name];
    if (property === undefined) continue;
    const value = given[name];
    if (value === undefined || value === null) {
      if (property.optional !== 1 && property.alias === undefined)
        errors[at(name)] = 'property is missing and it is not optional';
      continue;
    }
    params[name] = checkProperty(value, property, rules, at(name), errors);
  }
  for (const [name, value] of Object.entries(given)) {
    const property = properties[name];
    if (property === undefined) {
      if (open) params[name] = value;
      else if (value !== undefined && value !== null)
        errors[at(name)] = 'property is not defined in schema and the schema does not allow additional properties';
    } else if (property.requires !== undefined && given[property.requires] === undefined && value !== undefined)
      errors[at(property.requires)] = `missing property - '${at(name)}' requires this property`;
  }
}

function checkProperty(
  raw: unknown,
  property: Property,
  rules: SchemaRules,
  path: string,
  errors: Record<string, string>,
): unknown {
  const type = property.type ?? 'string';
  if (type === 'array') {
    const items = Array.isArray(raw) ? raw : [raw];
    return items.map((item, n) => checkProperty(item, property.items ?? {}, rules, `${path}.[${n}]`, errors));
  }
  const isList = typeof property.format === 'string' && property.format.endsWith('-list');
  const value = Array.isArray(raw) && isList ? raw.join(',') : raw;
  if (typeof value === 'object') {
    errors[path] = `type check ('${type}') failed - got ${Array.isArray(value) ? 'ARRAY' : 'HASH'}`;
    return undefined;
  }
  const text = value === true ? '1' : value === false ? '0' : textOf(value);
  if (!hasType(text, type)) {
    errors[path] = `type check ('${type}') failed - got '${text}'`;
    return undefined;
  }
  const problem = checkText(text, property, rules, path);
  if (problem !== undefined) {
    errors[path] = problem;
    return undefined;
  }
  return type === 'string' ? text : Number(text);
}

function hasType(text: string, type: string): boolean {
  if (type === 'integer') return /^[+-]?\d+$/.test(text);
  if (type === 'number') return /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text);
  if (type === 'boolean') return /^[01]$/.test(text);
  return true;
}

function checkText(text: string, property: Property, rules: SchemaRules, path: string): string | undefined {
  const badFormat = property.format === undefined ? undefined : checkFormat(text, property.format, rules, path);
  if (badFormat !== undefined) return `invalid format - ${badFormat}`;
  if (property.pattern !== undefined && !perlPattern(property.pattern).test(text))
    return 'value does not match the regex pattern';
  const length = Array.from(text).length;
  if (property.maxLength !== undefined && length > property.maxLength)
    return `value may only be ${property.maxLength} characters long`;
  if (property.minLength !== undefined && length < property.minLength)
    return `value must be at least ${property.minLength} characters long`;
  if (property.type === 'integer' || property.type === 'number') {
    if (property.maximum !== undefined && Number(text) > property.maximum)
      return `value must have a maximum value of ${property.maximum}`;
    if (property.minimum !== undefined && Number(text) < property.minimum)
      return `value must have a minimum value of ${property.minimum}`;
  }
  if (property.enum !== undefined && !property.enum.includes(text))
    return `value '${text}' does not have a value in the enumeration '${property.enum.join(', ')}'`;
  return undefined;
}

/** A Perl pattern as PVE dumps it, `(?^:…)`, anchored as JSONSchema.pm anchors it. */
function perlPattern(pattern: string): RegExp {
  return new RegExp(`^(?:${pattern.replaceAll('(?^:', '(?:')})$`, 's');
}

function checkFormat(text: string, format: string | Properties, rules: SchemaRules, path: string): string | undefined {
  if (typeof format !== 'string') return parsePropertyString(text, format, rules, path).problem;
  const fields = rules.propertyStrings[format];
  if (fields !== undefined) {
    const parsed = parsePropertyString(text, fields, rules, path);
    if (parsed.problem !== undefined) return parsed.problem;
    return format === 'prune-backups' ? checkPrune(parsed.fields) : undefined;
  }
  const exact = rules.formats.get(format);
  if (exact !== undefined) return exact(text);
  const itemCheck = format.endsWith('-list') ? rules.formats.get(format.slice(0, -'-list'.length)) : undefined;
  if (itemCheck === undefined) return undefined;
  for (const item of splitList(text)) {
    const problem = itemCheck(item);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** PVE: Storage/Plugin.pm validate_storage_prune. */
function checkPrune(fields: Readonly<Record<string, unknown>>): string | undefined {
  return fields['keep-all'] === 1 && Object.entries(fields).some(([key, value]) => key !== 'keep-all' && value !== 0)
    ? 'keep-all cannot be set together with other options.\n'
    : undefined;
}

export interface ParsedPropertyString {
  readonly fields: Readonly<Record<string, unknown>>;
  /** The text of the `die`, when the string is no good. */
  readonly problem: string | undefined;
}

/** PVE: JSONSchema.pm parse_property_string, `key=value,…` with one key that may be left out. */
export function parsePropertyString(
  text: string,
  format: Properties,
  rules: SchemaRules,
  path = '',
): ParsedPropertyString {
  const raw: Record<string, unknown> = {};
  const failed = (problem: string): ParsedPropertyString => ({ fields: {}, problem });
  const defaultKey = Object.keys(format).find((key) => format[key]?.default_key === 1);
  for (const part of text.split(',')) {
    if (/^\s*$/.test(part)) continue;
    const pair = /^([^=]+)=(.+)$/s.exec(part);
    if (pair !== null) {
      const [, key = '', value = ''] = pair;
      const field = format[key];
      if (raw[key] !== undefined) return failed(`duplicate key in comma-separated list property: ${key}\n`);
      if (field === undefined) return failed(`invalid key in comma-separated list property: ${key}\n`);
      raw[key] = field.type === 'boolean' ? booleanWord(value) : value;
    } else if (!part.includes('=')) {
      if (defaultKey === undefined) return failed('value without key, but schema does not define a default key\n');
      if (raw[defaultKey] !== undefined)
        return failed(`duplicate key in comma-separated list property: ${defaultKey}\n`);
      raw[defaultKey] = part;
    } else return failed('missing key in comma-separated list property\n');
  }
  const errors: Record<string, string> = {};
  const fields: Record<string, unknown> = {};
  checkObject(raw, format, rules, false, path, errors, fields);
  const lines = Object.entries(errors).map(([key, problem]) => `${key}: ${problem}\n`);
  return lines.length === 0 ? { fields, problem: undefined } : failed(`format error\n${lines.join('')}`);
}

function booleanWord(value: string): string {
  if (/^(1|on|yes|true)$/i.test(value)) return '1';
  return /^(0|off|no|false)$/i.test(value) ? '0' : value;
}
