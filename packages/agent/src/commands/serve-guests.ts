/**
 * The local API of a running agent: its own authority, the bridge ports, and a server that is tried again until the
 * address can be listened on. A bridge may come up long after the agent, and guests are looked after without it.
 */
import { createBridgePorts } from '../adapters/bridge-ports/index.ts';
import { openLocalCa } from '../adapters/local-ca/index.ts';
import type { LocalCa } from '../adapters/local-ca/index.ts';
import type { Agent } from '../agent-parts.ts';
import type { AgentConfig } from '../config.ts';
import type { Clock } from '../kernel/index.ts';
import { serveLocalApi } from '../local-api/index.ts';
import type { LocalServer } from '../local-api/index.ts';
import type { Log } from '../ports/log.ts';
import type { LocalContact } from '../protection/index.ts';

export interface GuestDoor {
  /** Where guests find this host, once the authority is open. */
  readonly contact: () => LocalContact | undefined;
  /** Whether guests can connect; `off`: the configuration has no local API. */
  serving(): 'ok' | 'no' | 'off';
  /** Serves until `signal`; never rejects. At once nothing where the configuration has no local API. */
  serve(agent: Agent, signal: AbortSignal): Promise<void>;
}

const againMs = 15_000;

export function createGuestDoor(config: AgentConfig, clock: Clock, log: Log): GuestDoor {
  const listen = config.localApi?.listen;
  let authority: LocalCa | undefined;
  let serving = false;
  let told: string | undefined;
  const tell = (text: string): void => {
    if (told !== text) log.error(text);
    told = text;
  };

  const openAuthority = async (address: string): Promise<LocalCa | undefined> => {
    const opened = await openLocalCa({ directory: config.stateDirectory, address, clock });
    if (opened.is === 'bad') {
      tell(opened.why.text);
      return undefined;
    }
    return opened.value;
  };

  /** `undefined`: not this time. */
  const open = async (agent: Agent): Promise<LocalServer | undefined> => {
    if (listen === undefined) return undefined;
    authority ??= await openAuthority(listen.address);
    const api = authority === undefined ? undefined : agent.localApi();
    if (authority === undefined || api === undefined) return undefined;
    try {
      const { arp, net } = config.kernel;
      return await serveLocalApi({ listen, api, ports: createBridgePorts({ arp, net, clock }), authority, clock, log });
    } catch (error) {
      tell(`cannot serve guests at ${listen.address}:${listen.port}: ${(error as Error).message}; it is tried again`);
      return undefined;
    }
  };

  return {
    contact: () =>
      authority === undefined || listen === undefined
        ? undefined
        : {
            authority,
            address: `${listen.address.includes(':') ? `[${listen.address}]` : listen.address}:${listen.port}`,
          },
    serving: () => (listen === undefined ? 'off' : serving ? 'ok' : 'no'),
    async serve(agent, signal) {
      if (listen === undefined) return;
      let server: LocalServer | undefined;
      while (!signal.aborted) {
        server = await open(agent);
        if (server !== undefined) break;
        await clock.sleep(againMs, signal).catch(() => undefined);
      }
      if (server === undefined) return;
      log.info('guests are served', { address: server.address, port: server.port });
      agent.listening(true);
      serving = true;
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve(), { once: true });
      });
      agent.listening(false);
      serving = false;
      await server.close();
    },
  };
}
