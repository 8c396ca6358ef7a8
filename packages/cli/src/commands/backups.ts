/** `felhom backups HOST`, `felhom restore-tests HOST`: what there is to restore from, and what was shown of it. */
import type { Command } from 'commander';
import { isEvidenceOf } from '@felhom/protocol';
import type { ReportedBackup, ReportedCopy, ReportedRestoreTest } from '@felhom/protocol';
import { formatDuration, renderBackups, renderCopies, renderRestoreTests } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { CliError, exitCodes } from '../io.ts';
import { lookAtHost } from '../look-at-host.ts';
import { loadPin } from '../pins.ts';
import { oldestStatementMs } from '../verified-host.ts';
import type { VerifiedHost } from '../verified-host.ts';

interface Options {
  readonly guest?: string;
  readonly json?: boolean;
}

export function addBackups(program: Command, context: CommandContext): void {
  program
    .command('backups')
    .description('copies of the guests of a host, as the host itself signed: age, proven or not, what a job calls them')
    .argument('<host>')
    .option('--guest <name>', 'only of this guest')
    .option('--json', 'print JSON')
    .action(async (name: string, options: Options) => {
      const host = await lookAtHost(context, name, undefined, undefined, 'reading');
      const { guest } = options;
      refuseStranger(host, guest);
      const of = <T extends { readonly guest: string }>(list: readonly T[]): readonly T[] =>
        guest === undefined ? list : list.filter((one) => one.guest === guest);
      const { report } = host;
      const shown = {
        backups: of(report.backups),
        copies: of(report.copies),
        bulk: of(report.bulk),
        cut: report.cut.copies,
      };
      warnOfSilence(context, name, host);
      context.print(options, { host: name, at: host.statement.at, ...shown }, () =>
        renderShown(name, shown, host.statement.at, context.style),
      );
    });
  program
    .command('restore-tests')
    .description('restore-tests of a host: verdict, how far, how long, why not better; each signature is verified')
    .argument('<host>')
    .option('--guest <name>', 'only of this guest')
    .option('--json', 'print JSON')
    .action(async (name: string, options: Options) => {
      const host = await lookAtHost(context, name, undefined, undefined, 'reading');
      refuseStranger(host, options.guest);
      const lines = (await verifiedTests(context, host)).filter(
        ({ test }) => options.guest === undefined || test.evidence.name === options.guest,
      );
      warnOfSilence(context, name, host);
      context.print(options, { host: name, at: host.statement.at, tests: lines }, () =>
        lines.length === 0
          ? `${name} tells of no restore-test${options.guest === undefined ? '' : ` of ${options.guest}`} yet.\n`
          : renderRestoreTests(lines, host.statement.at, context.style),
      );
      if (lines.some(({ verified }) => !verified)) {
        context.io.stderr.write(
          `felhom: evidence that the pinned key of ${name} did not sign is among these: find out who made it\n`,
        );
        context.exitWith(exitCodes.unproven);
      }
    });
}

/**
 * With the pinned key, and about this host: evidence says of its own which host made it, and it may have travelled with a
 * report of another.
 */
async function verifiedTests(
  context: CommandContext,
  host: VerifiedHost,
): Promise<readonly { readonly test: ReportedRestoreTest; readonly verified: boolean }[]> {
  const key = (await loadPin(context.io, host.hostId))?.key;
  return host.report.restoreTests.map((test) => ({
    test,
    verified: key !== undefined && test.evidence.host === host.hostId && isEvidenceOf(key, test),
  }));
}

/** A host that is silent is when people look for copies most. Ages are counted from what it said last. */
function warnOfSilence(context: CommandContext, name: string, { statement }: VerifiedHost): void {
  const age = context.machine.now() - statement.at;
  if (age > oldestStatementMs)
    context.io.stderr.write(`felhom: this is what ${name} said ${formatDuration(age)} ago, its last word\n`);
}

function refuseStranger({ report, hostId }: VerifiedHost, guest: string | undefined): void {
  if (guest === undefined) return;
  const known = [report.guests.map(({ name }) => name), report.copies.map((copy) => copy.guest)].flat();
  if (!(known as readonly string[]).includes(guest))
    throw new CliError(
      exitCodes.failed,
      'guest.unknown',
      `cannot show backups of ${JSON.stringify(guest)}: ${hostId} reports no such guest`,
      `felhom status ${hostId} shows its guests`,
    );
}

interface Shown {
  readonly backups: readonly ReportedBackup[];
  readonly copies: readonly ReportedCopy[];
  readonly cut: number;
}

function renderShown(name: string, { backups, copies, cut }: Shown, now: number, style: Style): string {
  if (backups.length + copies.length === 0) return `${name} tells of no backup.\n`;
  return [
    ...(backups.length === 0 ? [] : [renderBackups(backups, now, style)]),
    ...(copies.length === 0 ? [] : [renderCopies(copies, now, style)]),
    ...(cut === 0 ? [] : [`Not shown: ${cut} more copies.\n`]),
  ].join('\n');
}
