/** Completion scripts made from a program's own command table, so that they cannot fall behind it. */

export const completionShells = ['bash', 'zsh', 'fish'] as const;
export type CompletionShell = (typeof completionShells)[number];

/** As much of a `commander` command as is needed. */
export interface CommandShape {
  name(): string;
  readonly commands: readonly CommandShape[];
  readonly options: readonly { readonly long?: string | null | undefined }[];
}

/** The script for one shell, to be sourced or put where that shell looks for completions. */
export function completionScript(shell: CompletionShell, program: CommandShape): string {
  return scripts[shell](program.name(), wordTable(program));
}

/** What may follow a path of commands, e.g. `desired` → `show diff apply … --json`. */
type WordTable = readonly (readonly [path: string, words: readonly string[]])[];

function wordTable(command: CommandShape, path = ''): WordTable {
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
  zsh: (name, table) => `#compdef ${name}\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(name, table)}`,
  fish: (name, table) => {
    const lines = table.flatMap(([path, words]) => words.map((word) => fishLine(name, path, word)));
    return `# fish completion of ${name}\n${lines.join('\n')}\n`;
  },
} as const satisfies Record<CompletionShell, (name: string, table: WordTable) => string>;

function bashScript(name: string, table: WordTable): string {
  const functionName = `_${name.replaceAll('-', '_')}`;
  return `# bash completion of ${name}
${functionName}() {
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
complete -o default -F ${functionName} ${name}
`;
}

function fishLine(name: string, path: string, word: string): string {
  const seen = path
    .split(' ')
    .filter((part) => part !== '')
    .map((part) => `__fish_seen_subcommand_from ${part}`);
  const condition = seen.length === 0 ? '__fish_use_subcommand' : seen.join('; and ');
  const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`;
  return `complete -c ${name} -n "${condition}" ${what}`;
}
