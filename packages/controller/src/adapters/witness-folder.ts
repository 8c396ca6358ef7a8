/** The witness's own cgroup, or a folder that stands for it. Names come from `witness.ts` and are plain. */
import { mkdir, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { WitnessFolder } from '../ports.ts';

export function witnessFolder(path: string): WitnessFolder {
  return {
    names: async () =>
      (await readdir(path, { withFileTypes: true })).filter((one) => one.isDirectory()).map(({ name }) => name),
    make: (name) => mkdir(join(path, name)),
    remove: (name) => rmdir(join(path, name)),
  };
}
