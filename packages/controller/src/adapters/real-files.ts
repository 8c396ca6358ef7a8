/**
 * Real files below the paths of a guest. In a guest its paths are what they are; in a lab a map says which folder of the
 * host stands for which mount, and then no symbolic link is followed anywhere: the guest's files may come from an archive
 * that somebody else made.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { constants, copyFile, lstat, mkdir, open, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Entry, EntryKind, GuestFiles } from '../ports.ts';

/** Guest path → folder of the host; `/` is always in it. */
export type RootMap = Readonly<Record<string, string>>;
export const itself: RootMap = { '/': '/' };

export function realFiles(map: RootMap): GuestFiles {
  const follows = map['/'] === '/';
  const mounts = Object.keys(map).toSorted((a, b) => b.length - a.length);

  const place = (path: string): { readonly root: string; readonly inside: readonly string[] } => {
    const parts = path.split('/').filter((part) => part !== '');
    if (!path.startsWith('/') || parts.some((part) => part === '.' || part === '..' || part.includes('\0')))
      throw new Error(`cannot use ${JSON.stringify(path)}: it is no plain absolute path`);
    const whole = `/${parts.join('/')}`;
    const mount = mounts.find((one) => one === '/' || whole === one || whole.startsWith(`${one}/`)) ?? '/';
    const root = map[mount];
    if (root === undefined) throw new Error('cannot use a map of roots without /');
    return {
      root,
      inside: whole
        .slice(mount.length)
        .split('/')
        .filter((part) => part !== ''),
    };
  };
  /** `undefined`: something above it is a symbolic link. */
  const real = async (path: string): Promise<string | undefined> => {
    const { root, inside } = place(path);
    if (follows) return join(root, ...inside);
    for (let depth = 1; depth < inside.length; depth += 1)
      if (await isLink(join(root, ...inside.slice(0, depth)))) return undefined;
    return join(root, ...inside);
  };
  const need = async (path: string): Promise<string> => {
    const found = await real(path);
    if (found === undefined) throw new Error(`cannot use ${path}: there is a symbolic link above it`);
    return found;
  };
  const regular = async (path: string): Promise<string | undefined> => {
    const found = await real(path);
    return found !== undefined && (await facts(found))?.isFile() === true ? found : undefined;
  };

  return {
    read: async (path, limit) => {
      const found = await regular(path);
      if (found === undefined) return undefined;
      const handle = await open(found, constants.O_RDONLY | constants.O_NOFOLLOW).catch(ifMissing);
      if (handle === undefined) return undefined;
      try {
        return (await handle.stat()).size > limit ? undefined : new Uint8Array(await handle.readFile());
      } finally {
        await handle.close();
      }
    },
    write: async (path, bytes, mode) => {
      const target = await need(path);
      const folder = dirname(target);
      await mkdir(folder, { recursive: true, mode: 0o755 });
      const unfinished = join(folder, `.${basename(target)}.felhom-new`);
      await rm(unfinished, { recursive: true, force: true });
      const handle = await open(unfinished, 'wx', mode);
      try {
        await handle.writeFile(bytes);
        await handle.chmod(mode);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(unfinished, target);
      await syncFolder(folder);
    },
    list: async (path) => {
      const found = await real(path);
      const own = found === undefined ? undefined : await facts(found);
      if (found === undefined || own?.isDirectory() !== true) return [];
      const names = (await readdir(found).catch(ifMissing)) ?? [];
      const entries: Entry[] = [];
      for (const name of names) {
        const seen = await facts(join(found, name));
        // Gone between the two looks.
        if (seen === undefined) continue;
        const mapped = mounts.includes(`${path === '/' ? '' : path}/${name}`);
        const kind: EntryKind = seen.isFile()
          ? 'file'
          : seen.isDirectory()
            ? 'directory'
            : seen.isSymbolicLink()
              ? 'link'
              : 'other';
        entries.push({ name, kind, sizeBytes: kind === 'file' ? seen.size : 0, mount: mapped || seen.dev !== own.dev });
      }
      return entries;
    },
    digest: async (path) => {
      const found = await regular(path);
      if (found === undefined) return undefined;
      const hash = createHash('sha256');
      let sizeBytes = 0;
      try {
        for await (const chunk of createReadStream(found, { flags: 'r' }) as AsyncIterable<Buffer>) {
          hash.update(chunk);
          sizeBytes += chunk.length;
        }
      } catch (error) {
        return ifMissing(error);
      }
      return { sha256: hash.digest('hex'), sizeBytes };
    },
    copyFile: async (from, to) => {
      const [source, target] = [await need(from), await need(to)];
      await mkdir(dirname(target), { recursive: true });
      // Reflinks where the file system can; gone meanwhile is the caller's business to notice.
      await copyFile(source, target, constants.COPYFILE_FICLONE).catch(ifMissing);
      const handle = await open(target, 'r').catch(ifMissing);
      await handle?.sync();
      await handle?.close();
    },
    copyLink: async (from, to) => {
      const [source, target] = [await need(from), await need(to)];
      const text = await readlink(source).catch(ifMissing);
      if (text === undefined) return;
      await rm(target, { force: true });
      await symlink(text, target);
    },
    makeFolder: async (path) => {
      await mkdir(await need(path), { recursive: true });
    },
    rename: async (from, to) => {
      const [source, target] = [await need(from), await need(to)];
      await rename(source, target);
      await syncFolder(dirname(target));
    },
    remove: async (path) => {
      const found = await real(path);
      if (found !== undefined) await rm(found, { recursive: true, force: true });
    },
  };
}

const facts = (path: string) => lstat(path).catch(ifMissing);
const isLink = async (path: string): Promise<boolean> => (await facts(path))?.isSymbolicLink() === true;

function ifMissing(error: unknown): undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return undefined;
  throw error;
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
