/**
 * Brings the apps to a stand for a while and guarantees that they go on. Order is everything: the record with its end is
 * on the disk first, then the host grants the lease, then the apps stop. They go on when whoever asked is done, when the
 * lease's own timer fires, or at the next start of this program; the supervisor looks after the same record [R35].
 */
import type { LocalClient } from '../client/client.ts';
import { endStandstill, readStandstill, writeStandstill } from '../standstill.ts';
import type { StandstillNeeds } from '../standstill.ts';

export interface LeaseNeeds extends StandstillNeeds {
  readonly client: LocalClient;
  readonly say: (line: string) => void;
}

export interface Lease {
  /** Milliseconds since the epoch: apps go on by then. */
  readonly until: number;
  /** Aborted when the apps go on, whoever let them. */
  readonly over: AbortSignal;
  /** Lets the apps go on and gives the lease back. Twice is once. Never throws. */
  end(): Promise<void>;
}

export type LeaseAnswer =
  { readonly is: 'held'; readonly lease: Lease } | { readonly is: 'refused'; readonly text: string };

/** How much earlier than the host's end the apps are let go, so that they run by then. */
const marginMs = 2_000;
const retryMs = 1_000;

export async function takeLease(
  needs: LeaseNeeds,
  asked: { readonly seconds: number; readonly due?: string },
  signal: AbortSignal,
): Promise<LeaseAnswer> {
  const { files, apps, clock, client } = needs;
  if ((await readStandstill(files)) !== 'none') return { is: 'refused', text: 'apps stand still for something else' };
  const due = asked.due === undefined ? {} : { due: asked.due };
  const own = { until: clock.now() + asked.seconds * 1000, stacks: [...(await apps.running())], ...due };
  await writeStandstill(files, own);
  let lease: Lease | undefined;
  try {
    const granted = await client.quiesce({ seconds: asked.seconds, ...due }, signal);
    if (granted.is !== 'ok') {
      await endStandstill(needs);
      // A lease that got lost on its way back would keep the host waiting.
      if (granted.is === 'lost') await client.unquiesce({}, signal);
      return { is: 'refused', text: granted.is === 'lost' ? granted.text : granted.problem.detail };
    }
    const until = Math.min(own.until, granted.value.until);
    if (until < own.until) await writeStandstill(files, { ...own, until });
    lease = startLease(needs, until);
    const stood = await apps.quiesce(own.stacks);
    if (stood.is === 'done' && !lease.over.aborted) return { is: 'held', lease };
    await lease.end();
    return { is: 'refused', text: stood.is === 'failed' ? stood.text : 'the apps took longer to stop than they may' };
  } catch (error) {
    // Its timer must not end a later one.
    await (lease === undefined ? endStandstill(needs) : lease.end());
    throw error;
  }
}

function startLease(needs: LeaseNeeds, until: number): Lease {
  const over = new AbortController();
  const timer = new AbortController();
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    timer.abort();
    ending ??= letGo(needs, over);
    return ending;
  };
  void endInTime(needs, until, timer.signal, end);
  return { until, over: over.signal, end };
}

async function endInTime(
  { clock, say }: LeaseNeeds,
  until: number,
  given: AbortSignal,
  end: () => Promise<void>,
): Promise<void> {
  await clock.sleep(Math.max(0, until - marginMs - clock.now()), given).catch(() => undefined);
  if (given.aborted) return;
  say('apps go on: their time to stand still is over');
  await end();
}

/** Never gives up: an app that does not start at once is started again and again. */
async function letGo(needs: LeaseNeeds, over: AbortController): Promise<void> {
  const never = new AbortController().signal;
  for (;;) {
    const gone = await endStandstill(needs).catch((error: unknown) => ({
      is: 'failed' as const,
      text: error instanceof Error ? error.message : String(error),
    }));
    if (gone.is === 'done') break;
    needs.say(`cannot let the apps go on: ${gone.text}`);
    await needs.clock.sleep(retryMs, never);
  }
  over.abort();
  // The host's lease ends by itself: that it hears of it early is a courtesy.
  await needs.client.unquiesce({}, never).catch(() => undefined);
}
