/**
 * Whether this node lets the agent do its work, and no more than its work. Owns the list of privileges; never changes
 * any, only names the command that does. Read in this order: required-acl, permissions, versions, check-node,
 * check-host.
 */
export { aclOf, checkHost } from './check-host.ts';
export { checkNode, findingsOf } from './check-node.ts';
export type { NodeCheck } from './check-node.ts';
export { comparePermissions, enrolmentCommands, undeclaredVmids } from './permissions.ts';
export type { HeldPermissions, PermissionFault } from './permissions.ts';
export { dangerousPrivileges, requiredAcl } from './required-acl.ts';
export type { AclEntry, AclRole, AclSet, Privilege } from './required-acl.ts';
export { rememberPackages } from './remember-packages.ts';
export { judgeVersions } from './versions.ts';
export type { VersionVerdict } from './versions.ts';
