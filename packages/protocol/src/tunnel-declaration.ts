/**
 * What the tunnel to the guests lets in, as operators sign it: rules in the order of cloudflared, each to a guest by its
 * address, or an answer without one. On the host it lies in a root-owned file; the configuration of cloudflared and both
 * of its fences are made from it by root, so the three cannot differ. No secret is in it.
 */
import { z } from 'zod';
import { canonicalDigest } from './canonical.ts';
import type { CanonicalValue } from './canonical.ts';
import type { Digest } from './ids.ts';

const part = String.raw`[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?`;
const hostname = z
  .string()
  .max(253)
  .regex(new RegExp(`^(?:\\*\\.)?(?:${part}\\.)+[a-z]{2,63}$`), 'a host name in lower case, perhaps with *. before it');
/** cloudflared reads it as a regular expression; of those only what every reader takes for a path. */
const path = z.string().regex(/^\/[A-Za-z0-9_/-]{0,99}$/, 'a path of letters, digits, _, - and /');

const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const address = `(?:${octet}\\.){3}${octet}`;
const toGuest = new RegExp(`^(https?)://(${address}):([1-9][0-9]{0,4})$`);

/** `http://192.168.1.50:80` or `https://…`, always with its port; or `http_status:404`, which nobody serves. */
const service = z
  .string()
  .max(60)
  .refine(
    (text) => /^http_status:[1-5][0-9]{2}$/.test(text) || guestOfService(text) !== undefined,
    'http://ADDRESS:PORT, https://ADDRESS:PORT or http_status:CODE',
  );

const rule = z.strictObject({ hostname: hostname.optional(), path: path.optional(), service });
export type TunnelRule = z.output<typeof rule>;

/** Where a rule leads; `undefined`: to no guest. */
export function guestOfService(text: string): { readonly address: string; readonly port: number } | undefined {
  const [, , found, port] = toGuest.exec(text) ?? [];
  if (found === undefined || Number(port) > 65_535) return undefined;
  return { address: found, port: Number(port) };
}

export const tunnelDeclaration = z
  .strictObject({
    /** Of the tunnel; its credentials are put on the host by root. */
    tunnel: z.string().regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'the id of a tunnel'),
    /** The last one is for all that no other is for. */
    ingress: z.array(rule).min(2).max(32),
  })
  .refine(
    ({ ingress }) => ingress.every(({ hostname: name }, at) => (name === undefined) === (at === ingress.length - 1)),
    'each rule names a host, but the last one, which is for all the rest',
  )
  .refine(
    ({ ingress }) => ingress.at(-1)?.path === undefined && ingress.at(-1)?.service.startsWith('http_status:') === true,
    'the last rule answers http_status:… and leads to nobody',
  )
  .refine((declaration) => guestsOfTunnel(declaration).length > 0, 'no rule leads to a guest');
export type TunnelDeclaration = z.output<typeof tunnelDeclaration>;

/** The addresses of guests that the tunnel may reach, and no others: each once, in the order of the rules. */
export function guestsOfTunnel({ ingress }: { readonly ingress: readonly TunnelRule[] }): readonly string[] {
  const found = ingress.flatMap((one) => guestOfService(one.service)?.address ?? []);
  return [...new Set(found)];
}

/** `192.168.1.50:80`: what the tunnel may reach and nothing else, each once, in the order of the rules. */
export function reachOfTunnel({ ingress }: { readonly ingress: readonly TunnelRule[] }): readonly string[] {
  const found = ingress.flatMap(({ service: to }) => {
    const guest = guestOfService(to);
    return guest === undefined ? [] : [`${guest.address}:${guest.port}`];
  });
  return [...new Set(found)];
}

/** The same as a host tells it: texts, which whoever builds on them parses again. */
export const reportedRules = z.strictObject({
  tunnel: z.string().max(40),
  ingress: z
    .array(
      z.strictObject({
        hostname: z.string().max(253).optional(),
        path: z.string().max(100).optional(),
        service: z.string().max(60),
      }),
    )
    .max(32),
});

/** Of the whole of it; what is not said is no field. */
export const digestOfTunnel = (declaration: TunnelDeclaration): Digest =>
  canonicalDigest(JSON.parse(JSON.stringify(declaration)) as CanonicalValue);

/** One rule as people read it. */
export const ruleText = ({ hostname: name, path: below, service: to }: TunnelRule): string =>
  `${name ?? '*'}${below ?? ''} → ${to}`;
