/** Users, tokens, roles, ACLs, tickets. PVE: API2/{AccessControl,User,Role,ACL}.pm. */
import { splitList } from '../api/formats.ts';
import type { Call, Route } from '../core.ts';
import { die, paramError, perlText, PveError, textOf } from '../core.ts';
import { identity, interestingPaths, normalizeAclPath, type TokenEntry, type UserEntry } from './acl.ts';
import { checkModify } from './declared.ts';
import type { AccessRoom } from './room.ts';

export function accessRoutes(access: AccessRoom): readonly Route[] {
  const { config } = access;
  const userOf = (call: Call, label: string): UserEntry =>
    config.users.get(textOf(call.params['userid'])) ?? die(`${label}no such user ('${textOf(call.params['userid'])}')`);
  const tokenOf = (call: Call): TokenEntry => {
    const { userid, tokenid } = call.params;
    return (
      config.users.get(textOf(userid))?.tokens.get(textOf(tokenid)) ??
      die(`no such token '${textOf(tokenid)}' for user '${textOf(userid)}'`)
    );
  };

  return [
    { method: 'POST', path: '/access/ticket', handler: (call) => createTicket(access, call) },
    { method: 'GET', path: '/access/permissions', handler: (call) => permissions(access, call) },
    {
      method: 'PUT',
      path: '/access/password',
      handler: (call) => {
        userOf(call, 'change password failed: ').password = textOf(call.params['password']);
        return null;
      },
    },

    {
      method: 'GET',
      path: '/access/roles',
      handler: () =>
        [...config.roles].map(([roleid, privs]) => ({
          roleid,
          privs: [...privs].toSorted().join(','),
          ...(isBuiltIn(roleid) ? { special: 1 } : {}),
        })),
    },
    {
      method: 'GET',
      path: '/access/roles/{roleid}',
      handler: (call) => {
        const role = config.roles.get(textOf(call.params['roleid']));
        if (role === undefined) return die(`role '${textOf(call.params['roleid'])}' does not exist`);
        return Object.fromEntries([...role].map((priv) => [priv, 1]));
      },
    },
    {
      method: 'POST',
      path: '/access/roles',
      handler: ({ params }) => {
        const roleid = textOf(params['roleid']);
        if (config.roles.has(roleid)) die(`create role failed: role '${roleid}' already exists`);
        config.roles.set(roleid, new Set(splitList(textOf(params['privs']))));
        return null;
      },
    },
    {
      method: 'PUT',
      path: '/access/roles/{roleid}',
      handler: ({ params }) => {
        const roleid = textOf(params['roleid']);
        const before = config.roles.get(roleid) ?? die(`update role failed: role '${roleid}' does not exist`);
        const given = splitList(textOf(params['privs']));
        config.roles.set(roleid, new Set(params['append'] === 1 ? [...before, ...given] : given));
        return null;
      },
    },
    {
      method: 'DELETE',
      path: '/access/roles/{roleid}',
      handler: ({ params }) => {
        const roleid = textOf(params['roleid']);
        if (isBuiltIn(roleid)) die(`delete role failed: auto-generated role '${roleid}' cannot be deleted`);
        if (!config.roles.delete(roleid)) die(`delete role failed: role '${roleid}' does not exist`);
        config.acl = config.acl.filter((entry) => entry.roleid !== roleid);
        return null;
      },
    },

    {
      method: 'GET',
      path: '/access/users',
      handler: (call) => {
        const auditor = access.has(call.who, '/access/groups', ['User.Modify', 'Sys.Audit'], { any: true });
        return [...config.users.values()]
          .filter((user) => auditor || user.userid === call.who.user)
          .map((user) => ({ userid: user.userid, ...userInfo(user), 'realm-type': user.userid.split('@')[1] ?? '' }));
      },
    },
    { method: 'GET', path: '/access/users/{userid}', handler: (call) => wholeUser(userOf(call, '')) },
    {
      method: 'POST',
      path: '/access/users',
      handler: ({ params }) => {
        const userid = textOf(params['userid']);
        if (config.users.has(userid)) die(`create user failed: user '${userid}' already exists`);
        const missing = splitList(textOf(params['groups'])).find((group) => !config.groups.has(group));
        if (missing !== undefined) die(`create user failed: no such group '${missing}'`);
        access.addUser(userid, userValues(params));
        return null;
      },
    },
    {
      method: 'PUT',
      path: '/access/users/{userid}',
      handler: (call) => {
        Object.assign(userOf(call, 'update user failed: '), userValues(call.params));
        return null;
      },
    },
    {
      method: 'DELETE',
      path: '/access/users/{userid}',
      handler: (call) => {
        const { userid } = userOf(call, 'delete user failed: ');
        config.users.delete(userid);
        config.acl = config.acl.filter((entry) => entry.ugid !== userid && !entry.ugid.startsWith(`${userid}!`));
        return null;
      },
    },

    {
      method: 'GET',
      path: '/access/users/{userid}/token',
      handler: (call) => [...userOf(call, '').tokens].map(([tokenid, token]) => ({ tokenid, ...tokenInfo(token) })),
    },
    {
      method: 'GET',
      path: '/access/users/{userid}/token/{tokenid}',
      handler: (call) => tokenInfo(tokenOf(call)),
    },
    {
      method: 'POST',
      path: '/access/users/{userid}/token/{tokenid}',
      handler: (call) => {
        const user = userOf(call, '');
        const tokenid = textOf(call.params['tokenid']);
        if (user.tokens.has(tokenid)) paramError({ tokenid: 'Token already exists.' });
        const token = access.addToken(user.userid, tokenid, tokenValues(call.params));
        const { comment, expire } = call.params;
        return {
          'full-tokenid': `${user.userid}!${tokenid}`,
          info: {
            privsep: textOf(token.privsep),
            ...(comment === undefined ? {} : { comment }),
            ...(expire === undefined ? {} : { expire }),
          },
          value: token.secret,
        };
      },
    },
    {
      method: 'PUT',
      path: '/access/users/{userid}/token/{tokenid}',
      handler: (call) => {
        const token = tokenOf(call);
        Object.assign(token, tokenValues(call.params));
        if (call.params['regenerate'] !== 1) return tokenInfo(token);
        const { userid, tokenid } = call.params;
        const fresh = access.addToken(textOf(userid), textOf(tokenid), tokenInfo(token));
        return { ...tokenInfo(fresh), 'full-tokenid': `${textOf(userid)}!${textOf(tokenid)}`, value: fresh.secret };
      },
    },
    {
      method: 'DELETE',
      path: '/access/users/{userid}/token/{tokenid}',
      handler: (call) => {
        tokenOf(call);
        const { userid, tokenid } = call.params;
        config.users.get(textOf(userid))?.tokens.delete(textOf(tokenid));
        config.acl = config.acl.filter((entry) => entry.ugid !== `${textOf(userid)}!${textOf(tokenid)}`);
        return null;
      },
    },

    {
      method: 'GET',
      path: '/access/acl',
      handler: (call) => {
        const auditor = access.has(call.who, '/access', ['Sys.Audit', 'Permissions.Modify'], { any: true });
        return config.acl.filter((entry) => auditor || mayModify(access, call, entry.path));
      },
    },
    { method: 'PUT', path: '/access/acl', handler: (call) => changeAcl(access, call) },
  ];
}

