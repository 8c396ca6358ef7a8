/**
 * The programs of a guest inside the simulation: the same code on the simulated clock, on the fake node's disk, with the
 * local API as a function. Killed, it is frozen at the await it is in: nothing ever comes back to it.
 */
import { createController, createInProcessImages, openLedgerStack, publicKeyOnly, runGuest } from '@felhom/controller';
import type { Clock, Controller, GuestFiles, Random, Transport, WitnessFolder } from '@felhom/controller';

/** The agent's local API; what it throws is a connection that broke. */
export type SimTransport = (
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string | undefined,
) => Promise<{ readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body: string }>;

export interface SimGuestOptions {
  readonly files: GuestFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: SimTransport;
  /** `FELHOM_CLAIM` and `FELHOM_IDENTITY`, see `guestFacts`. */
  readonly environment: Readonly<Record<string, string>>;
  /** `address:port` for guests that no claim tells it. Anything will do: there is no socket. */
  readonly gateway?: string;
  readonly witness?: WitnessFolder;
  /** The reference controller runs while the host wants no image; true unless told. */
  readonly builtIn?: boolean;
  /** Folder of the demo app. */
  readonly ledger?: string;
  /** Milliseconds between its entries; a minute unless told. */
  readonly ledgerMs?: number;
  readonly say?: (line: string) => void;
}

export interface SimGuest {
  /** Nothing of it ever happens again; what it wrote stays. */
  kill(): void;
  readonly alive: () => boolean;
  /** The running controller, for orders of the customer. */
  readonly controller: () => Controller | undefined;
  /** Why its programs ended by themselves, if they did: a bug. */
  readonly failed: () => unknown;
}

/** A start of the guest. */
export function startSimGuest(options: SimGuestOptions): SimGuest {
  const off = new AbortController();
  const living = whileAlive(off.signal);
  const files = living(options.files);
  const clock = living(options.clock);
  const { random } = options;
  const say = options.say ?? (() => undefined);
  let controller: Controller | undefined;
  let failed: unknown;
  const transport: Transport = {
    send: async ({ method, path, headers, body, timeoutMs }, signal) => {
      // A host that dies never answers.
      const timer = new AbortController();
      const late = clock.sleep(timeoutMs, timer.signal).then(
        () => ({ is: 'failed' as const, text: 'the host does not answer' }),
        () => ({ is: 'failed' as const, text: 'the request was given up' }),
      );
      const answer = options.transport(method, path, headers, body).then(
        ({ status, body: text }) => ({ is: 'answered' as const, status, body: text }),
        (error: unknown) => ({ is: 'failed' as const, text: error instanceof Error ? error.message : 'it broke' }),
      );
      const first = await Promise.race([answer, givenUp(signal), late]);
      timer.abort();
      return first;
    },
  };
  const lived = living(transport);
  runGuest(
    {
      files,
      clock,
      random,
      say,
      hostKeys: publicKeyOnly(files, random),
      connect: () => lived,
      claim: options.environment['FELHOM_CLAIM'],
      identity: options.environment['FELHOM_IDENTITY'],
      gateway: options.gateway ?? 'host:1',
      openApps: (readOnly) =>
        openLedgerStack(
          { files, clock },
          {
            folder: options.ledger ?? '/srv/data/ledger',
            everyMs: options.ledgerMs ?? 60_000,
            gapMs: 1_000,
            readOnly,
          },
        ),
      makeImages: ({ client, session, apps }) => {
        const images = createInProcessImages({
          make: ({ config }) =>
            createController({ client, guest: session.guest, files, apps, clock, random, config, say }),
          onController: (now) => {
            controller = now;
          },
        });
        return options.builtIn === false ? { run: (...asked) => images.run(...asked) } : images;
      },
      ...(options.witness === undefined ? {} : { witness: { folder: living(options.witness) } }),
    },
    new AbortController().signal,
  ).catch((error: unknown) => {
    failed = error;
  });
  return {
    kill: () => off.abort(),
    alive: () => !off.signal.aborted && failed === undefined,
    controller: () => (off.signal.aborted ? undefined : controller),
    failed: () => failed,
  };
}

const givenUp = (signal: AbortSignal): Promise<{ readonly is: 'failed'; readonly text: string }> =>
  new Promise((resolve) => {
    const end = (): void => resolve({ is: 'failed', text: 'the request was given up' });
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });

/** A port whose every call hangs as soon as the process is dead; before, it does what it does. */
function whileAlive(off: AbortSignal): <T extends object>(port: T) => T {
  const gone = new Promise<never>(() => undefined);
  return (port) =>
    new Proxy(port, {
      get: (target, name, receiver) => {
        const value: unknown = Reflect.get(target, name, receiver);
        if (typeof value !== 'function' || name === 'now') return value;
        return (...args: unknown[]): unknown => {
          if (off.aborted) return gone;
          return Promise.resolve(Reflect.apply(value, target, args)).then(
            (answer) => (off.aborted ? gone : answer),
            (error: unknown) => (off.aborted ? gone : Promise.reject(error as Error)),
          );
        };
      },
    });
}
