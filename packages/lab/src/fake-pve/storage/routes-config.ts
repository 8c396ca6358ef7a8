// `/storage`: definitions. PVE: API2/Storage/Config.pm.
import { createHash } from 'node:crypto';
import { die, perlText, PveError, type Call, type FakePve, type Route } from '../core.ts';
import { changeDefinition, contentOf, newDefinition, type Definition } from './definitions.ts';
import { asList, asText } from './params.ts';
import { activatePlugin } from './places.ts';
import { Storage } from './room.ts';

/** The room behind the contract: routes need more of it than other rooms do. */
export function storageOf(pve: FakePve): Storage {
  if (pve.storage instanceof Storage) return pve.storage;
  throw new Error('cannot serve storage routes: the node was put together with another storage room');
}

export const text = (call: Call, name: string): string | undefined => asText(call.params[name]);

export const needText = (call: Call, name: string): string =>
  text(call, name) ?? die(`cannot serve the call: parameter '${name}' is missing`);

/** Audit or AllocateSpace on the storage: what makes it visible. */
export function isVisible(call: Call, storage: string): boolean {
  return call.pve.access.has(call.who, `/storage/${storage}`, ['Datastore.Audit', 'Datastore.AllocateSpace'], {
    any: true,
  });
}

function show(room: Storage, definition: Definition): Record<string, unknown> {
  const { storage, type, options } = definition;
  const content = contentOf(definition).join(',');
  return { ...Object.fromEntries(options), storage, type, content, digest: room.definitions.digest() };
}

/** A failure inside the lock of storage.cfg carries what was being done. */
function inLock<T>(what: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof PveError && error.errors === undefined) {
      throw new PveError(error.status, `${what} storage failed: ${perlText(error)}`);
    }
    throw error;
  }
}

function create(call: Call): unknown {
  const room = storageOf(call.pve);
  const definition = newDefinition(call.params);
  const { storage, type } = definition;
  return inLock('create', () => {
    if (room.exists(storage)) die(`storage ID '${storage}' already defined`);
    const config = keepSecrets(room, definition, call);
    try {
      if (isEnabledHere(call.pve.name, definition)) activatePlugin(definition, room.hardware);
    } catch (error) {
      room.definitions.secrets.delete(storage);
      throw error;
    }
    room.definitions.add(definition);
    return config === undefined ? { storage, type } : { storage, type, config };
  });
}

function isEnabledHere(node: string, { options }: Definition): boolean {
  const nodes = options.get('nodes');
  return options.get('disable') !== 1 && (nodes === undefined || asList(nodes).includes(node));
}

/** Puts secrets aside; answers what the creator is shown once. PVE: PBSPlugin.pm on_add_hook. */
function keepSecrets(room: Storage, definition: Definition, call: Call): Record<string, string> | undefined {
  const secrets = room.definitions.secrets.get(definition.storage) ?? {};
  room.definitions.secrets.set(definition.storage, secrets);
  const password = text(call, 'password');
  if (password !== undefined) secrets.password = password;
  const wanted = text(call, 'encryption-key');
  if (wanted === undefined || definition.type !== 'pbs') return undefined;
  const key = wanted === 'autogen' ? makeKey(room, definition.storage) : wanted;
  const fingerprint = keyFingerprint(key);
  if (fingerprint === undefined) die('Value does not seems like a valid, JSON formatted encryption key!');
  secrets.encryptionKey = key;
  definition.options.set('encryption-key', fingerprint);
  return { 'encryption-key': key };
}

/** The fingerprint in a key file, `1` when it has none, undefined when the text is not a key file. */
function keyFingerprint(json: string): string | number | undefined {
  try {
    const key: unknown = JSON.parse(json);
    if (typeof key !== 'object' || key === null || !('data' in key)) return undefined;
    return 'fingerprint' in key && typeof key.fingerprint === 'string' ? key.fingerprint : 1;
  } catch {
    return undefined;
  }
}

/** `proxmox-backup-client key create --kdf none`; without any Proxmox Backup Server the client is not installed. */
function makeKey(room: Storage, storage: string): string {
  if (!room.hardware.hasKind('pbs')) {
    const command = `proxmox-backup-client key create --kdf none /etc/pve/priv/storage/${storage}.enc`;
    const why = `open3: exec of ${command} failed: No such file or directory at /usr/share/perl5/PVE/Cmd.pm line 174.`;
    die(`failed to create encryption key: ${why}`);
  }
  const bytes = Uint8Array.from({ length: 64 }, () => room.pve.random.int(256));
  const at = new Date(room.pve.clock.now()).toISOString();
  const pairs = createHash('sha256').update(bytes).digest('hex').match(/../g) ?? [];
  const data = Buffer.from(bytes).toString('base64');
  return JSON.stringify({ kdf: null, created: at, modified: at, data, fingerprint: pairs.join(':') });
}

function update(call: Call): unknown {
  const room = storageOf(call.pve);
  return inLock('update', () => {
    const digest = text(call, 'digest');
    if (digest !== undefined && digest !== room.definitions.digest()) {
      die('detected modified configuration - file changed by other user? Try again.');
    }
    const definition = room.definitions.need(needText(call, 'storage'));
    const deleted = asList(call.params['delete']);
    changeDefinition(definition, call.params);
    const config = keepSecrets(room, definition, call);
    if (deleted.includes('encryption-key')) delete room.definitions.secrets.get(definition.storage)?.encryptionKey;
    room.definitions.touch();
    const { storage, type } = definition;
    return config === undefined ? { storage, type } : { storage, type, config };
  });
}

function remove(call: Call): null {
  const room = storageOf(call.pve);
  inLock('delete', () => {
    const { storage } = room.definitions.need(needText(call, 'storage'));
    room.definitions.remove(storage);
    call.pve.access.forgetStorage(storage);
  });
  return null;
}

export const configRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/storage',
    handler: (call) => {
      const room = storageOf(call.pve);
      const wanted = text(call, 'type');
      return room.definitions
        .all()
        .filter(({ storage, type }) => (wanted === undefined || wanted === type) && isVisible(call, storage))
        .map((definition) => show(room, definition));
    },
  },
  { method: 'POST', path: '/storage', handler: create },
  {
    method: 'GET',
    path: '/storage/{storage}',
    handler: (call) => {
      const room = storageOf(call.pve);
      return show(room, room.definitions.need(needText(call, 'storage')));
    },
  },
  { method: 'PUT', path: '/storage/{storage}', handler: update },
  { method: 'DELETE', path: '/storage/{storage}', handler: remove },
];
