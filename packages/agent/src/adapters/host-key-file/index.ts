/** The host's key in its file: made once, read ever after, never replaced: operators have pinned it. */
import { createPrivateKey } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readdirSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { reason } from '@felhom/protocol';
import { createHostKey } from '../../host-key/index.ts';
import type { Random } from '../../kernel/clock.ts';
import type { HostKey } from '../../ports/signatures.ts';
import { loadSecret } from '../config-file/index.ts';
import type { Loaded } from '../config-file/index.ts';

export const hostKeyFileName = 'host-key.pem';

/**
 * Opens the key in this folder, or makes one where there is none. Of two processes that make one at the same time both get
 * the same. Errors: `config.unreadable`, `config.invalid`, `config.secret-exposed`; none of them touches the file.
 */
export function openHostKey(directory: string, random: Random): Loaded<HostKey> {
  const file = join(directory, hostKeyFileName);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (!readdirSync(directory).includes(hostKeyFileName)) make(directory, file, random);
  } catch (error) {
    return bad('config.unreadable', `cannot make the host key ${file}: ${(error as Error).message}`);
  }
  return readHostKey(directory);
}

/** As `openHostKey`, without making one. */
export function readHostKey(directory: string): Loaded<HostKey> {
  const file = join(directory, hostKeyFileName);
  const pem = loadSecret(file);
  if (pem.is === 'bad') return pem;
  try {
    return { is: 'loaded', value: createHostKey(pem.value) };
  } catch (error) {
    return bad(
      'config.invalid',
      `cannot use ${file}: ${(error as Error).message}; put it back from a backup, or remove it for a new key that every operator has to pin again`,
    );
  }
}

/** Complete under another name first; the link gives it its own, unless somebody was faster. */
function make(directory: string, file: string, random: Random): void {
  const draft = join(directory, `.${hostKeyFileName}.${Buffer.from(random.bytes(8)).toString('hex')}`);
  const descriptor = openSync(draft, 'wx', 0o600);
  try {
    try {
      writeSync(descriptor, pemFrom(random.bytes(32)));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(draft);
  }
  syncFolder(directory);
}

/** RFC 8410: the PKCS8 of an Ed25519 key is this prefix and its 32 bytes. */
function pemFrom(seed: Uint8Array): string {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' });
}

function syncFolder(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function bad(
  code: 'config.unreadable' | 'config.invalid',
  text: string,
): { is: 'bad'; why: ReturnType<typeof reason> } {
  return { is: 'bad', why: reason(code, text) };
}
