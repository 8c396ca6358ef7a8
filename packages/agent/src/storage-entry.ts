/**
 * The entry of Proxmox that stands for a target: one table of what it has to say, for root, who writes it, and for the
 * agent, who looks every minute whether somebody changed it [R12]. Pure. Names and meanings: PVE, Storage/*Plugin.pm
 * `options`; recordings 33-storage-create.
 */
import { isDisk } from '@felhom/protocol';
import type { StorageTarget } from '@felhom/protocol';
import { mountPathOf } from './storage-manifest.ts';
import type { DeclaredTarget } from './storage-manifest.ts';

/** As Proxmox has it: each value a text, whatever its kind. */
export type EntryOptions = Readonly<Record<string, string>>;

interface Rule {
  /** Proxmox takes it when the entry is made, and never afterwards. */
  readonly fixed?: true;
  /** Whether what it says keeps the target from being used, or leads elsewhere. Without it all else goes on meanwhile. */
  readonly bars?: (has: string | undefined, wanted: string | undefined) => boolean;
}

const always = (): boolean => true;
/** Lists: surplus does no harm, what is missing does. */
const lacks = (has: string | undefined, wanted: string | undefined): boolean =>
  !listOf(wanted).every((one) => listOf(has).includes(one));

/**
 * Every option that is looked at. One that the declaration does not ask for has to be absent; others, a person's own, are
 * none of ours.
 */
const rules: Readonly<Record<string, Rule>> = {
  type: { fixed: true, bars: always },
  path: { fixed: true, bars: always },
  server: { fixed: true, bars: always },
  export: { fixed: true, bars: always },
  share: { fixed: true, bars: always },
  datastore: { fixed: true, bars: always },
  subdir: { bars: always },
  namespace: { bars: always },
  username: { bars: always },
  domain: { bars: always },
  port: { bars: always },
  fingerprint: { bars: always },
  // Where in it a kind of content lies.
  'content-dirs': { bars: always },
  // Without it Proxmox makes the folder on the root disk when the disk is gone, and fills that.
  is_mountpoint: { bars: always },
  disable: { bars: always },
  nodes: { bars: (has, wanted) => has !== undefined && lacks(has, wanted) },
  content: { bars: lacks },
  'create-base-path': {},
  'prune-backups': {},
  options: {},
  shared: {},
};

/** Those that an entry of a type can have at all, beyond what is wanted of it. */
const possible: Readonly<Record<string, readonly string[]>> = {
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
export function entryOf(
  { target, state }: Pick<DeclaredTarget, 'target' | 'state'>,
  node: string,
  root?: string,
): EntryOptions {
  return {
    type: isDisk(target) ? 'dir' : target.type,
    content: contentOf(target),
    nodes: node,
    'prune-backups': 'keep-all=1',
    ...placeOf(target, root),
    ...(state === 'attached' ? {} : { disable: '1' }),
  };
}

/** Guests' volumes count as `images` once their guest is gone; without it nobody would see them (platform: Storage). */
const contentOf = ({ role }: StorageTarget): string =>
  role === 'vzdump-target' || role === 'pbs-offsite' ? 'backup' : 'images,rootdir';

function placeOf(target: StorageTarget, root: string | undefined): EntryOptions {
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

export interface EntryDifference {
  readonly key: string;
  /** `undefined`: not set. */
  readonly has: string | undefined;
  /** `undefined`: it must not be set. */
  readonly wanted: string | undefined;
  /** Proxmox cannot change it: the entry would have to be another one. */
  readonly fixed: boolean;
  /** It leads elsewhere, or keeps the target from being used. */
  readonly bars: boolean;
}

/** What an entry says otherwise than it should, what cannot be changed first. Other settings of a person's stay. */
export function entryDifferences(found: EntryOptions, wanted: EntryOptions): readonly EntryDifference[] {
  const keys = new Set([...Object.keys(wanted), ...(possible[wanted['type'] ?? ''] ?? [])]);
  const differences = [...keys].flatMap((key): EntryDifference[] => {
    const [has, wants] = [found[key], wanted[key]];
    if (plain(key, has, wanted) === plain(key, wants, wanted)) return [];
    const { fixed = false, bars } = rules[key] ?? {};
    return [{ key, has, wanted: wants, fixed, bars: bars?.(has, wants) ?? false }];
  });
  return [...differences.filter(({ fixed }) => fixed), ...differences.filter(({ fixed }) => !fixed)];
}

export const differenceText = ({ key, has, wanted }: EntryDifference): string =>
  `its ${key} is ${has ?? 'not set'} and not ${wanted ?? 'absent'}`;

const listOf = (value: string | undefined): readonly string[] => (value ?? '').split(',').filter((one) => one !== '');

/** Lists have no order of their own, the digits of a fingerprint no case, and what is off need not be said. */
function plain(key: string, value: string | undefined, wanted: EntryOptions): string | undefined {
  switch (key) {
    case 'content':
    case 'nodes':
      return value === undefined ? undefined : [...listOf(value)].toSorted().join(',');
    case 'fingerprint':
      return value?.toLowerCase();
    case 'is_mountpoint':
      // PVE: Storage/DirPlugin.pm takes a path there too.
      return value !== undefined && [...yes, wanted['path']].includes(value) ? 'yes' : value;
    case 'port':
      // PVE: Storage/PBSPlugin.pm.
      return value ?? '8007';
    case 'create-base-path':
      return value !== undefined && no.includes(value) ? '0' : value;
    default:
      // Proxmox writes `0` for what is off.
      return value === '' || (switches.includes(key) && value !== undefined && no.includes(value)) ? undefined : value;
  }
}

const yes = ['1', 'yes', 'on', 'true'];
const no = ['0', 'no', 'off', 'false'];
const switches = ['disable', 'shared'];
