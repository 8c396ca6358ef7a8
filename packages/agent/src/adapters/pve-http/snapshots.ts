/** Snapshots of a guest, and moving a volume to another guest. */
import { reason, vmid as vmidShape } from '@felhom/protocol';
import { done, refused } from '../../kernel/saga.ts';
import type { Snapshots, VolumeMover } from '../../ports/proxmox.ts';
import type { Caller } from './caller.ts';
import { readAs } from './read-as.ts';
import * as shapes from './shapes.ts';

export function createSnapshots(caller: Caller, node: string): Snapshots {
  const guest = (vmid: number, ...rest: string[]) => ['nodes', node, 'lxc', vmid, ...rest];
  return {
    async list(vmid, signal) {
      const what = `list the snapshots of CT ${vmid}`;
      return readAs(what, await caller.read({ what, path: guest(vmid, 'snapshot') }, signal), shapes.snapshotRows);
    },
    async possible(vmid, signal) {
      const what = `ask whether CT ${vmid} can have snapshots`;
      const call = { what, path: guest(vmid, 'feature'), params: { feature: 'snapshot' } };
      return readAs(what, await caller.read(call, signal), shapes.hasFeature);
    },
    async config(vmid, name, signal) {
      const what = `read snapshot ${name} of CT ${vmid}`;
      const answer = await caller.read({ what, path: guest(vmid, 'snapshot', name, 'config') }, signal);
      const config = readAs(what, answer, shapes.guestConfig);
      return config.is === 'done' ? done(config.value.values) : config;
    },
    async take(vmid, name, description, signal) {
      const what = `take snapshot ${name} of CT ${vmid}`;
      const params = { snapname: name, description };
      const call = { what, kind: 'snapshot', method: 'POST', path: guest(vmid, 'snapshot'), params } as const;
      return readAs(what, await caller.write(call, signal), shapes.upid);
    },
    async drop(vmid, name, { force }, signal) {
      const what = `drop snapshot ${name} of CT ${vmid}`;
      const params = force ? { force: true } : {};
      const call = {
        what,
        kind: 'drop-snapshot',
        method: 'DELETE',
        path: guest(vmid, 'snapshot', name),
        params,
      } as const;
      return readAs(what, await caller.write(call, signal), shapes.upid);
    },
    async rollback(warrant, signal) {
      const what = `roll CT ${warrant.vmid} back to ${warrant.snapshot}`;
      if (warrant.effect !== 'rollback' || !vmidShape.safeParse(warrant.vmid).success)
        return refused(reason('pve.wrong-warrant', `cannot ${what}: the warrant does not name this effect and guest`));
      const path = guest(warrant.vmid, 'snapshot', warrant.snapshot, 'rollback');
      const answer = await caller.write({ what, kind: 'rollback', method: 'POST', path }, signal);
      return readAs(what, answer, shapes.upid);
    },
  };
}

export function createVolumeMover(caller: Caller, node: string): VolumeMover {
  return {
    async reassign(from, to, signal) {
      const what = `hand ${from.key} of CT ${from.vmid} over to CT ${to.vmid} as ${to.key}`;
      const params = { volume: from.key, 'target-vmid': to.vmid, 'target-volume': to.key };
      const path = ['nodes', node, 'lxc', from.vmid, 'move_volume'];
      const answer = await caller.write({ what, kind: 'reassign', method: 'POST', path, params }, signal);
      return readAs(what, answer, shapes.upid);
    },
  };
}
