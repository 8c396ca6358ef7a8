/** What the routes for operators share: who asks, of which host, with what. */
import type { FastifyRequest } from 'fastify';
import { describeIssues, hostId as hostIdSchema } from '@felhom/protocol';
import { z } from 'zod';
import type { HostRow, HubStore, OperatorRow } from '../store/store.ts';
import { authenticateOperator } from './authenticate.ts';
import type { AuthenticateNeeds } from './authenticate.ts';
import { ProblemError } from './problem.ts';

export interface OperatorAccessNeeds extends AuthenticateNeeds {
  readonly store: Pick<HubStore, 'host' | 'operator'>;
  /** Wall time of the hub in milliseconds. */
  readonly now: () => number;
}

const smallBody = 16_384;

/** `asReader` and `asOperator` are route options; both let in before a body is read. */
export function createOperatorAccess(needs: OperatorAccessNeeds) {
  const operators = new WeakMap<object, OperatorRow>();
  return {
    asReader: {
      onRequest: async (request: FastifyRequest) => void (await authenticateOperator(needs, request, 'reader')),
    },
    asOperator: {
      bodyLimit: smallBody,
      onRequest: async (request: FastifyRequest) =>
        void operators.set(request, await authenticateOperator(needs, request, 'operator')),
    },
    /** Who changes something, and when. Of a route `asOperator`. */
    author: (request: FastifyRequest) => ({
      name: operators.get(request)?.name ?? 'unknown',
      now: needs.now(),
    }),
    /** The host that the path names; 404 where there is none. */
    hostOf: async (request: FastifyRequest): Promise<HostRow> => {
      const id = hostIdSchema.safeParse(z.object({ hostId: z.string() }).parse(request.params).hostId);
      const host = id.success ? await needs.store.host(id.data) : undefined;
      if (host === undefined)
        throw new ProblemError(404, 'host.unknown', 'cannot find the host: this hub knows none of that name', {
          next: 'felhom hosts lists those there are',
        });
      return host;
    },
  };
}
export type OperatorAccess = ReturnType<typeof createOperatorAccess>;

export function parseBody<T>(schema: z.ZodType<T>, request: FastifyRequest, what: string): T {
  const parsed = schema.safeParse(request.body);
  if (parsed.success) return parsed.data;
  throw new ProblemError(400, 'request.invalid', `cannot take ${what}: ${describeIssues(parsed.error)}`);
}
