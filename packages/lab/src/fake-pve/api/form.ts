/**
 * Request bodies and queries as pveproxy decodes them.
 * PVE: APIServer/AnyEvent.pm decode_urlencoded: pairs split on `&` and `;`, the value ends at a second `=`, a repeated
 * key becomes a list, `+` is a blank. `key=` arrives as an empty string (seen with cores= and ostemplate=).
 */

export type BodyResult =
  | { readonly is: 'params'; readonly params: Readonly<Record<string, unknown>> }
  | { readonly is: 'refused'; readonly status: number; readonly reason: string };

/** Largest request body, bytes (pve-http-server 5.2.1 and later). */
export const bodyLimit = 512 * 1024;

export function decodeForm(text: string): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  for (const pair of text.split(/[&;]/)) {
    const [rawKey = '', rawValue = ''] = pair.split('=');
    const key = unescapeForm(rawKey);
    if (key === '') continue;
    const value = unescapeForm(rawValue);
    const before = params[key];
    if (before === undefined) params[key] = value;
    else params[key] = Array.isArray(before) ? [...(before as unknown[]), value] : [before, value];
  }
  return params;
}

export function decodeJson(text: string): BodyResult {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return { is: 'params', params: { ...value } };
  } catch {
    // answered below, as every other text that is not an object
  }
  const offset = /^\s*\{[^}]*$/.test(text) ? text.length : 0;
  const where = offset === text.length ? '(end of string)' : text.slice(offset);
  return {
    is: 'refused',
    status: 500,
    reason: `malformed JSON string, neither tag, array, object, number, string or atom, at character offset ${offset} (before "${where}") at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 934.\n`,
  };
}

function unescapeForm(text: string): string {
  const blanks = text.replaceAll('+', ' ');
  try {
    return decodeURIComponent(blanks);
  } catch {
    return blanks;
  }
}
