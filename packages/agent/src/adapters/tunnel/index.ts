/**
 * The tunnel's own words: cloudflared's port for metrics on loopback, the file that root declared its ingress in, and a
 * question to the resolver that nothing but the internet can answer. Facts of cloudflared: metrics/readiness.go,
 * orchestration/orchestrator.go.
 */
import { readFile } from 'node:fs/promises';
import { Resolver } from 'node:dns/promises';
import { Agent, request } from 'undici';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { reason, tunnelDeclaration } from '@felhom/protocol';
import type { Random } from '../../kernel/clock.ts';
import { done, unknown } from '../../kernel/saga.ts';
import type { Outcome } from '../../kernel/saga.ts';
import type { DeclaredIngress, IngressRule, InternetProbe, SignedRules, TunnelEndpoint } from '../../ports/tunnel.ts';
import { readUpTo } from '../https/index.ts';

export interface TunnelEndpointOptions {
  /** Of `--metrics`, on loopback. */
  readonly port: number;
  readonly answerMs?: number;
}

const longestAnswer = 256 * 1024;
const mostRules = 1000;

const ready = z.object({ readyConnections: z.number().int().min(0) });
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const rule = z
  .object({ hostname: text, path: z.unknown().optional(), service: z.string() })
  .transform(({ hostname, path, service }): IngressRule => ({
    hostname,
    path: typeof path === 'string' ? path : '',
    service,
  }));
const rules = z.array(rule).max(mostRules);
/** As it is served, and as a file for cloudflared is written; of WARP routing newer releases tell no more. */
const running = z.object({
  config: z.object({
    ingress: rules.nullish(),
    'warp-routing': z.object({ enabled: z.boolean().nullish() }).nullish(),
  }),
});
const declared = z.object({ ingress: rules.default([]) });

export function createTunnelEndpoint({ port, answerMs = 3_000 }: TunnelEndpointOptions): TunnelEndpoint {
  const get = async <T>(path: string, shape: z.ZodType<T>, signal: AbortSignal): Promise<Outcome<T>> => {
    // One connection per question, every half minute: nothing to keep open for.
    const dispatcher = new Agent({ connections: 1, pipelining: 0 });
    try {
      const answer = await request(`http://127.0.0.1:${port}${path}`, {
        dispatcher,
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
      });
      const body = await readUpTo(answer, longestAnswer);
      const parsed = body === undefined ? undefined : shape.safeParse(JSON.parse(body));
      return parsed?.success === true
        ? done(parsed.data)
        : notTold(path, `it answered ${answer.statusCode} with something else`);
    } catch (error) {
      return notTold(path, (error as Error).message.slice(0, 200));
    } finally {
      void dispatcher.destroy();
    }
  };
  return {
    // 503 says the same as 0 connections.
    async connections(signal) {
      const answer = await get('/ready', ready, signal);
      return answer.is === 'done' ? done(answer.value.readyConnections) : answer;
    },
    async ingress(signal) {
      const answer = await get('/config', running, signal);
      if (answer.is !== 'done') return answer;
      const { ingress, 'warp-routing': warp } = answer.value.config;
      return done({ rules: ingress ?? [], privateNetworks: warp?.enabled === true });
    },
  };
}

const notTold = (path: string, why: string): Outcome<never> =>
  unknown(reason('tunnel.not-told', `cannot read ${path} of cloudflared: ${why}`));

/** `file`: what cloudflared is started with, root's. */
export function createDeclaredIngress(file: string): DeclaredIngress {
  return async () => {
    try {
      const read = declared.safeParse(parseYaml(await readFile(file, 'utf8'), { maxAliasCount: 0, logLevel: 'error' }));
      if (read.success) return done(read.data.ingress);
      return unknown(reason('host.not-told', `cannot read the ingress in ${file}: it has another shape`));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return done(undefined);
      return unknown(reason('host.not-told', `cannot read the ingress in ${file}: ${(error as Error).message}`));
    }
  };
}

const signedRules = z.object({ v: z.literal(1), declaration: tunnelDeclaration });

/** `file`: what root writes when a signed change comes into force. */
export function createSignedRules(file: string): SignedRules {
  return async () => {
    try {
      return signedRules.safeParse(JSON.parse(await readFile(file, 'utf8'))).data?.declaration;
    } catch {
      // None, or half of one: what is in force is told by its own file.
      return undefined;
    }
  };
}

export interface InternetProbeOptions {
  readonly random: Random;
  /** Of the resolver; those of the system unless told. */
  readonly servers?: readonly string[];
  readonly answerMs?: number;
}

/** What a name server says when it has asked the owner of the name, as opposed to when it could not. */
const answers: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA']);

export function createInternetProbe({ random, servers, answerMs = 3_000 }: InternetProbeOptions): InternetProbe {
  return async (signal) => {
    // Made anew each time: the servers of the system may have changed, e.g. with the line.
    const resolver = new Resolver({ timeout: answerMs, tries: 1 });
    const stop = (): void => resolver.cancel();
    signal.addEventListener('abort', stop, { once: true });
    try {
      if (servers !== undefined) resolver.setServers(servers);
      // A label that nobody asked for before, so that no cache on the way can know it.
      await resolver.resolve4(`${Buffer.from(random.bytes(8)).toString('hex')}.argotunnel.com`);
      return true;
    } catch (error) {
      return answers.has((error as NodeJS.ErrnoException).code ?? '');
    } finally {
      signal.removeEventListener('abort', stop);
    }
  };
}
