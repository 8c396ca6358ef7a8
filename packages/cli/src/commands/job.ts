/** `felhom job …`: one command per kind of job, and what can be done with an envelope. */
import { Command } from 'commander';
import type { JobKind } from '@felhom/protocol';
import type { CommandContext } from '../command-context.ts';
import { jobFiles } from '../jobs/catalog.ts';
import type { JobCommand } from '../jobs/job-file.ts';
import { makeJob } from '../jobs/make-job.ts';
import { signAndDeliver } from '../jobs/sign-job.ts';
import { lookAtHost } from '../look-at-host.ts';
import { readText } from '../settings.ts';
import { addEnvelopeCommands } from './job-envelopes.ts';
import { addSigningOptions, validForMs } from './signing-options.ts';
import type { SigningOptions } from './signing-options.ts';

export function addJob(program: Command, context: CommandContext): void {
  const job = program.command('job').description('make, sign, send and read signed jobs');
  for (const file of Object.values(jobFiles))
    for (const command of file.commands) addKind(job, context, file.kind, command, 'later' in file);
  addEnvelopeCommands(job, context);
}

function addKind(job: Command, context: CommandContext, kind: JobKind, spec: JobCommand, later: boolean): void {
  const words = spec.name.split(' ');
  const name = words.at(-1) ?? spec.name;
  const parent = words.length === 1 ? job : groupNamed(job, words[0] ?? '');
  const command = parent
    .command(name)
    .description(later ? `${spec.about} (refused by hosts of this release)` : spec.about)
    .argument('<host>');
  for (const [operand, about] of spec.operands) command.argument(operand, about);
  for (const [flags, about] of spec.options) command.option(flags, about);
  addSigningOptions(command).action(async (...given: unknown[]) => {
    // Commander hands over the arguments, then the options, then the command.
    const [hostName, ...operands] = given.slice(0, -2) as [string, ...(string | undefined)[]];
    const options = command.opts<SigningOptions>();
    const host = await lookAtHost(context, hostName, options.from);
    const params = await spec.params(host, { operands, options: command.opts(), readFile: readText });
    await signAndDeliver(context, host, makeJob(host, kind, params, context.machine, validForMs(options)), options);
  });
}

function groupNamed(job: Command, name: string): Command {
  const known = job.commands.find((command) => command.name() === name);
  return known ?? job.command(name).description(`${name}, opened and closed by signed jobs`);
}
