/** /v1/hosts and below: what operators and the dashboard ask. Readers may read; everything else takes an operator. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  describeIssues,
  desiredPut,
  desiredState,
  generationNumber,
  hostCreation,
  lineageId,
  maxDesiredStateBytes,
  staleResolution,
} from '@felhom/protocol';
import type { DesiredAnswer, HostId } from '@felhom/protocol';
import { z } from 'zod';
import { mintCredential, mintLineage } from '../credentials.ts';
import type { RandomBytes } from '../credentials.ts';
import { nextDesired, resolveStale } from '../fleet/apply-desired.ts';
import type { DesiredContent } from '../fleet/apply-desired.ts';
import type { Watch } from '../alerts/watch.ts';
import type { HostViews } from '../fleet/host-view.ts';
import { addEnvelopeRoutes } from '../mailbox/envelope-routes.ts';
import type { DesiredRow, HostRow, HubStore } from '../store/store.ts';
import { addAuditRoutes } from '../testimony/audit-routes.ts';
import { auditCopyFull } from '../testimony/hear-testimony.ts';
import { createOperatorAccess, parseBody } from './operator-access.ts';
import type { OperatorAccessNeeds } from './operator-access.ts';
import { ProblemError } from './problem.ts';

export interface OperatorRouteNeeds extends OperatorAccessNeeds {
  readonly store: HubStore;
  readonly random: RandomBytes;
  readonly views: HostViews;
  readonly liveness: Watch['liveness'];
}

const desiredQuery = z.strictObject({ lineage: lineageId, generation: z.coerce.number().pipe(generationNumber) });

export function addOperatorRoutes(app: FastifyInstance, needs: OperatorRouteNeeds): void {
  const { store } = needs;
  const access = createOperatorAccess(needs);
  const { asReader, asOperator, author, hostOf } = access;
  app.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'));

  const livenessOf = ({ hostId, contact, expectSeconds }: HostRow, now: number) =>
    needs.liveness({ hostId, contactAt: contact?.at, expectSeconds, metered: contact?.metered }, now);

  app.get('/v1/hosts', asReader, async () => {
    const now = needs.now();
    const hosts = await store.hosts();
    return { v: 1, now, hosts: hosts.map((host) => needs.views.summarise(host, livenessOf(host, now), now)) };
  });

  app.get('/v1/hosts/:hostId', asReader, async (request) => {
    const now = needs.now();
    const host = await hostOf(request);
    const epoch = host.contact?.hostEpoch;
    const copy = epoch === undefined ? undefined : await store.auditCopy(host.hostId, epoch);
    const kept = {
      statement: await store.newestStatement(host.hostId),
      mailbox: await store.mailboxCounts(host.hostId),
      auditCopy: { count: copy?.count ?? 0, full: await auditCopyFull(store, host.hostId) },
    };
    return { v: 1, now, host: needs.views.detail(host, kept, livenessOf(host, now), now) };
  });

  app.post('/v1/hosts', asOperator, async (request, reply) => {
    const { hostId } = parseBody(hostCreation, request, 'the new host');
    const key = mintCredential('host', hostId, needs.random);
    const added = await store.addHost({ hostId, secret: key.stored, createdAt: needs.now() });
    if (added === 'exists')
      throw new ProblemError(409, 'host.exists', `cannot add host ${hostId}: there is one of that name`, {
        next: `felhom hosts rekey ${hostId} makes a new key for it`,
      });
    request.log.info({ host: hostId, by: author(request).name }, 'host added');
    return reply.code(201).send({ hostId, apiKey: key.text });
  });

  app.post('/v1/hosts/:hostId/key', asOperator, async (request) => {
    const { hostId } = await hostOf(request);
    const key = mintCredential('host', hostId, needs.random);
    await store.setHostSecret(hostId, key.stored);
    request.log.info({ host: hostId, by: author(request).name }, 'host key replaced');
    return { hostId, apiKey: key.text };
  });

  /** The operator has seen the warning about a forked sequence and settled its cause. */
  app.delete('/v1/hosts/:hostId/fork', asOperator, async (request, reply) => {
    const { hostId, contact } = await hostOf(request);
    await store.clearFork(hostId);
    // A number that a thief of the API key made up must not stand above all true ones for ever.
    if (contact !== undefined) await store.forgetHigherStatements(hostId, contact.hostEpoch, contact.sequence);
    return reply.code(204).send();
  });

  addEnvelopeRoutes(app, { store, now: needs.now, access });
  addAuditRoutes(app, { store, access });

  app.get('/v1/hosts/:hostId/desired', asReader, async (request, reply) => {
    const host = await hostOf(request);
    const row = await desiredOf(host, request.query);
    const etag = `"${row.digest}"`;
    reply.header('etag', etag);
    if (request.headers['if-none-match'] === etag) return reply.code(304).send();
    return toAnswer(row);
  });

  /** What the host holds and the hub does not have, once the agent has sent it. */
  app.get('/v1/hosts/:hostId/held', asReader, async (request) => {
    const host = await hostOf(request);
    const { guests, backups } = heldContent(host);
    return { guests, backups, generation: host.stale?.generation };
  });

  app.put(
    '/v1/hosts/:hostId/desired',
    { ...asOperator, bodyLimit: 2 * maxDesiredStateBytes },
    async (request): Promise<unknown> => {
      const host = await hostOf(request);
      const body = parseBody(desiredPut, request, `desired state of ${host.hostId}`);
      if (host.stale !== undefined) throw staleProblem(host.hostId);
      const base = body.base ?? undefined;
      if (base?.lineage !== host.desired?.lineage || base?.generation !== host.desired?.generation)
        throw conflict(host.hostId, host.desired);
      const lineage = { fresh: mintLineage(needs.random), startOver: body.startOver };
      const row = nextDesired(body, host.desired, lineage, author(request));
      return publish(request, host, row, false);
    },
  );

  app.post('/v1/hosts/:hostId/resolve', asOperator, async (request): Promise<unknown> => {
    const host = await hostOf(request);
    const { keep, generation } = parseBody(staleResolution, request, 'the choice');
    if (host.stale === undefined)
      throw new ProblemError(409, 'host.not-stale', `cannot resolve ${host.hostId}: the hub is not behind this host`);
    if (host.stale.generation !== generation)
      throw new ProblemError(
        409,
        'host.moved-on',
        `cannot resolve ${host.hostId}: it holds generation ${host.stale.generation} by now, not ${generation}`,
        { next: 'look at the diff again' },
      );
    const content = keep === 'agent' ? heldContent(host) : ownContent(host);
    const highest = await store.highestGeneration(host.hostId, host.stale.lineage);
    const lineage = { highest, fresh: mintLineage(needs.random) };
    return publish(request, host, resolveStale(content, host.stale, lineage, author(request)), true);
  });

  async function publish(request: FastifyRequest, host: HostRow, row: DesiredRow, clearStale: boolean) {
    if (Buffer.byteLength(row.text, 'utf8') > maxDesiredStateBytes)
      throw new ProblemError(
        413,
        'desired.too-large',
        `cannot put desired state of ${host.hostId}: it is larger than ${maxDesiredStateBytes} bytes`,
      );
    const put = await store.putDesired(host.hostId, row, host.desired, { clearStale });
    if (put.is === 'conflict') throw conflict(host.hostId, put.current);
    request.log.info({ host: host.hostId, by: row.putBy, generation: row.generation }, 'desired state put');
    return { lineage: row.lineage, generation: row.generation, digest: row.digest };
  }

  async function desiredOf(host: HostRow, query: unknown): Promise<DesiredRow> {
    const ref = desiredQuery.safeParse(query);
    const row = ref.success ? await store.desiredAt(host.hostId, ref.data) : host.desired;
    if (row !== undefined) return row;
    throw new ProblemError(404, 'desired.none', `cannot show desired state of ${host.hostId}: the hub has none`, {
      next: `felhom desired apply ${host.hostId} FILE puts the first one`,
    });
  }
}

