/** How values get onto the wire. Everything is percent-encoded: Proxmox splits forms on `;` as well as `&`. */

export type Params = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * `key=value` pairs; `undefined` is left out, booleans become 0 and 1 (PVE: forms refuse `true`). Throws on an empty
 * string: a form decodes `key=` to "not given", which is never what the caller meant.
 */
export function encodeForm(params: Params): string {
  const pairs: string[] = [];
  for (const [key, value] of Object.entries(params)) {
    if (value === undefined) continue;
    if (value === '') throw new Error(`cannot send parameter ${key}: an empty value reaches Proxmox as not given`);
    pairs.push(`${percent(key)}=${percent(typeof value === 'boolean' ? (value ? '1' : '0') : String(value))}`);
  }
  return pairs.join('&');
}

/** Joins path segments; volume ids and UPIDs hold `:` `/` `@` `!`, so each segment is encoded whole. */
export function encodePath(segments: readonly (string | number)[]): string {
  return segments.map((segment) => `/${percent(String(segment))}`).join('');
}

/** RFC 3986: encodeURIComponent leaves `! ' ( ) *` alone. */
function percent(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}
