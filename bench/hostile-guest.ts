/**
 * Ten well-behaved guests of the local API while an eleventh does its worst, from a process of its own; the peer is a bare
 * HTTPS server under the same load. The server is the real one, with the policy's defaults, behind kernel tables made of
 * files: every guest is a loopback address.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect as tcpConnect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { connect as tlsConnect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import type { GuestUid } from '@felhom/protocol';
import { createBridgePorts } from '../packages/agent/src/adapters/bridge-ports/index.ts';
import { fakeKernel } from '../packages/agent/src/adapters/bridge-ports/test/fake-kernel.ts';
import { openLocalCa } from '../packages/agent/src/adapters/local-ca/index.ts';
import { systemClock } from '../packages/agent/src/adapters/system-clock/index.ts';
import { hostPolicy } from '../packages/agent/src/host-policy.ts';
import { createLocalApi, serveLocalApi } from '../packages/agent/src/local-api/index.ts';
import { fakeDesk, keptLog } from '../packages/agent/src/local-api/test/fake-desk.ts';
import { field } from './process-cost.ts';
import type { Section, SectionResult } from './section.ts';
import { figure, quantile, ratio } from './statistics.ts';

const good = Array.from({ length: 10 }, (_, at) => at);
const hostile = 99;
const addressOf = (at: number): string => `127.0.8.${at + 10}`;
const uidOf = (at: number): GuestUid => String.fromCodePoint(97 + (at % 26)).repeat(26) as GuestUid;
const tokenOf = (at: number): string => `felhom1_${String(at).padStart(43, 'x')}`;

const attacks = {
  spin: 'only uses the CPU',
  rate: 'asks without end, 16 connections',
  slowloris: '1000 connections, a byte now and then',
  oversize: 'posts bodies of 32 MiB, 8 at once',
  connections: '10,000 connections, 200 at once',
  'foreign-token': "shows another guest's token without end",
} as const;
type Attack = keyof typeof attacks;
const attackNames = Object.keys(attacks) as Attack[];
const serverKinds = ['felhom', 'bare'] as const;
type ServerKind = (typeof serverKinds)[number];

interface Ready {
  readonly port: number;
  readonly ca: string;
}

export const hostileGuest: Section = {
  name: 'hostile-guest',
  title: 'A hostile guest at the local API',
  run: async ({ quick, tell }) => {
    const seconds = quick ? 4 : 15;
    const measured = new Map<string, Phase>();
    const memory: Record<ServerKind, number> = { felhom: 0, bare: 0 };
    for (const kind of serverKinds) {
      const server = fork(import.meta.filename, ['server', kind], { execArgv: [quiet] });
      try {
        const ready = await firstMessage<Ready>(server);
        await politely(ready, 2);
        tell(`${kind}: quiet, ${seconds} s`);
        measured.set(`${kind} quiet`, { latencies: await politely(ready, seconds), tried: 0, served: 0 });
        for (const attack of attackNames) {
          tell(`${kind}: ${attack}, ${seconds} s`);
          measured.set(`${kind} ${attack}`, await underFire(ready, attack, seconds));
        }
        memory[kind] = field(readFileSync(`/proc/${server.pid}/status`, 'utf8'), 'VmHWM') / 1024;
      } finally {
        await ended(server);
      }
    }
    return tables(measured, memory, seconds);
  },
};

interface Phase {
  /** Milliseconds of each request of the good guests; `Infinity`: no answer. */
  readonly latencies: readonly number[];
  /** Of the hostile guest: what it began, and what was answered with a 2xx. */
  readonly tried: number;
  readonly served: number;
}

async function underFire(ready: Ready, attack: Attack, seconds: number): Promise<Phase> {
  const child = fork(import.meta.filename, ['attack', attack, JSON.stringify(ready)], { execArgv: [quiet] });
  try {
    await firstMessage(child);
    const latencies = await politely(ready, seconds);
    const told = firstMessage<{ tried: number; served: number }>(child);
    child.send('stop');
    return { latencies, ...(await told) };
  } finally {
    await ended(child);
  }
}