function createTicket(access: AccessRoom, { params }: Call): unknown {
  const username = textOf(params['username']);
  const user = username.includes('@') ? username : `${username}@${textOf(params['realm'] ?? 'pam')}`;
  const password = textOf(params['password']);
  if (!access.passwordIs(user, password)) throw new PveError(401, 'authentication failure');
  const { ticket, csrf } = access.issueTicket(user);
  const who = identity(user);
  const cap = (path: string): Record<string, 1> =>
    Object.fromEntries([...access.privilegesOn(who, path).keys()].map((priv) => [priv, 1]));
  return {
    username: user,
    ticket,
    CSRFPreventionToken: csrf,
    cap: {
      access: cap('/access'),
      dc: cap('/'),
      mapping: cap('/mapping'),
      nodes: cap('/nodes'),
      sdn: cap('/sdn'),
      storage: cap('/storage'),
      vms: cap('/vms'),
    },
  };
}

function permissions(access: AccessRoom, call: Call): unknown {
  const { params, who } = call;
  const asked = params['userid'] === undefined ? who : identity(textOf(params['userid']));
  if (asked.full !== who.full && asked.user !== who.full) access.check(who, '/access', ['Sys.Audit']);
  const onPath = (path: string): Record<string, 0 | 1> => Object.fromEntries(access.privilegesOn(asked, path));
  if (params['path'] !== undefined) {
    const path = normalizeAclPath(textOf(params['path']));
    if (path === undefined) return paramError({ path: `'${textOf(params['path'])}' is not a valid ACL path` });
    return { [path]: onPath(path) };
  }
  return Object.fromEntries(
    interestingPaths(access.config)
      .map((path) => [path, onPath(path)] as const)
      .filter(([, privileges]) => Object.keys(privileges).length > 0),
  );
}

