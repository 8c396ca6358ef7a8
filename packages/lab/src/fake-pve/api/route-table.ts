/** Finds the method that a path means, among all that Proxmox knows. */
import type { ApiRequest, Handler, Route } from '../core.ts';
import type { MethodFacts, PathFacts, SchemaFacts } from '../schema/facts.ts';

export type Found =
  /** Proxmox has no such path or method. */
  | { readonly is: 'unknown' }
  /** Proxmox has it, this fake does not. */
  | { readonly is: 'not-faked' }
  | {
      readonly is: 'route';
      readonly facts: MethodFacts;
      readonly handler: Handler;
      readonly pathParams: Readonly<Record<string, string>>;
    };

export interface RouteTable {
  find(method: ApiRequest['method'], path: string): Found;
  /** Child names of a path template, for the directory listings of PVE. */
  children(path: string): readonly string[];
}

export function createRouteTable(facts: SchemaFacts, routes: readonly Route[]): RouteTable {
  const handlers = new Map(routes.map((route) => [`${route.method} ${route.path}`, route.handler]));
  for (const route of routes)
    if (!facts.paths.some((known) => known.path === route.path && known.methods.has(route.method)))
      throw new Error(`cannot serve ${route.method} ${route.path}: Proxmox has no such method`);

  return {
    find(method, path) {
      const segments = path.split('/').filter((segment) => segment !== '');
      const match = bestMatch(facts.paths, segments);
      const methodFacts = match?.facts.methods.get(method);
      if (match === undefined || methodFacts === undefined) return { is: 'unknown' };
      const handler = handlers.get(`${method} ${match.facts.path}`);
      if (handler === undefined || methodFacts === 'unknown') return { is: 'not-faked' };
      return { is: 'route', facts: methodFacts, handler, pathParams: match.params };
    },
    children: (path) =>
      facts.paths
        .map((known) => known.path)
        .filter(
          (known) => known !== path && known.startsWith(`${path}/`) && !known.slice(path.length + 1).includes('/'),
        )
        .map((known) => known.slice(path.length + 1)),
  };
}

interface Match {
  readonly facts: PathFacts;
  readonly params: Readonly<Record<string, string>>;
}

/** Literal segments win over variables, from left to right. */
function bestMatch(paths: readonly PathFacts[], segments: readonly string[]): Match | undefined {
  let best: { match: Match; literals: string } | undefined;
  for (const facts of paths) {
    if (facts.segments.length !== segments.length) continue;
    const params: Record<string, string> = {};
    let literals = '';
    const fits = facts.segments.every((segment, at) => {
      const given = decodeSegment(segments[at] ?? '');
      const variable = /^\{(.+)\}$/.exec(segment)?.[1];
      literals += variable === undefined ? '1' : '0';
      if (variable === undefined) return segment === given;
      params[variable] = given;
      return true;
    });
    if (fits && (best === undefined || literals > best.literals)) best = { match: { facts, params }, literals };
  }
  return best?.match;
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
