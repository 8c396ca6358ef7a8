/**
 * What it costs to find that nothing is to be done: one pass of the agent over N guests that are as they should be,
 * against the script that people write today, which reads the list and then every config.
 */
import type { RawRequest, Transport } from '@felhom/agent';
import { manyGuests, steppedAgent } from './many-guests.ts';
import type { ManyGuests, SteppedAgent } from './many-guests.ts';
import { record, replayInMemory, replayOverHttps, switchable } from './replay.ts';
import type { Section, SectionResult } from './section.ts';
import { figure, median, ratio, withWobble } from './statistics.ts';

export const noOpPass: Section = {
  name: 'no-op-pass',
  title: 'A pass over guests that need nothing',
  run: async ({ quick, tell }) => {
    const sizes = quick ? [10, 100] : [10, 50, 100, 1000];
    const rows: { readonly guests: number; readonly cost: Cost }[] = [];
    for (const guests of sizes) {
      tell(`${guests} guests`);
      rows.push({ guests, cost: await measure(await manyGuests(guests), quick ? 5 : 15) });
    }
    return tables(rows);
  },
};

interface Cost {
  readonly agentCalls: number;
  readonly firstCalls: number;
  readonly scriptCalls: number;
  readonly memory: Sides;
  readonly https: Sides;
}

interface Sides {
  readonly agent: readonly Spent[];
  readonly script: readonly Spent[];
}

interface Spent {
  readonly cpuMs: number;
  readonly wallMs: number;
}

async function measure(many: ManyGuests, rounds: number): Promise<Cost> {
  const recording = record(many.world);
  const transport = switchable(recording.recorder);
  const stepped = steppedAgent(many, transport);
  try {
    await stepped.pass();
    const firstCalls = transport.calls();
    await stepped.pass();
    const { converged, findings, guests } = stepped.agent.report();
    if (!converged)
      throw new Error(`cannot measure: the pass found something: ${JSON.stringify([findings, guests]).slice(0, 1000)}`);
    await script(many, transport);
    transport.use(replayInMemory(recording));
    const memory = await bothSides(many, stepped, transport, rounds);
    const https = await replayOverHttps(recording);
    transport.use(https);
    const overHttps = await bothSides(many, stepped, transport, rounds);
    const before = transport.calls();
    await stepped.pass();
    const between = transport.calls();
    await script(many, transport);
    const after = transport.calls();
    await https.close();
    return {
      firstCalls,
      agentCalls: between - before,
      scriptCalls: after - between,
      memory,
      https: overHttps,
    };
  } finally {
    await stepped.stop();
  }
}

/** In turn, so that what else the machine does falls on both. The first round of each only warms up. */
async function bothSides(
  many: ManyGuests,
  stepped: SteppedAgent,
  transport: Transport,
  rounds: number,
): Promise<Sides> {
  const agent: Spent[] = [];
  const peer: Spent[] = [];
  for (let round = 0; round <= rounds; round++) {
    const [a, b] = [await spent(() => stepped.pass()), await spent(() => script(many, transport))];
    if (round === 0) continue;
    agent.push(a);
    peer.push(b);
  }
  return { agent, script: peer };
}

async function spent(work: () => Promise<void>): Promise<Spent> {
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { cpuMs: (user + system) / 1000, wallMs: performance.now() - began };
}

/** As people write it: the list, then each guest's config, compared with what is wanted. */
async function script({ world, desired }: ManyGuests, transport: Transport): Promise<void> {
  const get = async (path: string): Promise<unknown> => {
    const request: RawRequest = {
      method: 'GET',
      path,
      body: undefined,
      headers: { authorization: `PVEAPIToken=${world.token}` },
    };
    const answer = await transport.send(request, new AbortController().signal);
    if (answer.is !== 'answered') throw new Error(`cannot read ${path}: ${answer.failure.is}`);
    return (JSON.parse(answer.answer.body) as { readonly data: unknown }).data;
  };
  const wanted = new Map<string, (typeof desired)[number]>(desired.map((guest) => [guest.name, guest]));
  const list = `/nodes/${world.node.name}/lxc`;
  for (const row of (await get(list)) as readonly { readonly vmid: number; readonly name: string }[]) {
    const guest = wanted.get(row.name);
    const config = (await get(`${list}/${row.vmid}/config`)) as Readonly<Record<string, unknown>>;
    if (guest !== undefined && Number(config['memory']) !== guest.memoryMiB)
      throw new Error(`cannot measure: guest ${row.vmid} differs`);
  }
}

const cpu = (spent: readonly Spent[]): number[] => spent.map(({ cpuMs }) => cpuMs);
const wall = (spent: readonly Spent[]): number[] => spent.map(({ wallMs }) => wallMs);

function tables(rows: readonly { readonly guests: number; readonly cost: Cost }[]): SectionResult {
  return {
    tables: [
      {
        title: 'API calls',
        columns: ['guests', 'agent, each pass', 'agent, first pass', 'script', 'agent to script'],
        rows: rows.map(({ guests, cost }) => [
          String(guests),
          String(cost.agentCalls),
          String(cost.firstCalls),
          String(cost.scriptCalls),
          ratio(cost.agentCalls, cost.scriptCalls),
        ]),
      },
      {
        title: 'CPU and wall time of the asking process, milliseconds per pass, over HTTPS on loopback',
        columns: ['guests', 'agent CPU', 'script CPU', 'agent to script', 'agent wall', 'script wall'],
        rows: rows.map(({ guests, cost: { https } }) => [
          String(guests),
          withWobble(cpu(https.agent)),
          withWobble(cpu(https.script)),
          ratio(median(cpu(https.agent)), median(cpu(https.script))),
          figure(median(wall(https.agent))),
          figure(median(wall(https.script))),
        ]),
      },
      {
        title: 'The same answered from memory, without sockets and TLS: what thinking costs, CPU milliseconds per pass',
        columns: ['guests', 'agent CPU', 'script CPU'],
        rows: rows.map(({ guests, cost: { memory } }) => [
          String(guests),
          withWobble(cpu(memory.agent)),
          withWobble(cpu(memory.script)),
        ]),
      },
    ],
    notes: [
      'The script does less: it compares one field per guest and notices no stop, no foreign task, no lost privilege.',
      'Answers come from a recording, in another process where HTTPS is spoken, so no cost of the fake node is in here.',
      'Measured on the real API elsewhere over 50 guests: a proxmoxer script 51 requests and 0.2 s, Ansible 150 and 12 s.',
    ],
    figures: Object.fromEntries(
      rows.flatMap(({ guests, cost }) => [
        [`${guests}.calls`, cost.agentCalls],
        [`${guests}.script-calls`, cost.scriptCalls],
        [`${guests}.cpu-ms`, median(cpu(cost.https.agent))],
        [`${guests}.script-cpu-ms`, median(cpu(cost.https.script))],
        [`${guests}.memory-cpu-ms`, median(cpu(cost.memory.agent))],
      ]),
    ),
  };
}
