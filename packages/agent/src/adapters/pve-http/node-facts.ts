/** What the node says about itself and about the token. */
import { done } from '../../kernel/saga.ts';
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
