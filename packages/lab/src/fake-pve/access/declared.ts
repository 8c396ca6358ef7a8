/**
 * The permission that a method declares, checked before its parameters are. The trees are Proxmox's own, from the
 * schema facts. PVE: RPCEnvironment.pm exec_api2_perm_check.
 */
import type { AccessControl, Identity } from '../core.ts';
import { PveError, textOf } from '../core.ts';
import type { CheckTree } from '../schema/facts.ts';

type Params = Readonly<Record<string, unknown>>;

/** Throws the 403 of PVE. */
export function checkDeclared(access: AccessControl, who: Identity, tree: CheckTree, params: Params): void {
  const [kind, ...rest] = tree;
  if (kind === 'and') return subtrees(rest).forEach((part) => checkDeclared(access, who, part, params));
  if (kind === 'or') {
    if (subtrees(rest).some((part) => passes(access, who, part, params))) return;
    throw new PveError(403, 'Permission check failed');
  }
  if (kind === 'perm') return checkPerm(access, who, rest, params);
  if (kind === 'perm-modify') return checkModify(access, who, fill(textOf(rest[0]), params));
  if (kind === 'userid-param') return checkUserParam(access, who, textOf(rest[0]), params);
  if (kind === 'userid-group') {
    const privs = Array.isArray(rest[0]) ? rest[0].map(String) : [];
    return access.check(who, '/access/groups', privs, { any: true });
  }
  throw new Error(`cannot check a permission: unknown kind ${textOf(kind)} in the schema facts`);
}

function passes(access: AccessControl, who: Identity, tree: CheckTree, params: Params): boolean {
  try {
    checkDeclared(access, who, tree, params);
    return true;
  } catch (error) {
    if (error instanceof PveError) return false;
    throw error;
  }
}

function checkPerm(access: AccessControl, who: Identity, rest: readonly unknown[], params: Params): void {
  const [template, privs, ...options] = rest;
  const needed = options.indexOf('require_param');
  if (needed >= 0 && params[textOf(options[needed + 1])] === undefined)
    throw new PveError(403, 'Permission check failed');
  const any = options.includes('any');
  access.check(who, fill(textOf(template), params), Array.isArray(privs) ? privs.map(String) : [], { any });
}

/** Who may change an ACL on a path, or the membership of what is there. PVE: check_perm_modify. */
export function checkModify(access: AccessControl, who: Identity, path: string): void {
  const privs = ['Permissions.Modify'];
  if (/^\/storage\/.+/.test(path)) privs.push('Datastore.Allocate');
  if (/^\/vms\/.+/.test(path)) privs.push('VM.Allocate');
  if (/^\/pool\/.+/.test(path)) privs.push('Pool.Allocate');
  access.check(who, path, privs, { any: true });
}

function checkUserParam(access: AccessControl, who: Identity, what: string, params: Params): void {
  const userid = textOf(params['userid']);
  // A token never is "itself": the comparison takes the full token id.
  if (what === 'self') {
    if (who.full !== userid) throw new PveError(403, 'Permission check failed');
    return;
  }
  access.check(who, `/access/realm/${userid.split('@')[1] ?? ''}`, [what]);
}

function subtrees(parts: readonly unknown[]): CheckTree[] {
  return parts.filter((part) => Array.isArray(part));
}

function fill(template: string, params: Params): string {
  return template.replaceAll(/\{([^}]+)\}/g, (_, name: string) => textOf(params[name]));
}
