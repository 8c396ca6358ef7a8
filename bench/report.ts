/**
 * What a host with 20 guests sends to its hub: bytes on the wire, TLS and headers and all, through the agent's own client
 * to a real hub on loopback, counted by a relay in between. Days are these bytes times how often they are sent.
 */
import { createServer, connect } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { performance } from 'node:perf_hooks';
import { Agent as PlainAgent, request as plainRequest } from 'undici';
import { createHubHttps } from '@felhom/agent';
import type { Transport } from '@felhom/agent';
import { createHub, hubSystem, openSqliteStore } from '@felhom/hub';
import { createAuthority } from '@felhom/lab';
import { digestOfReport, hostId, report as reportSchema, stateOfReport } from '@felhom/protocol';
import type { HostVitals, PollRequest, Report } from '@felhom/protocol';
import { sendTo } from '../packages/lab/src/world/sim-world.ts';
import { manyGuests, steppedAgent } from './many-guests.ts';
import type { SteppedAgent } from './many-guests.ts';
import type { Section, SectionResult } from './section.ts';
import { figure, median } from './statistics.ts';

const guests = 20;
const copiesPerGuest = 7;
const never = new AbortController().signal;
const day = 86_400;
/**
 * Before reports were split into state and ages: every pass changed the report, so every pass was a poll with it, as it
 * is, and heartbeats in between. Counted in a simulated world at commit 5b4ebda, an hour of passes every 30 s.
 */
const before = { pollsPerHour: 170, reportsPerHour: 120 } as const;

export const report: Section = {
  name: 'report',
  title: 'What goes to the hub',
  run: async ({ quick, tell }) => {
    tell(`a host with ${guests} guests`);
    const many = await manyGuests(guests);
    const transport: Transport = {
      send: (asked, signal) => sendTo(many.world, asked, signal),
      close: () => Promise.resolve(),
    };
    const stepped = steppedAgent(many, transport);
    const place = await openPlace();
    try {
      await stepped.pass();
      return await measure(stepped, place, quick ? 5 : 30, tell);
    } finally {
      await place.close();
      await stepped.stop();
    }
  },
};

interface Place {
  readonly url: string;
  readonly apiKey: string;
  readonly ca: string;
  /** Bytes in both directions since the last call. */
  readonly taken: () => number;
  readonly close: () => Promise<void>;
}

