/** What the node says about itself and about the token. */
import type { z } from 'zod';
import { done } from '../../kernel/saga.ts';
import type { NodeDisks, NodeLogin, NodePools, PoolRow } from '../../ports/host-facts.ts';
import type { NodeFacts, NodePackages } from '../../ports/proxmox.ts';
import type { Caller } from './caller.ts';
import { readAs } from './read-as.ts';
import * as shapes from './shapes.ts';

export function createNodeFacts(caller: Caller, node: string): NodeFacts & NodePackages {
  return {
    async version(signal) {
      const what = 'read the version of Proxmox';
      return readAs(what, await caller.read({ what, path: ['version'] }, signal), shapes.version);
    },
    async permissions(signal) {
      const what = "read the token's privileges";
      return readAs(what, await caller.read({ what, path: ['access', 'permissions'] }, signal), shapes.permissions);
    },
    async time(signal) {
      const what = `read the clock of node ${node}`;
      const answer = await caller.read({ what, path: ['nodes', node, 'time'] }, signal);
      const time = readAs(what, answer, shapes.nodeTime);
      return time.is === 'done' ? done(time.value.time) : time;
    },
    async packages(signal) {
      const what = `read package versions of node ${node}`;
      const answer = await caller.read({ what, path: ['nodes', node, 'apt', 'versions'] }, signal);
      const rows = readAs(what, answer, shapes.packageVersions);
      if (rows.is !== 'done') return rows;
      const installed = rows.value.filter((row) => (row.CurrentState ?? 'Installed') === 'Installed');
      return done(new Map(installed.map((row) => [row.Package, row.OldVersion ?? row.Version ?? ''])));
    },
  };
}

export function createNodeDisks(caller: Caller, node: string): NodeDisks {
  return {
    async disks(signal) {
      const what = `list the disks of node ${node}`;
      const answer = await caller.read({ what, path: ['nodes', node, 'disks', 'list'], expensive: true }, signal);
      return readAs(what, answer, shapes.diskRows);
    },
  };
}

export type ZfsStates = () => Promise<ReadonlyMap<string, string>>;

/**
 * `zfsStates`: of each pool what the kernel says, which needs neither rights nor a pool that answers; what Proxmox adds to
 * it is asked only where there is one, and may be refused.
 */
export function createNodePools(caller: Caller, node: string, zfsStates: ZfsStates): NodePools {
  const read = async <T>(kind: readonly string[], shape: z.ZodType<T>, signal: AbortSignal): Promise<T | undefined> => {
    const what = `read the pools of node ${node}`;
    const answer = await caller.read({ what, path: ['nodes', node, 'disks', ...kind], expensive: true }, signal);
    const rows = readAs(what, answer, shape);
    return rows.is === 'done' ? rows.value : undefined;
  };
  const zfs = async (signal: AbortSignal): Promise<readonly PoolRow[]> => {
    const states = await zfsStates();
    // One that hangs holds up whoever asks for any of them.
    const hangs = [...states.values()].includes('SUSPENDED');
    const listed = states.size === 0 || hangs ? [] : await read(['zfs'], shapes.zfsPools, signal);
    const rows: PoolRow[] = [];
    for (const [name, health] of states) {
      const known = listed?.find((one) => one.name === name);
      const detail = known === undefined ? undefined : await read(['zfs', name], shapes.zfsPool, signal);
      const usedPercent = known === undefined ? undefined : percent(known.alloc, known.size);
      rows.push({ is: 'zfs', name, health, usedPercent, errors: detail?.errors ?? undefined });
    }
    return rows;
  };
  return {
    async pools(signal) {
      const thin = (await read(['lvmthin'], shapes.thinPools, signal)) ?? [];
      return [
        ...(await zfs(signal)),
        ...thin.map(({ vg, lv, lv_size, used, metadata_size, metadata_used }): PoolRow => ({
          is: 'lvm-thin',
          name: `${vg}/${lv}`.slice(0, 200),
          usedPercent: percent(used, lv_size),
          metadataPercent: percent(metadata_used, metadata_size),
        })),
      ];
    },
  };
}

const percent = (used: number, size: number): number => (size > 0 ? Math.min(100, (used / size) * 100) : 0);

/** `tokenId`: `user@realm!token`. A token with few rights sees nobody there, itself neither. */
export function createNodeLogin(caller: Caller, tokenId: string): NodeLogin {
  const at = tokenId.indexOf('!');
  const [user, token] = [tokenId.slice(0, at), tokenId.slice(at + 1)];
  return {
    async tokenLife(signal) {
      const what = 'read until when the token is good';
      const answer = await caller.read({ what, path: ['access', 'users'], params: { full: 1 } }, signal);
      const rows = readAs(what, answer, shapes.users);
      if (rows.is !== 'done') return rows;
      const mine = rows.value.find(({ userid }) => userid === user);
      if (mine === undefined) return done({ told: false, endsAtSeconds: undefined });
      // A token without an end of its own ends with its user. PVE: AccessControl.pm check_token_exist, check_user_enabled.
      const own = mine.tokens?.find(({ tokenid }) => tokenid === token)?.expire ?? undefined;
      const ends = [mine.expire, own].filter((end) => end !== undefined && end > 0);
      return done({ told: true, endsAtSeconds: ends.length === 0 ? undefined : Math.min(...(ends as number[])) });
    },
  };
}
