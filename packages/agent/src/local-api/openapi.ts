/** The OpenAPI 3.1 document, made from the schemas that the requests are read by. Pure. */
import { idempotencyKey, localApiVersion, localProblem, localRoutes } from '@felhom/protocol';
import type { LocalRoute } from '@felhom/protocol';
import { z } from 'zod';
import { longestWaitSeconds } from './request.ts';

type Json = Record<string, unknown>;

const queryOf: Readonly<Record<string, readonly string[]>> = {
  backupDue: ['wait'],
  controller: ['wait', 'generation'],
  audit: ['after'],
};

/** `version`: of the agent. */
export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const [name, route] of Object.entries(localRoutes))
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(name, route) };
  return {
    openapi: '3.1.0',
    info: {
      title: 'felhom local API',
      version: `${localApiVersion}`,
      description: `What a guest may ask of its host, about itself. Made by agent ${version}.`,
    },
    paths,
    components: {
      securitySchemes: { guestToken: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: schemaOf(localProblem) },
      responses: {
        Problem: {
          description: 'It was not done, or it is not known whether it was: the code says which.',
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      },
    },
  };
}

function operationOf(name: string, route: LocalRoute): Json {
  const parameters = [
    ...(route.path.includes('{id}') ? [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }] : []),
    ...(queryOf[name] ?? []).map((query) => ({
      name: query,
      in: 'query',
      schema: { type: 'integer', minimum: 0, ...(query === 'wait' ? { maximum: longestWaitSeconds } : {}) },
    })),
    ...(route.method === 'GET' || route.auth === 'port'
      ? []
      : [{ name: 'Idempotency-Key', in: 'header', schema: schemaOf(idempotencyKey) }]),
  ];
  return {
    operationId: name,
    security: route.auth === 'token' ? [{ guestToken: [] }] : [],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.method === 'POST'
      ? { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(route.body) } } } }
      : {}),
    responses: {
      [String(route.ok)]: {
        description: route.ok === 202 ? 'Under way; the operation says how far.' : 'Done.',
        content: { 'application/json': { schema: schemaOf(route.answer) } },
      },
      default: { $ref: '#/components/responses/Problem' },
    },
  };
}

function schemaOf(schema: z.ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}
