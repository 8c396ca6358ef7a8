/** Who is asking, decided before a body is read. */
import type { FastifyRequest } from 'fastify';
import { matches, readCredential } from '../credentials.ts';
import type { RateLimiter } from '../rate-limit.ts';
import type { HostRow, HubStore, OperatorRow, Role } from '../store/store.ts';
import { ProblemError } from './problem.ts';

export interface AuthenticateNeeds {
  readonly store: Pick<HubStore, 'host' | 'operator'>;
  /**
   * Failures per address. A credential that is right is never held up by the failures of others behind the same
   * address, so the limit only turns 401 into 429; guessing 256 bits needs no other defence.
   */
  readonly failures: RateLimiter;
}

export async function authenticateHost(needs: AuthenticateNeeds, request: FastifyRequest): Promise<HostRow> {
  const presented = bearer(request);
  const credential = presented === undefined ? undefined : readCredential('host', presented);
  const host = credential === undefined ? undefined : await needs.store.host(credential.id);
  if (credential === undefined || !matches(host?.secret, credential.secret) || host === undefined)
    throw refuse(needs, request, 'cannot accept the API key: it is not that of a host of this hub', {
      next: 'make a new key with felhom hosts rekey HOST and put it into the key file of the host',
    });
  return host;
}

export async function authenticateOperator(
  needs: AuthenticateNeeds,
  request: FastifyRequest,
  role: Role,
): Promise<OperatorRow> {
  const presented = bearer(request);
  const credential = presented === undefined ? undefined : readCredential('operator', presented);
  const operator = credential === undefined ? undefined : await needs.store.operator(credential.id);
  if (credential === undefined || !matches(operator?.secret, credential.secret) || operator === undefined)
    throw refuse(needs, request, 'cannot accept the operator token: it is not known to this hub', {
      next: 'log in again with felhom login',
    });
  if (role === 'operator' && operator.role !== 'operator')
    throw new ProblemError(403, 'operator.read-only', `cannot do this as ${operator.name}: the token is read-only`);
  return operator;
}

function bearer(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization;
  if (header === undefined || header.length > 200) return undefined;
  return /^Bearer (\S+)$/i.exec(header)?.[1];
}

function refuse(needs: AuthenticateNeeds, request: FastifyRequest, text: string, more: { next: string }): ProblemError {
  const wait = needs.failures.take(request.ip);
  if (wait > 0)
    return new ProblemError(429, 'credential.too-many-failures', `${text}; too many failures from this address`, {
      retryAfter: wait,
    });
  return new ProblemError(401, 'credential.refused', text, more);
}
