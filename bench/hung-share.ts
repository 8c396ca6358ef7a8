/** A share and a disk that hang for ten minutes of real time: what everything else notices of it. */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as wait } from 'node:timers/promises';
import { noHangingMount } from '../packages/agent/test/hanging-mount.ts';
import { share } from './declared-targets.ts';
import { diskName, openHangingTargets } from './hanging-targets.ts';
import type { HangingTargets } from './hanging-targets.ts';
import { noLoopDevices } from './loop-drops.ts';
import { processNow } from './process-cost.ts';
import type { ProcessNow } from './process-cost.ts';
import type { Section, SectionResult } from './section.ts';
import { figure, median, quantile } from './statistics.ts';

interface Seconds {
  readonly before: number;
  readonly hung: number;
  readonly after: number;
}
const whole: Seconds = { before: 120, hung: 600, after: 120 };
/** A share is asked once a minute, so it takes longer than that to be known. */
const short: Seconds = { before: 15, hung: 110, after: 45 };

export const hungShare: Section = {
  name: 'hung-share',
  title: 'A share and a disk that hang',
  async run({ quick, tell }) {
    const without = noHangingMount() ?? (await noLoopDevices());
    if (without !== undefined) return { tables: [], notes: [`Not measured: ${without}.`], figures: {} };
    const world = await openHangingTargets(tell);
    try {
      return tables(await measure(world, quick ? short : whole, tell));
    } finally {
      await world.close();
    }
  },
};

interface Phase {
  readonly what: string;
  readonly seconds: number;
  readonly passes: Times;
  readonly polls: Times;
  /** Milliseconds of each answer. */
  readonly answers: readonly number[];
  readonly unanswered: number;
  readonly agent: readonly ProcessNow[];
}

interface Times {
  readonly count: number;
  /** Longest that none came, seconds. */
  readonly longest: number;
}

interface Measured {
  readonly phases: readonly Phase[];
  /** Seconds from when nothing answered any more until the hub knew; from the release until it knew that. */
  readonly told: Readonly<Record<'share' | 'disk', { readonly away: number; readonly back: number }>>;
}

async function measure(world: HangingTargets, seconds: Seconds, tell: (text: string) => void): Promise<Measured> {
  const phases: Phase[] = [];
  const phase = async (what: string, time: number): Promise<void> => {
    tell(`${what}, ${time} s`);
    phases.push(await watch(world, what, time));
  };
  await phase('before', seconds.before);
  world.hang();
  await world.backUp();
  const away = Promise.all([toldOf(world, share.name, 'disconnected'), toldOf(world, diskName, 'disconnected')]);
  await phase('hung', seconds.hung);
  const [shareAway, diskAway] = await away;
  world.answer();
  const back = Promise.all([toldOf(world, share.name, 'attached'), toldOf(world, diskName, 'attached')]);
  await phase('after', seconds.after);
  const [shareBack, diskBack] = await back;
  return {
    phases,
    told: { share: { away: shareAway, back: shareBack }, disk: { away: diskAway, back: diskBack } },
  };
}

/** Seconds until the hub is told so, from now on. */
async function toldOf({ hub }: HangingTargets, name: string, state: string): Promise<number> {
  const began = performance.now();
  while (hub.told(name)?.state !== state) {
    if (performance.now() - began > 15 * 60_000)
      throw new Error(`the hub was not told that ${name} is ${state}: ${JSON.stringify(hub.told(name))}`);
    await wait(100);
  }
  return (performance.now() - began) / 1000;
}

