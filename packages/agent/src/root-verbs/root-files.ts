/** The few things that root's verbs do to files. A port, so that a test can let each of them fail. */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';

export interface RootFiles {
  /** Makes a directory that only root may enter; throws when something is there already. */
  makeDirectory(path: string): void;
  /** Writes a file that was not there before, links included; throws otherwise. */
  writeNew(path: string, text: string, mode: number): void;
  /** Everything below it too; nothing there is fine. */
  remove(path: string): void;
  /** `undefined`: there is none. */
  read(path: string): string | undefined;
}

export const rootFiles: RootFiles = {
  makeDirectory: (path) => {
    mkdirSync(path, { mode: 0o700 });
  },
  writeNew: (path, text, mode) => {
    const file = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, mode);
    try {
      // Whatever the umask took away.
      fchmodSync(file, mode);
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  },
  remove: (path) => rmSync(path, { recursive: true, force: true }),
  read: (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  },
};

/**
 * The text of a file that only root may write, or '' where there is none. Throws otherwise: what is remembered for root
 * and cannot be believed must never look like nothing remembered.
 */
export function ownText(file: string): string {
  let opened: number;
  try {
    opened = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
  try {
    const { uid, mode } = fstatSync(opened);
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0)
      throw new Error(`cannot use ${file}: others may write it; chown root and chmod 600 it after a look`);
    return readFileSync(opened, 'utf8');
  } finally {
    closeSync(opened);
  }
}

/** Makes a folder that is root's alone, where it is missing. Throws where it is a link, somebody else's, or open to others. */
export function ownFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  const { uid, mode } = found;
  if (!found.isDirectory()) throw new Error(`cannot use ${path}: it is no folder`);
  if (uid !== process.geteuid?.()) throw new Error(`cannot use ${path}: it belongs to uid ${uid}`);
  if ((mode & 0o077) !== 0)
    throw new Error(`cannot use ${path}: others may enter it; after a look at it run: chmod 700 ${path}`);
}
