/** What every command gets: the streams, the style, the hub, and one way to print for people or for machines. */
import { createStyle, wantsColour } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import { createHubClient } from './hub-client.ts';
import type { HubClient } from './hub-client.ts';
import type { CliIo, Machine } from './io.ts';
import { loadSettings } from './settings.ts';

export interface CommandContext {
  readonly io: CliIo;
  readonly machine: Machine;
  readonly style: Style;
  /** Runs work against the hub that the settings name, and closes the connections after it. */
  withHub<T>(work: (hub: HubClient) => Promise<T>): Promise<T>;
  /** Prints `json` as JSON when it was asked for, else what `text` makes. */
  print(options: { readonly json?: boolean | undefined }, json: unknown, text: () => string): void;
  /** Ends the program with this code although nothing failed. */
  exitWith(code: number): void;
}

export function createContext(io: CliIo, machine: Machine, exitWith: (code: number) => void): CommandContext {
  const style = createStyle(wantsColour(io.stdout.isTTY === true, io.env));
  return {
    io,
    machine,
    style,
    async withHub(work) {
      const hub = createHubClient(await loadSettings(io));
      try {
        return await work(hub);
      } finally {
        await hub.close();
      }
    },
    print(options, json, text) {
      io.stdout.write(options.json === true ? `${JSON.stringify(json, null, 2)}\n` : text());
    },
    exitWith,
  };
}
