/** Files of a guest on the fake node's disk, whichever it is: what the simulation has in place of a file system. */
import { createHash } from 'node:crypto';
import type { Entry, GuestFiles } from '@felhom/controller';
import { directoryMember, fileMember, symlinkMember } from '../fake-pve/storage/disk/disk.ts';
import type { Disk, Member } from '../fake-pve/storage/index.ts';

/** `mounts`: guest path → path of its volume on the disk. */
export function diskGuestFiles(disk: Disk, mounts: ReadonlyMap<string, string>, nowSeconds: () => number): GuestFiles {
  const order = [...mounts.keys()].toSorted((a, b) => b.length - a.length);
  const place = (path: string): { readonly volume: string; readonly key: string } => {
    const mount = order.find((one) => one === '/' || path === one || path.startsWith(`${one}/`));
    const volume = mount === undefined ? undefined : mounts.get(mount);
    if (mount === undefined || volume === undefined) throw new Error(`cannot use ${path}: nothing is mounted there`);
    return {
      volume,
      key: path
        .slice(mount.length)
        .split('/')
        .filter((part) => part !== '')
        .join('/'),
    };
  };
  const nameOf = ({ name }: Member): string => name.replace(/^\.\//, '').replace(/\/$/, '');
  const member = async (path: string): Promise<Member | undefined> => {
    const { volume, key } = place(path);
    return (await disk.readTree(volume)).find((one) => nameOf(one) === key);
  };
  const regular = async (path: string): Promise<Member | undefined> => {
    const found = await member(path);
    return found?.type === 'file' ? found : undefined;
  };
  const put = async (path: string, make: (name: string) => Member): Promise<void> => {
    const { volume, key } = place(path);
    await disk.writeTree(volume, [make(`./${key}`)], { skipExisting: false });
  };
  const write = (path: string, content: Uint8Array, mode: number): Promise<void> =>
    put(path, (name) => fileMember(name, content, { mode, mtime: nowSeconds() }));
  return {
    read: async (path, limit) => {
      const found = await regular(path);
      return found === undefined || found.content.length > limit ? undefined : found.content;
    },
    write,
    list: async (path) => {
      const { volume, key } = place(path);
      const prefix = key === '' ? '' : `${key}/`;
      const entries: Entry[] = [];
      for (const one of await disk.readTree(volume)) {
        const name = nameOf(one);
        const rest = name.slice(prefix.length);
        if (name === key || !name.startsWith(prefix) || rest === '' || rest === '.' || rest.includes('/')) continue;
        const kind = one.type === 'symlink' ? 'link' : one.type;
        const mount = mounts.has(`${path === '/' ? '' : path}/${rest}`);
        entries.push({ name: rest, kind, sizeBytes: kind === 'file' ? one.content.length : 0, mount });
      }
      return entries;
    },
    digest: async (path) => {
      const found = await regular(path);
      if (found === undefined) return undefined;
      return { sha256: createHash('sha256').update(found.content).digest('hex'), sizeBytes: found.content.length };
    },
    copyFile: async (from, to) => {
      const found = await regular(from);
      if (found !== undefined) await write(to, found.content, found.mode);
    },
    copyLink: async (from, to) => {
      const found = await member(from);
      if (found?.type === 'symlink') await put(to, (name) => symlinkMember(name, found.linkname ?? ''));
    },
    makeFolder: (path) => put(path, (name) => directoryMember(name, { mtime: nowSeconds() })),
    rename: async (from, to) => {
      const [source, target] = [place(from), place(to)];
      const moving = (await disk.readTree(source.volume)).filter((one) => {
        const name = nameOf(one);
        return name === source.key || name.startsWith(`${source.key}/`);
      });
      const moved = moving.map((one) => ({ ...one, name: one.name.replace(source.key, target.key) }));
      await disk.writeTree(target.volume, moved, { skipExisting: false });
      await disk.removeEntry(source.volume, `./${source.key}`);
    },
    remove: async (path) => {
      const { volume, key } = place(path);
      if (key !== '') await disk.removeEntry(volume, `./${key}`);
    },
  };
}