/** Roles that come with Proxmox. */
function isBuiltIn(roleid: string): boolean {
  return /^(Administrator|NoAccess|PVE[A-Za-z]+)$/.test(roleid);
}

/** One user, with groups and tokens. PVE: API2/User.pm read_user. */
function wholeUser(user: UserEntry): Record<string, unknown> {
  const tokens = Object.fromEntries([...user.tokens].map(([tokenid, token]) => [tokenid, tokenInfo(token)]));
  return {
    ...userInfo(user),
    groups: [...user.groups].toSorted(),
    ...(user.tokens.size === 0 ? {} : { tokens }),
  };
}

function userInfo(user: UserEntry): Record<string, unknown> {
  return {
    enable: user.enable,
    expire: user.expire,
    ...(user.userid === 'root@pam' ? {} : { email: user.email }),
    ...(user.comment === undefined ? {} : { comment: user.comment }),
  };
}

function userValues(params: Readonly<Record<string, unknown>>): Partial<Omit<UserEntry, 'userid' | 'tokens'>> {
  return {
    ...(params['enable'] === undefined ? {} : { enable: params['enable'] === 1 ? 1 : 0 }),
    ...(params['expire'] === undefined ? {} : { expire: Number(params['expire']) }),
    ...(params['comment'] === undefined ? {} : { comment: textOf(params['comment']) }),
    ...(params['email'] === undefined ? {} : { email: textOf(params['email']) }),
    ...(params['password'] === undefined ? {} : { password: textOf(params['password']) }),
    ...(params['groups'] === undefined ? {} : { groups: new Set(splitList(textOf(params['groups']))) }),
  };
}

function tokenInfo(token: TokenEntry): { privsep: 0 | 1; expire: number; comment?: string } {
  const { privsep, expire, comment } = token;
  return { privsep, expire, ...(comment === undefined ? {} : { comment }) };
}

function tokenValues(params: Readonly<Record<string, unknown>>): Partial<TokenEntry> {
  return {
    ...(params['privsep'] === undefined ? {} : { privsep: params['privsep'] === 0 ? 0 : 1 }),
    ...(params['expire'] === undefined ? {} : { expire: Number(params['expire']) }),
    ...(params['comment'] === undefined ? {} : { comment: textOf(params['comment']) }),
  };
}

function mayModify(access: AccessRoom, call: Call, path: string): boolean {
  try {
    checkModify(access, call.who, path);
    return true;
  } catch (error) {
    if (error instanceof PveError) return false;
    throw new Error(`cannot check the right to change ${path}: ${perlText(error)}`, { cause: error });
  }
}

function changeAcl(access: AccessRoom, { params, who }: Call): unknown {
  const { config } = access;
  const subjects = (['users', 'groups', 'tokens'] as const).flatMap((kind) =>
    splitList(textOf(params[kind])).map((ugid) => ({ type: kind.slice(0, -1), ugid })),
  );
  if (subjects.length === 0)
    paramError(
      Object.fromEntries(
        ['users', 'groups', 'tokens'].map((k) => [k, `either 'users', 'groups' or 'tokens' is required.`]),
      ),
    );
  const path = normalizeAclPath(textOf(params['path']));
  if (path === undefined) return paramError({ path: `invalid ACL path '${textOf(params['path'])}'` });
  const propagate = params['propagate'] === 0 ? 0 : 1;
  const isAdministrator = access.has(who, path, ['Permissions.Modify']);
  for (const roleid of splitList(textOf(params['roles']))) {
    const role = config.roles.get(roleid) ?? die(`ACL update failed: role '${roleid}' does not exist`);
    if (!isAdministrator && [...role].some((priv) => !access.has(who, path, [priv])))
      throw new PveError(403, 'Permission check failed');
    for (const { type, ugid } of subjects) {
      const { user, token } = identity(ugid);
      if (type === 'group' && !config.groups.has(ugid)) die(`ACL update failed: group '${ugid}' does not exist`);
      if (type === 'user' && !config.users.has(ugid)) die(`ACL update failed: user '${ugid}' does not exist`);
      if (type === 'token' && config.users.get(user)?.tokens.get(token ?? '') === undefined)
        die(`ACL update failed: no such token '${token ?? ''}' for user '${user}'`);
      const kind = type === 'user' ? 'user' : type === 'token' ? 'token' : 'group';
      if (params['delete'] === 1)
        config.acl = config.acl.filter(
          (entry) => !(entry.path === path && entry.type === kind && entry.ugid === ugid && entry.roleid === roleid),
        );
      else access.grant({ path, type: kind, ugid, roleid, propagate });
    }
  }
  return null;
}
