/**
 * The entry of Proxmox that stands for a target, and what has to be done so that there is one. Pure. Names and meanings:
 * PVE, Storage/*Plugin.pm `options`; recordings 33-storage-create.
 */
import { isDisk } from '@felhom/protocol';
import type { StorageTarget } from '@felhom/protocol';
import { mountPathOf } from '../../storage-manifest.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';

/** As Proxmox has it: each value a text, whatever its kind. */
export type StorageEntry = Readonly<Record<string, string>>;

export type EntryChange =
  | { readonly is: 'same' }
  | { readonly is: 'create'; readonly params: StorageEntry }
  | { readonly is: 'update'; readonly params: StorageEntry; readonly remove: readonly string[] }
  /** There is another thing under its name. */
  | { readonly is: 'other'; readonly text: string };

/** What Proxmox takes when an entry is made, and never afterwards. */
const fixed = ['type', 'path', 'server', 'export', 'share', 'datastore'];

/** What would lead elsewhere, or keep it from being used; an entry of ours has none of them unless the declaration says so. */
const unwanted: Readonly<Record<string, readonly string[]>> = {
  dir: ['disable', 'shared', 'content-dirs'],
  nfs: ['disable', 'content-dirs'],
  cifs: ['disable', 'content-dirs', 'subdir', 'domain'],
  pbs: ['disable', 'namespace'],
};

/**
 * Retention is the agent's alone, so Proxmox keeps all [R12]. Of a disk Proxmox neither makes the folder nor writes into it
 * while nothing is mounted there. A server that is gone gives an error after a minute, instead of holding up whatever
 * waits for it [users U9].
 */
export function entryOf({ target, state }: DeclaredTarget, node: string, root?: string): StorageEntry {
  return {
    type: isDisk(target) ? 'dir' : target.type,
    content: contentOf(target),
    nodes: node,
    'prune-backups': 'keep-all=1',
    ...placeOf(target, root),
    ...(state === 'decommissioned' ? { disable: '1' } : {}),
  };
}

/** Guests' volumes count as `images` once their guest is gone; without it nobody would see them (platform: Storage). */
const contentOf = ({ role }: StorageTarget): string =>
  role === 'vzdump-target' || role === 'pbs-offsite' ? 'backup' : 'images,rootdir';

function placeOf(target: StorageTarget, root: string | undefined): StorageEntry {
  switch (target.type) {
    case 'local-dir':
    case 'usb':
      return { path: mountPathOf(target.name, root), is_mountpoint: 'yes', 'create-base-path': '0' };
    case 'nfs':
      return {
        server: target.server,
        export: target.export,
        options: 'soft,timeo=100,retrans=3,nosuid,nodev,noexec',
      };
    case 'cifs':
      // Proxmox says `soft` itself. A server that does not answer two echoes is gone.
      return {
        server: target.server,
        share: target.share,
        username: target.user,
        options: 'echo_interval=10,nosuid,nodev,noexec',
      };
    case 'pbs':
      return {
        server: target.server,
        port: String(target.port),
        datastore: target.datastore,
        username: target.user,
        fingerprint: target.fingerprint,
        ...(target.namespace === undefined ? {} : { namespace: target.namespace }),
      };
  }
}

/** What leads from the entry that is there to the one that should be. Other settings of a person's stay. */
export function entryChange(found: StorageEntry | undefined, wanted: StorageEntry): EntryChange {
  if (found === undefined) return { is: 'create', params: wanted };
  const differs = (key: string): boolean => plain(key, found[key]) !== plain(key, wanted[key]);
  const other = fixed.find((key) => key in wanted && differs(key));
  if (other !== undefined)
    return {
      is: 'other',
      text: `its ${other} is ${found[other] ?? 'not set'} and not ${wanted[other] ?? 'none'}, which Proxmox cannot change`,
    };
  const params = Object.fromEntries(Object.entries(wanted).filter(([key]) => differs(key)));
  const remove = (unwanted[wanted['type'] ?? ''] ?? []).filter((key) => !(key in wanted) && isSet(found[key]));
  if (Object.keys(params).length === 0 && remove.length === 0) return { is: 'same' };
  return { is: 'update', params, remove };
}

/** Lists have no order of their own, and the digits of a fingerprint no case. */
function plain(key: string, value: string | undefined): string | undefined {
  if (key === 'content' || key === 'nodes') return value?.split(',').toSorted().join(',');
  return key === 'fingerprint' ? value?.toLowerCase() : value;
}

/** Proxmox writes `0` for what is off. */
const isSet = (value: string | undefined): boolean => value !== undefined && value !== '0' && value !== '';
