/** Which key this operator signs with: the path of a file, never what is in it. */
import type { Versioned } from '@felhom/protocol';
import { z } from 'zod';
import { CliError, exitCodes } from '../io.ts';
import type { CliIo, Machine } from '../io.ts';
import { privatePath, readPrivateFile, writePrivateFile } from '../private-file.ts';
import { runTool } from './ssh-keygen.ts';

const signingFile = z.strictObject({ v: z.literal(1), key: z.string().min(1).max(4096) });
const signingKind: Versioned<z.output<typeof signingFile>> = {
  what: 'choice of the signing key',
  versions: [1],
  schema: signingFile,
};

export interface SigningKey {
  /** A private key file, the file of a FIDO2 key, or a `.pub` whose private half is in ssh-agent. */
  readonly path: string;
  /** `SHA256:…` */
  readonly fingerprint: string;
}

const settingsOf = (io: CliIo): string => privatePath(io, 'signing.json');

export async function configuredKeyPath(io: CliIo): Promise<string | undefined> {
  return (await readPrivateFile(settingsOf(io), signingKind))?.key;
}

export async function configureKeyPath(io: CliIo, key: string): Promise<void> {
  await writePrivateFile(settingsOf(io), { v: 1, key } satisfies z.output<typeof signingFile>);
}

/** The key that was named, or else the configured one. Its public half is read without asking for a passphrase. */
export async function findSigningKey(io: CliIo, machine: Machine, named: string | undefined): Promise<SigningKey> {
  const path = named ?? (await configuredKeyPath(io));
  if (path === undefined)
    throw new CliError(
      exitCodes.failed,
      'key.none',
      'cannot sign: no signing key is chosen',
      'felhom key create, or felhom key use FILE, or --key FILE',
    );
  return { path, fingerprint: await fingerprintOf(machine, path) };
}

/** `SHA256:…` of the key in a file, as OpenSSH reads it. */
export async function fingerprintOf(machine: Machine, path: string): Promise<string> {
  const { status, stdout } = await runTool(machine, ['-l', '-E', 'sha256', '-f', path], { attached: false });
  const match = /^\d+ (SHA256:[A-Za-z0-9+/]{43}) .*\((ED25519|ED25519-SK)\)$/m.exec(stdout);
  if (status === 0 && match?.[1] !== undefined) return match[1];
  throw new CliError(
    exitCodes.failed,
    'key.unusable',
    `cannot use ${path} as signing key: ${status === 0 ? 'it is neither Ed25519 nor Ed25519 on a FIDO2 key' : 'OpenSSH does not read it'}`,
    'felhom key create makes one; felhom key use FILE chooses another',
  );
}
