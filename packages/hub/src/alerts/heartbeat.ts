/**
 * The hub's own sign of life, to a service of somebody else that calls when it stops: nobody inside the hub could. It
 * is given only after a round that read and wrote the database, and not while every route fails: then that service is
 * the last one that can call anybody.
 */
import { isSafeUrl } from './settings.ts';
import type { HeartbeatSettings } from './settings.ts';
import type { HeartbeatView } from '@felhom/protocol';
import { postOnce } from './routes/post.ts';
import { readSecret, SecretUnreadable, senderLimits } from './routes/sender.ts';
import type { Failure } from './alert-store.ts';

export interface Heartbeat {
  isDue(): boolean;
  /** Starts one if it is due and none is on its way. Never throws and never waits. */
  beat(signal: AbortSignal): void;
  idle(): Promise<void>;
  view(): HeartbeatView;
}

export interface HeartbeatNeeds {
  readonly now: () => number;
  readonly warn: (fields: object, text: string) => void;
}

export function createHeartbeat(
  settings: HeartbeatSettings | undefined,
  { now, warn }: HeartbeatNeeds,
  limits = senderLimits,
): Heartbeat {
  let startedAt: number | undefined;
  let lastSuccessAt: number | undefined;
  let lastFailure: Failure | undefined;
  let failing = false;
  let busy: Promise<void> | undefined;

  function isDue(): boolean {
    if (settings === undefined || busy !== undefined) return false;
    // A clock that was set back must not stop it.
    return startedAt === undefined || Math.abs(now() - startedAt) >= settings.everySeconds * 1000;
  }

  async function send(to: HeartbeatSettings, signal: AbortSignal): Promise<void> {
    const prepare = async () => {
      const url = to.url ?? (await readSecret('urlFile of the heartbeat', to.urlFile ?? ''));
      if (!isSafeUrl(url)) throw new SecretUnreadable('cannot use the urlFile of the heartbeat: it holds no https URL');
      return { url, method: to.method, headers: {} };
    };
    const sent = await postOnce(prepare, limits, signal);
    if (sent.is === 'delivered') {
      lastSuccessAt = now();
      failing = false;
      return;
    }
    lastFailure = { at: now(), text: sent.text };
    if (!failing) warn({ why: sent.text }, 'cannot give the sign of life of the hub; it is tried again');
    failing = true;
  }

  return {
    isDue,
    beat(signal) {
      if (settings === undefined || signal.aborted || !isDue()) return;
      startedAt = now();
      busy = send(settings, signal)
        .catch((error: unknown) => {
          if (!signal.aborted) warn({ err: error }, 'cannot give the sign of life of the hub');
        })
        .finally(() => (busy = undefined));
    },
    async idle() {
      await busy;
    },
    view() {
      if (settings === undefined) return { is: 'off' };
      return {
        is: 'on',
        everySeconds: settings.everySeconds,
        ...(lastSuccessAt === undefined ? {} : { lastSuccessAt }),
        ...(lastFailure === undefined ? {} : { lastFailure }),
      };
    },
  };
}
