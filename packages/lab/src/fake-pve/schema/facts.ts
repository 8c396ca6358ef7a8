import { readFileSync } from 'node:fs';

/** What the schema says about one parameter. */
export interface Property {
  readonly type?: string;
  readonly optional?: 0 | 1;
  readonly default?: unknown;
  readonly default_key?: 0 | 1;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  /** The name of a format, or the fields of a property string. */
  readonly format?: string | Properties;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly requires?: string;
  readonly items?: Property;
  readonly alias?: string;
}

export type Properties = Readonly<Record<string, Property>>;

/** A declared permission as PVE writes it: `["perm", path, [privs], "any", 1]`, `["or", …]`, `["userid-param", …]`. */
export type CheckTree = readonly unknown[];

export interface MethodFacts {
  readonly check: CheckTree | undefined;
  readonly user: 'all' | 'world' | undefined;
  readonly allowToken: boolean;
  readonly open: boolean;
  /** Served by the node that the path names. */
  readonly proxied: boolean;
  readonly properties: Properties;
}

export interface PathFacts {
  readonly path: string;
  readonly segments: readonly string[];
  /** `'unknown'`: the method exists in Proxmox, we keep no facts about it. */
  readonly methods: ReadonlyMap<string, MethodFacts | 'unknown'>;
}

export interface SchemaFacts {
  readonly privileges: readonly string[];
  readonly roles: Readonly<Record<string, readonly string[]>>;
  readonly formats: Readonly<Record<string, Properties>>;
  readonly paths: readonly PathFacts[];
}

interface RawMethod {
  readonly check?: CheckTree;
  readonly user?: 'all' | 'world';
  readonly noToken?: 1;
  readonly open?: 1;
  readonly proxyto?: string;
  readonly params: Readonly<Record<string, number>>;
}

interface RawFacts {
  readonly privileges: readonly string[];
  readonly roles: Readonly<Record<string, readonly string[]>>;
  readonly indexLimits: Readonly<Record<string, number>>;
  readonly formats: Readonly<Record<string, Properties>>;
  readonly shared: readonly Property[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, RawMethod | 0>>>>;
}

/** Reads `facts.json` (made by `generate.ts`) and spells out `mp[n]` as `mp0` … `mp255`. */
export function loadSchemaFacts(): SchemaFacts {
  const raw = JSON.parse(readFileSync(new URL('facts.json', import.meta.url), 'utf8')) as RawFacts;
  return {
    privileges: raw.privileges,
    roles: raw.roles,
    formats: raw.formats,
    paths: Object.entries(raw.paths).map(([path, methods]) => ({
      path,
      segments: path.split('/').filter((segment) => segment !== ''),
      methods: new Map(
        Object.entries(methods).map(([method, facts]) => [method, facts === 0 ? 'unknown' : methodFacts(raw, facts)]),
      ),
    })),
  };
}

function methodFacts(raw: RawFacts, facts: RawMethod): MethodFacts {
  const properties: Record<string, Property> = {};
  for (const [name, at] of Object.entries(facts.params)) {
    const property = raw.shared[at] ?? {};
    const indexed = /^(.+)\[n\]$/.exec(name)?.[1];
    if (indexed === undefined) properties[name] = property;
    else for (let n = 0; n < (raw.indexLimits[indexed] ?? 0); n += 1) properties[`${indexed}${n}`] = property;
  }
  return {
    check: facts.check,
    user: facts.user,
    allowToken: facts.noToken !== 1,
    open: facts.open === 1,
    proxied: facts.proxyto === 'node',
    properties,
  };
}
