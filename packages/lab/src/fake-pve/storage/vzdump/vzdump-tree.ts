// Which files a backup holds. PVE: VZDump/LXC.pm archive.
import { fileMember, treePath, type Member } from '../disk/disk.ts';

export interface MountedTree {
  /** Where it is mounted in the guest. */
  readonly at: string;
  readonly members: readonly Member[];
}

/**
 * The members of an archive: configuration first, so that reading it is cheap, then the root filesystem with the
 * included mounts at their places.
 */
export function archiveMembers(
  config: string,
  firewall: string | undefined,
  trees: readonly MountedTree[],
  excludes: readonly string[],
): readonly Member[] {
  const points = trees.map(({ at }) => treePath(at) ?? '').filter((at) => at !== '');
  const hidden = (key: string) => points.some((point) => key === point || key.startsWith(`${point}/`));
  const patterns = [/(^|\/)lost\+found(\/|$)/, ...excludes.map(excludePattern)];
  const merged = trees.flatMap(({ at, members }) => {
    const prefix = treePath(at) ?? '';
    return members.flatMap((member) => {
      const key = treePath(member.name) ?? '';
      // What lies below a mount point in the root filesystem is not visible while it is mounted.
      if (prefix === '' && hidden(key)) return [];
      const full = [prefix, key].filter((part) => part !== '').join('/');
      if (patterns.some((pattern) => pattern.test(full))) return [];
      return [{ ...member, name: full === '' ? './' : `./${full}${member.type === 'directory' ? '/' : ''}` }];
    });
  });
  merged.sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  const conf = fileMember('./etc/vzdump/pct.conf', config);
  return [conf, fileMember('./etc/vzdump/pct.fw', firewall ?? ''), ...merged];
}

/** Shell pattern → regular expression; `/…` is anchored at the root of the guest, others match any path below. */
function excludePattern(pattern: string): RegExp {
  const anchored = pattern.startsWith('/');
  const body = (anchored ? pattern.slice(1) : pattern)
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`${anchored ? '^' : '(^|/)'}${body}(/|$)`);
}
