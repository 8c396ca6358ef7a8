/** POST /v1/poll: the one call that agents make. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  compressedAboveBytes,
  digestOfReport,
  maxPollRequestBytes,
  parseVersioned,
  pollAnswer,
  pollRequestKind,
} from '@felhom/protocol';
import type { PollAnswer, PollRequest } from '@felhom/protocol';
import { decidePoll } from '../fleet/decide-poll.ts';
import { deliver } from '../mailbox/deliver.ts';
import type { RateLimiter } from '../rate-limit.ts';
import type { HostRow, HubStore } from '../store/store.ts';
import { hearTestimony } from '../testimony/hear-testimony.ts';
import { heartbeatOf } from '../fleet/heartbeat.ts';
import { authenticateHost } from './authenticate.ts';
import type { AuthenticateNeeds } from './authenticate.ts';
import { inflate } from './inflate.ts';
import { ProblemError } from './problem.ts';

export interface PollRouteNeeds extends AuthenticateNeeds {
  readonly store: HubStore;
  readonly now: () => number;
  readonly polls: RateLimiter;
  readonly pollAfterSeconds: number;
}

export function addPollRoute(app: FastifyInstance, needs: PollRouteNeeds): void {
  const hosts = new WeakMap<object, HostRow>();
  app.post(
    '/v1/poll',
    {
      bodyLimit: maxPollRequestBytes,
      onRequest: async (request) => {
        const host = await authenticateHost(needs, request);
        const wait = needs.polls.take(host.hostId);
        if (wait > 0)
          throw new ProblemError(429, 'poll.too-often', `cannot take the poll of ${host.hostId}: it polls too often`, {
            retryAfter: wait,
          });
        hosts.set(request, host);
      },
      // After the key was seen: nobody makes the hub inflate anything without one.
      preParsing: async (request, _reply, payload) => {
        const encoding = request.headers['content-encoding'] ?? 'identity';
        if (encoding === 'identity') return payload;
        if (encoding === 'gzip') return inflate(payload, 'POST /v1/poll', maxPollRequestBytes);
        throw new ProblemError(
          415,
          'request.wrong-encoding',
          'cannot serve POST /v1/poll: send it as it is, or as gzip',
        );
      },
      onSend: async (request, reply, payload) => {
        if (typeof payload !== 'string' || payload.length <= compressedAboveBytes || !takesGzip(request))
          return payload;
        reply.header('content-encoding', 'gzip').header('vary', 'accept-encoding').removeHeader('content-length');
        return compress(payload);
      },
    },
    async (request): Promise<PollAnswer> => {
      const host = hosts.get(request);
      if (host === undefined) throw new Error('cannot answer a poll that was not authenticated');
      const parsed = parseVersioned(pollRequestKind, request.body);
      if (parsed.is !== 'ok')
        throw new ProblemError(
          400,
          parsed.is === 'unknown-version' ? 'poll.unknown-version' : 'poll.unreadable',
          parsed.text,
          { next: 'bring agent and hub to versions that go together' },
        );
      if (parsed.value.hostId !== host.hostId)
        throw new ProblemError(
          403,
          'poll.other-host',
          `cannot take the poll of ${parsed.value.hostId}: the API key is that of ${host.hostId}`,
          { next: 'put the key of this host into its key file' },
        );
      return answerPoll(needs, host, parsed.value, (text) => request.log.warn({ host: host.hostId }, text));
    },
  );
}

const compress = promisify(gzip);

function takesGzip({ headers }: FastifyRequest): boolean {
  const accepted = (headers['accept-encoding'] ?? '').split(',');
  return accepted.some((one) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$).*)?$/.test(one));
}

async function answerPoll(
  needs: PollRouteNeeds,
  host: HostRow,
  poll: PollRequest,
  warn: (text: string) => void,
): Promise<PollAnswer> {
  const now = needs.now();
  const decision = decidePoll(host, poll, now);
  if (decision.stale !== undefined && host.stale === undefined)
    warn('the hub is behind this host; an operator has to choose');
  const heard = await hearTestimony(needs.store, host, poll, now);
  const fork = host.fork === undefined ? (decision.fork ?? heard.fork) : undefined;
  if (fork !== undefined) warn(fork.text);
  if (heard.auditFork !== undefined && host.auditFork === undefined) warn(heard.auditFork.text);
  await needs.store.recordContact(
    host.hostId,
    {
      at: now,
      hostEpoch: poll.hostEpoch,
      sequence: poll.sequence,
      agentVersion: poll.agentVersion,
      held: JSON.stringify(poll.held),
      heartbeat: JSON.stringify(heartbeatOf(poll)),
      metered: poll.metered === true,
    },
    {
      report:
        poll.report === undefined
          ? undefined
          : { at: now, digest: digestOfReport(poll.report), text: JSON.stringify(poll.report) },
      stale: decision.stale,
      fork,
      statement: heard.statement,
    },
  );
  const envelopes = await deliver(needs.store, host.hostId, poll.taken, now);
  // Whatever became of the database, what leaves has the shape of the wire.
  return pollAnswer.parse({
    v: 1,
    desired: decision.offer,
    sendReport: decision.sendReport,
    sendHeld: decision.sendHeld,
    pollAfterSeconds: needs.pollAfterSeconds,
    envelopes,
    auditCount: heard.auditCount,
    ...(heard.newerStatement === undefined ? {} : { newerStatement: heard.newerStatement }),
  });
}
