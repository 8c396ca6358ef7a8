/**
 * The folder that a disk is mounted on. While nothing is mounted there nobody writes into it, root neither: it has no mode
 * and is immutable. A copy that was written below it would fill the host's own disk and be found by nobody [users U6].
 */
import { chmodSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { HostCommand } from '../../ports/host-command.ts';
import { markFile, markIn } from '../../storage-manifest.ts';

/**
 * Makes the folder where it is missing and closes it. For when nothing is mounted there. `bad`: something lies in it, or
 * in its place; that is looked at by a person.
 */
export async function closeFolder(
  chattr: HostCommand,
  root: string,
  path: string,
): Promise<{ readonly is: 'closed' } | { readonly is: 'bad'; readonly text: string }> {
  mkdirSync(root, { recursive: true, mode: 0o755 });
  // Whatever the umask took away: others have to come by to look at a disk.
  chmodSync(root, 0o755);
  try {
    mkdirSync(path, { mode: 0 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if (!lstatSync(path).isDirectory()) return { is: 'bad', text: `${path} is no folder` };
  if (!isEmpty(path))
    return { is: 'bad', text: `${path} holds files though nothing is mounted there; look at them and move them away` };
  // Of a closed folder no mode can be set.
  if ((lstatSync(path).mode & 0o7777) !== 0) {
    await chattr(['-i', '--', path]);
    chmodSync(path, 0);
  }
  // Where the file system below knows no such attribute, the mode and Proxmox's own look at the mount remain.
  await chattr(['+i', '--', path]);
  return { is: 'closed' };
}

function isEmpty(path: string): boolean {
  try {
    return readdirSync(path).length === 0;
  } catch (error) {
    // It is closed already, and this is a test: root may look everywhere.
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return true;
    throw error;
  }
}

/**
 * The mark of what is mounted at a path; `undefined`: it bears none. Read by a child, because a disk that hangs holds whoever
 * reads for ever, and root has other things to do. Throws what the disk says.
 */
export async function markAt(dd: HostCommand, path: string): Promise<string | undefined> {
  const file = join(path, markFile);
  const { code, stdout, stderr } = await dd([
    `if=${file}`,
    'iflag=nofollow,nonblock',
    'bs=64',
    'count=1',
    'status=none',
  ]);
  if (code === 0) return markIn(stdout);
  if (/No such file|Too many levels|Is a directory/.test(stderr)) return undefined;
  throw new Error(`cannot read ${file}: ${stderr.trim().slice(0, 300)}`);
}
