/** An envelope on its way: into a file, or into the hub's mailbox and then watched until the host says what became of it. */
import { writeFile } from 'node:fs/promises';
import { digestOfPayload, parseEnvelope, parseSshsig } from '@felhom/protocol';
import type { Job, ReportedJob } from '@felhom/protocol';
import { printableLine } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import type { HubClient } from '../hub-client.ts';
import { CliError, exitCodes } from '../io.ts';
import { lookAtHost } from '../look-at-host.ts';
import { payloadOfJob } from './summary.ts';

export interface DeliveryOptions {
  readonly out?: string | undefined;
  /** Commander's way of `--no-wait`. */
  readonly wait?: boolean | undefined;
  readonly json?: boolean | undefined;
}

export interface Delivery {
  readonly is: 'written' | 'sent' | 'settled';
  readonly jobId: string;
  readonly file?: string;
  readonly job?: ReportedJob;
}

const betweenLooksMs = 5000;
const longestWaitMs = 10 * 60_000;

/** Answers and prints what became of it, and sets the exit code where that is not "done". */
export async function deliver(
  context: CommandContext,
  job: Job,
  text: string,
  options: DeliveryOptions,
  hub?: HubClient,
): Promise<Delivery> {
  if (options.out !== undefined) {
    await writeNew(options.out, text);
    return { is: 'written', jobId: job.jobId, file: options.out };
  }
  if (hub === undefined) return context.withHub((opened) => deliver(context, job, text, options, opened));
  await hub.putEnvelope(job.host, text);
  if (options.wait === false) return { is: 'sent', jobId: job.jobId };
  const seen = await waitForHost(context, job, signersOf(text), hub, options.json === true);
  return seen === undefined ? { is: 'sent', jobId: job.jobId } : { is: 'settled', jobId: job.jobId, job: seen };
}

/** Prints one delivery for people and sets the exit code. */
export function concludeDelivery(context: CommandContext, host: string, delivery: Delivery): string {
  const { jobId, job } = delivery;
  switch (delivery.is) {
    case 'written':
      return `Written to ${delivery.file ?? ''}. Nothing was sent: felhom job submit ${host} FILE, or felhom-agent job submit FILE on the host.\n`;
    case 'sent':
      context.exitWith(exitCodes.waiting);
      return `Sent as job ${jobId}; ${host} has not said anything about it yet: felhom jobs ${host}\n`;
    case 'settled':
      break;
  }
  if (job === undefined) return '';
  const text = printableLine(job.text);
  switch (job.state) {
    case 'done':
      return `${host} did it: ${text}\n`;
    case 'refused':
    case 'failed':
    case 'cancelled':
      context.exitWith(exitCodes.failed);
      return `${host}: ${job.state}: ${text}\n  next: felhom jobs ${host} shows it; nothing is tried again by itself\n`;
    case 'waiting':
      context.exitWith(exitCodes.waiting);
      return job.missing > 0
        ? `${host} has it; ${job.missing} more must sign: ${text}\n  next: felhom job cosign ${host} ${jobId}\n`
        : `${host} has it and waits: ${text}\n  next: felhom jobs ${host}\n`;
    case 'accepted':
    case 'running':
    case 'cooling-off':
    case 'quarantine':
      return `${host} took it (${job.state}): ${text}\n  next: felhom jobs ${host}; felhom job cancel ${host} ${jobId} stops what has not happened yet\n`;
  }
}

/** The job as the host's verified report has it once it rests; `undefined`: the host did not take it in time. */
async function waitForHost(
  context: CommandContext,
  job: Job,
  signers: number,
  hub: HubClient,
  quiet: boolean,
): Promise<ReportedJob | undefined> {
  const { machine, io } = context;
  const digest = digestOfPayload(payloadOfJob(job));
  const until = machine.now() + longestWaitMs;
  let last: ReportedJob | undefined;
  if (!quiet)
    io.stderr.write(`Sent to the hub as job ${job.jobId}; waiting for ${job.host} (^C only stops waiting).\n`);
  while (machine.now() < until) {
    const found = await reportedNow(context, job, digest, hub);
    if (found !== undefined && (found.state !== last?.state || found.text !== last.text)) {
      if (!quiet) io.stderr.write(`${printableLine(`${job.host}: ${found.state}: ${found.text}`)}\n`);
      last = found;
    }
    if (last !== undefined && rests(last, signers)) return last;
    await machine.sleep(betweenLooksMs);
  }
  return last;
}

/** A job that waits has been looked at only when the host counts everybody who signed and says for what it waits. */
function rests({ state, by, code }: ReportedJob, signers: number): boolean {
  if (state === 'waiting') return by.length >= signers && code !== undefined;
  return state !== 'accepted' && state !== 'running';
}

function signersOf(text: string): number {
  const parsed = parseEnvelope(text);
  if (parsed.is !== 'ok') return 0;
  return new Set(parsed.value.envelope.signatures.map((signature) => parseSshsig(signature)?.key.line ?? signature))
    .size;
}

/** What cannot be verified at the moment says nothing about the job; anything else than that ends the wait. */
async function reportedNow(
  context: CommandContext,
  job: Job,
  digest: string,
  hub: HubClient,
): Promise<ReportedJob | undefined> {
  try {
    const host = await lookAtHost(context, job.host, undefined, hub);
    return host.report.jobs.find((one) => one.jobId === job.jobId && one.digest === digest);
  } catch (error) {
    if (error instanceof CliError && passing.has(error.code)) return undefined;
    throw error;
  }
}

const passing: ReadonlySet<string> = new Set(['host.report-altered', 'host.statement-old', 'host.no-report']);

/** Never over a file that is there. */
export async function writeNew(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, `${text}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new CliError(
      exitCodes.failed,
      'file.unwritable',
      `cannot write ${path}: ${code === 'EEXIST' ? 'it is there already' : code}`,
      'name another file; nothing was sent',
    );
  }
}
