/** `felhom-agent identity`: what an operator has to know of this host to believe what it says. */
import type { Command } from 'commander';
import type { HostId } from '@felhom/protocol';
import { renderFacts } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import { readHostKey } from '../adapters/host-key-file/index.ts';
import type { Loaded } from '../adapters/config-file/index.ts';

export interface IdentityContext {
  readonly print: (text: string) => void;
  /** Prints it and makes the exit code 1. */
  readonly fail: (text: string) => void;
  readonly style: Style;
  /** From the configuration; `keyDirectory` is where the agent keeps the host key. */
  readonly identityOf: () => Loaded<{ readonly host: HostId; readonly keyDirectory: string }>;
}

/** Makes no key: it would belong to whoever runs the command, and the agent could not read it. */
export function addIdentity(program: Command, context: IdentityContext): void {
  program
    .command('identity')
    .description('the key of this host and its fingerprint, for the operator to pin')
    .option('--json', 'print JSON')
    .action((options: { readonly json?: boolean }) => {
      const found = context.identityOf();
      if (found.is === 'bad') return context.fail(found.why.text);
      const { host, keyDirectory } = found.value;
      const key = readHostKey(keyDirectory);
      if (key.is === 'bad')
        return context.fail(`${key.why.text}; the agent makes the key when it starts for the first time`);
      const { publicLine, fingerprint } = key.value;
      if (options.json === true) return context.print(`${JSON.stringify({ host, key: publicLine, fingerprint })}\n`);
      const facts = renderFacts(
        [
          ['host', host],
          ['key', publicLine],
          ['fingerprint', fingerprint],
        ],
        context.style,
      );
      context.print(
        `${facts}\nCompare the fingerprint on this screen, not in a message, and pin it on the operator's machine:\n\n` +
          `  felhom hosts trust ${host} ${fingerprint}\n`,
      );
    });
}
