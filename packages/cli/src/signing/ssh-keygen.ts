/**
 * The only place that touches a private key, and it never sees one: OpenSSH's own program reads the file, asks the agent
 * or the FIDO2 key, and takes the passphrase from the terminal by itself.
 *
 * The bytes to sign go through a file in a folder of our own, not through standard input: with standard input taken,
 * `ssh-keygen` has no way left to ask for a passphrase and tries an empty one.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseSshsig } from '@felhom/protocol';
import type { SignatureNamespace } from '@felhom/protocol';
import { CliError, exitCodes } from '../io.ts';
import type { Machine, ToolResult } from '../io.ts';
import type { SigningKey } from './signing-key.ts';

/** Throws where OpenSSH is not there. */
export async function runTool(
  machine: Machine,
  args: readonly string[],
  options: Parameters<Machine['sshKeygen']>[1],
): Promise<Extract<ToolResult, { is: 'ran' }>> {
  const result = await machine.sshKeygen(args, options);
  if (result.is === 'ran') return result;
  throw new CliError(
    exitCodes.failed,
    'key.no-openssh',
    'cannot use keys: ssh-keygen is not there',
    'install the client of OpenSSH (openssh-client)',
  );
}

/** The armoured signature of `key` over exactly these bytes. */
export async function signPayload(
  machine: Machine,
  key: SigningKey,
  namespace: SignatureNamespace,
  payload: Uint8Array,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'felhom-sign-'));
  try {
    const file = join(folder, 'payload');
    await writeFile(file, payload, { mode: 0o600 });
    const { status } = await runTool(machine, ['-Y', 'sign', '-f', key.path, '-n', namespace, file], {
      attached: true,
    });
    const armoured = status === 0 ? await readFile(`${file}.sig`, 'utf8').catch(() => '') : '';
    const made = parseSshsig(armoured);
    if (made?.namespace === namespace && made.key.fingerprint === key.fingerprint) return armoured;
    throw new CliError(
      exitCodes.failed,
      'key.not-signed',
      `cannot sign with ${key.path}: ${status === 0 ? 'the signature is of another key' : 'OpenSSH did not make a signature'}; nothing was sent`,
      'check the passphrase, that the FIDO2 key is plugged in and was touched, or that ssh-agent holds the key (ssh-add -l)',
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether a signature is one over these bytes, whoever made it. Touch and trust are for others to judge. */
export async function isSignatureOver(
  machine: Machine,
  namespace: SignatureNamespace,
  payload: Uint8Array,
  armoured: string,
): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'felhom-check-'));
  try {
    const file = join(folder, 'signature');
    await writeFile(file, armoured, { mode: 0o600 });
    const { status } = await runTool(machine, ['-Y', 'check-novalidate', '-n', namespace, '-s', file], {
      attached: false,
      input: payload,
    });
    return status === 0;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
