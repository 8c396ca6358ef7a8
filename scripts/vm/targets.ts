/** Disks of tests: their images, and what a host declares about them. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manifestText, markFile, markText } from '../../packages/agent/src/storage-manifest.ts';
import type { StorageManifest } from '../../packages/agent/src/storage-manifest.ts';
import { mustRun } from './run-program.ts';

export interface TestTarget {
  readonly name: string;
  readonly uuid: string;
  readonly serial: string;
  /** As declared. */
  readonly mark: string;
  /** Image of the disk. */
  readonly file: string;
}

/** A disk of 16 MiB with ext4. `marked`: whether it bears the mark that is declared. */
export async function makeDisk(
  folder: string,
  name: string,
  own: { readonly uuid?: string; readonly marked?: boolean } = {},
): Promise<TestTarget> {
  const { uuid = randomUUID(), marked = true } = own;
  const mark = randomBytes(16).toString('hex');
  const [file, content] = [join(folder, `${name}.img`), join(folder, `${name}.content`)];
  mkdirSync(content);
  if (marked) writeFileSync(join(content, markFile), markText(mark), { mode: 0o644 });
  await mustRun('mke2fs', ['-q', '-t', 'ext4', '-U', uuid, '-d', content, '-E', 'root_owner=0:0', file, '16M']);
  rmSync(content, { recursive: true });
  return { name, uuid, serial: `S-${name}`, mark, file };
}

/** What root would have written when each was attached. */
export function declarationsOf(targets: readonly TestTarget[], withSerial: boolean): string {
  return manifestText({
    v: 1,
    targets: targets.map(({ name, uuid, serial, mark }) => ({
      target: {
        type: 'usb',
        name,
        storage: name,
        role: 'vzdump-target',
        class: 'slow',
        offsite: false,
        uuid,
        fileSystem: 'ext4',
        ...(withSerial ? { serial } : {}),
      },
      state: 'attached',
      mark,
      attachedAt: 0,
    })),
  } as StorageManifest);
}
