/**
 * Compares what the token holds with what it must and must not hold. Pure.
 *
 * `GET /access/permissions` lists effective privileges per path: roles on a pool show up on `/vms/{id}` of each member
 * and not on the ids outside; a path without an entry inherits from the nearest one above it.
 */
import { dangerousPrivileges } from './required-acl.ts';
import type { AclSet } from './required-acl.ts';

export type HeldPermissions = ReadonlyMap<string, ReadonlySet<string>>;

export interface PermissionFault {
  readonly kind: 'missing' | 'dangerous';
  readonly path: string;
  readonly privilege: string;
  /** What does not work without it, or what could be done with it. */
  readonly why: string;
  /** The exact command that mends it, to be run as root on the node; `undefined` where a person has to look. */
  readonly command: string | undefined;
}

/** `identity` is whom the ACL entries name: `user@realm`, or `user@realm!token` for one with separate privileges. */
export function comparePermissions(held: HeldPermissions, required: AclSet, identity: string): PermissionFault[] {
  return [...missing(held, required, identity), ...dangerous(held, required, identity)];
}

function missing(held: HeldPermissions, required: AclSet, identity: string): PermissionFault[] {
  const faults: PermissionFault[] = [];
  for (const entry of required.entries) {
    const role = required.roles.find((candidate) => candidate.name === entry.role);
    const has = effectiveOn(held, entry.path);
    for (const privilege of role?.privileges ?? [])
      if (!has.has(privilege.name))
        faults.push({
          kind: 'missing',
          path: entry.path,
          privilege: privilege.name,
          why: privilege.why,
          command: grantCommand(entry.path, entry.role, entry.propagate, identity),
        });
  }
  return faults;
}

function dangerous(held: HeldPermissions, required: AclSet, identity: string): PermissionFault[] {
  const faults: PermissionFault[] = [];
  for (const [path, privileges] of held)
    for (const privilege of privileges) {
      const why = dangerousPrivileges.get(privilege);
      if (why === undefined || comesFromPool(held, path, privilege, required.pool)) continue;
      const role = required.entries.find((entry) => entry.path === path)?.role;
      faults.push({ kind: 'dangerous', path, privilege, why, command: takeCommand(path, role, required, identity) });
    }
  return faults;
}

/** What a pool gives shows up on each of its members; it is told once, for the pool. */
function comesFromPool(held: HeldPermissions, path: string, privilege: string, pool: string): boolean {
  return /^\/(?:vms|storage)\/[^/]+$/.test(path) && held.get(`/pool/${pool}`)?.has(privilege) === true;
}

/** VMIDs of a range that the pool does not hold [R5]: a restore into one of them would be refused. */
export function undeclaredVmids(
  held: HeldPermissions,
  range: { readonly from: number; readonly to: number },
): number[] {
  const ids = Array.from({ length: range.to - range.from + 1 }, (_, n) => range.from + n);
  return ids.filter((id) => !effectiveOn(held, `/vms/${id}`).has('VM.Allocate'));
}

/** Privileges on a path: those listed there, else those of the nearest listed path above. */
export function effectiveOn(held: HeldPermissions, path: string): ReadonlySet<string> {
  for (let at = path; ;) {
    const listed = held.get(at);
    if (listed !== undefined) return listed;
    if (at === '/') return new Set();
    const cut = at.lastIndexOf('/');
    at = cut <= 0 ? '/' : at.slice(0, cut);
  }
}

/** A role on a path replaces what is inherited there, so granting the role mends every privilege of it at once. */
export function grantCommand(path: string, role: string, propagate: boolean, identity: string): string {
  return `pveum acl modify ${path} --${kindOf(identity)} '${identity}' --roles ${role} --propagate ${propagate ? 1 : 0}`;
}

/**
 * Where the path is one of ours, its role has grown and is set back; anywhere else the entry should not be there. A
 * pool shows its privileges on its members, whose own entries do not exist.
 */
function takeCommand(path: string, role: string | undefined, required: AclSet, identity: string): string | undefined {
  const grown = required.roles.find((candidate) => candidate.name === role);
  if (grown !== undefined)
    return `pveum role modify ${grown.name} --privs '${grown.privileges.map((p) => p.name).join(' ')}'`;
  if (/^\/vms\/\d+$/.test(path)) return undefined;
  return `pveum user permissions '${identity.split('!')[0]}' --path ${path}`;
}

function kindOf(identity: string): 'tokens' | 'users' {
  return identity.includes('!') ? 'tokens' : 'users';
}

/** All commands that create the set from nothing; `vmids` are declared as members before they exist [R5]. */
export function enrolmentCommands(required: AclSet, identity: string, vmids: readonly number[]): string[] {
  return [
    ...required.roles.map(
      (role) => `pveum role add ${role.name} --privs '${role.privileges.map((p) => p.name).join(' ')}'`,
    ),
    `pveum pool add ${required.pool}`,
    `pveum pool modify ${required.pool} --vms ${vmids.join(',')}`,
    ...required.entries.map((entry) => grantCommand(entry.path, entry.role, entry.propagate, identity)),
  ];
}
