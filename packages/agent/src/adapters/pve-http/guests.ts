/** Reading, changing and destroying guests. */
import { reason, vmid as vmidShape } from '@felhom/protocol';
import type { ErrorCode, Upid, Vmid } from '@felhom/protocol';
import { done, refused } from '../../kernel/saga.ts';
import type { Outcome } from '../../kernel/saga.ts';
import type { GuestDestroyer, GuestReader, GuestWriter } from '../../ports/proxmox.ts';
import type { Answer, Caller } from './caller.ts';
import type { Params } from './encode.ts';
import { readAs } from './read-as.ts';
import * as shapes from './shapes.ts';

export function createGuestReader(caller: Caller, node: string): GuestReader {
  const guest = (vmid: Vmid, ...rest: string[]) => ['nodes', node, 'lxc', vmid, ...rest];
  return {
    async list(signal) {
      const what = `list guests of node ${node}`;
      return readAs(what, await caller.read({ what, path: ['nodes', node, 'lxc'] }, signal), shapes.guestRows);
    },
    async config(vmid, { current }, signal) {
      const what = `read the config of CT ${vmid}`;
      const params = current ? { current: true } : {};
      const answer = await caller.read({ what, path: guest(vmid, 'config'), params }, signal);
      // Without a privilege on the id Proxmox answers 403 whether the guest exists or not, with one 500 "does not exist".
      if (isRefused(answer, 'pve.guest-absent')) return done({ is: 'absent' });
      if (isRefused(answer, 'pve.forbidden')) return done({ is: 'forbidden' });
      const config = readAs(what, answer, shapes.guestConfig);
      return config.is === 'done' ? done({ is: 'present', config: config.value }) : config;
    },
    async pending(vmid, signal) {
      const what = `read pending changes of CT ${vmid}`;
      return readAs(what, await caller.read({ what, path: guest(vmid, 'pending') }, signal), shapes.pendingChanges);
    },
    async status(vmid, signal) {
      const what = `read the status of CT ${vmid}`;
      // Seen to hang right after a rollback: it reads live from cgroups.
      const call = { what, path: guest(vmid, 'status', 'current'), expensive: true };
      return readAs(what, await caller.read(call, signal), shapes.guestStatus);
    },
    async isVmidFree(vmid, signal) {
      const call = { what: `ask whether VMID ${vmid} is free`, path: ['cluster', 'nextid'], params: { vmid } };
      const answer = await caller.read(call, signal);
      if (isRefused(answer, 'pve.vmid-taken')) return done(false);
      return answer.is === 'done' ? done(true) : answer;
    },
  };
}

/** Never sent with a restore: force frees the volumes of the guest that is there, unique undoes our network entries. */
const neverWithRestore = ['force', 'unique', 'features', 'start', 'vmid', 'ostemplate', 'restore', 'pool', 'storage'];

export function createGuestWriter(caller: Caller, node: string): GuestWriter {
  const guest = (vmid: Vmid, ...rest: string[]) => ['nodes', node, 'lxc', vmid, ...rest];
  const power = async (
    vmid: Vmid,
    kind: 'start' | 'shutdown' | 'stop',
    already: ErrorCode,
    params: Params,
    signal: AbortSignal,
  ): Promise<Outcome<Upid | undefined>> => {
    const what = kind === 'shutdown' ? `shut CT ${vmid} down` : `${kind} CT ${vmid}`;
    const call = { what, kind, method: 'POST', path: guest(vmid, 'status', kind), params } as const;
    const answer = await caller.write(call, signal);
    return isRefused(answer, already) ? done(undefined) : readAs(what, answer, shapes.upid);
  };
  return {
    async restore(call, signal) {
      const what = `restore CT ${call.vmid} from ${call.archive}`;
      for (const key of neverWithRestore)
        if (Object.hasOwn(call.values, key)) throw new Error(`cannot ${what}: ${key} is not a value of a restore`);
      const params = {
        ...call.values,
        vmid: call.vmid,
        ostemplate: call.archive,
        restore: true,
        pool: call.pool,
        storage: call.storage,
      };
      const answer = await caller.write(
        { what, kind: 'restore', method: 'POST', path: ['nodes', node, 'lxc'], params },
        signal,
      );
      return readAs(what, answer, shapes.upid);
    },
    async configure(vmid, change, signal) {
      const what = `change the config of CT ${vmid}`;
      const params = {
        ...change.set,
        delete: change.delete === undefined || change.delete.length === 0 ? undefined : change.delete.join(','),
        digest: change.digest,
      };
      const answer = await caller.write(
        { what, kind: 'configure', method: 'PUT', path: guest(vmid, 'config'), params },
        signal,
      );
      return answer.is === 'done' ? done(undefined) : answer;
    },
    async resize(vmid, disk, sizeGiB, signal) {
      const what = `resize ${disk} of CT ${vmid} to ${sizeGiB} GiB`;
      const params = { disk, size: `${sizeGiB}G` };
      const answer = await caller.write(
        { what, kind: 'resize', method: 'PUT', path: guest(vmid, 'resize'), params },
        signal,
      );
      return isRefused(answer, 'pve.size-already') ? done(undefined) : readAs(what, answer, shapes.upid);
    },
    start: (vmid, signal) => power(vmid, 'start', 'pve.already-running', {}, signal),
    shutdown: (vmid, { timeoutSeconds, force }, signal) =>
      power(vmid, 'shutdown', 'pve.not-running', { timeout: timeoutSeconds, forceStop: force }, signal),
    stop: (vmid, signal) => power(vmid, 'stop', 'pve.not-running', {}, signal),
  };
}

export function createGuestDestroyer(caller: Caller, node: string): GuestDestroyer {
  return {
    async destroy(warrant, signal) {
      const what = `destroy CT ${warrant.vmid}`;
      // Types vanish at run time; a value that got here by a hole in them must not become a DELETE of the node's list.
      if (warrant.effect !== 'destroy-guest' || !vmidShape.safeParse(warrant.vmid).success)
        return refused(reason('pve.wrong-warrant', `cannot ${what}: the warrant does not name this effect and guest`));
      const params = { purge: true, 'destroy-unreferenced-disks': warrant.mayDestroyUnreferenced };
      const answer = await caller.write(
        { what, kind: 'destroy', method: 'DELETE', path: ['nodes', node, 'lxc', warrant.vmid], params },
        signal,
      );
      return readAs(what, answer, shapes.upid);
    },
  };
}

function isRefused(outcome: Outcome<Answer>, code: ErrorCode): boolean {
  return outcome.is === 'refused' && outcome.why.code === code;
}
