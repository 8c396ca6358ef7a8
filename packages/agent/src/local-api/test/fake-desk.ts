/** A desk that knows two guests and answers everything at once, and a clock that stands still. */
import type { GuestUid, LocalRouteName } from '@felhom/protocol';
import { done } from '../../kernel/index.ts';
import type { Clock, Outcome } from '../../kernel/index.ts';
import type { PeerPort } from '../../ports/bridge-ports.ts';
import type { Log } from '../../ports/log.ts';
import type { LocalCall, LocalDesk } from '../desk.ts';

export const guestA = 'aaaaaaaaaaaaaaaaaaaaaaaaaa' as GuestUid;
export const guestB = 'bbbbbbbbbbbbbbbbbbbbbbbbbb' as GuestUid;
export const tokenA = `felhom1_${'A'.repeat(43)}`;
export const tokenB = `felhom1_${'B'.repeat(43)}`;
export const claimA = 'c'.repeat(43);
export const portOf = (vmid: number): PeerPort => ({
  is: 'guest',
  vmid,
  net: 0,
  mac: 'bc:24:11:00:00:01',
  port: `veth${vmid}i0`,
});

const operation = {
  id: 'o'.repeat(26),
  kind: 'snapshot',
  state: 'queued',
  text: 'waits',
  createdAt: 1,
  at: 1,
} as const;
const none = { generation: 0, image: null, config: {}, directive: 'stop', outward: false } as const;
const digest = '0'.repeat(64);

export interface Asked {
  readonly route: LocalRouteName;
  readonly guest: GuestUid;
  readonly body: unknown;
  readonly call?: LocalCall;
}
type Answers = Partial<Record<LocalRouteName, (asked: Asked) => Promise<Outcome<unknown>>>>;

/** `answers` overrides single routes; `asked` is what reached the desk, in order. */
export function fakeDesk(answers: Answers = {}): { readonly desk: LocalDesk; readonly asked: Asked[] } {
  const asked: Asked[] = [];
  const usual: Partial<Record<LocalRouteName, unknown>> = {
    storage: { classes: [], volumes: [], checkpoint: { by: 'none', why: '' }, restore: { possible: false, why: '' } },
    volumes: { volumes: [] },
    snapshot: operation,
    rollback: operation,
    backup: operation,
    operation,
    backupDue: { due: [] },
    backupStatus: { current: null, tiers: [] },
    restoreTest: { tests: [] },
    audit: { entries: [], head: { count: 0, head: digest } },
    controller: none,
    manifest: { digest },
    quiesce: { lease: 'l'.repeat(26), until: 1 },
    consentGet: { given: false },
    consent: { given: true },
    consentWithdraw: { given: false },
  };
  const answer = async (one: Asked): Promise<Outcome<unknown>> => {
    asked.push(one);
    return answers[one.route]?.(one) ?? done(usual[one.route] ?? {});
  };
  const own: Record<string, unknown> = {
    guestAtPort: (vmid: number) => ({ 104: guestA, 105: guestB })[vmid],
    authenticate: (token: string) => ({ [tokenA]: guestA, [tokenB]: guestB })[token],
    redeem: async (guest: GuestUid, body: unknown) => {
      const outcome = await answer({ route: 'redeem', guest, body });
      const redeemed = { token: tokenA, guest, name: 'shop', ca: ['pem'], identity: 'fresh' };
      return answers.redeem === undefined ? done(redeemed) : outcome;
    },
  };
  const desk = new Proxy(own, {
    get: (_own, name: LocalRouteName) =>
      own[name] ?? ((guest: GuestUid, body: unknown, call: LocalCall) => answer({ route: name, guest, body, call })),
  });
  return { desk: desk as unknown as LocalDesk, asked };
}

export interface StillClock extends Clock {
  /** Lets time pass; whoever sleeps until then wakes. */
  readonly pass: (ms: number) => void;
}

export function stillClock(): StillClock {
  let now = 0;
  const sleepers = new Set<{ readonly until: number; readonly wake: () => void }>();
  return {
    now: () => 1_795_000_000_000 + now,
    monotonicMs: () => now,
    bootMs: () => now,
    sleep: async (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { until: now + ms, wake: resolve };
        sleepers.add(sleeper);
        signal.addEventListener('abort', () => {
          sleepers.delete(sleeper);
          reject(signal.reason as Error);
        });
      }),
    pass: (ms) => {
      now += ms;
      for (const sleeper of sleepers)
        if (sleeper.until <= now) {
          sleepers.delete(sleeper);
          sleeper.wake();
        }
    },
  };
}

export function keptLog(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const keep = (message: string, fields?: unknown): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  return { log: { info: keep, warn: keep, error: keep }, lines };
}
