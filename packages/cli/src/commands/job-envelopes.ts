/** Envelopes and what is needed to make one without a hub: challenge, sign, cosign, submit, show, withdraw. */
import type { Command } from 'commander';
import {
  digestOfText,
  jobKind,
  maxSignatures,
  parseVersionedJson,
  signatureNamespaces,
  writeEnvelope,
} from '@felhom/protocol';
import type { Job } from '@felhom/protocol';
import { printable } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { confirmWithYes } from '../confirm.ts';
import type { HubClient } from '../hub-client.ts';
import { CliError, exitCodes } from '../io.ts';
import { concludeDelivery, deliver, writeNew } from '../jobs/deliver.ts';
import { checkSignatures, openJob, renderSignatures, tryOpenJob } from '../jobs/open-envelope.ts';
import type { CheckedSignature, OpenedEnvelope } from '../jobs/open-envelope.ts';
import { signJob } from '../jobs/sign-job.ts';
import { renderJob } from '../jobs/summary.ts';
import { lookAtHost } from '../look-at-host.ts';
import type { ChallengeFile } from '../look-at-host.ts';
import { readText } from '../settings.ts';
import { refuseStrangeKey } from '../signing/may-sign.ts';
import type { Person } from '../signing/may-sign.ts';
import { findSigningKey } from '../signing/signing-key.ts';
import { signPayload } from '../signing/ssh-keygen.ts';
import { timeText } from '../time-text.ts';
import type { VerifiedHost } from '../verified-host.ts';
import { addSigningOptions } from './signing-options.ts';
import type { SigningOptions } from './signing-options.ts';

interface Json {
  readonly json?: boolean;
}

export function addEnvelopeCommands(job: Command, context: CommandContext): void {
  job
    .command('challenge')
    .description('write what the host signed last to a file, to make a job where there is no hub')
    .argument('<host>')
    .requiredOption('--out <file>', 'file to write')
    .action((name: string, options: { readonly out: string }) => writeChallenge(context, name, options.out));
  addSigningOptions(
    job.command('sign').description('sign a job that is written in a file').argument('<file>', 'JSON of the job'),
  ).action((path: string, options: SigningOptions) => signFile(context, path, options));
  addSigningOptions(
    job
      .command('cosign')
      .description('add your signature over exactly the same bytes, after reading for yourself what they mean')
      .argument('<host>')
      .argument('<job>', 'id of a job in the mailbox, its first letters, or the file of an envelope'),
  ).action((name: string, which: string, options: SigningOptions) => cosign(context, name, which, options));
  job
    .command('submit')
    .description('send the envelope in a file, and wait for the host')
    .argument('<host>')
    .argument('<file>')
    .option('--no-wait', 'do not wait for the host')
    .option('--json', 'print JSON')
    .action((name: string, path: string, options: Json & { readonly wait?: boolean }) =>
      submit(context, name, path, options),
    );
  job
    .command('show')
    .description('what an envelope says and who signed it; believes nothing')
    .argument('<file>')
    .option('--json', 'print JSON')
    .action((path: string, options: Json) => show(context, path, options));
  job
    .command('withdraw')
    .description('take an envelope out of the mailbox before the host has it')
    .argument('<host>')
    .argument('<job>', 'id of the job, or its first letters')
    .option('--json', 'print JSON')
    .action((name: string, prefix: string, options: Json) => withdraw(context, name, prefix, options));
}

async function writeChallenge(context: CommandContext, name: string, path: string): Promise<void> {
  const { host } = await context.withHub((hub) => hub.host(name));
  if (host.statement === undefined || host.report === undefined)
    throw new CliError(
      exitCodes.unproven,
      'host.no-statement',
      `cannot write a challenge of ${name}: the hub has no signed statement and report of it`,
      `felhom status ${name} shows when it was last heard`,
    );
  const file = { v: 1, host: name, statement: host.statement, report: host.report } satisfies ChallengeFile;
  await writeNew(path, JSON.stringify(file));
  context.io.stdout.write(`Written to ${path}; good for signing for fifteen minutes: --from ${path}\n`);
}

async function signFile(context: CommandContext, path: string, options: SigningOptions): Promise<void> {
  const parsed = parseVersionedJson(jobKind, await readText(path));
  if (parsed.is !== 'ok') throw new CliError(exitCodes.failed, 'job.invalid', `cannot sign ${path}: ${parsed.text}`);
  const job = parsed.value;
  const host = await lookAtHost(context, job.host, options.from);
  refuseUnbound(job, host);
  const text = await signJob(context, host, job, options);
  const out = options.out ?? `${path}.signed.json`;
  const delivery = await deliver(context, job, text, { ...options, out });
  const said = concludeDelivery(context, job.host, delivery);
  context.print(options, delivery, () => said);
}

/** What cannot be carried out is not signed either. */
function refuseUnbound(job: Job, host: VerifiedHost): void {
  if (job.host === host.hostId && job.hostEpoch === host.statement.hostEpoch && job.expiresAt > host.statement.at)
    return;
  throw new CliError(
    exitCodes.failed,
    'job.unbound',
    `cannot sign job ${job.jobId}: it is for another host or another epoch of it, or has expired`,
    'make it again from what the host shows now',
  );
}

