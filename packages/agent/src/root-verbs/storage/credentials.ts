/**
 * Passwords of servers, at rest: sealed by systemd to this host, or in a file that only root
 * reads where systemd cannot. They go to Proxmox on stdin and nowhere else. Proxmox keeps a copy of its own, unsealed, in
 * `/etc/pve/priv/storage`: that is its design, and nothing here makes it better.
 */
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { placeFile, readOwnFile } from '../durable-file.ts';
import { ownFolder } from '../root-files.ts';
import type { StorageWorld } from './world.ts';

type CredentialWorld = Pick<StorageWorld, 'credentials'> & {
  readonly tools: Pick<StorageWorld['tools'], 'systemdCreds'>;
};

export type SecretAnswer =
  | { readonly is: 'secret'; readonly secret: string }
  | { readonly is: 'none' }
  | { readonly is: 'bad'; readonly text: string };

/** One line, because Proxmox writes it into a line of a file; and what PVE: CIFSPlugin.pm takes at most. */
const usable = /^[\x20-\x7e]{1,256}$/;

export type KeptCredential =
  /** `tpm`: to the chip of this host; else to a key that lies on its disk too. */
  | { readonly is: 'sealed'; readonly tpm: boolean }
  | { readonly is: 'plain' }
  | { readonly is: 'bad'; readonly text: string };

/** Keeps a password under a name. On disk when it returns. `bad` where it can be none. Throws what the disk throws. */
export async function keepCredential(world: CredentialWorld, name: string, secret: string): Promise<KeptCredential> {
  if (!usable.test(secret)) return { is: 'bad', text: 'it has to be one line of 1 to 256 printable ASCII characters' };
  ownFolder(world.credentials);
  const { sealed, plain } = filesOf(world, name);
  const text = await seal(world, name, secret);
  const [file, other] = text === undefined ? [plain, sealed] : [sealed, plain];
  placeFile(file, text ?? secret, 0o600, (draft) => renameSync(draft, file));
  rmSync(other, { force: true });
  if (text === undefined) return { is: 'plain' };
  return { is: 'sealed', tpm: (await world.tools.systemdCreds(['has-tpm2', '--quiet'])).code === 0 };
}

/** The password of a name. Its text is in no error. */
export async function readCredential(world: CredentialWorld, name: string): Promise<SecretAnswer> {
  const { sealed, plain } = filesOf(world, name);
  try {
    const cipher = ownSecret(sealed);
    if (cipher === undefined) {
      const secret = ownSecret(plain);
      return secret === undefined ? { is: 'none' } : { is: 'secret', secret };
    }
    const { code, stdout, stderr } = await world.tools.systemdCreds(['decrypt', `--name=${name}`, '-', '-'], cipher);
    if (code !== 0) return { is: 'bad', text: `systemd-creds ended with ${code}: ${stderr.trim().slice(0, 300)}` };
    return { is: 'secret', secret: stdout };
  } catch (error) {
    return { is: 'bad', text: error instanceof Error ? error.message : String(error) };
  }
}

const filesOf = ({ credentials }: CredentialWorld, name: string) => ({
  sealed: join(credentials, `${name}.cred`),
  plain: join(credentials, `${name}.secret`),
});

/** `undefined` where systemd cannot seal. */
async function seal({ tools }: CredentialWorld, name: string, secret: string): Promise<string | undefined> {
  try {
    const { code, stdout } = await tools.systemdCreds(['encrypt', `--name=${name}`, '-', '-'], secret);
    return code === 0 && stdout !== '' ? stdout : undefined;
  } catch {
    return undefined;
  }
}

/** `undefined` where there is no such file. Throws where others may read or write it. */
const ownSecret = (file: string): string | undefined =>
  readOwnFile(
    file,
    0o077,
    'others may read it; make a new password, and keep it with: felhom-agent storage credential',
  );
