/** `felhom release sign | show`: which bytes may run, signed with a namespace of its own [R45]. */
import type { Command } from 'commander';
import {
  parseVersionedJson,
  payloadOf,
  releaseManifestKind,
  signatureNamespaces,
  writeEnvelope,
} from '@felhom/protocol';
import type { CanonicalValue, ReleaseManifest } from '@felhom/protocol';
import { indent, printable } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { confirmWithYes } from '../confirm.ts';
import { CliError, exitCodes } from '../io.ts';
import { writeNew } from '../jobs/deliver.ts';
import { checkSignatures, openEnvelope, renderSignatures } from '../jobs/open-envelope.ts';
import { readText } from '../settings.ts';
import { findSigningKey } from '../signing/signing-key.ts';
import { signPayload } from '../signing/ssh-keygen.ts';
import { timeText } from '../time-text.ts';

interface Json {
  readonly json?: boolean;
}

export function addRelease(program: Command, context: CommandContext): void {
  const release = program.command('release').description('sign and read release manifests');
  release
    .command('sign')
    .description('check a manifest, show it, and write it signed beside itself')
    .argument('<file>', 'JSON of the manifest')
    .option('--key <file>', 'sign with this key instead of the chosen one')
    .option('--out <file>', 'file to write; FILE.signed.json if not said')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print JSON')
    .action(sign.bind(undefined, context));
  release
    .command('show')
    .description('what a signed manifest says and who signed it')
    .argument('<file>')
    .option('--json', 'print JSON')
    .action(async (path: string, options: Json) => {
      const opened = openEnvelope(await readText(path), releaseManifestKind, path);
      const signatures = await checkSignatures(context.machine, opened, signatureNamespaces.release);
      const plain = signatures.map(({ fingerprint, verdict, touched }) => ({ fingerprint, verdict, touched }));
      context.print(options, { manifest: opened.value, digest: opened.digest, signatures: plain }, () =>
        [renderManifest(opened.value), `digest ${opened.digest}\n`, renderSignatures(signatures)].join(''),
      );
      if (!signatures.some(({ verdict }) => verdict === 'good')) context.exitWith(exitCodes.unproven);
    });
}

interface SignReleaseOptions extends Json {
  readonly key?: string;
  readonly out?: string;
  readonly yes?: boolean;
}

async function sign(context: CommandContext, path: string, options: SignReleaseOptions): Promise<void> {
  const parsed = parseVersionedJson(releaseManifestKind, await readText(path));
  if (parsed.is !== 'ok')
    throw new CliError(
      exitCodes.failed,
      'release.invalid',
      `cannot sign ${path}: ${parsed.text}`,
      'nothing was signed',
    );
  const manifest = parsed.value;
  if (manifest.expiresAt <= context.machine.now())
    throw new CliError(
      exitCodes.failed,
      'release.expired',
      `cannot sign ${path}: it has expired`,
      'nothing was signed',
    );
  const key = await findSigningKey(context.io, context.machine, options.key);
  const out = options.json === true ? context.io.stderr : context.io.stdout;
  out.write(renderManifest(manifest));
  await confirmWithYes(context, options, `Sign this release with ${key.fingerprint}?`);
  const payload = payloadOf(JSON.parse(JSON.stringify(manifest)) as CanonicalValue);
  const signature = await signPayload(context.machine, key, signatureNamespaces.release, payload);
  const file = options.out ?? `${path}.signed.json`;
  await writeNew(file, writeEnvelope(payload, [signature]));
  context.print(options, { file, fingerprint: key.fingerprint }, () => `Written to ${file}.\n`);
}

function renderManifest(manifest: ReleaseManifest): string {
  const { product, role, version, digests, minFrom, issuedAt, expiresAt, rollout } = manifest;
  return printable(
    [
      `${product} ${version} for ${role}${minFrom === undefined ? '' : `, from ${minFrom} on`}\n`,
      `issued ${timeText(issuedAt)}, expires ${timeText(expiresAt)}\n`,
      'These bytes may run:\n',
      ...digests.map((digest) => indent(`${digest}\n`)),
      'It opens:\n',
      ...rollout.starts.map(({ percent, at }) => indent(`for ${percent} % of the hosts on ${timeText(at)}\n`)),
    ].join(''),
  );
}
