/** Carries what waits in the outbox over the routes: each route on its own, one message after the other. */
import type { AlertTested } from '@felhom/protocol';
import type { AlertStore } from './alert-store.ts';
import { testMessage } from './message.ts';
import { nextTry } from './route-health.ts';
import type { Sender, Sent } from './routes/sender.ts';

export interface CourierNeeds {
  readonly store: Pick<AlertStore, 'due' | 'recordAttempt'>;
  readonly senders: ReadonlyMap<string, Sender>;
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly draw: () => number;
  readonly mintId: (bytes: number) => string;
  /** One line per failed try; no secrets. */
  readonly warn: (fields: object, text: string) => void;
}

export interface Courier {
  /** Starts what is due on every route that is not busy. Never throws and never waits. */
  kick(signal: AbortSignal): void;
  /** When nothing is on its way. */
  idle(): Promise<void>;
  /** Sends one message at once, past outbox and quiet hours. `undefined`: there is no such route. */
  test(route: string, signal: AbortSignal): Promise<AlertTested | undefined>;
}

/** Per route and kick; the rest follows with the next one. */
const batch = 10;

export function createCourier({ store, senders, now, draw, mintId, warn }: CourierNeeds): Courier {
  const busy = new Map<string, Promise<void>>();

  async function carry(route: string, sender: Sender, signal: AbortSignal): Promise<void> {
    for (const { id, message, attempts, createdAt } of await store.due(route, now(), batch)) {
      if (signal.aborted) return;
      const sent = await sender({ id, message }, now(), signal);
      await settle(route, id, sent, nextTry(attempts, createdAt, now(), draw()));
    }
  }

  async function settle(route: string, id: string, sent: Sent, next: { readonly dueAt: number } | 'lost') {
    if (sent.is === 'delivered') return store.recordAttempt(route, id, { is: 'delivered', at: now() });
    const fate = next === 'lost' ? 'it is given up' : 'it is tried again';
    warn({ route, delivery: id, why: sent.text }, `cannot deliver a message over route ${route}: ${fate}`);
    return store.recordAttempt(route, id, { is: 'failed', at: now(), text: sent.text, next });
  }

  return {
    kick(signal) {
      for (const [route, sender] of senders) {
        if (busy.has(route) || signal.aborted) continue;
        const work = carry(route, sender, signal)
          .catch((error: unknown) => {
            // Aborted in the middle: whether it arrived is unknown, so it stays and is sent again with the same id.
            if (!signal.aborted) warn({ route, err: error }, `cannot work on route ${route}`);
          })
          .finally(() => busy.delete(route));
        busy.set(route, work);
      }
    },
    async idle() {
      while (busy.size > 0) await Promise.all(busy.values());
    },
    async test(route, signal) {
      const sender = senders.get(route);
      if (sender === undefined) return undefined;
      const delivery = mintId(16);
      const sent = await sender({ id: delivery, message: testMessage(route, true, now()) }, now(), signal);
      await settle(route, delivery, sent, 'lost');
      return sent.is === 'delivered' ? { is: 'delivered', delivery } : { is: 'failed', delivery, text: sent.text };
    },
  };
}
