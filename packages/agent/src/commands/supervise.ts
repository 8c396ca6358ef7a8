/** What the running agent tells whoever started it: that it is ready, that it moves, and one line about how it is. */
import type { Agent } from '../agent-parts.ts';
import type { Clock } from '../kernel/index.ts';
import type { Log } from '../ports/log.ts';
import type { Reason } from '@felhom/protocol';
import type { LocalFacts, Supervisor } from '../ports/supervisor.ts';
import { shouldFeed } from '../progress.ts';
import { factsDegraded } from './local-facts.ts';

interface Watched {
  readonly supervisor: Supervisor;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: () => LocalFacts;
}

/** A node that answers nothing keeps the first pass waiting; the agent is there all the same. */
const longestFirstLookMs = 20_000;
/** A loop may be at one thing for so many watchdogs: Proxmox takes its time, and a minute of it is no hang. */
const patienceInWatchdogs = 10;

/** Resolves once `signal` is aborted. */
export async function superviseAgent(
  agent: Pick<Agent, 'looked' | 'progress' | 'trouble' | 'guests' | 'sagas'>,
  watched: Watched,
  signal: AbortSignal,
): Promise<void> {
  const { supervisor, clock } = watched;
  const firstLook = async (): Promise<void> => {
    await Promise.race([agent.looked, pause(clock, longestFirstLookMs, signal)]);
    if (!signal.aborted) supervisor.ready();
  };
  await Promise.all([firstLook(), feed(agent, watched, signal)]);
}

async function feed(
  agent: Pick<Agent, 'progress' | 'trouble' | 'guests' | 'sagas'>,
  { supervisor, clock, log, facts }: Watched,
  signal: AbortSignal,
): Promise<void> {
  const { watchdogMs } = supervisor;
  let said: string | undefined;
  let hung = false;
  while (!signal.aborted) {
    const feeding =
      watchdogMs === undefined
        ? ({ is: 'feed' } as const)
        : shouldFeed(clock.monotonicMs(), watchdogMs * patienceInWatchdogs, agent.progress());
    if (feeding.is === 'feed') supervisor.progress();
    else if (!hung) {
      const { loop, forMs } = feeding;
      log.error('hung: the watchdog is fed no more', { loop, seconds: Math.round(forMs / 1000) });
    }
    hung = feeding.is === 'hung';
    const text = feeding.is === 'hung' ? `hung: ${feeding.loop} does not go on` : atWork(agent);
    const seen = facts();
    const saying = `${text} ${Object.values(seen).join(' ')}`;
    if (saying !== said) supervisor.status(text, seen);
    said = saying;
    await pause(clock, feedEveryMs(supervisor), signal);
  }
}

/** Waits for the next look at a configuration that does not read; to say so is all there is to do, so that is progress. */
export async function superviseDegraded(
  why: Reason,
  forMs: number,
  { supervisor, clock }: { readonly supervisor: Supervisor; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  supervisor.status(`degraded: ${why.text}`, factsDegraded(why.code));
  supervisor.ready();
  const until = clock.monotonicMs() + forMs;
  for (let left = forMs; left > 0 && !signal.aborted; left = until - clock.monotonicMs()) {
    supervisor.progress();
    await pause(clock, Math.min(left, feedEveryMs(supervisor)), signal);
  }
}

const feedEveryMs = ({ watchdogMs }: Supervisor): number => Math.min(10_000, (watchdogMs ?? 30_000) / 3);

function atWork(agent: Pick<Agent, 'trouble' | 'guests' | 'sagas'>): string {
  const trouble = agent.trouble();
  if (trouble !== undefined) return `degraded: ${trouble.text}`;
  return `guests: ${agent.guests().length}, at work: ${agent.sagas().length}`;
}

async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await clock.sleep(ms, signal).catch(() => undefined);
}
