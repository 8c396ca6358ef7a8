/** `felhom completion bash|zsh|fish`. */
import { Argument } from 'commander';
import type { Command } from 'commander';
import { completionScript, completionShells } from '@felhom/terminal';
import type { CompletionShell } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';

export function addCompletion(program: Command, context: CommandContext): void {
  program
    .command('completion')
    .description(
      'print a completion script: felhom completion bash > ~/.local/share/bash-completion/completions/felhom',
    )
    .addArgument(new Argument('<shell>').choices(completionShells))
    .action((shell: CompletionShell) => {
      context.io.stdout.write(completionScript(shell, program));
    });
}
