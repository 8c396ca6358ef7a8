/**
 * Makes `facts.json` from Proxmox VE's own API dump (`pvesh`'s apidoc, recorded as `api-schema.json`): names, types,
 * limits, enums, patterns, formats, optional and default, and who may call what. No descriptions: those are Proxmox's
 * text, these are facts.
 *
 *   node packages/lab/src/fake-pve/schema/generate.ts path/to/api-schema.json
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

type Json = { readonly [key: string]: unknown };

/** Endpoints whose parameters we keep; of the others only the path and its methods, to know an unknown path. */
const kept = [
  /^\/(version|storage|pools|access)(\/|$)/,
  /^\/cluster\/(resources|nextid|status|tasks|options)$/,
  /^\/nodes(\/\{node\}(\/(version|status|time|network|apt\/versions|disks\/list))?)?$/,
  /^\/nodes\/\{node\}\/(tasks|lxc|storage|vzdump)(\/|$)/,
];
const dropped = /\/(firewall|remote_migrate|mtunnel|domains|tfa|ldap|openid)(\/|$)/;

/** How many of `mp[n]` there are (PVE: LXC/Config.pm). */
const indexLimits: Json = { mp: 256, net: 32, dev: 256, unused: 256 };

const factKeys = [
  'type',
  'optional',
  'default',
  'default_key',
  'enum',
  'pattern',
  'format',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'requires',
  'items',
  'alias',
] as const;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function property(source: Json): Json {
  const facts: Record<string, unknown> = {};
  for (const key of factKeys) {
    const value = source[key];
    if (value === undefined) continue;
    if (key === 'format' && isObject(value)) facts[key] = properties(value);
    else if (key === 'items' && isObject(value)) facts[key] = property(value);
    else if (key === 'minimum' || key === 'maximum') facts[key] = Number(value);
    else facts[key] = value;
  }
  return facts;
}

function properties(source: Json): Json {
  return Object.fromEntries(
    Object.keys(source)
      .sort()
      .flatMap((name) => {
        const value = source[name];
        return isObject(value) ? [[name, property(value)]] : [];
      }),
  );
}

function main(sourcePath: string): void {
  const source = JSON.parse(readFileSync(sourcePath, 'utf8')) as Json;
  const shared: Json[] = [];
  const known = new Map<string, number>();
  const paths: Record<string, Record<string, unknown>> = {};

  const share = (fact: Json): number => {
    const text = JSON.stringify(fact);
    const at = known.get(text) ?? shared.push(fact) - 1;
    known.set(text, at);
    return at;
  };

  const walk = (node: Json): void => {
    const path = String(node['path']);
    const info = isObject(node['info']) ? node['info'] : {};
    const keep = kept.some((pattern) => pattern.test(path)) && !dropped.test(path);
    const methods: Record<string, unknown> = {};
    for (const [method, details] of Object.entries(info)) {
      if (!isObject(details)) continue;
      if (!keep) {
        methods[method] = 0;
        continue;
      }
      const parameters = isObject(details['parameters']) ? details['parameters'] : {};
      const permissions = isObject(details['permissions']) ? details['permissions'] : {};
      const names = isObject(parameters['properties']) ? properties(parameters['properties']) : {};
      methods[method] = {
        ...(permissions['check'] === undefined ? {} : { check: permissions['check'] }),
        ...(permissions['user'] === undefined ? {} : { user: permissions['user'] }),
        ...(details['allowtoken'] === 1 ? {} : { noToken: 1 }),
        ...(details['protected'] === 1 ? { protected: 1 } : {}),
        ...(details['proxyto'] === undefined ? {} : { proxyto: details['proxyto'] }),
        ...(parameters['additionalProperties'] === 0 ? {} : { open: 1 }),
        params: Object.fromEntries(Object.entries(names).map(([name, fact]) => [name, share(fact as Json)])),
      };
    }
    paths[path] = methods;
    if (Array.isArray(node['children'])) node['children'].filter(isObject).forEach(walk);
  };
  const root = source['root'];
  (Array.isArray(root) ? root : [root]).filter(isObject).forEach(walk);

  const formats = isObject(source['formats']) ? source['formats'] : {};
  const usedFormats = new Set(shared.map((fact) => fact['format']).filter((name) => typeof name === 'string'));
  const facts = {
    privileges: source['privileges'],
    roles: source['builtin_roles'],
    indexLimits,
    formats: Object.fromEntries(
      Object.entries(formats).flatMap(([name, fields]) =>
        isObject(fields) && usedFormats.has(name) ? [[name, properties(fields)]] : [],
      ),
    ),
    shared,
    paths,
  };
  const lines = Object.entries(facts).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  writeFileSync(fileURLToPath(new URL('facts.json', import.meta.url)), `{\n${lines.join(',\n')}\n}\n`);
}

const sourcePath = process.argv[2];
if (sourcePath === undefined) throw new Error('cannot make facts.json: say where api-schema.json is');
main(sourcePath);
