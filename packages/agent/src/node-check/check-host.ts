/** The self-check as one host's policy asks for it. */
import type { HostPolicy } from '../host-policy.ts';
import type { NodeFacts, NodePackages } from '../ports/proxmox.ts';
import { checkNode } from './check-node.ts';
import type { NodeCheck } from './check-node.ts';
import { requiredAcl } from './required-acl.ts';
import type { AclSet } from './required-acl.ts';

/** Storages of guests, of scratch guests, of golden images and of backups alike: the token has to see them all. */
export function aclOf(policy: HostPolicy): AclSet {
  const goldens = Object.values(policy.goldens).map(({ archive }) => archive.slice(0, archive.indexOf(':')));
  const targets = Object.values(policy.backups.targets).map(({ storage }) => storage);
  const { pool, node, bridges } = policy;
  const scratch = policy.restoreTests.storage ?? [];
  const storages = [...new Set([...policy.storages, ...goldens, ...targets].concat(scratch))];
  return requiredAcl({ pool, node, bridges, storages });
}

/** `tokenId`: `user@realm!token`; rights are granted to the user that it belongs to. */
export function checkHost(
  needs: { readonly facts: NodeFacts; readonly packages: NodePackages },
  policy: HostPolicy,
  tokenId: string,
  signal: AbortSignal,
): Promise<NodeCheck> {
  return checkNode(needs, aclOf(policy), tokenId.slice(0, tokenId.indexOf('!')), signal);
}
