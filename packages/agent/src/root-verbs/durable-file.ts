/** Small files of root's that are whole or absent: complete and on disk under another name first. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Writes the text as a draft beside `file`, then `name` puts the draft there (`renameSync`, or `linkSync` to replace
 * nothing). Throws what the disk throws; then what was there stays, and no draft does.
 */
export function placeFile(file: string, text: string, mode: number, name: (draft: string) => void): void {
  const draft = join(dirname(file), `.${basename(file)}.${randomBytes(8).toString('hex')}`);
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
  const descriptor = openSync(draft, flags, 0o600);
  try {
    try {
      const bytes = Buffer.from(text, 'utf8');
      for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
      // Whatever the umask took away.
      fchmodSync(descriptor, mode);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    name(draft);
  } finally {
    rmSync(draft, { force: true });
  }
  syncFolder(dirname(file));
}

/** A name that was given or taken away is on disk when it returns. */
export function syncFolder(folder: string): void {
  const opened = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}

/**
 * What a file of root's own says; `undefined` where there is none. Throws, with `exposed` as the reason, where it is
 * somebody else's or has any of the bits of `forbidden` in its mode.
 */
export function readOwnFile(file: string, forbidden: number, exposed: string): string | undefined {
  let opened: number;
  try {
    opened = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { uid, mode } = fstatSync(opened);
    if (uid !== process.geteuid?.() || (mode & forbidden) !== 0) throw new Error(`cannot use ${file}: ${exposed}`);
    return readFileSync(opened, 'utf8');
  } finally {
    closeSync(opened);
  }
}
