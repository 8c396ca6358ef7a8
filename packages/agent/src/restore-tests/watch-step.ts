/** Looking at the scratch guest from outside until it is well, or cannot become so any more. */
import { reason } from '@felhom/protocol';
import { emptyHistory, judge, loopMs, unitsOf, withEvent, withSample } from '../health/index.ts';
import type { Health, History, Terms, Trouble } from '../health/index.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import { want } from '../bring-up/index.ts';
import { failure } from './check-step.ts';
import { withTiming } from './test-state.ts';
import type { RestoreTestState, TestContext, TestResult } from './test-state.ts';

const roundMs = 5_000;
/** Between seeing it run and the first look, where no process ended in between: then nobody watched it. */
const unwatchedMs = 2_000;

export async function watch(ctx: TestContext, signal: AbortSignal): Promise<Outcome<Partial<RestoreTestState>>> {
  if (ctx.state.result !== undefined) return done({});
  const { needs, clock } = ctx;
  const vmid = want(ctx, 'vmid');
  const startedAt = want(ctx, 'powerAt');
  // What happened while nobody watched says nothing about the backup: a node may have restarted, and a guest that runs
  // has all its time from now on.
  const upAt = ctx.state.upAt ?? startedAt;
  const unwatched = clock.now() - upAt > unwatchedMs;
  const { bootSeconds, healthySeconds } = needs.policy().restoreTests;
  const terms: Omit<Terms, 'now'> = {
    expectedUnits: [],
    startedAt: unwatched ? clock.now() : upAt,
    bootMs: bootSeconds * 1000,
    healthyMs: healthySeconds * 1000,
  };
  let history: History = emptyHistory;
  let watched: { readonly boot: string; readonly close: () => void } | undefined;
  let wellAt: number | undefined;
  try {
    for (;;) {
      const sample = await needs.witness.sample(vmid, unitsOf(terms), signal);
      const now = clock.now();
      if (history.rounds.length === 0 && sample.is === 'stopped' && unwatched)
        return refused(
          reason('guest.did-not-stay-up', `cannot judge scratch guest ${vmid}: it went down while nobody looked`),
        );
      history = withSample(history, { at: now, sample });
      if (sample.is === 'seen' && sample.init && watched?.boot !== sample.boot) {
        watched?.close();
        const watcher = needs.witness.watch(vmid, (unit, what) => {
          history = withEvent(history, clock.now(), unit, what);
        });
        watched = watcher === undefined ? undefined : { boot: sample.boot, close: () => watcher.close() };
      }
      const health = judge(history, { ...terms, now });
      if (health.is !== 'healthy') wellAt = undefined;
      else wellAt ??= now;
      ctx.progress({ text: `watching scratch guest ${vmid}: ${describe(health)}` });
      if (isSettled(health, now, terms)) return done(outcomeOf(ctx, health, startedAt, wellAt));
      await clock.sleep(roundMs, signal);
    }
  } finally {
    watched?.close();
  }
}

/** Well is not enough at once: a loop that is slow to come round shows within the time that makes one. */
function isSettled(health: Health, now: number, terms: Omit<Terms, 'now'>): boolean {
  if (health.is !== 'healthy') return health.final;
  return now >= health.bootedAt + Math.min(loopMs, terms.healthyMs / 2);
}

function outcomeOf(
  ctx: TestContext,
  health: Health,
  startedAt: number,
  wellAt: number | undefined,
): Partial<RestoreTestState> {
  if (health.is !== 'booted' && health.is !== 'healthy') return { result: notBooted(health) };
  const timings = withTiming(ctx, {
    bootMs: Math.max(0, health.bootedAt - startedAt),
    ...(wellAt === undefined ? {} : { healthyMs: Math.max(0, wellAt - health.bootedAt) }),
  });
  if (health.is === 'healthy') return { timings, health: { grade: 'healthy', trouble: '' } };
  const trouble = troubleText(health.trouble);
  // What is only unknown is no fault of the backup; data that is not there may be the cause of what is, so look.
  return { timings, health: { grade: 'booted', trouble: isUnwell(health.trouble) ? trouble : `unknown: ${trouble}` } };
}

/** Whether something was seen to be wrong, and not only not seen. */
export const isUnwell = ({ degraded, crashLoops, absent, witness }: Trouble): boolean =>
  degraded.length > 0 || crashLoops.length > 0 || (witness === 'fresh' && absent.length > 0);

function troubleText({ witness, degraded, unknown, crashLoops, absent, oomKills }: Trouble): string {
  const parts = [
    crashLoops.length > 0 ? `in a crash loop: ${few(crashLoops)}` : '',
    degraded.length > 0 ? `checks that fail: ${few(degraded)}` : '',
    absent.length > 0 ? `units that do not run: ${few(absent)}` : '',
    witness === 'stale' ? 'the witness inside says nothing' : '',
    witness === 'fresh' && unknown.length > 0 ? `checks that say nothing: ${few(unknown)}` : '',
    oomKills > 0 ? `${oomKills} processes were killed for want of memory` : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? 'it was not well for long enough' : parts.join('; ');
}

const few = (names: readonly string[]): string =>
  names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;

function notBooted(health: Exclude<Health, { is: 'booted' | 'healthy' }>): TestResult {
  if (health.is === 'unreadable')
    return {
      grade: 'restored',
      verdict: 'unproven',
      code: 'restore-test.unproven',
      text: `it was started and cannot be looked at: ${health.text}`,
    };
  return failure('restored', 'restore-test.not-booted', describe(health));
}

function describe(health: Health): string {
  switch (health.is) {
    case 'stopped':
      return 'it does not run';
    case 'frozen':
      return 'it is frozen';
    case 'no-systemd':
      return 'no systemd came up in it';
    case 'booting':
      return 'it boots';
    case 'boot-timeout':
      return 'its ready marker did not come in time';
    case 'unreadable':
      return health.text;
    case 'booted':
      return `it booted; ${troubleText(health.trouble)}`;
    case 'healthy':
      return 'it is well';
  }
}
