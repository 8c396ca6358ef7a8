/** `felhom approve HOST [DIGEST]`: allows exactly one blocked action, once. */
import type { Command } from 'commander';
import type { BlockedAction } from '@felhom/protocol';
import { formatAge, indent, printableLine } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { CliError, exitCodes } from '../io.ts';
import { blockedNamed, meaningOfBlocked } from '../jobs/approve.ts';
import { makeJob } from '../jobs/make-job.ts';
import { signAndDeliver } from '../jobs/sign-job.ts';
import { renderMeaning } from '../jobs/summary.ts';
import { lookAtHost } from '../look-at-host.ts';
import type { VerifiedHost } from '../verified-host.ts';
import { addSigningOptions, validForMs } from './signing-options.ts';
import type { SigningOptions } from './signing-options.ts';

export function addApprove(program: Command, context: CommandContext): void {
  addSigningOptions(
    program
      .command('approve')
      .description('sign that a blocked action may happen, once; without a digest they are listed to choose from')
      .argument('<host>')
      .argument('[digest]', 'digest of the action, or its first digits (eight at least)'),
  ).action(async (name: string, prefix: string | undefined, options: SigningOptions) => {
    const host = await lookAtHost(context, name, options.from);
    const action = prefix === undefined ? await choose(context, host, options) : blockedNamed(host, prefix);
    if (action === undefined) return;
    const job = makeJob(host, 'approve', { digest: action.digest }, context.machine, validForMs(options));
    await signAndDeliver(context, host, job, options);
  });
}

async function choose(
  context: CommandContext,
  host: VerifiedHost,
  options: SigningOptions,
): Promise<BlockedAction | undefined> {
  const { blocked } = host.report;
  if (options.json === true || blocked.length === 0) {
    const list = blocked.map(({ digest, document, since, text }) => ({ digest, document, since, text }));
    context.print(options, { host: host.hostId, blocked: list }, () => `Nothing is blocked on ${host.hostId}.\n`);
    return undefined;
  }
  for (const [at, action] of blocked.entries()) {
    const age = formatAge(action.since, host.statement.at);
    const said = indent(`The host says: ${printableLine(action.text)}\n`);
    const means = renderMeaning(meaningOfBlocked(action.document, host), host, context.style);
    context.io.stdout.write(`${at + 1}  ${action.digest.slice(0, 12)} (${age})\n${said}${indent(means)}\n`);
  }
  const answer = await context.io.ask(`Which one, 1 to ${blocked.length}? `, { hidden: false });
  if (answer === undefined)
    throw new CliError(
      exitCodes.usage,
      'confirm.no-terminal',
      'cannot ask which action to approve: there is no terminal',
      `felhom approve ${host.hostId} DIGEST --yes; nothing was signed`,
    );
  const chosen = /^\d{1,4}$/.test(answer.trim()) ? blocked[Number(answer.trim()) - 1] : undefined;
  if (chosen !== undefined) return blockedNamed(host, chosen.digest);
  throw new CliError(exitCodes.failed, 'confirm.declined', 'cannot go on: no action was chosen; nothing was signed');
}
