/**
 * The notes of an archive: a hash of the guest's uid and the operation's nonce, and nothing else [R41]. On PBS they are
 * plain text, and so are they to everybody who may list the storage. Pure.
 */
import { createHash } from 'node:crypto';
import type { GuestUid } from '@felhom/protocol';

export interface BackupNotes {
  /** First 16 hex digits of SHA-256 over the uid. */
  readonly guest: string;
  /** The operation's nonce, which is the id of the record. */
  readonly id: string;
}

const shape = /^felhom ([0-9a-f]{16}) ([a-z2-7]{16})$/;

export const hashOfUid = (uid: GuestUid): string => createHash('sha256').update(uid, 'utf8').digest('hex').slice(0, 16);

export const formatNotes = (uid: GuestUid, id: string): string => `felhom ${hashOfUid(uid)} ${id}`;

/** `undefined`: not ours. Lists show the first line of the notes only. */
export function parseNotes(notes: string | undefined): BackupNotes | undefined {
  const [, guest, id] = shape.exec((notes ?? '').trimEnd()) ?? [];
  return guest === undefined || id === undefined ? undefined : { guest, id };
}
