/** `felhom login URL`: the token comes from a prompt, standard input, the environment or a file; never from argv. */
import type { Command } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { createHubClient, parseUrl } from '../hub-client.ts';
import type { HubClient } from '../hub-client.ts';
import { CliError, exitCodes } from '../io.ts';
import type { CliIo } from '../io.ts';
import { readText, saveSettings } from '../settings.ts';

interface LoginOptions {
  readonly tokenFile?: string;
  readonly tokenStdin?: boolean;
  readonly ca?: string;
  readonly json?: boolean;
}

export function addLogin(program: Command, context: CommandContext): void {
  program
    .command('login')
    .description('remember a hub and a token; the token is asked for, or read from FELHOM_TOKEN, a file or stdin')
    .argument('<url>', 'address of the hub, https://HOST[:PORT]')
    .option('--token-file <file>', 'read the token from a file')
    .option('--token-stdin', 'read the token from standard input')
    .option('--ca <file>', "PEM of the CA of the hub's certificate, where it is not a public one")
    .option('--json', 'print JSON')
    .action(async (address: string, options: LoginOptions) => {
      const url = parseUrl(address).origin;
      const token = await readToken(context.io, options);
      const ca = options.ca === undefined ? undefined : await readText(options.ca);
      const settings = { url, token, ...(ca === undefined ? {} : { ca }) };
      const hub = createHubClient(settings);
      // Tried before it is saved, so that a typo does not replace a login that works.
      const { hosts } = await closing(hub, () => hub.hosts());
      const path = await saveSettings(context.io, settings);
      context.print(options, { url, settings: path, hosts: hosts.length }, () => {
        return `Logged in to ${url} (${hosts.length} hosts). The token is in ${path}, readable by you alone.\n`;
      });
    });
}

async function closing<T>(hub: HubClient, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await hub.close();
  }
}

async function readToken(io: CliIo, options: LoginOptions): Promise<string> {
  const text =
    options.tokenFile !== undefined
      ? await readText(options.tokenFile)
      : options.tokenStdin === true
        ? await io.readStdin()
        : (io.env['FELHOM_TOKEN'] ?? (await io.ask('Operator token: ', { hidden: true })));
  const token = text?.trim();
  if (token === undefined || token === '')
    throw new CliError(
      exitCodes.usage,
      'login.no-token',
      'cannot log in: there is no token and no terminal to ask at',
      'use --token-stdin, --token-file or FELHOM_TOKEN',
    );
  if (/^\S{1,200}$/.test(token)) return token;
  throw new CliError(exitCodes.usage, 'login.bad-token', 'cannot log in: what was given is no token');
}
