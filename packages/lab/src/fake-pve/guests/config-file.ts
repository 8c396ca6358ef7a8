// The text of `/etc/pve/lxc/{vmid}.conf`: description as comment lines, keys in order, raw `lxc.*` lines, then the
// pending section and one section per snapshot. The digest is the SHA-1 of exactly this text.
import { createHash } from 'node:crypto';
import type { GuestConfig } from '../core.ts';

/** Keys whose values the API returns as JSON numbers; `cpulimit` is a number in the schema but stays a string. */
const INTEGER_KEYS: ReadonlySet<string> = new Set([
  'console',
  'cores',
  'cpuunits',
  'debug',
  'memory',
  'onboot',
  'protection',
  'snaptime',
  'swap',
  'template',
  'tty',
  'unprivileged',
]);

/** Not a `key: value` line but the comment lines of its section. */
export const DESCRIPTION = 'description';

export function emptyConfig(): GuestConfig {
  return { active: new Map(), pending: new Map(), pendingDelete: new Set(), snapshots: new Map(), raw: [] };
}

export function cloneConfig(config: GuestConfig): GuestConfig {
  return {
    active: new Map(config.active),
    pending: new Map(config.pending),
    pendingDelete: new Set(config.pendingDelete),
    snapshots: new Map([...config.snapshots].map(([name, section]) => [name, new Map(section)])),
    raw: config.raw.map(([key, value]) => [key, value]),
  };
}

