/** The access room: users, tokens, tickets, roles, ACLs and pools of one node. */
import type { AccessControl, ApiRequest, FakeClock, FakeRandom, Identity } from '../core.ts';
import { PveError } from '../core.ts';
import type { SchemaFacts } from '../schema/facts.ts';
import { identity, privilegesOn, type AccessConfig, type AclEntry, type TokenEntry, type UserEntry } from './acl.ts';

/** How the caller proved who it is, or why it could not. */
export type Authentication =
  | { readonly is: 'known'; readonly who: Identity }
  | { readonly is: 'anonymous' }
  | { readonly is: 'refused'; readonly reason: string };

/** Tickets and tokens live this long, seconds. */
const ticketLifetime = 7200;

export interface AccessRoom extends AccessControl {
  readonly config: AccessConfig;
  authenticate(request: Pick<ApiRequest, 'method' | 'headers'>): Authentication;
  /** Ticket and CSRF token for a user, without asking for a password. */
  issueTicket(user: string): { ticket: string; csrf: string };
  /** Checks a password; the answer of PVE to every failure is the same. */
  passwordIs(user: string, password: string): boolean;
  addUser(userid: string, values?: Partial<Omit<UserEntry, 'userid' | 'tokens'>>): UserEntry;
  addToken(userid: string, tokenid: string, values?: Partial<TokenEntry>): TokenEntry;
  grant(entry: Omit<AclEntry, 'propagate'> & { propagate?: 0 | 1 }): void;
}

export function createAccessRoom(facts: SchemaFacts, clock: FakeClock, random: FakeRandom): AccessRoom {
  const config: AccessConfig = {
    users: new Map(),
    groups: new Map(),
    roles: new Map(Object.entries(facts.roles).map(([role, privileges]) => [role, new Set(privileges)])),
    acl: [],
    pools: new Map(),
  };
  const sessions = new Map<string, { user: string; csrf: string; issued: number }>();
  const seconds = (): number => Math.floor(clock.now() / 1000);
  const hex = (digits: number): string => Array.from({ length: digits }, () => random.int(16).toString(16)).join('');

  const live = (expire: number): boolean => expire === 0 || expire > seconds();
  const liveUser = (userid: string): UserEntry | undefined => {
    const user = config.users.get(userid);
    return user !== undefined && user.enable === 1 && live(user.expire) ? user : undefined;
  };

  const byToken = (value: string): Authentication => {
    const match = /^(.+)!([^!=]+)=(.+)$/.exec(value);
    const [, userid = '', tokenid = '', secret = ''] = match ?? [];
    const token = liveUser(userid)?.tokens.get(tokenid);
    if (token === undefined || !live(token.expire) || token.secret !== secret)
      return { is: 'refused', reason: 'Authentication failed!' };
    return { is: 'known', who: identity(`${userid}!${tokenid}`) };
  };

  const byTicket = (ticket: string, request: Pick<ApiRequest, 'method' | 'headers'>): Authentication => {
    const session = sessions.get(ticket);
    if (session === undefined || seconds() - session.issued > ticketLifetime || liveUser(session.user) === undefined)
      return { is: 'refused', reason: 'Authentication failed!' };
    if (request.method !== 'GET' && request.headers['csrfpreventiontoken'] !== session.csrf)
      return { is: 'refused', reason: 'Permission denied - invalid csrf token' };
    return { is: 'known', who: identity(session.user) };
  };

  const privileges = (who: Identity, path: string): ReadonlyMap<string, 0 | 1> =>
    liveUser(who.user) === undefined ? new Map() : privilegesOn(config, who.full, path);

  const missing = (who: Identity, path: string, privs: readonly string[], any: boolean): string | undefined => {
    const held = privileges(who, path);
    if (any) return privs.some((priv) => held.has(priv)) ? undefined : privs.join('|');
    return privs.find((priv) => !held.has(priv));
  };

  const room: AccessRoom = {
    config,
    authenticate(request) {
      const cookie = /(?:^|;\s*)PVEAuthCookie=([^;]*)/.exec(request.headers['cookie'] ?? '')?.[1];
      if (cookie !== undefined) return byTicket(decodeURIComponent(cookie), request);
      const header = request.headers['authorization'];
      const token = header === undefined ? undefined : /^PVEAPIToken(.*)$/s.exec(header)?.[1];
      if (token === undefined) return { is: 'anonymous' };
      return token.startsWith('=') ? byToken(decodeURIComponent(token.slice(1))) : byToken('');
    },
    issueTicket(user) {
      const stamp = seconds().toString(16).toUpperCase().padStart(8, '0');
      const ticket = `PVE:${user}:${stamp}::${hex(64)}`;
      const csrf = `${stamp}:${hex(43)}`;
      sessions.set(ticket, { user, csrf, issued: seconds() });
      return { ticket, csrf };
    },
    passwordIs(user, password) {
      const entry = liveUser(user);
      return entry?.password !== undefined && entry.password === password;
    },
    addUser(userid, values = {}) {
      const user: UserEntry = {
        userid,
        enable: 1,
        expire: 0,
        comment: undefined,
        email: '',
        groups: new Set(),
        password: undefined,
        ...values,
        tokens: new Map(),
      };
      config.users.set(userid, user);
      return user;
    },
    addToken(userid, tokenid, values = {}) {
      const user = config.users.get(userid);
      if (user === undefined) throw new Error(`cannot add token ${userid}!${tokenid}: no such user`);
      const secret = [8, 4, 4, 4, 12].map(hex).join('-');
      const token: TokenEntry = { privsep: 1, expire: 0, comment: undefined, secret, ...values };
      user.tokens.set(tokenid, token);
      return token;
    },
    grant(entry) {
      const same = (other: AclEntry): boolean =>
        other.path === entry.path &&
        other.type === entry.type &&
        other.ugid === entry.ugid &&
        other.roleid === entry.roleid;
      config.acl = [...config.acl.filter((other) => !same(other)), { propagate: 1, ...entry }];
    },

    check(who, path, privs, options = {}) {
      const lacking = missing(who, path, privs, options.any === true);
      if (lacking !== undefined) throw new PveError(403, `Permission check failed (${path}, ${lacking})`);
    },
    has: (who, path, privs, options = {}) => missing(who, path, privs, options.any === true) === undefined,
    checkGuest(who, vmid, pool, privs, options = {}) {
      if (pool !== undefined && missing(who, `/pool/${pool}`, privs, options.any === true) === undefined) return;
      room.check(who, `/vms/${vmid}`, privs, options);
    },
    isRoot: (who) => who.full === 'root@pam',
    privilegesOn: privileges,
    forgetGuest(vmid) {
      config.acl = config.acl.filter((entry) => entry.path !== `/vms/${vmid}`);
      for (const pool of config.pools.values()) pool.vms.delete(vmid);
    },
    forgetStorage(storage) {
      config.acl = config.acl.filter((entry) => entry.path !== `/storage/${storage}`);
      for (const pool of config.pools.values()) pool.storages.delete(storage);
    },
    poolExists: (pool) => config.pools.has(pool),
    poolOfGuest: (vmid) => [...config.pools.values()].find((pool) => pool.vms.has(vmid))?.poolid,
    poolOfStorage: (storage) => [...config.pools.values()].find((pool) => pool.storages.has(storage))?.poolid,
    addGuestToPool(vmid, pool) {
      for (const other of config.pools.values()) other.vms.delete(vmid);
      config.pools.get(pool)?.vms.add(vmid);
    },
  };
  room.addUser('root@pam', { email: '' });
  return room;
}
