/** /v1/hosts/:id/envelopes: operators put bytes for a host. Nothing here looks at more than their size. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { digestOfText, envelopePut, maxEnvelopeBytes } from '@felhom/protocol';
import type { Digest, EnvelopeList, MailedEnvelope } from '@felhom/protocol';
import { z } from 'zod';
import { parseBody } from '../api/operator-access.ts';
import type { OperatorAccess } from '../api/operator-access.ts';
import { ProblemError } from '../api/problem.ts';
import type { EnvelopeRow, MailboxStore } from '../store/mailbox-store.ts';

export interface EnvelopeRouteNeeds {
  readonly store: MailboxStore;
  readonly now: () => number;
  readonly access: OperatorAccess;
}

/** Per host. */
export const mostWaiting = 200;
const mostTakenShown = 100;
/** Every byte of an envelope may need six as JSON. */
const largestBody = 6 * maxEnvelopeBytes + 1024;

export function addEnvelopeRoutes(app: FastifyInstance, { store, now, access }: EnvelopeRouteNeeds): void {
  app.post(
    '/v1/hosts/:hostId/envelopes',
    { ...access.asOperator, bodyLimit: largestBody },
    async (request, reply): Promise<{ digest: Digest }> => {
      const { hostId } = await access.hostOf(request);
      refuseLarge(request, hostId);
      // What SQLite and UTF-8 would make of a lone surrogate, made here, so that the digest is of what is kept.
      const text = parseBody(envelopePut, request, `the envelope for ${hostId}`).text.toWellFormed();
      const digest = digestOfText(text);
      const { name, now: putAt } = access.author(request);
      const put = await store.putEnvelope(hostId, { digest, text, putAt, putBy: name }, mostWaiting);
      if (put === 'full')
        throw new ProblemError(
          409,
          'mailbox.full',
          `cannot keep the envelope for ${hostId}: ${mostWaiting} wait for this host already`,
          { next: 'withdraw those that are no longer meant, or wait until the host polls' },
        );
      if (put === 'put') request.log.info({ host: hostId, by: name, digest }, 'envelope put');
      reply.code(put === 'put' ? 201 : 200);
      return { digest };
    },
  );

  app.get('/v1/hosts/:hostId/envelopes', access.asReader, async (request): Promise<EnvelopeList> => {
    const { hostId } = await access.hostOf(request);
    return { v: 1, now: now(), envelopes: (await store.envelopes(hostId, mostTakenShown)).map(toAnswer) };
  });

  app.delete('/v1/hosts/:hostId/envelopes/:digest', access.asOperator, async (request, reply) => {
    const { hostId } = await access.hostOf(request);
    const { digest } = z.object({ digest: z.string() }).parse(request.params);
    const withdrawn = await store.withdrawEnvelope(hostId, digest);
    if (withdrawn === 'unknown')
      throw new ProblemError(
        404,
        'envelope.unknown',
        `cannot withdraw the envelope: ${hostId} has none of that digest`,
      );
    if (withdrawn === 'taken')
      throw new ProblemError(409, 'envelope.taken', `cannot withdraw the envelope: ${hostId} has taken it already`, {
        next: 'a job that has not run yet is taken back by a signed cancel',
      });
    request.log.info({ host: hostId, by: access.author(request).name, digest }, 'envelope withdrawn');
    return reply.code(204).send();
  });
}

function refuseLarge(request: FastifyRequest, hostId: string): void {
  const parsed = z.object({ text: z.string() }).safeParse(request.body);
  if (parsed.success && Buffer.byteLength(parsed.data.text, 'utf8') > maxEnvelopeBytes)
    throw new ProblemError(
      413,
      'envelope.too-large',
      `cannot keep the envelope for ${hostId}: it is larger than ${maxEnvelopeBytes} bytes`,
    );
}

function toAnswer({ takenAt, ...row }: EnvelopeRow): MailedEnvelope {
  return { ...row, ...(takenAt === undefined ? {} : { takenAt }) };
}
