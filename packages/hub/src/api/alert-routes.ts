/** /v1/alerts and what an operator says about the silence of a host. */
import type { FastifyInstance } from 'fastify';
import { alertTest, hostExpect, hostSnooze } from '@felhom/protocol';
import type { AlertList, AlertTested } from '@felhom/protocol';
import { z } from 'zod';
import { toAlertView } from '../alerts/alert.ts';
import type { Watch } from '../alerts/watch.ts';
import type { HubStore } from '../store/store.ts';
import { createOperatorAccess, parseBody } from './operator-access.ts';
import type { OperatorAccessNeeds } from './operator-access.ts';
import { ProblemError } from './problem.ts';

export interface AlertRouteNeeds extends OperatorAccessNeeds {
  readonly store: HubStore;
  readonly watch: Watch;
}

const alertParams = z.object({ alertId: z.string().regex(/^[0-9a-f]{16}$/) });

export function addAlertRoutes(app: FastifyInstance, needs: AlertRouteNeeds): void {
  const { store, watch } = needs;
  const { asReader, asOperator, author, hostOf } = createOperatorAccess(needs);
  const closing = new AbortController();
  app.addHook('preClose', async () => closing.abort());
  app.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'));

  app.get('/v1/alerts', asReader, async (): Promise<AlertList> => watch.view());

  app.post('/v1/alerts/:alertId/ack', asOperator, async (request) => {
    const params = alertParams.safeParse(request.params);
    const { name: by, now: at } = author(request);
    const kept = params.success ? await store.alerts.acknowledge(params.data.alertId, { at, by }) : undefined;
    if (kept === undefined)
      throw new ProblemError(404, 'alert.unknown', 'cannot acknowledge: there is no open alert of that id', {
        next: 'felhom alerts lists those that are open',
      });
    request.log.info({ alert: kept.id, by }, 'alert acknowledged');
    return { alert: toAlertView(kept) };
  });

  app.post('/v1/alerts/test', asOperator, async (request): Promise<AlertTested> => {
    const { route } = parseBody(alertTest, request, 'the test');
    const tested = await watch.test(route, closing.signal);
    if (tested !== undefined) return tested;
    throw new ProblemError(404, 'route.unknown', `cannot test route ${route}: the hub has none of that name`, {
      next: 'felhom alerts lists the routes; they are configured in the file of the hub',
    });
  });

  app.post('/v1/hosts/:hostId/snooze', asOperator, async (request) => {
    const { hostId } = await hostOf(request);
    const { hours } = parseBody(hostSnooze, request, 'the snooze');
    const { name: by, now } = author(request);
    const until = hours === 0 ? undefined : Math.round(now + hours * 3_600_000);
    await store.alerts.setSnooze(hostId, until);
    request.log.info({ host: hostId, by, hours }, 'alerts of a host snoozed');
    return { hostId, ...(until === undefined ? {} : { snoozedUntil: until }) };
  });

  app.put('/v1/hosts/:hostId/expect', asOperator, async (request) => {
    const { hostId } = await hostOf(request);
    const { windowSeconds } = parseBody(hostExpect, request, 'the expected window');
    await store.alerts.setExpected(hostId, windowSeconds ?? undefined);
    request.log.info({ host: hostId, by: author(request).name, windowSeconds }, 'expected window of a host set');
    return { hostId, ...(windowSeconds === null ? {} : { expectSeconds: windowSeconds }) };
  });
}
