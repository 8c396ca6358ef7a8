/** `felhom completion bash|zsh|fish`: scripts made from the command table, so that they cannot fall behind it. */
import { Argument } from 'commander';
import type { Command } from 'commander';
import type { CommandContext } from '../command-context.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

/** What may follow a path of commands, e.g. `desired` → `show diff apply … --json`. */
export type WordTable = readonly (readonly [path: string, words: readonly string[]])[];

export function addCompletion(program: Command, context: CommandContext): void {
  program
    .command('completion')
    .description(
      'print a completion script: felhom completion bash > ~/.local/share/bash-completion/completions/felhom',
    )
    .addArgument(new Argument('<shell>').choices(shells))
    .action((shell: Shell) => {
      context.io.stdout.write(scripts[shell](wordTable(program)));
    });
}

export function wordTable(command: Command, path = ''): WordTable {
  const words = [
    ...command.commands.map((sub) => sub.name()),
    ...command.options.flatMap((option) => (option.long === undefined || option.long === null ? [] : [option.long])),
    '--help',
  ];
  return [
    [path, words],
    ...command.commands.flatMap((sub) => wordTable(sub, path === '' ? sub.name() : `${path} ${sub.name()}`)),
  ];
}

const scripts = {
  bash: bashScript,
  zsh: (table) => `#compdef felhom\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(table)}`,
  fish: (table) => {
    const lines = table.flatMap(([path, words]) => words.map((word) => fishLine(path, word)));
    return `# fish completion of felhom\n${lines.join('\n')}\n`;
  },
} as const satisfies Record<Shell, (table: WordTable) => string>;

function bashScript(table: WordTable): string {
  return `# bash completion of felhom
_felhom() {
  local path="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  local words=""
  while :; do
    case "$path" in
${table.map(([path, words]) => `      "${path}") words="${words.join(' ')}" ;;`).join('\n')}
    esac
    [ -n "$words" ] && break
    # An argument (a host, a file) is no command: look at what was before it.
    case "$path" in *" "*) path="\${path% *}" ;; *) path="" ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _felhom felhom
`;
}

function fishLine(path: string, word: string): string {
  const seen = path
    .split(' ')
    .filter((part) => part !== '')
    .map((part) => `__fish_seen_subcommand_from ${part}`);
  const condition = seen.length === 0 ? '__fish_use_subcommand' : seen.join('; and ');
  const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`;
  return `complete -c felhom -n "${condition}" ${what}`;
}
