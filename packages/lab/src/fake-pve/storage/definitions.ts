// Storage definitions: `/etc/pve/storage.cfg` and the rules for changing it. PVE: API2/Storage/Config.pm.
import { createHash } from 'node:crypto';
import { die, paramError } from '../core.ts';
import { asList, asText } from './params.ts';
import { parseKeepPolicy, type KeepPolicy } from './prune.ts';
import { isStorageType, optionAllowed, supportsContent, typeFacts, type StorageType } from './types.ts';

/** One entry. Secrets are never in it: Proxmox keeps them in files of their own. */
export interface Definition {
  readonly storage: string;
  readonly type: StorageType;
  /** Options as stored: text, or numbers where the schema says so. */
  readonly options: Map<string, string | number>;
}

/** Secrets of one storage, below `/etc/pve/priv/storage`. */
export interface StorageSecrets {
  password?: string;
  encryptionKey?: string;
  masterPubkey?: string;
}

export const option = (definition: Definition, name: string): string | undefined => {
  const value = definition.options.get(name);
  return value === undefined ? undefined : String(value);
};

export function contentOf(definition: Definition): readonly string[] {
  const content = option(definition, 'content') ?? typeFacts[definition.type].defaultContent;
  return content.split(/[,;\s]+/).filter((entry) => entry !== '');
}

export function policyOf(definition: Definition): KeepPolicy {
  const parsed = parseKeepPolicy(option(definition, 'prune-backups') ?? 'keep-all=1');
  return parsed.is === 'policy' ? parsed.policy : { all: true, keep: new Map() };
}

/** The mount point that must be there: `is_mountpoint` is a boolean or a path. */
export function expectedMountPoint(definition: Definition): string | undefined {
  const value = option(definition, 'is_mountpoint');
  if (value === undefined || ['no', '0', 'off', 'false'].includes(value)) return undefined;
  return ['yes', '1', 'on', 'true'].includes(value) ? option(definition, 'path') : value;
}

export class Definitions {
  readonly #entries = new Map<string, Definition>();
  readonly secrets = new Map<string, StorageSecrets>();
  /** `local` exists without being written down, until the file is written for the first time. */
  #written = false;

  constructor() {
    this.#entries.set('local', unwrittenLocal());
  }

  all(): readonly Definition[] {
    return [...this.#entries.values()];
  }

  find(storage: string): Definition | undefined {
    return this.#entries.get(storage);
  }

  need(storage: string): Definition {
    return this.#entries.get(storage) ?? die(`storage '${storage}' does not exist`);
  }

  /** SHA-1 of the file; that of nothing while it has never been written. */
  digest(): string {
    return createHash('sha1')
      .update(this.#written ? this.#text() : '')
      .digest('hex');
  }

  add(definition: Definition): void {
    this.#entries.set(definition.storage, definition);
    this.touch();
  }

  remove(storage: string): void {
    this.#entries.delete(storage);
    this.secrets.delete(storage);
    this.touch();
    // The file without it reads as if it had the default one.
    if (storage === 'local') this.#entries.set('local', unwrittenLocal());
  }

  /** The file has been written. */
  touch(): void {
    this.#written = true;
    this.#entries.get('local')?.options.delete('priority');
  }

  #text(): string {
    return this.all()
      .map(({ storage, type, options }) => {
        const lines = [...options].map(([key, value]) => `\t${key} ${value}\n`);
        return `${type}: ${storage}\n${lines.join('')}`;
      })
      .join('\n');
  }
}

/** PVE: Storage/Plugin.pm parse_config. */
function unwrittenLocal(): Definition {
  const options = new Map<string, string | number>([
    ['priority', 0],
    ['path', '/var/lib/vz'],
    ['prune-backups', 'keep-all=1'],
    ['content', 'vztmpl,iso,backup,snippets,images,rootdir'],
  ]);
  return { storage: 'local', type: 'dir', options };
}

const secretOptions = ['password', 'encryption-key', 'master-pubkey', 'keyring'];
const notStored = new Set(['storage', 'type', 'delete', 'digest', 'node', ...secretOptions]);

/** Reads the parameters of POST /storage. Throws what Proxmox answers when they do not fit the type. */
export function newDefinition(params: Readonly<Record<string, unknown>>): Definition {
  const storage = asText(params['storage']) ?? '';
  const type = asText(params['type']) ?? '';
  checkRetention(params['prune-backups']);
  if (!isStorageType(type))
    return die(`create storage failed: storage type '${type}' is not modelled by the fake node`);
  const options = new Map<string, string | number>();
  for (const [key, value] of Object.entries(params)) {
    if (key !== 'node' && !optionAllowed(type, key)) die(`unexpected property '${key}'`);
    if (notStored.has(key) || value === undefined) continue;
    options.set(key, typeof value === 'number' ? value : (asText(value) ?? ''));
  }
  for (const required of typeFacts[type].required) {
    if (params[required] === undefined) die(`missing value for required option '${required}'`);
  }
  if (type === 'pbs') options.set('content', 'backup');
  if ((type === 'nfs' || type === 'cifs') && !options.has('path')) options.set('path', `/mnt/pve/${storage}`);
  settleContent(type, options);
  return { storage, type, options };
}

/** Applies PUT /storage/{storage} to a definition; the caller has checked that the options may be changed. */
export function changeDefinition(definition: Definition, params: Readonly<Record<string, unknown>>): void {
  checkRetention(params['prune-backups']);
  const deleted = asList(params['delete']);
  const changed = Object.entries(params).filter(([key, value]) => !notStored.has(key) && value !== undefined);
  const { required, fixed }: { readonly required: readonly string[]; readonly fixed: readonly string[] } =
    typeFacts[definition.type];
  for (const [key] of changed) {
    if (!optionAllowed(definition.type, key)) die(`unexpected property '${key}'`);
    if (fixed.includes(key)) die(`can't change value of fixed parameter '${key}'`);
  }
  for (const key of deleted) {
    if (!optionAllowed(definition.type, key)) die(`no such option '${key}'`);
    if (required.includes(key)) die(`unable to delete required option '${key}'`);
    if (fixed.includes(key)) die(`unable to delete fixed option '${key}'`);
    if (changed.some(([one]) => one === key)) die(`unable to set and delete property '${key}' at the same time!`);
  }
  const next = new Map(definition.options);
  for (const key of deleted) next.delete(key);
  for (const [key, value] of changed) next.set(key, typeof value === 'number' ? value : (asText(value) ?? ''));
  settleContent(definition.type, next);
  definition.options.clear();
  for (const [key, value] of next) definition.options.set(key, value);
}

/** Content that the type does not know is dropped with a warning nobody sees. PVE: Storage/Plugin.pm decode_value. */
function settleContent(type: StorageType, options: Map<string, string | number>): void {
  const content = options.get('content');
  if (content === undefined) return;
  const kept = [...new Set(asList(String(content)))].filter((one) => supportsContent(type, one));
  if (kept.includes('none') && kept.length > 1) die("unable to combine 'none' with other content types");
  options.set('content', kept.length === 0 ? 'none' : kept.join(','));
}

/** The part of the retention format that the schema cannot say. */
export function checkRetention(value: unknown): void {
  if (value === undefined) return;
  const parsed = parseKeepPolicy(asText(value) ?? '');
  if (parsed.is === 'invalid') paramError({ 'prune-backups': `invalid format - ${parsed.text}` });
}
