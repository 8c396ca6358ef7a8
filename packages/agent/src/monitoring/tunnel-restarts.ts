/**
 * Restarts of the tunnel, asked of root and counted. The count is durable before root is asked, so that neither a crash nor
 * a restart of the agent begins it anew.
 */
import { z } from 'zod';
import type { Clock } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';
import type { HostFacts } from '../ports/host-facts.ts';
import type { HostHelper } from '../ports/host-helper.ts';
import type { Log } from '../ports/log.ts';
import { decideRestart, restartHelps } from './decide-restart.ts';
import { tunnelUnit } from './judge-tunnel.ts';
import type { TunnelLook } from './judge-tunnel.ts';

export interface TunnelRestartNeeds {
  readonly documents: Pick<Documents, 'get' | 'put' | 'remove'>;
  readonly host: Pick<HostFacts, 'units'>;
  readonly restart: HostHelper['tunnelRestart'];
  /** Nobody holds this host. */
  readonly mayMend: () => boolean;
  readonly log: Log;
  readonly clock: Pick<Clock, 'now' | 'monotonicMs'>;
}

export interface TunnelRestarts {
  /** After each look. */
  saw(look: TunnelLook, signal: AbortSignal): Promise<void>;
  /** Since it was last well. */
  count(): number;
}

/** Root is asked again so long after it refused. */
const refusedMs = 10 * 60_000;
const key = 'monitoring/tunnel-restarts';
/** Wall time in milliseconds, oldest first. */
const body = z.strictObject({ at: z.array(z.number().int().min(0)).max(16) });

export function createTunnelRestarts(needs: TunnelRestartNeeds): TunnelRestarts {
  const { documents, host, restart, clock, log } = needs;
  // Kept on the clock that only goes forward; what lies in the future by the other one counts as just now.
  const ageOf = (at: number): number => Math.max(0, clock.now() - at);
  const stored = body.safeParse(documents.get(key)?.body);
  let tries = stored.success ? stored.data.at.map((at) => clock.monotonicMs() - ageOf(at)) : [];
  let helpsSince: number | undefined;
  let upSince: number | undefined;
  let refusedAt: number | undefined;

  const keep = (next: readonly number[]): void => {
    tries = [...next];
    const wall = tries.map((at) => Math.max(0, Math.floor(clock.now() - (clock.monotonicMs() - at))));
    if (tries.length === 0) documents.remove(key);
    else documents.put({ key, v: 1, body: { at: wall } });
  };

  return {
    count: () => tries.length,
    async saw(look, signal) {
      const now = clock.monotonicMs();
      helpsSince = restartHelps(look) ? (helpsSince ?? now) : undefined;
      upSince = (look.connections ?? 0) > 0 ? (upSince ?? now) : undefined;
      const verdict = decideRestart({ helpsSince, upSince, tries }, now);
      if (verdict === 'forget') keep([]);
      if (verdict !== 'restart' || !needs.mayMend()) return;
      if (refusedAt !== undefined && now - refusedAt < refusedMs) return;
      // What was seen of the unit may be a minute old: somebody may have stopped it since.
      const told = await host.units([tunnelUnit], signal);
      if (told.is !== 'done' || !restartHelps({ ...look, unit: told.value[0] })) return;
      const before = tries;
      keep([...before, now]);
      const asked = await restart(`tunnel-restart.${clock.now()}`, signal);
      if (asked.is === 'done') return log.info('the tunnel is restarted', { tries: tries.length });
      const { code, text: why } = asked.why;
      // Lost, it was a try: the next look tells what became of it.
      if (asked.is === 'unknown') return log.warn('it is not known whether the tunnel was restarted', { code, why });
      log.warn('root refused to restart the tunnel', { code, why });
      refusedAt = now;
      keep(before);
    },
  };
}