/** Twenty requests a second, two for each guest: what the policy allows for ever. */
async function politely({ port, ca }: Ready, seconds: number): Promise<number[]> {
  const agents = good.map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
  const pending: Promise<number>[] = [];
  const start = performance.now();
  for (let n = 0; n < seconds * 20; n++) {
    await wait(Math.max(0, start + n * 50 - performance.now()));
    const at = n % good.length;
    const options = { host: '127.0.0.1', family: 4, port, ca, agent: agents[at], localAddress: addressOf(at) };
    pending.push(
      new Promise((resolve) => {
        const began = performance.now();
        const request = httpsRequest(
          { ...options, path: '/v1/storage', headers: { authorization: `Bearer ${tokenOf(at)}` } },
          (response) => {
            response.resume();
            response.on('end', () =>
              resolve(response.statusCode === 200 ? performance.now() - began : Number.POSITIVE_INFINITY),
            );
          },
        );
        request.setTimeout(10_000, () => request.destroy());
        request.on('error', () => resolve(Number.POSITIVE_INFINITY));
        request.end();
      }),
    );
  }
  const latencies = await Promise.all(pending);
  for (const agent of agents) agent.destroy();
  return latencies;
}

function tables(
  measured: ReadonlyMap<string, Phase>,
  memory: Record<ServerKind, number>,
  seconds: number,
): SectionResult {
  const figures: Record<string, number> = {};
  const row = (name: 'quiet' | Attack): string[] => {
    const cells = serverKinds.flatMap((kind) => {
      const { latencies } = measured.get(`${kind} ${name}`) ?? { latencies: [] };
      const answered = latencies.filter(Number.isFinite);
      const lost = latencies.length - answered.length;
      const calm = (measured.get(`${kind} quiet`)?.latencies ?? []).filter(Number.isFinite);
      const [p50, p99] =
        answered.length === 0 ? [Number.NaN, Number.NaN] : [quantile(answered, 0.5), quantile(answered, 0.99)];
      Object.assign(figures, {
        [`${kind}.${name}.p50Ms`]: p50,
        [`${kind}.${name}.p99Ms`]: p99,
        [`${kind}.${name}.lost`]: lost,
      });
      return [figure(p50), figure(p99), ratio(p99, quantile(calm, 0.99)), String(lost)];
    });
    const { tried = 0, served = 0 } = measured.get(`felhom ${name}`) ?? {};
    return [name === 'quiet' ? 'nobody' : attacks[name], ...cells, name === 'quiet' ? '–' : `${served} of ${tried}`];
  };
  for (const kind of serverKinds) figures[`${kind}.peakMiB`] = memory[kind];
  return {
    tables: [
      {
        title: 'Milliseconds of ten good guests while one',
        columns: ['', 'p50', 'p99', '× quiet', 'lost', 'bare p50', 'bare p99', '× quiet', 'lost', 'served to it'],
        rows: (['quiet', ...attackNames] as const).map(row),
      },
    ],
    notes: [
      `${seconds} s each, 20 requests a second over kept connections with TLS 1.3; policy as it comes. "lost": no 200 within 10 s. "served to it": what the hostile guest got a 2xx for, of what it began, from felhom.`,
      `Server, good guests and the hostile one share the cores of this machine: the row that only uses the CPU is the floor.`,
      `Peak memory of the server process: ${figure(memory.felhom)} MiB, of the bare one ${figure(memory.bare)} MiB.`,
    ],
    figures,
  };
}

const quiet = '--disable-warning=ExperimentalWarning';

async function firstMessage<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as T));
    child.once('exit', (code) => reject(new Error(`cannot measure: a process of the benchmark ended with ${code}`)));
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exit;
}

// ---------------------------------------------------------------------------------------------- the server's process