async function watch({ hub, clients }: HangingTargets, what: string, seconds: number): Promise<Phase> {
  const { stage } = hub;
  const began = performance.now();
  const end = began + seconds * 1000;
  const over = (): boolean => performance.now() >= end;
  const pid = stage.agent.pid();
  if (pid === undefined) throw new Error('cannot watch the agent: it does not run');
  const answers: number[] = [];
  const agent: ProcessNow[] = [];
  let unanswered = 0;

  const ask = async (): Promise<void> => {
    const pending: Promise<void>[] = [];
    for (let n = 0; !over(); n += 1) {
      const client = clients[n % clients.length];
      const asked = performance.now();
      pending.push(
        (async () => {
          const answer = await client?.backupStatus({}, AbortSignal.timeout(30_000)).catch(() => undefined);
          if (answer?.is === 'ok') answers.push(performance.now() - asked);
          else unanswered += 1;
        })(),
      );
      await wait(Math.max(0, began + (n + 1) * 1000 - performance.now()));
    }
    await Promise.all(pending);
  };
  /** When another value was seen, looking every so often. */
  const changes = async (everyMs: number, look: () => Promise<unknown>): Promise<Times> => {
    const times = [began];
    let last = await look();
    while (!over()) {
      await wait(everyMs);
      const now = await look();
      if (now !== undefined && now !== last) {
        times.push(performance.now());
        last = now;
      }
    }
    const gaps = [...times.slice(1), performance.now()].map((at, nth) => at - (times[nth] ?? at));
    return { count: times.length - 1, longest: Math.max(...gaps) / 1000 };
  };
  const sample = async (): Promise<void> => {
    while (!over()) {
      agent.push(processNow(pid));
      await wait(1_000);
    }
  };
  const db = new DatabaseSync(stage.hub.databaseFile, { readOnly: true });
  const sequence = db.prepare('SELECT sequence FROM host');
  try {
    const [passes, polls] = await Promise.all([
      changes(1_000, async () => (await stage.report())?.lastPassAt),
      changes(100, async () => sequence.get()?.['sequence']),
      ask(),
      sample(),
    ]);
    return { what, seconds, passes, polls, answers, unanswered, agent };
  } finally {
    db.close();
  }
}

const most = (values: readonly number[]): number => Math.max(...values);

function tables({ phases, told }: Measured): SectionResult {
  const paceOf = ({ count, longest }: Times): string[] => [String(count), figure(longest)];
  return {
    tables: [
      {
        title: 'What keeps its pace',
        columns: [
          'phase',
          'seconds',
          'passes',
          'longest without, s',
          'polls',
          'longest without, s',
          'answers of the local API',
          'none',
          'p50 ms',
          'p99 ms',
        ],
        rows: phases.map(({ what, seconds, passes, polls, answers, unanswered }) => [
          what,
          String(seconds),
          ...paceOf(passes),
          ...paceOf(polls),
          String(answers.length),
          String(unanswered),
          figure(median(answers)),
          figure(quantile(answers, 0.99)),
        ]),
      },
      {
        title: 'The agent: looked at once a second',
        columns: [
          'phase',
          'RSS MiB, median',
          'RSS MiB, most',
          'children, most',
          'of them stuck, most',
          'stuck at the end',
        ],
        rows: phases.map(({ what, agent }) => [
          what,
          figure(median(agent.map(({ rssMiB }) => rssMiB))),
          figure(most(agent.map(({ rssMiB }) => rssMiB))),
          String(most(agent.map(({ children }) => children))),
          String(most(agent.map(({ stuck }) => stuck))),
          String(agent.at(-1)?.stuck ?? 0),
        ]),
      },
      {
        title: 'Seconds until the hub knows',
        columns: ['what', 'it hangs', 'it is back'],
        rows: (['share', 'disk'] as const).map((name) => [name, figure(told[name].away), figure(told[name].back)]),
      },
    ],
    notes: [
      'Agent, hub, two guests with their programs and the lab’s node run as they are, the agent from its TypeScript; a pass every 30 s, a poll every 10 s. Share and disk are a FUSE file system, and a loop device on a file in it, that take questions and do not answer: whoever asks waits in the kernel and cannot be killed. What the node would have to ask the share for is not answered either.',
      'A share is asked once a minute; a disk that nobody uses is left to sleep, so a backup to it becomes due when it hangs.',
      'Children are the two that listen to the kernel, those that were sent to ask, and systemctl.',
    ],
    figures: {
      ...Object.fromEntries(
        phases.flatMap(({ what, passes, polls, answers, unanswered, agent }) => [
          [`${what}.passes`, passes.count],
          [`${what}.polls`, polls.count],
          [`${what}.longest-without-pass-s`, passes.longest],
          [`${what}.longest-without-poll-s`, polls.longest],
          [`${what}.unanswered`, unanswered],
          [`${what}.local-api-p50-ms`, median(answers)],
          [`${what}.local-api-p99-ms`, quantile(answers, 0.99)],
          [`${what}.rss-mib`, median(agent.map(({ rssMiB }) => rssMiB))],
          [`${what}.stuck-most`, most(agent.map(({ stuck }) => stuck))],
        ]),
      ),
      'share.away-s': told.share.away,
      'share.back-s': told.share.back,
      'disk.away-s': told.disk.away,
      'disk.back-s': told.disk.back,
    },
  };
}
