/**
 * The programs of every running guest of a simulated world: supervisor, controller and app on the simulated clock and the
 * node's own disk, with the agent's local API as a function. They start and end with their guest, and outlive the agent.
 */
import type { LocalApi, LocalRequest } from '@felhom/agent';
import { diskGuestFiles, guestFacts, startSimGuest } from '../guest/index.ts';
import type { SimGuest, SimTransport } from '../guest/index.ts';
import type { SimClock } from '../simulation/sim-clock.ts';
import type { SimRandom } from '../simulation/sim-random.ts';
import type { FakePveNode } from './enrolled-node.ts';

export interface SimGuests {
  /** Of a running guest. */
  of(vmid: number): SimGuest | undefined;
  /** Its programs die and are started anew, as a crash of them would. */
  restart(vmid: number): void;
  /** Why programs ended by themselves, which is a bug of theirs. */
  failures(): readonly unknown[];
  /** Hears every answer that a guest got from the local API. */
  onAnswer: ((answer: SimAnswer) => void) | undefined;
}

export interface SimAnswer {
  readonly vmid: number;
  /** As the guest showed it. */
  readonly authorization: string | undefined;
  readonly status: number;
}

export interface SimGuestsNeeds {
  readonly node: FakePveNode;
  readonly clock: SimClock;
  readonly random: SimRandom;
  /** Of the agent that lives now; `undefined`: nobody answers. */
  readonly api: () => LocalApi | undefined;
}

export function createSimGuests({ node, clock, random, api }: SimGuestsNeeds): SimGuests {
  const running = new Map<number, SimGuest>();
  const ended: SimGuest[] = [];

  const start = (vmid: number): void => {
    const facts = guestFacts(node, vmid);
    const [net] = facts.interfaces;
    // A link that is down reaches nobody, whatever runs in the guest.
    const reaches = net !== undefined && !net.linkDown;
    running.set(
      vmid,
      startSimGuest({
        files: diskGuestFiles(node.storage.disk, facts.mounts, () => Math.floor(clock.now() / 1000)),
        clock,
        random: random.fork(`guest ${vmid} ${clock.now()}`),
        transport: async (...asked) => {
          if (!reaches) return broken();
          const answer = await call(api(), { vmid, net: net.net, mac: net.mac, port: net.port }, asked);
          guests.onAnswer?.({ vmid, authorization: asked[2]['authorization'], status: answer.status });
          return answer;
        },
        environment: facts.environment,
      }),
    );
  };
  const stop = (vmid: number): void => {
    const guest = running.get(vmid);
    guest?.kill();
    if (guest !== undefined) ended.push(guest);
    running.delete(vmid);
  };
  node.guests.onPower(({ vmid, is }) => {
    stop(vmid);
    if (is === 'up') start(vmid);
  });
  const guests: SimGuests = {
    onAnswer: undefined,
    of: (vmid) => running.get(vmid),
    restart: (vmid) => {
      stop(vmid);
      start(vmid);
    },
    failures: () =>
      [...running.values(), ...ended].map((guest) => guest.failed()).filter((failed) => failed !== undefined),
  };
  return guests;
}

const broken = (): Promise<never> => Promise.reject(new Error('the connection was refused'));

type Port = Omit<Extract<LocalRequest['port'], { is: 'guest' }>, 'is'>;

/** As the server would: the port first, then the request. */
async function call(
  api: LocalApi | undefined,
  port: Port,
  [method, target, headers, body]: Parameters<SimTransport>,
): ReturnType<SimTransport> {
  const peer = { is: 'guest', ...port } as const;
  const admitted = api?.connect(peer);
  if (api === undefined || admitted === undefined) return broken();
  try {
    const bytes = Buffer.from(body ?? '', 'utf8');
    const answer = await api.handle(
      {
        method,
        target,
        headers: {
          authorization: headers['authorization'],
          'idempotency-key': headers['idempotency-key'],
          'content-type': headers['content-type'],
        },
        readBody: (limit) => Promise.resolve(bytes.length > limit ? 'too-large' : new Uint8Array(bytes)),
        port: peer,
      },
      new AbortController().signal,
    );
    return { status: answer.status, body: answer.body };
  } finally {
    admitted.closed();
  }
}
