/**
 * What the agent adds to a bring-up: one guest with two volumes on a fake node behind HTTPS on loopback, real clock,
 * real agent process, against the same guest made by the fewest calls that can make it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { createPveHttps, openJournal, systemClock, systemRandom } from '@felhom/agent';
import { labGuest, openStage } from '@felhom/lab';
import type { Stage } from '@felhom/lab';
import { rawBringUp } from './raw-bring-up.ts';
import type { Section, SectionResult } from './section.ts';
import { figure, median, ratio, withWobble } from './statistics.ts';

const pace = { restoreMs: 1_500, startMs: 800 };
/** What the node's own tasks take, whoever asks for them. */
const nodeMs = pace.restoreMs + pace.startMs;
/** Longer than the least pause between two passes, which the one before would otherwise put into this trial. */
const restMs = 1_500;

export const overhead: Section = {
  name: 'overhead',
  title: 'A bring-up, and what the agent adds to it',
  run: async ({ quick, tell }) => {
    const trials = quick ? 2 : 7;
    const folder = mkdtempSync(join(tmpdir(), 'felhom-bench-'));
    const stage = await openStage({
      folder: join(folder, 'stage'),
      source: 'file',
      pace,
      policy: { limits: { blastRadius: 200 } },
      config: { reconcile: { everySeconds: 30 } },
    });
    try {
      const agent = await byAgent(stage, trials, tell);
      const raw = await byHand(stage, trials, tell);
      return tables(agent, raw);
    } finally {
      await stage.close();
      rmSync(folder, { recursive: true });
    }
  },
};

interface Trial {
  /** From the wake-up (or the first call) until it is known that the guest is up. */
  readonly ms: number;
  readonly calls: number;
}

interface ByAgent {
  readonly trials: readonly Trial[];
  /** From the saga's first record to its last. */
  readonly sagaMs: readonly number[];
  readonly steps: ReadonlyMap<string, readonly number[]>;
}

async function byAgent(stage: Stage, trials: number, tell: (text: string) => void): Promise<ByAgent> {
  const guests: unknown[] = [];
  stage.writeDesired(guests);
  stage.agent.start();
  await stage.until('the agent has nothing to do', async () => (await stage.report())?.converged === true);
  const measured: Trial[] = [];
  for (let nth = 0; nth <= trials; nth++) {
    tell(`agent, ${nth} of ${trials}`);
    await wait(restMs);
    guests.push(labGuest(`bench-${nth}`));
    stage.writeDesired(guests);
    const [began, calls] = [performance.now(), stage.server.requests()];
    await stage.wake();
    await stage.until(`guest ${nth} is up`, async () => {
      const report = await stage.report();
      return report?.converged === true && report.guests.length === guests.length;
    });
    // The first one warms up both processes.
    if (nth > 0) measured.push({ ms: performance.now() - began, calls: stage.server.requests() - calls });
  }
  await stage.agent.kill('SIGTERM');
  return { trials: measured, ...timesOf(stage, trials) };
}

function timesOf(stage: Stage, trials: number): Pick<ByAgent, 'sagaMs' | 'steps'> {
  const journal = openJournal({ directory: stage.place.state, clock: systemClock(), random: systemRandom() });
  try {
    const steps = new Map<string, number[]>();
    const sagaMs = journal.recentSagas(trials).map((id) => {
      const records = journal.recordsOf(id).filter((record) => record.kind !== 'unreadable');
      let last = records[0]?.at ?? 0;
      for (const record of records) {
        if (record.kind !== 'step-outcome') continue;
        steps.set(record.step, [...(steps.get(record.step) ?? []), record.at - last]);
        last = record.at;
      }
      return (records.at(-1)?.at ?? 0) - (records[0]?.at ?? 0);
    });
    return { sagaMs, steps };
  } finally {
    journal.close();
  }
}

async function byHand(stage: Stage, trials: number, tell: (text: string) => void): Promise<readonly Trial[]> {
  const { node, policy, token } = stage.pve;
  const transport = createPveHttps({
    url: stage.server.url,
    trust: { ca: readFileSync(stage.place.nodeCa, 'utf8') },
    now: () => Date.now(),
  });
  const measured: Trial[] = [];
  for (let nth = 0; nth <= trials; nth++) {
    tell(`by hand, ${nth} of ${trials}`);
    const [began, calls] = [performance.now(), stage.server.requests()];
    await rawBringUp(transport, {
      token,
      node: node.name,
      pool: policy.pool,
      vmid: policy.vmids.guests.to - nth,
      archive: policy.goldens['debian-13']?.archive ?? '',
      guest: labGuest(`raw-${nth}`),
    });
    if (nth > 0) measured.push({ ms: performance.now() - began, calls: stage.server.requests() - calls });
  }
  await transport.close();
  return measured;
}

function tables(agent: ByAgent, raw: readonly Trial[]): SectionResult {
  const ms = (trials: readonly Trial[]): readonly number[] => trials.map((trial) => trial.ms);
  const calls = (trials: readonly Trial[]): number => median(trials.map((trial) => trial.calls));
  const watchMs = agent.steps.get('up') ?? [];
  const unwatched = agent.sagaMs.map((saga, nth) => saga - (watchMs[nth] ?? 0));
  const row = (what: string, times: readonly number[], count: string): string[] => [
    what,
    withWobble(times.map((time) => time / 1000)),
    figure((median(times) - nodeMs) / 1000),
    ratio(median(times), median(ms(raw))),
    count,
  ];
  return {
    tables: [
      {
        title: `One guest with two volumes; restore and start themselves take ${nodeMs / 1000} s`,
        columns: ['who', 'seconds', 'of it overhead', 'to by hand', 'API calls'],
        rows: [
          row('by hand, the fewest calls', ms(raw), String(calls(raw))),
          row('agent, the bring-up without its watch', unwatched, '–'),
          row('agent, the bring-up itself', agent.sagaMs, '–'),
          row('agent, from the wake-up until it says converged', ms(agent.trials), String(calls(agent.trials))),
        ],
      },
      {
        title: 'Where the time of the bring-up goes, milliseconds per step (median)',
        columns: ['step', 'ms'],
        rows: [...agent.steps].map(([step, times]) => [step, figure(median(times))]),
      },
    ],
    notes: [
      'By hand means: restore, one write of the config with both volumes, start, and polling both tasks every 100 ms. Nothing is checked, nothing written down, nothing undone on trouble.',
      'The agent moreover assesses archive and space, audits what was restored, journals every step, and watches until the uptime of the guest grew before it calls it up (step `up`); API calls are those of the passes before and after, too.',
      'Overhead over the bare restore task on the real API, measured elsewhere: the floor of the API 0.06 s, a proxmoxer script 0.9 s, Ansible 2.0 to 2.8 s.',
    ],
    figures: {
      'agent-s': median(ms(agent.trials)) / 1000,
      'unwatched-s': median(unwatched) / 1000,
      'saga-s': median(agent.sagaMs) / 1000,
      'raw-s': median(ms(raw)) / 1000,
      'node-s': nodeMs / 1000,
      'agent-calls': calls(agent.trials),
      'raw-calls': calls(raw),
    },
  };
}
