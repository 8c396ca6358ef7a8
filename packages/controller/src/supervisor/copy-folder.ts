/** A copy of a folder: files, folders and links; `to` must not exist. */
import type { GuestFiles } from '../ports.ts';

export async function copyFolder(files: GuestFiles, from: string, to: string): Promise<void> {
  await files.makeFolder(to);
  const open = [''];
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    for (const { name, kind } of await files.list(`${from}${folder}`)) {
      const path = `${folder}/${name}`;
      if (kind === 'directory') {
        await files.makeFolder(`${to}${path}`);
        open.push(path);
      }
      if (kind === 'link') await files.copyLink(`${from}${path}`, `${to}${path}`);
      if (kind === 'file') await files.copyFile(`${from}${path}`, `${to}${path}`);
    }
  }
}
