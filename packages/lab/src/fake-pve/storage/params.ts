// Checked parameters as text; the schema has made numbers and lists of what came off the wire.

/** Undefined for a parameter that was not given; lists are joined with commas. */
export function asText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? value.map((one) => asText(one) ?? '').join(',') : undefined;
}

/** Splits like PVE::Tools::split_list. */
export function asList(value: unknown): readonly string[] {
  return (asText(value) ?? '').split(/[,;\0\s]+/).filter((part) => part !== '');
}