function conflict(hostId: HostId, current: DesiredRow | undefined): ProblemError {
  const now =
    current === undefined ? 'the hub has none' : `generation ${current.generation} by ${current.putBy} is current`;
  return new ProblemError(
    409,
    'desired.conflict',
    `cannot put desired state of ${hostId}: it changed since it was read; ${now}`,
    { next: 'look at the diff again and apply once more' },
  );
}

function staleProblem(hostId: HostId): ProblemError {
  return new ProblemError(
    409,
    'host.stale-hub',
    `cannot put desired state of ${hostId}: the host holds a newer one than the hub knows`,
    { next: `felhom desired resolve ${hostId} --keep agent|hub shows both and chooses one` },
  );
}

function ownContent(host: HostRow): DesiredContent {
  if (host.desired === undefined)
    throw new ProblemError(409, 'desired.none', `cannot keep the hub's copy for ${host.hostId}: the hub has none`, {
      next: 'keep the copy of the agent',
    });
  return desiredState.parse(JSON.parse(host.desired.text));
}

function heldContent(host: HostRow): DesiredContent {
  const text = host.stale?.text;
  if (text === undefined)
    throw new ProblemError(409, 'host.held-unknown', `cannot read what ${host.hostId} holds: it was not sent yet`, {
      next: 'try again after its next poll',
    });
  const parsed = parseHeld(text);
  if (parsed.success) return parsed.data;
  throw new ProblemError(
    409,
    'host.held-unreadable',
    `cannot read what ${host.hostId} holds: ${describeIssues(parsed.error)}`,
    { next: 'keep the copy of the hub' },
  );
}

function parseHeld(text: string): z.ZodSafeParseResult<z.output<typeof desiredState>> {
  try {
    return desiredState.safeParse(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return desiredState.safeParse(undefined);
    throw error;
  }
}

function toAnswer(row: DesiredRow): DesiredAnswer {
  return {
    lineage: row.lineage,
    generation: row.generation,
    digest: row.digest,
    text: row.text,
    ...(row.replaces === undefined ? {} : { replaces: row.replaces }),
    putAt: row.putAt,
    putBy: row.putBy,
  };
}
