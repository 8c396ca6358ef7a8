import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Agent } from '../agent-parts.ts';
import type { Clock } from '../kernel/index.ts';
import type { LoopProgress } from '../progress.ts';
import { reason } from '@felhom/protocol';
import type { LocalFacts, Supervisor } from '../ports/supervisor.ts';
import { superviseAgent, superviseDegraded } from './supervise.ts';

/** Time passes only by sleeping; after `endsAt` everything is over. What was told to systemd, each with its second. */
async function supervised(
  endsAt: number,
  act: (
    clock: Clock,
    supervisor: Supervisor,
    log: Parameters<typeof superviseAgent>[1]['log'],
    signal: AbortSignal,
  ) => Promise<void>,
) {
  let now = 0;
  const over = new AbortController();
  const told: string[] = [];
  const tell = (what: string): number => told.push(`${now / 1000} ${what}`);
  const clock: Clock = {
    now: () => now,
    monotonicMs: () => now,
    bootMs: () => now,
    // One sleeper moves the time; the long one of the first look only waits for the end.
    sleep: async (ms, signal) => {
      await new Promise(setImmediate);
      signal.throwIfAborted();
      if (ms >= 20_000)
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      now += ms;
      if (now >= endsAt) over.abort(new Error('the test is over'));
    },
  };
  const supervisor: Supervisor = {
    watchdogMs: 30_000,
    ready: () => tell('ready'),
    progress: () => tell('fed'),
    status: (text, { proxmox }) => tell(`${text} [${proxmox}]`),
    stopping: () => tell('stopping'),
  };
  const log = { info: () => {}, warn: () => {}, error: (text: string) => tell(text) };
  await act(clock, supervisor, log, over.signal);
  return told;
}

const agentOf = (progress: () => readonly LoopProgress[], looked: Promise<void> = Promise.resolve()) =>
  ({ looked, progress, trouble: () => undefined, guests: () => [], sagas: () => [] }) satisfies Pick<
    Agent,
    'looked' | 'progress' | 'trouble' | 'guests' | 'sagas'
  >;

const facts = (): LocalFacts => ({ config: 'ok', journal: 'ok', proxmox: 'ok', localApi: 'off', hub: 'off' });

test('an agent that moves is fed three times per watchdog', async () => {
  const told = await supervised(20_000, (clock, supervisor, log, signal) => {
    const agent = agentOf(() => [{ loop: 'reconcile', movedAt: clock.monotonicMs(), restsUntil: undefined }]);
    return superviseAgent(agent, { supervisor, clock, log, facts }, signal);
  });
  assert.deepEqual(told, ['0 fed', '0 guests: 0, at work: 0 [ok]', '0 ready', '10 fed']);
});

test('a loop that stands still for ten watchdogs is fed no more, and that is said once', async () => {
  const told = await supervised(400_000, (clock, supervisor, log, signal) => {
    const agent = agentOf(() => [{ loop: 'reconcile', movedAt: 0, restsUntil: undefined }]);
    return superviseAgent(agent, { supervisor, clock, log, facts }, signal);
  });
  assert.equal(told.filter((line) => line.endsWith(' fed')).at(-1), '300 fed');
  assert.deepEqual(told.slice(-2), [
    '310 hung: the watchdog is fed no more',
    '310 hung: reconcile does not go on [ok]',
  ]);
});

test('it is not ready before the first look', async () => {
  const told = await supervised(60_000, (clock, supervisor, log, signal) =>
    superviseAgent(
      agentOf(() => [], new Promise(() => {})),
      { supervisor, clock, log, facts },
      signal,
    ),
  );
  assert.ok(!told.some((line) => line.endsWith(' ready')), told.join('\n'));
});

test('what the health gate reads is told when it changes, also where the words stay', async () => {
  const told = await supervised(30_000, (clock, supervisor, log, signal) => {
    const seen = (): LocalFacts => ({ ...facts(), proxmox: clock.now() < 20_000 ? 'unknown' : 'ok' });
    return superviseAgent(
      agentOf(() => []),
      { supervisor, clock, log, facts: seen },
      signal,
    );
  });
  assert.deepEqual(
    told.filter((line) => line.includes('guests')),
    ['0 guests: 0, at work: 0 [unknown]', '20 guests: 0, at work: 0 [ok]'],
  );
});

test('degraded is ready, says why, and is fed for as long as it waits', async () => {
  const told = await supervised(1e9, (clock, supervisor, _, signal) =>
    superviseDegraded(
      reason('config.unreadable', 'cannot read /etc/felhom/agent.yaml'),
      15_000,
      { supervisor, clock },
      signal,
    ),
  );
  assert.deepEqual(told, ['0 degraded: cannot read /etc/felhom/agent.yaml [unknown]', '0 ready', '0 fed', '10 fed']);
});
