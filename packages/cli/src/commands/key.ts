/** `felhom key create | use | show | trust-line`: choosing a signing key. OpenSSH makes and holds it. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parsePublicKey, principal, signatureNamespaces } from '@felhom/protocol';
import type { Signer, SshPublicKey } from '@felhom/protocol';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { CliError, exitCodes } from '../io.ts';
import { readText } from '../settings.ts';
import { configureKeyPath, findSigningKey, fingerprintOf } from '../signing/signing-key.ts';
import { runTool } from '../signing/ssh-keygen.ts';

interface Json {
  readonly json?: boolean;
}
interface CreateOptions extends Json {
  readonly file?: string;
  readonly type: string;
  /** Commander's way of `--no-passphrase`. */
  readonly passphrase: boolean;
}

export function addKey(program: Command, context: CommandContext): void {
  const key = program.command('key').description('the key that you sign with; ssh-keygen makes, holds and uses it');
  key
    .command('create')
    .description('make a signing key; ssh-keygen asks for its passphrase')
    .option('--file <file>', 'where to put it; ~/.ssh/felhom_ed25519 if not said')
    .option('--type <type>', 'ed25519: in a file; sk: on a FIDO2 key', 'ed25519')
    .addOption(
      new Option(
        '--no-passphrase',
        'no passphrase: whoever can read the file, or a backup of it, signs in your name',
      ).hideHelp(),
    )
    .option('--json', 'print JSON')
    .action((options: CreateOptions) => createKey(context, options));
  key
    .command('use')
    .description('sign with this key from now on: a key file, or a .pub whose private half ssh-agent has')
    .argument('<file>')
    .option('--json', 'print JSON')
    .action(async (file: string, options: Json) => {
      const path = resolve(file);
      const fingerprint = await fingerprintOf(context.machine, path);
      await configureKeyPath(context.io, path);
      context.print(options, { key: path, fingerprint }, () => `Signing with ${path} (${fingerprint}) from now on.\n`);
    });
  key
    .command('show')
    .description('which key is used, and its fingerprint')
    .option('--key <file>', 'another one than the chosen one')
    .option('--json', 'print JSON')
    .action(async (options: Json & { readonly key?: string }) => {
      const { path, fingerprint } = await findSigningKey(context.io, context.machine, options.key);
      context.print(options, { key: path, fingerprint }, () => `${path}\n${fingerprint}\n`);
    });
  key
    .command('trust-line')
    .description('the line by which a host knows you: into a file for felhom job trust-add, or for root on the host')
    .requiredOption('--as <name>', 'name of the person, lower-case')
    .option('--key <file>', 'another one than the chosen one')
    .option('--json', 'print the signer as it stands in a trust document')
    .action(async (options: Json & { readonly as: string; readonly key?: string }) => {
      if (!principal.safeParse(options.as).success)
        throw new CliError(
          exitCodes.usage,
          'key.bad-name',
          `cannot name ${JSON.stringify(options.as)} in a trust document: lower-case letters, digits, . and -, at most 40`,
        );
      const { path, fingerprint } = await findSigningKey(context.io, context.machine, options.key);
      const { line } = await publicHalf(path, fingerprint);
      const signer = {
        principal: options.as,
        key: line,
        signs: [signatureNamespaces.job],
        touch: false,
      } satisfies Signer;
      context.print(options, signer, () => `${line} ${options.as}\n`);
    });
}

async function createKey(context: CommandContext, options: CreateOptions): Promise<void> {
  if (options.type !== 'ed25519' && options.type !== 'sk')
    throw new CliError(
      exitCodes.usage,
      'usage',
      `cannot make a key of type ${JSON.stringify(options.type)}: ed25519 or sk`,
    );
  const file = resolve(options.file ?? join(context.io.homeDirectory, '.ssh', 'felhom_ed25519'));
  if ((await exists(file)) || (await exists(`${file}.pub`)))
    throw new CliError(
      exitCodes.failed,
      'key.exists',
      `cannot make a key: ${file} is there already`,
      `felhom key use ${file}, or name another file with --file; a key is never written over`,
    );
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  if (!options.passphrase)
    context.io.stderr.write(
      'This key has no passphrase: whoever can read the file, or a backup of it, signs in your name.\n',
    );
  const type = options.type === 'sk' ? ['-t', 'ed25519-sk', '-O', 'application=ssh:felhom'] : ['-t', 'ed25519'];
  const args = ['-q', ...type, '-C', 'felhom', '-f', file, ...(options.passphrase ? [] : ['-N', ''])];
  const { status } = await runTool(context.machine, args, { attached: true });
  if (status !== 0)
    throw new CliError(
      exitCodes.failed,
      'key.not-made',
      'cannot make a key: ssh-keygen did not make one',
      'what it said stands above; for a FIDO2 key, plug it in and touch it when it blinks',
    );
  const fingerprint = await fingerprintOf(context.machine, file);
  await configureKeyPath(context.io, file);
  context.print(options, { key: file, fingerprint }, () =>
    [
      `Made ${file} (${fingerprint}), and signing with it from now on.\n`,
      'A host counts it once its trust document lists it: felhom key trust-line --as NAME\n',
    ].join(''),
  );
}

/** The public file beside a key file, and only if it is that key's. */
async function publicHalf(path: string, fingerprint: string): Promise<SshPublicKey> {
  const file = path.endsWith('.pub') ? path : `${path}.pub`;
  const key = parsePublicKey(await readText(file));
  if (key?.fingerprint === fingerprint) return key;
  throw new CliError(
    exitCodes.failed,
    'key.unusable',
    `cannot tell the public half of ${path}: ${file} is of another key`,
    `ssh-keygen -y -f ${path} > ${file} makes it anew`,
  );
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}
