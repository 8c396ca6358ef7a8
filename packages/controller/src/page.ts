/**
 * The controller's own page, on loopback of the guest: how it is, what was done to the guest, and the customer's standing
 * consent. Whoever puts it before the customer says who the customer is.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import { z } from 'zod';
import type { Controller } from './controller/controller.ts';
import { consentWords } from '@felhom/protocol';

const longestBody = 2_000;
const answerMs = 20_000;
const consentBody = z.strictObject({ typed: z.string().max(200) });

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Not listening yet. */
export function createPage(controller: Controller): Server {
  const server = createServer((request, response) => {
    void answerTo(controller, request)
      .catch((): Answer => ({ status: 500, body: { text: 'it failed' } }))
      .then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
        return response.end(JSON.stringify(body));
      });
  });
  server.requestTimeout = answerMs;
  server.maxConnections = 32;
  return server;
}

async function answerTo(controller: Controller, request: IncomingMessage): Promise<Answer> {
  const signal = AbortSignal.timeout(answerMs);
  const route = `${request.method} ${(request.url ?? '').split('?')[0]}`;
  if (route === 'GET /health') {
    const health = await controller.health();
    return { status: health.healthy ? 200 : 503, body: health };
  }
  if (route === 'GET /audit') return fromHost(await controller.audit(signal));
  if (route === 'GET /consent') return { status: 200, body: { type: consentWords } };
  if (route !== 'POST /consent' && route !== 'DELETE /consent') return { status: 404, body: { text: 'no such page' } };
  // A form of another page cannot send this type: nobody consents by visiting a page.
  if (request.headers['content-type'] !== 'application/json')
    return { status: 415, body: { text: 'send application/json' } };
  if (route === 'DELETE /consent') return fromHost(await controller.consent(undefined, signal));
  const typed = consentBody.safeParse(await bodyOf(request));
  if (!typed.success) return { status: 400, body: { text: `send {"typed": "${consentWords}"}` } };
  return fromHost(await controller.consent(typed.data.typed, signal));
}

const fromHost = (result: { readonly is: string }): Answer => ({
  status: result.is === 'ok' ? 200 : result.is === 'refused' ? 400 : 502,
  body: result,
});

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8');
    if (text.length > longestBody) return undefined;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
