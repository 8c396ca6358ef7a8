/** Options that every command which signs has in common, so that they are called the same everywhere. */
import type { Command } from 'commander';
import { wholeNumber } from '../jobs/job-file.ts';
import type { SignOptions } from '../jobs/sign-job.ts';

export interface SigningOptions extends SignOptions {
  readonly validFor?: string;
}

export function addSigningOptions(command: Command): Command {
  return command
    .option(
      '--key <file>',
      'sign with this key instead of the chosen one; a .pub whose private half ssh-agent has will do',
    )
    .option('--from <file>', 'look at the host through a file of felhom job challenge instead of the hub')
    .option('--out <file>', 'write the envelope to a file instead of sending it')
    .option('--valid-for <minutes>', 'shorter than the kind of job allows')
    .option('-y, --yes', 'do not ask; what would be lost is shown all the same')
    .option('--no-wait', 'do not wait for the host')
    .option('--json', 'print JSON');
}

export function validForMs(options: SigningOptions): number | undefined {
  return options.validFor === undefined ? undefined : wholeNumber(options.validFor, '--valid-for') * 60_000;
}
