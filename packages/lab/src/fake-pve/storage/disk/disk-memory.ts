// The disk of the simulation: everything is a value in a map, contents are shared by reference, nothing waits.
import { createHash } from 'node:crypto';
import {
  ArchiveDamaged,
  compressionOf,
  damagedLines,
  directoryMember,
  tarBytes,
  treePath,
  type Compression,
  type Disk,
  type FileFacts,
  type Member,
  type VolumeFacts,
  type WriteOptions,
  type Written,
} from './disk.ts';

interface MemoryVolume {
  sizeBytes: number;
  ctime: number;
  tree: Map<string, Member>;
}

interface MemoryFile {
  sizeBytes: number;
  mtime: number;
  text: string;
  archive: { readonly members: readonly Member[]; damaged: boolean } | undefined;
}

/** Roughly what zstd makes of a root filesystem. */
const compressedShare = 0.45;

export class MemoryDisk implements Disk {
  readonly #volumes = new Map<string, MemoryVolume>();
  readonly #files = new Map<string, MemoryFile>();
  readonly #nowSeconds: () => number;

  constructor(nowSeconds: () => number) {
    this.#nowSeconds = nowSeconds;
  }

  list(directory: string): readonly string[] {
    const prefix = `${directory}/`;
    const names = [...this.#files.keys(), ...this.#volumes.keys()]
      .filter((path) => path.startsWith(prefix) && !path.includes('/', prefix.length))
      .map((path) => path.slice(prefix.length));
    return names.sort();
  }

  folders(directory: string): readonly string[] {
    const prefix = `${directory}/`;
    const names = [...this.#files.keys(), ...this.#volumes.keys()]
      .filter((path) => path.startsWith(prefix) && path.includes('/', prefix.length))
      .map((path) => path.slice(prefix.length, path.indexOf('/', prefix.length)));
    return [...new Set(names)].sort();
  }

  file(path: string): FileFacts | undefined {
    const file = this.#files.get(path);
    return file && { sizeBytes: file.sizeBytes, mtime: file.mtime };
  }

  readText(path: string): string | undefined {
    return this.#files.get(path)?.text;
  }

  writeText(path: string, text: string): void {
    this.#files.set(path, { sizeBytes: text.length, mtime: this.#nowSeconds(), text, archive: undefined });
  }

  moveFile(from: string, to: string): void {
    const file = this.#files.get(from);
    if (file === undefined) throw new Error(`cannot move ${from}: it does not exist`);
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  removeFile(path: string): boolean {
    return this.#files.delete(path);
  }

  volume(path: string): VolumeFacts | undefined {
    const volume = this.#volumes.get(path);
    if (volume === undefined) return undefined;
    let contentBytes = 0;
    for (const member of volume.tree.values()) contentBytes += member.content.length;
    return { sizeBytes: volume.sizeBytes, contentBytes, ctime: volume.ctime };
  }

  createVolume(path: string, sizeBytes: number, ctime: number): void {
    this.#volumes.set(path, { sizeBytes, ctime, tree: new Map() });
  }

  resizeVolume(path: string, sizeBytes: number): void {
    this.#volume(path).sizeBytes = sizeBytes;
  }

  moveVolume(from: string, to: string): void {
    const volume = this.#volume(from);
    this.#volumes.delete(from);
    this.#volumes.set(to, volume);
  }

  removeVolume(path: string): void {
    this.#volumes.delete(path);
  }

  async copyVolume(from: string, to: string, ctime: number): Promise<void> {
    const { sizeBytes, tree } = this.#volume(from);
    this.#volumes.set(to, { sizeBytes, ctime, tree: new Map(tree) });
  }

  async readTree(path: string): Promise<readonly Member[]> {
    const { tree, ctime } = this.#volume(path);
    const root = tree.get('') ?? directoryMember('./', { mtime: ctime });
    return [
      root,
      ...[...tree]
        .filter(([key]) => key !== '')
        .sort(byKey)
        .map(([, member]) => member),
    ];
  }

  async writeTree(path: string, members: readonly Member[], options: WriteOptions): Promise<void> {
    const { tree } = this.#volume(path);
    for (const member of members) {
      const key = treePath(member.name);
      if (key === undefined || (options.skipExisting && tree.has(key))) continue;
      const parents = key
        .split('/')
        .slice(0, -1)
        .map((_, index, all) => all.slice(0, index + 1).join('/'));
      if (parents.some((parent) => (tree.get(parent)?.type ?? 'directory') !== 'directory')) continue;
      for (const parent of parents) {
        if (!tree.has(parent)) tree.set(parent, directoryMember(`./${parent}`, { mtime: member.mtime }));
      }
      const name = member.type === 'directory' ? (key === '' ? './' : `./${key}/`) : `./${key}`;
      tree.set(key, { ...member, name });
    }
  }

  async removeEntry(path: string, name: string): Promise<void> {
    const key = treePath(name);
    const { tree } = this.#volume(path);
    for (const entry of tree.keys()) if (entry === key || entry.startsWith(`${key}/`)) tree.delete(entry);
  }

  directoryOf(): undefined {
    return undefined;
  }

  async writeArchive(
    path: string,
    members: readonly Member[],
    compression: Compression,
    limitBytes: number,
  ): Promise<Written> {
    const bytes = tarBytes(members);
    const wanted = compression === 'none' ? bytes : Math.ceil(bytes * compressedShare);
    const sizeBytes = Math.min(wanted, Math.max(0, limitBytes));
    const damaged = wanted > limitBytes;
    this.#files.set(path, {
      sizeBytes,
      mtime: this.#nowSeconds(),
      text: '',
      archive: { members: [...members], damaged },
    });
    return damaged ? { is: 'no-space' } : { is: 'written', sizeBytes };
  }

  async *readArchive(path: string): AsyncIterable<Member> {
    const archive = this.#files.get(path)?.archive;
    if (archive === undefined) throw new ArchiveDamaged(['tar: This does not look like a tar archive']);
    const readable = archive.damaged ? Math.floor(archive.members.length / 2) : archive.members.length;
    yield* archive.members.slice(0, readable);
    if (archive.damaged) throw new ArchiveDamaged(damagedLines(compressionOf(path)));
  }

  async digestArchive(path: string) {
    const file = this.#files.get(path);
    if (file?.archive === undefined) return undefined;
    // There are no bytes; whatever made the same members would have made the same ones.
    const hash = createHash('sha256').update(file.archive.damaged ? 'damaged' : '');
    for (const { name, mode, uid, gid, mtime, content, linkname } of file.archive.members)
      hash.update(`${name}\0${mode} ${uid} ${gid} ${mtime} ${content.length} ${linkname ?? ''}\0`).update(content);
    return { sizeBytes: file.sizeBytes, sha256: hash.digest('hex') };
  }

  damageArchive(path: string): void {
    const archive = this.#files.get(path)?.archive;
    if (archive === undefined) throw new Error(`cannot damage ${path}: it is not an archive`);
    archive.damaged = true;
  }

  fileBytes(directory: string): number {
    let sum = 0;
    for (const [path, file] of this.#files) if (path.startsWith(`${directory}/`)) sum += file.sizeBytes;
    return sum;
  }

  #volume(path: string): MemoryVolume {
    const volume = this.#volumes.get(path);
    if (volume === undefined) throw new Error(`cannot open volume ${path}: it does not exist`);
    return volume;
  }
}

const byKey = ([a]: [string, unknown], [b]: [string, unknown]) => (a < b ? -1 : Number(a > b));