async function cosign(context: CommandContext, name: string, which: string, options: SigningOptions): Promise<void> {
  const isFile = !/^[a-z2-7]{4,26}$/.test(which);
  const found = isFile
    ? { envelope: openJob(await readText(which), which) }
    : await context.withHub((hub) => findMailed(hub, name, which));
  const { envelope } = found;
  const host = await lookAtHost(context, name, options.from);
  refuseUnbound(envelope.value, host);
  const at = host.statement.at;
  const key = await findSigningKey(context.io, context.machine, options.key);
  const person = refuseStrangeKey(host.trust, key, signatureNamespaces.job, name, at);
  const signatures = await checkSignatures(context.machine, envelope, signatureNamespaces.job, host.trust, at);
  refuseTwice(envelope, signatures, person);
  const out = options.json === true ? context.io.stderr : context.io.stdout;
  out.write(renderJob(envelope.value, host, context.style) + renderSignatures(signatures));
  await confirmWithYes(context, options, `Add your signature as ${person.principal} (${key.fingerprint})?`);
  // What cannot count is left behind, so that it cannot crowd out what does.
  const good = signatures
    .filter(({ verdict, principal }) => verdict === 'good' && principal !== undefined)
    .map(({ armoured }) => armoured)
    .slice(0, maxSignatures - 1);
  const mine = await signPayload(context.machine, key, signatureNamespaces.job, envelope.payload);
  const text = writeEnvelope(envelope.payload, [...good, mine]);
  const target =
    isFile && options.out === undefined && options.from !== undefined ? `${which}.cosigned.json` : options.out;
  const delivery = await deliver(context, envelope.value, text, { ...options, out: target });
  const said = concludeDelivery(context, name, delivery);
  context.print(options, delivery, () => said);
}

function refuseTwice(envelope: OpenedEnvelope<Job>, signatures: readonly CheckedSignature[], person: Person): void {
  const own = signatures.find(
    ({ verdict, fingerprint, principal }) =>
      verdict === 'good' && (fingerprint === person.fingerprint || principal === person.principal),
  );
  if (own === undefined) return;
  throw new CliError(
    exitCodes.failed,
    'cosign.twice',
    `cannot cosign job ${envelope.value.jobId}: ${person.principal} has signed it already (${own.fingerprint ?? ''}); people count, not keys`,
    'somebody else has to sign',
  );
}

/** So many signatures of a mailbox are looked at: each costs a run of ssh-keygen, and a mailbox may hold anything. */
const mostLookedAt = 32;

/** The job in the mailbox whose id begins so, with the signatures of all its envelopes: two people may add theirs at once. */
async function findMailed(
  hub: HubClient,
  name: string,
  prefix: string,
): Promise<{ readonly texts: readonly string[]; readonly envelope: OpenedEnvelope<Job> }> {
  const opened = (await hub.envelopes(name)).flatMap(({ text }) => {
    const envelope = tryOpenJob(text);
    return envelope?.value.jobId.startsWith(prefix) === true ? [{ text, envelope }] : [];
  });
  const [first] = opened;
  const payloads = new Set(opened.map(({ envelope }) => envelope.digest));
  if (first !== undefined && payloads.size === 1) {
    const all = opened.flatMap(({ envelope }) => envelope.signatures.map((one) => [one.armoured, one] as const));
    const signatures = [...new Map(all).values()].slice(0, mostLookedAt);
    return { texts: opened.map(({ text }) => text), envelope: { ...first.envelope, signatures } };
  }
  throw new CliError(
    exitCodes.failed,
    'envelope.not-found',
    `cannot find job ${prefix} in the mailbox of ${name}: ${first === undefined ? 'no envelope says so' : 'several envelopes say so and differ'}`,
    `felhom jobs ${name} lists what is there`,
  );
}

async function submit(
  context: CommandContext,
  name: string,
  path: string,
  options: Json & { readonly wait?: boolean },
): Promise<void> {
  const text = (await readText(path)).trim();
  const { value: job } = openJob(text, path);
  if (job.host !== name)
    throw new CliError(
      exitCodes.usage,
      'job.other-host',
      `cannot send ${path} to ${name}: the job is for ${job.host}`,
      'nothing was sent',
    );
  const delivery = await deliver(context, job, text, options);
  const said = concludeDelivery(context, name, delivery);
  context.print(options, delivery, () => said);
}

async function show(context: CommandContext, path: string, options: Json): Promise<void> {
  const opened = openJob(await readText(path), path);
  const signatures = await checkSignatures(context.machine, opened);
  const { value: job, digest } = opened;
  const plain = signatures.map(({ fingerprint, verdict, touched }) => ({ fingerprint, verdict, touched }));
  context.print(options, { job, digest, signatures: plain }, () => {
    const life = `${timeText(job.notBefore)} to ${timeText(job.expiresAt)}`;
    return [
      `Job ${job.jobId}: ${job.kind} on ${job.host} (epoch ${job.hostEpoch}), good from ${life}\n`,
      `${printable(JSON.stringify(job.params, null, 2))}\n`,
      `digest ${digest}\n`,
      renderSignatures(signatures),
      `Who these keys belong to, and what would be lost, says felhom job cosign ${job.host}: it asks the host's own word.\n`,
    ].join('');
  });
}

async function withdraw(context: CommandContext, name: string, prefix: string, options: Json): Promise<void> {
  const digests = await context.withHub(async (hub) => {
    const found = (await findMailed(hub, name, prefix)).texts.map(digestOfText);
    for (const one of found) await hub.withdrawEnvelope(name, one);
    return found;
  });
  context.print(options, { host: name, withdrawn: digests }, () => `Withdrawn; ${name} does not get it any more.\n`);
}
