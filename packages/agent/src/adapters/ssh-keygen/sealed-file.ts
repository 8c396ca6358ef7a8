/**
 * A file that nobody else can have a hand in: made new in a private folder, without a name before the first byte was
 * written. A child gets it as an open descriptor and reads it through `/dev/fd`.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, constants, lstatSync, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Makes the folder where it is missing. Throws where it is a link, somebody else's, or open to others. */
export function securePrivateFolder(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const found = lstatSync(directory);
  if (!found.isDirectory()) throw new Error(`${directory} is no folder`);
  if (found.uid !== process.geteuid?.()) throw new Error(`${directory} belongs to another user (uid ${found.uid})`);
  if ((found.mode & 0o077) !== 0)
    throw new Error(`${directory} has mode ${(found.mode & 0o777).toString(8)}; run: chmod 700 ${directory}`);
}

/** The descriptor of a nameless file with this content; the caller closes it. */
export function openSealed(directory: string, content: string): number {
  const name = join(directory, randomBytes(16).toString('hex'));
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const descriptor = openSync(name, flags, 0o600);
  try {
    unlinkSync(name);
    const bytes = Buffer.from(content, 'utf8');
    for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}
