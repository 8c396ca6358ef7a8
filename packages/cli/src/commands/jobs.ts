/** `felhom jobs HOST`: what the host says about its jobs, and envelopes that it has not taken. */
import type { Command } from 'commander';
import type { MailedEnvelope, ReportedJob } from '@felhom/protocol';
import { formatAge, indent, printableLine, renderJobs } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { tryOpenJob } from '../jobs/open-envelope.ts';
import { lookAtHost } from '../look-at-host.ts';

interface Waiting {
  readonly jobId: string | undefined;
  readonly kind: string | undefined;
  readonly fingerprints: readonly string[];
  readonly putAt: number;
  readonly putBy: string;
}

export function addJobs(program: Command, context: CommandContext): void {
  program
    .command('jobs')
    .description('jobs of a host as the host itself tells, and envelopes that still wait for it')
    .argument('<host>')
    .option('--json', 'print JSON')
    .action((name: string, options: { readonly json?: boolean }) =>
      context.withHub(async (hub) => {
        const host = await lookAtHost(context, name, undefined, hub);
        const mailbox = (await hub.envelopes(name)).filter(({ takenAt }) => takenAt === undefined).map(readMailed);
        context.print(options, { host: name, jobs: host.report.jobs, waiting: mailbox }, () =>
          renderAll(name, host.report.jobs, mailbox, host.statement.at, context.style),
        );
      }),
    );
}

function renderAll(
  name: string,
  jobs: readonly ReportedJob[],
  mailbox: readonly Waiting[],
  now: number,
  style: Style,
): string {
  const told = jobs.length === 0 ? `${name} tells of no job.\n` : renderJobs(jobs, name, now, style);
  if (mailbox.length === 0) return told;
  const lines = mailbox.map(({ jobId, kind, fingerprints, putAt, putBy }) => {
    const what = jobId === undefined ? 'something that is no job' : `${kind ?? ''} ${jobId}`;
    const signed = fingerprints.length === 0 ? 'unsigned' : `signatures of ${fingerprints.join(', ')}`;
    return printableLine(`${what}, ${signed}; put there ${formatAge(putAt, now)} by ${putBy}`);
  });
  const title = `${style.paint('strong', 'In the mailbox, not taken by the host')} (what they claim; nothing is verified)\n`;
  return `${told}\n${title}${lines.map((line) => indent(`${line}\n`)).join('')}`;
}

function readMailed({ text, putAt, putBy }: MailedEnvelope): Waiting {
  const opened = tryOpenJob(text);
  return {
    jobId: opened?.value.jobId,
    kind: opened?.value.kind,
    fingerprints: opened?.signatures.map(({ fingerprint }) => fingerprint ?? 'an unreadable one') ?? [],
    putAt,
    putBy,
  };
}
