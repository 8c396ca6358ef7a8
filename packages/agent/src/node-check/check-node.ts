/** Asks the node and puts the verdicts together. Used at start, in each cycle and by `doctor`. */
import { reason } from '@felhom/protocol';
import type { Finding, Reason } from '@felhom/protocol';
import type { NodeFacts, NodePackages } from '../ports/proxmox.ts';
import { comparePermissions } from './permissions.ts';
import type { PermissionFault } from './permissions.ts';
import type { AclSet } from './required-acl.ts';
import { judgeVersions } from './versions.ts';
import type { VersionVerdict } from './versions.ts';

export type NodeCheck =
  | {
      readonly is: 'checked';
      readonly version: string;
      readonly versions: VersionVerdict;
      readonly faults: readonly PermissionFault[];
      /** Why nothing may be changed on this node; empty means go. */
      readonly blocks: readonly Reason[];
    }
  | { readonly is: 'not-checked'; readonly why: Reason };

/** Reads only. `identity` is whom the ACL entries name. Aborting ends the waiting with `not-checked`. */
export async function checkNode(
  needs: { readonly facts: NodeFacts; readonly packages: NodePackages },
  required: AclSet,
  identity: string,
  signal: AbortSignal,
): Promise<NodeCheck> {
  const [version, held, packages] = await Promise.all([
    needs.facts.version(signal),
    needs.facts.permissions(signal),
    needs.packages.packages(signal),
  ]);
  if (version.is !== 'done') return { is: 'not-checked', why: version.why };
  if (held.is !== 'done') return { is: 'not-checked', why: held.why };
  const versions = judgeVersions(
    version.value.version,
    packages.is === 'done' ? packages.value.get('pve-container') : undefined,
  );
  const faults = comparePermissions(held.value, required, identity);
  return { is: 'checked', version: version.value.version, versions, faults, blocks: blocksOf(versions, faults) };
}

/** A missing privilege fails half-way through a saga, and a dangerous one makes every other limit a fiction. */
function blocksOf(versions: VersionVerdict, faults: readonly PermissionFault[]): Reason[] {
  const blocks: Reason[] = [];
  if (versions.is === 'refused')
    blocks.push(reason('pve.version-unsupported', `cannot work on this node: ${versions.why}`, versions.advice));
  for (const [kind, code] of [
    ['missing', 'pve.permissions-missing'],
    ['dangerous', 'pve.permissions-dangerous'],
  ] as const) {
    const some = faults.filter((fault) => fault.kind === kind);
    if (some.length === 0) continue;
    const list = some.map((fault) => `${fault.privilege} on ${fault.path}`).join(', ');
    const commands = [...new Set(some.flatMap((fault) => fault.command ?? []))].join('\n');
    const verb = kind === 'missing' ? 'lacks' : 'must not hold';
    blocks.push(reason(code, `cannot work on this node: the token ${verb} ${list}`, commands));
  }
  return blocks;
}

/** The same as findings; one per fault, so that each is seen to come and go. */
export function findingsOf(check: NodeCheck, now: number): Finding[] {
  if (check.is === 'not-checked') return [];
  const permissions = check.faults.map((fault): Finding => {
    const missing = fault.kind === 'missing';
    return {
      key: missing ? 'host.permission-missing' : 'host.permission-dangerous',
      severity: 'critical',
      subject: `${fault.privilege} ${fault.path}`.slice(0, 120),
      text: missing
        ? `The token lacks ${fault.privilege} on ${fault.path}: without it the agent cannot ${fault.why}.`
        : `The token holds ${fault.privilege} on ${fault.path}, which it must not: whoever has it ${fault.why}.`,
      advice: {
        text: missing ? 'Grant the role as root on the node.' : 'Find the role that brings it and take it away.',
        ...(fault.command === undefined ? {} : { command: fault.command }),
      },
      since: now,
    };
  });
  return [...permissions, ...versionFindings(check.versions, now)];
}

function versionFindings(versions: VersionVerdict, now: number): Finding[] {
  const about = { subject: 'host', since: now } as const;
  switch (versions.is) {
    case 'good':
      return [];
    case 'refused':
      return [
        {
          ...about,
          key: 'host.version-refused',
          severity: 'critical',
          text: `${versions.why}.`,
          advice: { text: versions.advice },
        },
      ];
    case 'limited':
      return [
        {
          ...about,
          key: 'host.version-limited',
          severity: 'info',
          text: `On this version: ${versions.loses.join('; ')}.`,
          advice: { text: 'Upgrade Proxmox VE when it suits.' },
        },
      ];
  }
}
