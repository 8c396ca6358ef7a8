/** /v1/hosts/:id/audit: the copy of a host's audit log, with everything that it takes to check it. */
import type { FastifyInstance } from 'fastify';
import { describeIssues, hostEpoch } from '@felhom/protocol';
import type { AuditAnswer, SignedStatement } from '@felhom/protocol';
import { z } from 'zod';
import type { OperatorAccess } from '../api/operator-access.ts';
import { ProblemError } from '../api/problem.ts';
import type { KeptStatement, TestimonyStore } from '../store/testimony-store.ts';

export interface AuditRouteNeeds {
  readonly store: TestimonyStore;
  readonly access: OperatorAccess;
}

export const mostEntriesPerAnswer = 1000;
/** Bytes of entries, and of statements, in one answer. */
const mostBytes = 4 * 1024 * 1024;

const auditQuery = z.strictObject({
  from: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).default(1),
  epoch: hostEpoch.optional(),
});

export function addAuditRoutes(app: FastifyInstance, { store, access }: AuditRouteNeeds): void {
  app.get('/v1/hosts/:hostId/audit', access.asReader, async (request): Promise<AuditAnswer> => {
    const { hostId, contact } = await access.hostOf(request);
    const query = auditQuery.safeParse(request.query);
    if (!query.success)
      throw new ProblemError(
        400,
        'request.invalid',
        `cannot show the audit log of ${hostId}: ${describeIssues(query.error)}`,
      );
    const { from } = query.data;
    const epoch = query.data.epoch ?? contact?.hostEpoch;
    if (epoch === undefined)
      throw new ProblemError(404, 'audit.none', `cannot show the audit log of ${hostId}: it has not polled yet`);
    const count = (await store.auditCopy(hostId, epoch))?.count ?? 0;
    const entries = withinBytes(
      await store.auditEntries(hostId, epoch, from, mostEntriesPerAnswer),
      (text) => text.length,
    );
    const last = from + entries.length - 1;
    const heads = await store.headsBetween(hostId, epoch, from - 1, last < count ? last : Number.MAX_SAFE_INTEGER);
    const conflicts = withinBytes(
      (await store.auditConflicts(hostId)).filter((conflict) => conflict.epoch === epoch),
      ({ text }) => text.length,
    );
    return {
      v: 1,
      epoch,
      count,
      from,
      entries,
      heads: newestWithinBytes(heads),
      conflicts: conflicts.map(({ seq, text, at }) => ({ seq, text, at })).toSorted((a, b) => a.seq - b.seq),
      epochs: [...(await store.auditCopies(hostId))],
    };
  });

  /** The operator has seen that the host told two tales. What it told is kept for good. */
  app.delete('/v1/hosts/:hostId/audit-fork', access.asOperator, async (request, reply) => {
    const { hostId } = await access.hostOf(request);
    await store.clearAuditFork(hostId);
    request.log.info({ host: hostId, by: access.author(request).name }, 'mark of the audit fork cleared');
    return reply.code(204).send();
  });
}

function newestWithinBytes(heads: readonly KeptStatement[]): SignedStatement[] {
  const newestFirst = heads.map(({ signed }) => signed).toReversed();
  return withinBytes(newestFirst, ({ text, signature }) => text.length + signature.length).toReversed();
}

function withinBytes<T>(items: readonly T[], size: (item: T) => number): T[] {
  let bytes = 0;
  return items.filter((item) => (bytes += size(item)) <= mostBytes);
}
