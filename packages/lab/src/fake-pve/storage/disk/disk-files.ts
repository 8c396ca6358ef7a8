// The disk of people and end-to-end tests: real directories and real `.tar.zst` archives below one root.
//
// A volume is a directory of files with its size and the owners inside the guest recorded beside it
// (`.vm-100-disk-0.raw.json`): a loop-mounted image would need root, and nobody may chown either.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import {
  compressionOf,
  directoryMember,
  treePath,
  type Compression,
  type Disk,
  type FileFacts,
  type Member,
  type VolumeFacts,
  type WriteOptions,
  type Written,
} from './disk.ts';
import { readTarFile, writeTarFile } from './tar-file.ts';

/** Owner and mode of an entry where the real file cannot carry them. */
const entrySchema = z.object({ uid: z.int(), gid: z.int(), mode: z.int() });
const sidecarSchema = z.object({
  sizeBytes: z.number(),
  ctime: z.number(),
  entries: z.record(z.string(), entrySchema),
});
type Sidecar = z.infer<typeof sidecarSchema>;

export class FileDisk implements Disk {
  readonly #root: string;

  /** `root` is created when it is missing. */
  constructor(root: string) {
    this.#root = root;
    mkdirSync(root, { recursive: true });
  }

  list(directory: string): readonly string[] {
    const real = this.#real(directory);
    if (!existsSync(real)) return [];
    return readdirSync(real, { withFileTypes: true })
      .filter((entry) => !entry.name.startsWith('.') && (entry.isFile() || this.volume(`${directory}/${entry.name}`)))
      .map((entry) => entry.name)
      .sort();
  }

