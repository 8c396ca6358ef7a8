/** Writing the trust document: complete and on disk under another name first, so that no crash leaves half a document. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { TrustDocument } from '@felhom/protocol';
import { writeTrustText } from '../trust/index.ts';

/** Puts the document in the place of the present one. Throws what the disk throws; then the present one stays. */
export function replaceTrustFile(file: string, document: TrustDocument): void {
  place(file, document, (draft) => renameSync(draft, file));
}

/** The first document; throws `EEXIST` where there is one. */
export function writeFirstTrustFile(file: string, document: TrustDocument): void {
  place(file, document, (draft) => linkSync(draft, file));
}

function place(file: string, document: TrustDocument, name: (draft: string) => void): void {
  const draft = join(dirname(file), `.${basename(file)}.${randomBytes(8).toString('hex')}`);
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
  const descriptor = openSync(draft, flags, 0o600);
  try {
    try {
      const bytes = Buffer.from(writeTrustText(document), 'utf8');
      for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
      // The agent reads it as an ordinary user; whatever the umask took away.
      fchmodSync(descriptor, 0o644);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    name(draft);
  } finally {
    rmSync(draft, { force: true });
  }
  const folder = openSync(dirname(file), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
