/** What the node says about itself and about the token. */
import { done } from '../../kernel/saga.ts';
import type { NodeDisks, NodeLogin } from '../../ports/host-facts.ts';
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