async function openPlace(): Promise<Place> {
  const authority = createAuthority('bench', Date.now());
  const hub = createHub({
    ...hubSystem,
    store: openSqliteStore(':memory:'),
    tls: authority.issue(),
    pollLimit: { perSecond: 1e6, burst: 1e6 },
  });
  const { apiKey } = await hub.createHost(hostId.parse('bench'));
  const at = new URL(await hub.listen({ host: '127.0.0.1', port: 0 }));
  let bytes = 0;
  const relay = createServer((near) => {
    const far = connect(Number(at.port), '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk: Buffer) => void (bytes += chunk.length));
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((done) => relay.listen(0, '127.0.0.1', done));
  return {
    url: `https://localhost:${portOf(relay)}`,
    apiKey,
    ca: authority.ca,
    taken: () => {
      const taken = bytes;
      bytes = 0;
      return taken;
    },
    close: async () => {
      await hub.close();
      await new Promise((done) => relay.close(done));
    },
  };
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** As 20 guests with a week of copies have it; the guests are those of the agent, as it reports them. */
function fullReport(own: Report): Report {
  const lines = own.guests.map(({ name, uid }, nth) => ({
    guest: name,
    uid,
    tier: 'nightly',
    target: 'usb1',
    state: 'ok',
    newest: { id: `b${nth}`, at: 1_795_000_000_000 + nth, consistency: 'app', mode: 'snapshot', sizeBytes: 9_876_543 },
    rtoMs: 61_000,
    nextAt: 1_795_086_400_000 + nth,
    copies: copiesPerGuest,
    risks: [],
  }));
  const copies = own.guests.flatMap(({ name, uid, vmid }, nth) =>
    Array.from({ length: copiesPerGuest }, (_, back) => ({
      id: `b${nth}-${back}`,
      uid,
      guest: name,
      tier: 'nightly',
      archive: `usb-usb1:backup/vzdump-lxc-${vmid}-2026_11_${20 - back}-04_00_${10 + nth}.tar.zst`,
      sha256: digestOfReport({ ...own, startedAt: nth * 100 + back }),
      at: 1_795_000_000_000 - back * 86_400_000 + nth,
      sizeBytes: 9_876_543 + back * 1017 + nth,
      consistency: 'app',
      class: 'scheduled',
      proven: back === 3,
      protected: false,
    })),
  );
  return reportSchema.parse({ ...own, backups: lines, copies });
}

const vitals: HostVitals = {
  at: 1_795_000_000_000,
  uptimeSeconds: 1_234_567,
  cpuPercent: 7.3,
  load1: 0.42,
  memory: { usedBytes: 11_987_654_144, totalBytes: 33_524_219_904 },
  rootDisk: { usedBytes: 23_456_789_012, totalBytes: 100_861_726_720 },
  pressure: { cpu: 0.4, memory: 0, io: 1.7 },
  hottestC: 51,
  targets: Array.from({ length: 5 }, (_, nth) => ({
    name: `usb${nth}`,
    usedBytes: 345_678_901_234 + nth,
    totalBytes: 2_000_398_934_016,
  })),
};

async function measure(
  { agent }: SteppedAgent,
  place: Place,
  rounds: number,
  tell: (text: string) => void,
): Promise<SectionResult> {
  const full = fullReport(agent.report());
  let sequence = 0;
  const poll = (more: Partial<PollRequest>): PollRequest => {
    sequence += 1;
    return {
      v: 1,
      hostId: hostId.parse('bench'),
      hostEpoch: 'e'.repeat(32),
      agentVersion: '0.1.0',
      sequence,
      held: { is: 'never-received' },
      reportDigest: digestOfReport(full),
      statement: agent.statement().statement,
      taken: [],
      ...more,
    };
  };
  const client = () =>
    createHubHttps({ url: place.url, apiKey: place.apiKey, trust: { ca: place.ca }, now: () => Date.now() });

  /** Median bytes of one poll. `kept`: on a connection that is there already. */
  async function bytesOf(more: Partial<PollRequest>, kept: boolean): Promise<number> {
    const found: number[] = [];
    let hub = client();
    // The first one makes the connection.
    if (kept) await hub.poll(poll(more), never);
    for (let round = 0; round < rounds; round += 1) {
      place.taken();
      const answer = await hub.poll(poll(more), never);
      if (answer.is !== 'answered') throw new Error(`cannot measure: ${answer.why.text}`);
      if (!kept) {
        await hub.close();
        hub = client();
      }
      await settled();
      found.push(place.taken());
    }
    await hub.close();
    await settled();
    place.taken();
    return median(found);
  }

  /** The same as it is, as it was sent before. */
  async function plainBytesOf(more: Partial<PollRequest>): Promise<number> {
    const dispatcher = new PlainAgent({ connections: 1, connect: { ca: place.ca } });
    const found: number[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      place.taken();
      const answer = await plainRequest(`${place.url}/v1/poll`, {
        method: 'POST',
        dispatcher,
        headers: { authorization: `Bearer ${place.apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify(poll(more)),
      });
      if (answer.statusCode !== 200) throw new Error(`cannot measure: ${await answer.body.text()}`);
      await answer.body.text();
      await settled();
      const taken = place.taken();
      if (round > 0) found.push(taken);
    }
    await dispatcher.close();
    await settled();
    place.taken();
    return median(found);
  }

  tell('bytes of each kind of poll');
  const whole = { report: stateOfReport(full) };
  const bytes = {
    heartbeat: await bytesOf({}, true),
    heartbeatVitals: await bytesOf({ vitals }, true),
    heartbeatAlone: await bytesOf({ metered: true }, false),
    report: await bytesOf({ ...whole, vitals }, true),
    plainHeartbeat: await plainBytesOf({}),
    plainReport: await plainBytesOf({ report: full }),
  };
  tell('how soon');
  const latencies: number[] = [];
  const hub = client();
  await hub.poll(poll({}), never);
  for (let round = 0; round < rounds; round += 1) {
    const from = performance.now();
    await hub.poll(poll({ ...whole, vitals }), never);
    latencies.push(performance.now() - from);
  }
  await hub.close();

  const days = {
    before:
      24 *
      ((before.pollsPerHour - before.reportsPerHour) * bytes.plainHeartbeat +
        before.reportsPerHour * bytes.plainReport),
    idle: (day / 30) * bytes.heartbeatVitals,
    metered: (day / 600) * bytes.heartbeatAlone,
  };
  const mb = (value: number): string => figure(value / 1e6);
  return {
    tables: [
      {
        title: `Bytes of one poll on the wire, question and answer, of a host with ${guests} guests`,
        columns: ['what', 'JSON of the question', 'on the wire'],
        rows: (
          [
            ['heartbeat', {}, bytes.heartbeat],
            ['heartbeat with vitals', { vitals }, bytes.heartbeatVitals],
            ['heartbeat of a metered host, with its connection', { metered: true }, bytes.heartbeatAlone],
            ['full report with vitals', { ...whole, vitals }, bytes.report],
            ['before: heartbeat', {}, bytes.plainHeartbeat],
            ['before: full report', { report: full }, bytes.plainReport],
          ] as const
        ).map(([what, more, value]) => [what, figure(JSON.stringify(poll(more)).length), figure(value)]),
      },
      {
        title: 'A day in which nothing happens',
        columns: ['host', 'polls', 'of them with the report', 'MB'],
        rows: [
          ['before', String(24 * before.pollsPerHour), String(24 * before.reportsPerHour), mb(days.before)],
          ['now', String(day / 30), '0', mb(days.idle)],
          ['now, metered', String(day / 600), '0', mb(days.metered)],
        ],
      },
    ],
    notes: [
      '"Before" is how often polls and reports were sent in a simulated hour at commit 5b4ebda, where every pass changed an age in the report; the bytes are those of the same questions sent as they are.',
      'On the wire is TLS 1.3 records and HTTP headers, without TCP and IP. Within 72 s the connection is kept; a metered host makes a new one for each poll.',
      `A report of ${guests} guests and ${guests * copiesPerGuest} copies takes ${figure(median(latencies))} ms from the agent's client to the hub's answer on loopback, median of ${rounds}.`,
    ],
    figures: {
      ...bytes,
      'before.day': days.before,
      'idle.day': days.idle,
      'metered.day': days.metered,
      'report.ms': median(latencies),
    },
  };
}

/** Until what was written has gone through the relay. */
const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 30));