  folders(directory: string): readonly string[] {
    const real = this.#real(directory);
    if (!existsSync(real)) return [];
    return readdirSync(real, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && this.#sidecar(`${directory}/${entry.name}`) === undefined)
      .map((entry) => entry.name)
      .sort();
  }

  file(path: string): FileFacts | undefined {
    const stats = statSync(this.#real(path), { throwIfNoEntry: false });
    return stats?.isFile() ? { sizeBytes: stats.size, mtime: Math.floor(stats.mtimeMs / 1000) } : undefined;
  }

  readText(path: string): string | undefined {
    return this.file(path) === undefined ? undefined : readFileSync(this.#real(path), 'utf8');
  }

  writeText(path: string, text: string): void {
    writeFileSync(this.#made(path), text);
  }

  moveFile(from: string, to: string): void {
    renameSync(this.#real(from), this.#made(to));
  }

  removeFile(path: string): boolean {
    const there = this.file(path) !== undefined;
    rmSync(this.#real(path), { force: true });
    return there;
  }

  volume(path: string): VolumeFacts | undefined {
    const sidecar = this.#sidecar(path);
    if (sidecar === undefined) return undefined;
    const contentBytes = walk(this.#real(path)).reduce(
      (sum, entry) => sum + (entry.type === 'file' ? entry.bytes : 0),
      0,
    );
    return { sizeBytes: sidecar.sizeBytes, contentBytes, ctime: sidecar.ctime };
  }

  createVolume(path: string, sizeBytes: number, ctime: number): void {
    mkdirSync(this.#real(path), { recursive: true });
    this.#writeSidecar(path, { sizeBytes, ctime, entries: {} });
  }

  resizeVolume(path: string, sizeBytes: number): void {
    this.#writeSidecar(path, { ...this.#need(path), sizeBytes });
  }

  moveVolume(from: string, to: string): void {
    renameSync(this.#real(from), this.#made(to));
    renameSync(this.#sidecarPath(from), this.#sidecarPath(to));
  }

  removeVolume(path: string): void {
    const real = this.#real(path);
    rmSync(real, { recursive: true, force: true });
    rmSync(this.#sidecarPath(path), { force: true });
  }

  async copyVolume(from: string, to: string, ctime: number): Promise<void> {
    this.removeVolume(to);
    cpSync(this.#real(from), this.#made(to), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
    this.#writeSidecar(to, { ...this.#need(from), ctime });
  }

  async readTree(path: string): Promise<readonly Member[]> {
    const { entries, ctime } = this.#need(path);
    const real = this.#real(path);
    const members = walk(real).flatMap((entry): Member[] => {
      const known = entries[entry.key];
      const base = { uid: known?.uid ?? 0, gid: known?.gid ?? 0, mode: known?.mode ?? entry.mode, mtime: entry.mtime };
      if (entry.type === 'directory') return [directoryMember(`./${entry.key}`, base)];
      if (entry.type === 'file') {
        const content = unlessGone(() => new Uint8Array(readFileSync(join(real, entry.key))));
        return content === undefined ? [] : [{ name: `./${entry.key}`, type: 'file', ...base, content }];
      }
      const linkname = unlessGone(() => readlinkSync(join(real, entry.key)));
      if (linkname === undefined) return [];
      return [{ name: `./${entry.key}`, type: 'symlink', ...base, content: new Uint8Array(), linkname }];
    });
    const root = entries[''];
    return [directoryMember('./', root === undefined ? { mtime: ctime } : { ...root, mtime: ctime }), ...members];
  }

  async writeTree(path: string, members: readonly Member[], options: WriteOptions): Promise<void> {
    const real = this.#real(path);
    const sidecar = this.#need(path);
    const entries = { ...sidecar.entries };
    for (const member of members) {
      const key = treePath(member.name);
      if (key === undefined || !parentsAreDirectories(real, key)) continue;
      const target = join(real, key);
      const present = lstatSync(target, { throwIfNoEntry: false });
      if (key !== '' && options.skipExisting && present !== undefined) continue;
      if (key === '' && options.skipExisting && entries[''] !== undefined) continue;
      writeEntry(target, member, present?.isDirectory() === true);
      entries[key] = { uid: member.uid, gid: member.gid, mode: member.mode };
    }
    this.#writeSidecar(path, { ...sidecar, entries });
  }

  async removeEntry(path: string, name: string): Promise<void> {
    const key = treePath(name);
    if (key === undefined || key === '' || !parentsAreDirectories(this.#real(path), key)) return;
    rmSync(join(this.#real(path), key), { recursive: true, force: true });
    const sidecar = this.#need(path);
    const kept = Object.entries(sidecar.entries).filter(([entry]) => entry !== key && !entry.startsWith(`${key}/`));
    this.#writeSidecar(path, { ...sidecar, entries: Object.fromEntries(kept) });
  }

  directoryOf(path: string): string | undefined {
    return this.#sidecar(path) === undefined ? undefined : this.#real(path);
  }

  writeArchive(
    path: string,
    members: readonly Member[],
    compression: Compression,
    limitBytes: number,
  ): Promise<Written> {
    return writeTarFile(this.#made(path), members, compression, limitBytes);
  }

  readArchive(path: string): AsyncIterable<Member> {
    return readTarFile(this.#real(path), compressionOf(path));
  }

  async digestArchive(path: string) {
    const facts = this.file(path);
    if (facts === undefined) return undefined;
    const hash = createHash('sha256').update(readFileSync(this.#real(path)));
    return { sizeBytes: facts.sizeBytes, sha256: hash.digest('hex') };
  }

  damageArchive(path: string): void {
    const real = this.#real(path);
    const middle = Math.floor(statSync(real).size / 2);
    const handle = openSync(real, 'r+');
    const bytes = Buffer.alloc(16);
    const length = readSync(handle, bytes, 0, bytes.length, middle);
    writeSync(
      handle,
      bytes.map((byte) => byte ^ 0xff),
      0,
      length,
      middle,
    );
    closeSync(handle);
  }

  fileBytes(directory: string): number {
    return this.#fileBytes(this.#real(directory));
  }

  #fileBytes(real: string): number {
    if (!existsSync(real)) return 0;
    let sum = 0;
    for (const entry of readdirSync(real, { withFileTypes: true })) {
      if (entry.isFile() && !entry.name.startsWith('.')) sum += statSync(join(real, entry.name)).size;
      if (entry.isDirectory() && !existsSync(join(real, `.${entry.name}.json`))) {
        sum += this.#fileBytes(join(real, entry.name));
      }
    }
    return sum;
  }

  /** `/device/path` below the root; a device id may hold any character, so it is encoded. */
  #real(path: string): string {
    const [device = '', ...rest] = path.split('/').filter((part) => part !== '');
    if (rest.includes('..')) throw new Error(`cannot use ${path}: it leaves the device`);
    return join(this.#root, encodeURIComponent(device), ...rest);
  }

  #made(path: string): string {
    const real = this.#real(path);
    mkdirSync(dirname(real), { recursive: true });
    return real;
  }

  #sidecarPath(path: string): string {
    const real = this.#real(path);
    return join(dirname(real), `.${basename(real)}.json`);
  }

  #sidecar(path: string): Sidecar | undefined {
    const file = this.#sidecarPath(path);
    return existsSync(file) ? sidecarSchema.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined;
  }

  #need(path: string): Sidecar {
    const sidecar = this.#sidecar(path);
    if (sidecar === undefined) throw new Error(`cannot open volume ${path}: it does not exist`);
    return sidecar;
  }

  #writeSidecar(path: string, sidecar: Sidecar): void {
    writeFileSync(this.#sidecarPath(path), JSON.stringify(sidecar));
  }
}

interface Walked {
  readonly key: string;
  readonly type: Member['type'];
  readonly mode: number;
  readonly mtime: number;
  readonly bytes: number;
}

/** A guest that runs removes files while they are looked at. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Every entry below a directory, sorted by path; links are named and not followed. */
function walk(real: string): Walked[] {
  const found: Walked[] = [];
  const visit = (prefix: string) => {
    for (const entry of unlessGone(() => readdirSync(join(real, prefix), { withFileTypes: true })) ?? []) {
      const key = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
      const stats = lstatSync(join(real, key), { throwIfNoEntry: false });
      if (stats === undefined) continue;
      const facts = { key, mode: stats.mode & 0o7777, mtime: Math.floor(stats.mtimeMs / 1000), bytes: stats.size };
      if (entry.isDirectory()) {
        found.push({ ...facts, type: 'directory' });
        visit(key);
      } else if (entry.isFile()) found.push({ ...facts, type: 'file' });
      else if (entry.isSymbolicLink()) found.push({ ...facts, type: 'symlink' });
    }
  };
  visit('');
  return found.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
}

/** An archive may hold a link and then a file behind it: nothing is ever written through a link. */
function parentsAreDirectories(real: string, key: string): boolean {
  const parts = key.split('/').slice(0, -1);
  return parts.every((_, index) => {
    const stats = lstatSync(join(real, ...parts.slice(0, index + 1)), { throwIfNoEntry: false });
    return stats === undefined || stats.isDirectory();
  });
}

function writeEntry(target: string, member: Member, isDirectory: boolean): void {
  mkdirSync(dirname(target), { recursive: true });
  if (!isDirectory) rmSync(target, { force: true });
  const writers = {
    directory: () => mkdirSync(target, { recursive: true }),
    file: () => writeFileSync(target, member.content),
    symlink: () => symlinkSync(member.linkname ?? '', target),
  } satisfies Record<Member['type'], () => unknown>;
  writers[member.type]();
  if (member.type === 'symlink') return;
  // The owner must stay able to read and remove it; the mode of the guest is in the sidecar.
  chmodSync(target, (member.mode & 0o777) | (member.type === 'directory' ? 0o700 : 0o600));
  utimesSync(target, member.mtime, member.mtime);
}