async function serve(kind: ServerKind): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'felhom-bench-'));
  const clock = systemClock();
  const ca = await openLocalCa({ directory, address: '127.0.0.1', clock });
  if (ca.is === 'bad') throw new Error(ca.why.text);
  const kernel = fakeKernel(directory);
  const everybody = [...good, hostile];
  kernel.show(
    everybody.map((at) => ({
      address: addressOf(at),
      mac: `bc:24:11:00:00:${String(at).padStart(2, '0')}`,
      at: [`veth${200 + at}i0`],
    })),
  );
  if (kind === 'bare') {
    const bare = createServer(ca.value.secureContext(), (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => response.end(JSON.stringify({ bytes: Buffer.concat(parts).length })));
    });
    bare.on('tlsClientError', () => undefined);
    bare.listen(0, '127.0.0.1', () => tellReady((bare.address() as AddressInfo).port, ca.value.trusted()));
  } else {
    const { desk } = fakeDesk();
    const tokens = new Map(everybody.map((at) => [tokenOf(at), uidOf(at)]));
    const { log } = keptLog();
    const api = createLocalApi({
      desk: new Proxy(desk, {
        get: (own, name: keyof typeof desk) =>
          name === 'guestAtPort'
            ? (vmid: number) => (everybody.includes(vmid - 200) ? uidOf(vmid - 200) : undefined)
            : name === 'authenticate'
              ? (token: string) => tokens.get(token)
              : own[name],
      }),
      policy: hostPolicy.shape.localApi.parse({}),
      clock,
      log,
      version: 'bench',
    });
    const server = await serveLocalApi({
      listen: { address: '127.0.0.1', port: 0 },
      api,
      ports: createBridgePorts({ ...kernel, clock }),
      authority: ca.value,
      clock,
      log,
    });
    tellReady(server.port, ca.value.trusted());
  }
  // The kernel's files are read as long as it serves; the folder goes when the benchmark does.
  process.on('disconnect', () => {
    rmSync(directory, { recursive: true, force: true });
    process.exit();
  });
}

const tellReady = (port: number, ca: readonly string[]): void => void process.send?.({ port, ca: ca.join('\n') });

// --------------------------------------------------------------------------------------- the hostile guest's process

async function attack(name: Attack, { port, ca }: Ready): Promise<void> {
  let tried = 0;
  let served = 0;
  process.on('message', () => {
    process.send?.({ tried, served }, () => process.exit());
  });
  process.on('disconnect', () => process.exit());
  const to = { host: '127.0.0.1', family: 4, port, ca, localAddress: addressOf(hostile) };

  const ask = async (path: string, token: string, agent: Agent, body?: Buffer): Promise<void> =>
    new Promise((resolve) => {
      tried += 1;
      const request = httpsRequest(
        {
          ...to,
          path,
          agent,
          method: body === undefined ? 'GET' : 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        },
        (response) => {
          if ((response.statusCode ?? 500) < 300) served += 1;
          response.resume();
          response.on('close', resolve);
        },
      );
      request.on('error', () => resolve());
      request.on('close', resolve);
      request.end(body);
    });
  const forEver = (lanes: number, step: () => Promise<void>): void => {
    for (let lane = 0; lane < lanes; lane++)
      void (async () => {
        for (;;) {
          await step();
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
  };
  const kept = new Agent({ keepAlive: true, maxSockets: 16 });

  const starts: Record<Attack, () => void> = {
    spin: () => {
      const spin = (): void => {
        for (const until = performance.now() + 20; performance.now() < until;);
        setImmediate(spin);
      };
      spin();
    },
    rate: () => forEver(16, async () => ask('/v1/storage', tokenOf(hostile), kept)),
    'foreign-token': () => forEver(16, async () => ask('/v1/storage', tokenOf(0), kept)),
    oversize: () => {
      const body = Buffer.alloc(32 * 1_048_576, 0x20);
      forEver(8, async () => ask('/v1/manifest', tokenOf(hostile), new Agent(), body));
    },
    slowloris: () =>
      forEver(
        1000,
        async () =>
          new Promise((resolve) => {
            tried += 1;
            const socket = tlsConnect(to as ConnectionOptions, () => socket.write('GET /v1/storage HTTP/1.1\r\nX-a: '));
            const drip = setInterval(() => socket.write('a'), 500);
            socket.on('error', () => undefined);
            socket.on('close', () => {
              clearInterval(drip);
              setTimeout(resolve, 100);
            });
          }),
      ),
    connections: () =>
      forEver(200, async () => {
        if (tried >= 10_000) {
          await wait(100);
          return;
        }
        tried += 1;
        await new Promise((resolve) => {
          const socket = tcpConnect(to, () => setTimeout(() => socket.destroy(), 20));
          socket.on('error', () => undefined);
          socket.on('close', resolve);
        });
      }),
  };
  starts[name]();
  await wait(500);
  process.send?.('ready');
}

if (import.meta.main) {
  const [role, name = '', ready = '{}'] = process.argv.slice(2);
  if (role === 'server') await serve(name as ServerKind);
  else await attack(name as Attack, JSON.parse(ready) as Ready);
}
