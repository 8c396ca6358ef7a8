/**
 * Proxmox from a recording: every question was answered by the fake node once and is answered from memory ever after,
 * so that what is measured is the asker and not the fake. GETs only.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createPveHttps } from '@felhom/agent';
import type { RawAnswer, RawRequest, Transport } from '@felhom/agent';
import { createAuthority } from '@felhom/lab';
import type { SimWorld } from '@felhom/lab';
import type { ReplayOrder } from './replay-server.ts';

export interface Recording {
  /** Path and query, without what changes from call to call → the answer. */
  readonly answers: ReadonlyMap<string, RecordedAnswer>;
  /** Asks the fake and remembers. */
  readonly recorder: Transport;
}

export interface RecordedAnswer {
  readonly status: number;
  readonly body: string;
}

/** Task lists are asked for since a moment; in a world where nothing happens they all are the same. */
export const keyOfPath = (path: string): string => path.replace(/since=\d+/, 'since=0');

export function record(world: SimWorld): Recording {
  const answers = new Map<string, RecordedAnswer>();
  return {
    answers,
    recorder: {
      send: async ({ method, path, headers }) => {
        if (method !== 'GET') throw new Error(`cannot record ${method} ${path}: only reads are`);
        const answer = await world.node.wire({ method, target: `/api2/json${path}`, headers, body: '' });
        const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
        const recorded = { status: answer.status, body };
        answers.set(keyOfPath(path), recorded);
        return answered(recorded);
      },
      close: () => Promise.resolve(),
    },
  };
}

/** From this process's own memory: no socket, no TLS. */
export function replayInMemory({ answers }: Recording): Transport {
  return {
    send: ({ path }) => {
      const recorded = answers.get(keyOfPath(path));
      if (recorded === undefined) throw new Error(`cannot replay GET ${path}: it was not recorded`);
      return Promise.resolve(answered(recorded));
    },
    close: () => Promise.resolve(),
  };
}

/** From another process over HTTPS on loopback, through the agent's own HTTP client. */
export async function replayOverHttps({ answers }: Recording): Promise<Transport> {
  const authority = createAuthority('felhom bench', Date.now());
  const server = fork(resolve(import.meta.dirname, 'replay-server.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const order: ReplayOrder = { ...authority.issue(), answers: [...answers] };
  server.send(order);
  const [port] = (await once(server, 'message')) as [number];
  const https = createPveHttps({
    url: `https://localhost:${port}`,
    trust: { ca: authority.ca },
    now: () => Date.now(),
  });
  return {
    send: (request, signal) => https.send(request, signal),
    close: async () => {
      await https.close();
      server.disconnect();
      await once(server, 'exit');
    },
  };
}

/** Counts what passes through, and can be pointed elsewhere. */
export function switchable(first: Transport): Transport & { readonly calls: () => number; use(next: Transport): void } {
  let calls = 0;
  let inner = first;
  return {
    send: (request: RawRequest, signal: AbortSignal): Promise<RawAnswer> => {
      calls += 1;
      return inner.send(request, signal);
    },
    close: () => inner.close(),
    calls: () => calls,
    use: (next) => {
      inner = next;
    },
  };
}

const answered = ({ status, body }: RecordedAnswer): RawAnswer => ({
  is: 'answered',
  answer: { status, reason: status === 200 ? 'OK' : 'refused', contentType: 'application/json;charset=UTF-8', body },
});
