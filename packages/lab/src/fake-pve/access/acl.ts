/**
 * What a user or token may do on a path, as pure functions over the access configuration.
 * PVE: AccessControl.pm roles(), RPCEnvironment.pm permissions().
 */

import type { Identity } from '../core.ts';

export interface TokenEntry {
  privsep: 0 | 1;
  expire: number;
  comment: string | undefined;
  secret: string;
}

export interface UserEntry {
  readonly userid: string;
  enable: 0 | 1;
  expire: number;
  comment: string | undefined;
  email: string;
  groups: Set<string>;
  password: string | undefined;
  readonly tokens: Map<string, TokenEntry>;
}

export interface AclEntry {
  readonly path: string;
  readonly type: 'user' | 'group' | 'token';
  readonly ugid: string;
  readonly roleid: string;
  readonly propagate: 0 | 1;
}

export interface PoolEntry {
  readonly poolid: string;
  comment: string | undefined;
  readonly vms: Set<number>;
  readonly storages: Set<string>;
}

export interface AccessConfig {
  readonly users: Map<string, UserEntry>;
  /** Group → comment; who belongs to it stands with the users. */
  readonly groups: Map<string, string | undefined>;
  readonly roles: Map<string, ReadonlySet<string>>;
  acl: AclEntry[];
  readonly pools: Map<string, PoolEntry>;
}

export type Privileges = ReadonlyMap<string, 0 | 1>;

const none: Privileges = new Map();

/** Splits `user@realm!token`. */
export function splitToken(full: string): { user: string; token: string | undefined } {
  const at = full.indexOf('!');
  return at < 0 ? { user: full, token: undefined } : { user: full.slice(0, at), token: full.slice(at + 1) };
}

export function identity(full: string): Identity {
  const { user, token } = splitToken(full);
  return token === undefined ? { user, full } : { user, token, full };
}

/** Role → does it propagate. A role found deeper replaces what was inherited; `NoAccess` beats every other role. */
export function rolesOn(config: AccessConfig, full: string, path: string): Map<string, 0 | 1> {
  const { user, token } = splitToken(full);
  if (token !== undefined) {
    const entry = config.users.get(user)?.tokens.get(token);
    if (entry === undefined) return new Map();
    if (entry.privsep === 0) return rolesOn(config, user, path);
  }
  if (full === 'root@pam') return new Map([['Administrator', 1]]);
  const groups = config.users.get(user)?.groups ?? new Set<string>();
  let roles = new Map<string, 0 | 1>();
  for (const prefix of pathPrefixes(path)) {
    const final = prefix === path;
    const here = config.acl.filter((entry) => entry.path === prefix && (final || entry.propagate === 1));
    const own = here.filter((entry) => entry.type === (token === undefined ? 'user' : 'token') && entry.ugid === full);
    const byGroup = here.filter((entry) => token === undefined && entry.type === 'group' && groups.has(entry.ugid));
    const found = own.length > 0 ? own : byGroup;
    if (found.length > 0) roles = new Map(found.map((entry) => [entry.roleid, entry.propagate]));
  }
  const noAccess = roles.get('NoAccess');
  return noAccess === undefined ? roles : new Map([['NoAccess', noAccess]]);
}

/** Privilege → propagate flag. Rights that come from a pool do not propagate further. */
export function privilegesOn(config: AccessConfig, full: string, path: string): Privileges {
  const { user, token } = splitToken(full);
  const tokenEntry = token === undefined ? undefined : config.users.get(user)?.tokens.get(token);
  if (token !== undefined && tokenEntry === undefined) return none;
  if (tokenEntry?.privsep === 0) return privilegesOn(config, user, path);
  const roles = rolesOn(config, full, path);
  if (!roles.has('NoAccess')) {
    const fromPools = poolRoles(config, full, path);
    if (fromPools.has('NoAccess')) return none;
    for (const role of fromPools) if (!roles.has(role)) roles.set(role, 0);
  }
  const privileges = new Map<string, 0 | 1>();
  for (const [role, propagate] of roles)
    for (const privilege of config.roles.get(role) ?? [])
      if (privileges.get(privilege) !== 1) privileges.set(privilege, propagate);
  if (tokenEntry === undefined) return privileges;
  const ofUser = privilegesOn(config, user, path);
  return new Map(
    [...privileges].flatMap(([privilege, propagate]) => {
      const userPropagate = ofUser.get(privilege);
      return userPropagate === undefined ? [] : [[privilege, propagate === 1 && userPropagate === 1 ? 1 : 0]];
    }),
  );
}

function poolRoles(config: AccessConfig, full: string, path: string): Set<string> {
  const found = new Set<string>();
  for (const pool of config.pools.values())
    if (poolPaths(pool).includes(path))
      for (const role of rolesOn(config, full, `/pool/${pool.poolid}`).keys()) found.add(role);
  return found;
}

/** The paths on which the members of a pool are checked. */
export function poolPaths(pool: PoolEntry): string[] {
  return [
    ...[...pool.vms].map((vmid) => `/vms/${vmid}`),
    ...[...pool.storages].map((storage) => `/storage/${storage}`),
  ];
}

/** Paths that `GET /access/permissions` looks at without being asked for one. */
export function interestingPaths(config: AccessConfig): string[] {
  const fixed = ['/', '/access', '/access/groups', '/nodes', '/pool', '/sdn', '/storage', '/vms'];
  const fromPools = [...config.pools.values()].flatMap((pool) => [`/pool/${pool.poolid}`, ...poolPaths(pool)]);
  return [...new Set([...fixed, ...config.acl.map((entry) => entry.path), ...fromPools])];
}

/** `/a/b` → `/`, `/a`, `/a/b`. */
function pathPrefixes(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return ['/', ...parts.map((_, n) => `/${parts.slice(0, n + 1).join('/')}`)];
}

const aclPaths = [
  /^\/$/,
  /^\/access(\/groups(\/[A-Za-z0-9.\-_]+)?|\/realm(\/[A-Za-z0-9.\-_]+)?)?$/,
  /^\/nodes(\/[A-Za-z0-9.\-_]+)?$/,
  /^\/pool(\/[A-Za-z0-9._-]+){0,3}$/,
  /^\/sdn(\/(zones|vnets|controllers|dns|ipams|fabrics)(\/[^/]+){0,3})?$/,
  /^\/storage(\/[A-Za-z0-9.\-_]+)?$/,
  /^\/vms(\/[1-9][0-9]{2,})?$/,
  /^\/mapping(\/[a-z]+(\/[^/]+)?)?$/,
];

/** The path as PVE stores it, or undefined when it cannot carry an ACL. PVE: AccessControl.pm check_path. */
export function normalizeAclPath(path: string): string | undefined {
  const tidy = path.replaceAll(/\/+/g, '/').replace(/(.)\/$/, '$1');
  return aclPaths.some((pattern) => pattern.test(tidy)) ? tidy : undefined;
}
