/** One way to ask before something is signed or sent. */
import type { CommandContext } from './command-context.ts';
import { CliError, exitCodes } from './io.ts';

/** Signing takes the whole word: a habit of typing y must not sign. */
export async function confirmWithYes(
  context: CommandContext,
  options: { readonly yes?: boolean | undefined },
  question: string,
): Promise<void> {
  if (options.yes === true) return;
  const answer = await context.io.ask(`${question} Type yes: `, { hidden: false });
  if (answer === undefined)
    throw new CliError(
      exitCodes.usage,
      'confirm.no-terminal',
      'cannot ask for confirmation: there is no terminal',
      'use --yes once you have seen what is shown; nothing was signed',
    );
  if (answer.trim() !== 'yes')
    throw new CliError(exitCodes.failed, 'confirm.declined', 'cannot go on: it was declined; nothing was signed');
}
