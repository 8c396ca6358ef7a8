// The disk under the storages: volumes, archives and small files, addressed by `/device/path`.
//
// Two implementations keep it: `disk-memory.ts` for the simulation (no IO, nothing waits) and `disk-files.ts` with
// real directories and real archives. A volume is a tree of files and not a filesystem image: a loop mount needs root.

/** One entry of a tree or of an archive. Owners are those seen inside the guest. */
export interface Member {
  /** As in the archive: `./etc/hostname`; a directory ends with `/`. */
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Unix seconds. */
  readonly mtime: number;
  /** Never changed after it was made; both disks share it by reference. */
  readonly content: Uint8Array;
  readonly linkname?: string;
}

export interface VolumeFacts {
  readonly sizeBytes: number;
  /** Bytes of the files in it. */
  readonly contentBytes: number;
  /** Unix seconds. */
  readonly ctime: number;
}

export interface FileFacts {
  readonly sizeBytes: number;
  /** Unix seconds. */
  readonly mtime: number;
}

/** What an archive is compressed with; `none` is a plain tar. */
export type Compression = 'none' | 'gzip' | 'zstd';

/** The archive cannot be read to its end; `lines` is what zstd and tar print. */
export class ArchiveDamaged extends Error {
  readonly lines: readonly string[];
  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.lines = lines;
  }
}

export type Written = { readonly is: 'written'; readonly sizeBytes: number } | { readonly is: 'no-space' };

/** How a tree is written over what is there. */
export interface WriteOptions {
  /** `tar --skip-old-files`: what exists stays. */
  readonly skipExisting: boolean;
}

/** Facts are answered at once; contents are read and written asynchronously. Paths start with `/`. */
export interface Disk {
  /** Names of files and volumes in a directory, sorted; empty when there is none. */
  list(directory: string): readonly string[];
  /** Names of the plain directories in a directory, sorted. */
  folders(directory: string): readonly string[];
  file(path: string): FileFacts | undefined;
  readText(path: string): string | undefined;
  writeText(path: string, text: string): void;
  /** Moves a file over whatever has that name. */
  moveFile(from: string, to: string): void;
  /** True when there was one. */
  removeFile(path: string): boolean;

  volume(path: string): VolumeFacts | undefined;
  createVolume(path: string, sizeBytes: number, ctime: number): void;
  resizeVolume(path: string, sizeBytes: number): void;
  moveVolume(from: string, to: string): void;
  removeVolume(path: string): void;
  /** Replaces whatever has that name; the copy carries `ctime`. */
  copyVolume(from: string, to: string, ctime: number): Promise<void>;
  /** The tree, `./` first, sorted by name. */
  readTree(path: string): Promise<readonly Member[]>;
  /** Writes below the volume; member names are relative to it. Never follows a symbolic link. */
  writeTree(path: string, members: readonly Member[], options: WriteOptions): Promise<void>;
  removeEntry(path: string, name: string): Promise<void>;
  /** The real directory of a volume, where processes can run; undefined in memory. */
  directoryOf(path: string): string | undefined;

  /** Writes at most `limitBytes`; what was written before the space ran out stays, as with a shell redirection. */
  writeArchive(
    path: string,
    members: readonly Member[],
    compression: Compression,
    limitBytes: number,
  ): Promise<Written>;
  /** Throws `ArchiveDamaged`, possibly after some members. */
  readArchive(path: string): AsyncIterable<Member>;
  /** SHA-256 (hex) and size of what lies there now; undefined when there is none. */
  digestArchive(path: string): Promise<{ readonly sizeBytes: number; readonly sha256: string } | undefined>;
  /** Flips what lies in the middle of an archive, as a dying disk does. */
  damageArchive(path: string): void;

  /** Bytes of all files and archives below a directory, volumes not counted. */
  fileBytes(directory: string): number;
}

const empty = new Uint8Array();
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A file of an archive or tree; owned by root with mode 0644 unless said otherwise. */
export function fileMember(
  name: string,
  content: string | Uint8Array,
  extra: Partial<Pick<Member, 'mode' | 'uid' | 'gid' | 'mtime'>> = {},
): Member {
  const bytes = typeof content === 'string' ? encoder.encode(content) : content;
  return { name, type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, ...extra, content: bytes };
}

export function directoryMember(name: string, extra: Partial<Pick<Member, 'mode' | 'uid' | 'gid' | 'mtime'>> = {}) {
  const slashed = name.endsWith('/') ? name : `${name}/`;
  const member: Member = {
    name: slashed,
    type: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 0,
    ...extra,
    content: empty,
  };
  return member;
}

export function symlinkMember(name: string, linkname: string): Member {
  return { name, type: 'symlink', mode: 0o777, uid: 0, gid: 0, mtime: 0, content: empty, linkname };
}

export const textOf = (member: Member): string => decoder.decode(member.content);

/**
 * The place of a member in a tree: `./etc/x`, `etc/x` and `/etc/x` are all `etc/x`, the root is empty. Undefined when it
 * tries to leave the tree.
 */
export function treePath(name: string): string | undefined {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  return parts.includes('..') ? undefined : parts.join('/');
}

/** Length of the tar: 512-byte headers and blocks, padded to records of 10,240 bytes as GNU tar does. */
export function tarBytes(members: readonly Member[]): number {
  const blocks = members.reduce((sum, member) => sum + 1 + Math.ceil(member.content.length / 512), 2);
  return Math.ceil((blocks * 512) / 10_240) * 10_240;
}

/** What GNU tar and zstd print about a stream whose checksum does not match. */
export function damagedLines(compression: Compression): readonly string[] {
  const end = 'tar: Error is not recoverable: exiting now';
  const lines = {
    none: ['tar: Skipping to next header', 'tar: Exiting with failure status due to previous errors'],
    gzip: ['gzip: stdin: invalid compressed data--crc error', 'tar: Child returned status 1', end],
    zstd: [
      "/*stdin*\\ : Decoding error (36) : Restored data doesn't match checksum ",
      'tar: Child returned status 1',
      end,
    ],
  } satisfies Record<Compression, readonly string[]>;
  return lines[compression];
}

export function compressionOf(path: string): Compression {
  if (path.endsWith('.zst')) return 'zstd';
  return path.endsWith('.gz') || path.endsWith('.tgz') ? 'gzip' : 'none';
}
