// What the storage types have in common and where they differ. Pure.
// PVE: Storage/{Dir,BTRFS,NFS,CIFS,PBS,LvmThin,ZFSPool}Plugin.pm.
import type { Layout } from './naming.ts';

export const storageTypes = ['dir', 'btrfs', 'nfs', 'cifs', 'pbs', 'lvmthin', 'zfspool'] as const;
export type StorageType = (typeof storageTypes)[number];

export const isStorageType = (type: string): type is StorageType => storageTypes.some((one) => one === type);

export type Feature = 'snapshot' | 'clone' | 'template' | 'copy' | 'rename';

interface TypeFacts {
  readonly required: readonly string[];
  /** What cannot be changed or taken away once the storage exists. */
  readonly fixed: readonly string[];
  /** Options that only this type (and those that also name it) may have. */
  readonly own: readonly string[];
  readonly content: readonly string[];
  readonly defaultContent: string;
  readonly layout: Layout | undefined;
  /** The backend serves other nodes too. */
  readonly shared: boolean;
  /** Features of an image (`raw`) and of a subvolume, when it is neither a base image nor a snapshot. */
  readonly features: Readonly<Record<'raw' | 'subvol', readonly Feature[]>>;
  /** Tools print `Formatting '…'` when they make an image. */
  readonly formats: boolean;
}

const files = ['images', 'rootdir', 'vztmpl', 'iso', 'backup', 'snippets', 'import'];
const directoryOptions = ['content-dirs', 'create-base-path', 'create-subdirs', 'mkdir', 'preallocation', 'format'];
const plainDirectory = { raw: ['copy', 'rename', 'template'], subvol: ['copy', 'template'] } as const;
const everything = ['snapshot', 'clone', 'template', 'copy', 'rename'] as const;

export const typeFacts = {
  dir: {
    required: ['path'],
    fixed: ['path'],
    own: ['path', 'is_mountpoint', ...directoryOptions],
    content: files,
    defaultContent: 'images,rootdir,vztmpl,iso,backup,snippets',
    layout: 'directory',
    shared: false,
    features: plainDirectory,
    formats: true,
  },
  btrfs: {
    required: ['path'],
    fixed: ['path'],
    own: ['path', 'is_mountpoint', 'nocow', ...directoryOptions],
    content: files,
    defaultContent: 'images,rootdir',
    layout: 'directory',
    shared: false,
    features: { raw: everything, subvol: everything },
    formats: false,
  },
  nfs: {
    required: ['server', 'export'],
    fixed: ['path', 'server', 'export'],
    own: ['server', 'export', 'path', 'options', ...directoryOptions],
    content: files,
    defaultContent: 'images',
    layout: 'directory',
    shared: true,
    features: plainDirectory,
    formats: true,
  },
  cifs: {
    required: ['server', 'share'],
    fixed: ['path', 'server', 'share'],
    own: [
      'server',
      'share',
      'path',
      'options',
      'username',
      'password',
      'domain',
      'smbversion',
      'subdir',
      ...directoryOptions,
    ],
    content: files,
    defaultContent: 'images',
    layout: 'directory',
    shared: true,
    features: plainDirectory,
    formats: true,
  },
  pbs: {
    required: ['server', 'datastore'],
    fixed: ['server', 'datastore'],
    own: [
      'server',
      'datastore',
      'namespace',
      'port',
      'username',
      'password',
      'fingerprint',
      'encryption-key',
      'master-pubkey',
      'skip-cert-verification',
    ],
    content: ['backup', 'none'],
    defaultContent: 'backup',
    layout: undefined,
    shared: true,
    features: { raw: [], subvol: [] },
    formats: false,
  },
  lvmthin: {
    required: ['vgname', 'thinpool'],
    fixed: ['vgname', 'thinpool'],
    own: ['vgname', 'thinpool'],
    content: ['images', 'rootdir'],
    defaultContent: 'images,rootdir',
    layout: 'lvm',
    shared: false,
    features: { raw: everything, subvol: [] },
    formats: false,
  },
  zfspool: {
    required: ['pool'],
    fixed: ['pool'],
    own: ['pool', 'blocksize', 'sparse', 'mountpoint'],
    content: ['images', 'rootdir'],
    defaultContent: 'images,rootdir',
    layout: 'zfs',
    shared: false,
    features: { raw: everything, subvol: everything },
    formats: false,
  },
} as const satisfies Record<StorageType, TypeFacts>;

const commonOptions = [
  'content',
  'nodes',
  'disable',
  'shared',
  'prune-backups',
  'max-protected-backups',
  'bwlimit',
  'type',
  'storage',
];

export function optionAllowed(type: StorageType, option: string): boolean {
  return commonOptions.includes(option) || (typeFacts[type].own as readonly string[]).includes(option);
}

export function supportsFeature(type: StorageType, format: 'raw' | 'subvol', feature: string): boolean {
  return (typeFacts[type].features[format] as readonly string[]).includes(feature);
}

export function supportsContent(type: StorageType, content: string): boolean {
  return content === 'none' || (typeFacts[type].content as readonly string[]).includes(content);
}

/** Blocks of 4 KiB that ext4 reserves for its journal. e2fsprogs: ext2fs_default_journal_size. */
function journalBlocks(blocks: number): number {
  const steps: [number, number][] = [
    [32_768, 1024],
    [262_144, 4096],
    [524_288, 8192],
    [4_194_304, 16_384],
    [8_388_608, 32_768],
    [16_777_216, 65_536],
    [33_554_432, 131_072],
  ];
  return steps.find(([below]) => blocks < below)?.[1] ?? 262_144;
}

/** What an empty ext4 image of a size occupies on disk, in bytes; measured on sparse images of 512 MiB and 1 GiB. */
export function emptyImageBytes(sizeBytes: number): number {
  return journalBlocks(Math.floor(sizeBytes / 4096)) * 4096 + 122_880 + Math.floor((sizeBytes / 536_870_912) * 278_528);
}

/** What mkfs.ext4 prints for an image. `uuid` is that of the new filesystem. */
export function mkfsLines(sizeBytes: number, uuid: string): readonly string[] {
  const blocks = Math.floor(sizeBytes / 4096);
  const backups = backupBlocks(blocks);
  return [
    `Creating filesystem with ${blocks} 4k blocks and ${Math.floor(sizeBytes / 16_384)} inodes`,
    `Filesystem UUID: ${uuid}`,
    ...(backups.length === 0 ? [] : ['Superblock backups stored on blocks: ', `\t${backups.join(', ')}`]),
  ];
}

/** Superblock copies lie in block groups 1 and the powers of 3, 5 and 7. */
function backupBlocks(blocks: number): number[] {
  const groups = new Set([1]);
  for (const base of [3, 5, 7]) for (let power = base; power * 32_768 < blocks; power *= base) groups.add(power);
  return [...groups]
    .map((group) => group * 32_768)
    .filter((block) => block < blocks)
    .sort((a, b) => a - b);
}