export function digestOf(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

/** PVE: LXC/Config.pm parse_pct_config. Lines that Proxmox would not understand are dropped, as there. */
export function parseConfig(text: string): GuestConfig {
  const config = emptyConfig();
  let section: Map<string, string> = config.active;
  for (const line of text.split('\n')) {
    const header = /^\[([a-z][a-z0-9_:-]+)\]\s*$/i.exec(line);
    if (header) {
      section = sectionNamed(config, header[1] ?? '');
      continue;
    }
    readLine(config, section, line);
  }
  return config;
}

function sectionNamed(config: GuestConfig, name: string): Map<string, string> {
  if (name.toLowerCase() === 'pve:pending') return config.pending;
  const section = new Map<string, string>();
  config.snapshots.set(name, section);
  return section;
}

function readLine(config: GuestConfig, section: Map<string, string>, line: string): void {
  const comment = /^#(.*)$/.exec(line);
  if (comment) {
    section.set(DESCRIPTION, `${section.get(DESCRIPTION) ?? ''}${decodeText(comment[1] ?? '')}\n`);
    return;
  }
  const raw = /^(lxc\.[a-z0-9_.-]+)(?::|\s*=)\s*(.*?)\s*$/.exec(line);
  if (raw) {
    if (section === config.active) config.raw.push([raw[1] ?? '', raw[2] ?? '']);
    else section.set(raw[1] ?? '', raw[2] ?? '');
    return;
  }
  const pair = /^([a-z][a-z_]*\d*):\s*(.+?)\s*$/.exec(line);
  if (!pair) return;
  const [, key = '', value = ''] = pair;
  if (key === 'delete' && section === config.pending) {
    for (const name of value.split(/[,;\s]+/)) config.pendingDelete.add(name);
  } else if (key === DESCRIPTION) {
    section.set(DESCRIPTION, `${section.get(DESCRIPTION) ?? ''}${decodeText(value)}\n`);
  } else {
    section.set(key, value);
  }
}

/** PVE: write_pct_config. */
export function serializeConfig(config: GuestConfig): string {
  let text = serializeSection(config.active, config.raw);
  const pending = new Map(config.pending);
  if (config.pendingDelete.size > 0) pending.set('delete', [...config.pendingDelete].toSorted().join(','));
  if (pending.size > 0) text += `\n[pve:pending]\n${serializeSection(pending, [])}`;
  for (const name of [...config.snapshots.keys()].toSorted()) {
    text += `\n[${name}]\n${serializeSection(config.snapshots.get(name) ?? new Map(), [])}`;
  }
  return text;
}

function serializeSection(section: ReadonlyMap<string, string>, raw: readonly (readonly [string, string])[]): string {
  const lines: string[] = [];
  const description = section.get(DESCRIPTION)?.replace(/\n+$/, '');
  if (description !== undefined && description !== '') {
    lines.push(...description.split('\n').map((line) => `#${encodeText(line)}`));
  }
  const isRaw = (key: string): boolean => key.startsWith('lxc.');
  const keys = [...section.keys()].filter((key) => key !== DESCRIPTION);
  for (const key of [...keys.filter((key) => !isRaw(key)).toSorted(), ...keys.filter(isRaw)]) {
    lines.push(`${key}: ${section.get(key) ?? ''}`);
  }
  lines.push(...raw.map(([key, value]) => `${key}: ${value}`));
  return lines.map((line) => `${line}\n`).join('');
}

/** Control characters, `%`, `:` and everything beyond ASCII. PVE: Tools encode_text. */
function encodeText(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25 && byte !== 0x3a;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

function decodeText(text: string): string {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const escape = /^%([0-9A-Fa-f]{2})/.exec(text.slice(at, at + 3));
    if (escape) {
      bytes.push(Number.parseInt(escape[1] ?? '', 16));
      at += 2;
    } else bytes.push(...Buffer.from(text.charAt(at), 'utf8'));
  }
  return Buffer.from(bytes).toString('utf8');
}

/** A config value as the API returns it. */
export function apiValue(key: string, value: string): string | number {
  return INTEGER_KEYS.has(key) && /^-?\d+$/.test(value) ? Number(value) : value;
}

/** `GET config`: active values, with the pending changes merged in unless `current` was asked for. */
export function configForApi(config: GuestConfig, digest: string, view: 'current' | 'merged'): Record<string, unknown> {
  const merged = new Map(config.active);
  if (view === 'merged') {
    for (const [key, value] of config.pending) merged.set(key, value);
    for (const key of config.pendingDelete) merged.delete(key);
  }
  const answer: Record<string, unknown> = { digest };
  for (const [key, value] of merged) answer[key] = apiValue(key, value);
  if (config.raw.length > 0) answer['lxc'] = config.raw;
  return answer;
}

export function sectionForApi(section: ReadonlyMap<string, string>): Record<string, unknown> {
  return Object.fromEntries([...section].map(([key, value]) => [key, apiValue(key, value)]));
}

/** `GET pending`: one entry per key, the digest included. */
export function pendingForApi(config: GuestConfig, digest: string): Record<string, unknown>[] {
  const rows: Record<string, unknown>[] = [{ key: 'digest', value: digest }];
  for (const [key, value] of config.active) {
    const row: Record<string, unknown> = { key, value: apiValue(key, value) };
    const pending = config.pending.get(key);
    if (pending !== undefined) row['pending'] = apiValue(key, pending);
    if (config.pendingDelete.has(key)) row['delete'] = 1;
    rows.push(row);
  }
  for (const [key, value] of config.pending) {
    if (!config.active.has(key)) rows.push({ key, pending: apiValue(key, value) });
  }
  return rows;
}

/** What vzdump puts into an archive: the active section without lock and parent. PVE: VZDump/LXC.pm assemble. */
export function archivedText(config: GuestConfig): string {
  const active = new Map(config.active);
  active.delete('lock');
  active.delete('parent');
  return serializeSection(active, config.raw);
}

/** rootfs first, then mp0, mp1, … in numeric order: the order in which Proxmox allocates and frees. */
export function mountKeysOf(section: ReadonlyMap<string, string>): string[] {
  const points = [...section.keys()].filter((key) => /^mp\d+$/.test(key));
  return [...(section.has('rootfs') ? ['rootfs'] : []), ...numerically(points)];
}

export function unusedKeysOf(section: ReadonlyMap<string, string>): string[] {
  return numerically([...section.keys()].filter((key) => /^unused\d+$/.test(key)));
}

export function netKeysOf(section: ReadonlyMap<string, string>): string[] {
  return numerically([...section.keys()].filter((key) => /^net\d+$/.test(key)));
}

function numerically(keys: string[]): string[] {
  return keys.toSorted((left, right) => Number(left.replace(/\D+/g, '')) - Number(right.replace(/\D+/g, '')));
}
