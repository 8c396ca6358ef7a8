/**
 * Proxmox property strings: `name=eth0,bridge=vmbr0,…`, where one key may be written without its name
 * (`local:101/vm-101-disk-0.raw,size=8G`). Pure. Order is kept, because Proxmox shows it to people.
 */

export type Properties = ReadonlyMap<string, string>;

/** `bareKey` names the part that carries no `key=`. A part that cannot be read is kept under its own text. */
export function parseProperties(text: string, bareKey?: string): Properties {
  const parts = new Map<string, string>();
  for (const part of text.split(',')) {
    if (part === '') continue;
    const at = part.indexOf('=');
    if (at > 0) parts.set(part.slice(0, at), part.slice(at + 1));
    else if (bareKey !== undefined && !parts.has(bareKey)) parts.set(bareKey, part);
    else parts.set(part, '');
  }
  return parts;
}

export function formatProperties(properties: Properties, bareKey?: string): string {
  const parts: string[] = [];
  for (const [key, value] of properties)
    if (key === bareKey) parts.unshift(value);
    else parts.push(`${key}=${value}`);
  return parts.join(',');
}

/** Proxmox's spellings of a boolean. Absent is `absent`. */
export function parseFlag(value: string | undefined, absent: boolean): boolean {
  return value === undefined ? absent : /^(?:1|on|yes|true)$/i.test(value);
}

const gibPerUnit = { '': 1 / 1024 ** 3, K: 1 / 1024 ** 2, M: 1 / 1024, G: 1, T: 1024 } as const;

/** `8G` → 8. `undefined` where it is no size. PVE: JSONSchema `parse_size`; no unit is bytes. */
export function parseSizeGiB(text: string | undefined): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)$/.exec(text ?? '');
  if (match === null) return undefined;
  return Number(match[1]) * gibPerUnit[match[2] as keyof typeof gibPerUnit];
}
