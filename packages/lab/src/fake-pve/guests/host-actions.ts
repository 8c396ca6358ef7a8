// What root does on the host itself, past the API: `pct unlock`, `pct unmount`, an editor on the config file. The lab's
// stand-in of the root helper and the scenarios use these.
import type { FakePve } from '../core.ts';
import { die } from '../core.ts';
import { freeVolume } from './free-volume.ts';
import type { GuestTraits, InitBehaviour } from './store.ts';
import { storeOf } from './store.ts';

/** The newest create or restore task of a VMID. */
export interface CreatingTask {
  readonly upid: string;
  readonly type: string;
  /** Whoever started it, as in the UPID. */
  readonly user: string;
  /** Epoch seconds. */
  readonly startedAt: number;
  readonly end: { readonly is: 'running' } | { readonly is: 'ended'; readonly at: number; readonly exitStatus: string };
}

/** Everything by which root proves that a stub is dead. */
export interface StubFacts {
  /** Text of the config file; `undefined` when there is none. */
  readonly config: string | undefined;
  /** Mount path → volume id of what is still mounted under the guest's root. */
  readonly mounts: ReadonlyMap<string, string>;
  readonly newestCreate: CreatingTask | undefined;
}

export interface HostActions {
  /** Removes the `lock:` line whatever it is. Throws when there is no such guest. */
  unlock(vmid: number): void;
  /** Unmounts the tree that a dead worker left; nothing mounted is no error. */
  unmount(vmid: number): void;
  stubFacts(vmid: number): StubFacts;
  /** Deletes the config file and nothing else: volumes and mounts stay. */
  removeConfig(vmid: number): void;
  /** `pvesm free`: refuses what is still mounted where the storage would. */
  freeVolume(volid: string): Promise<void>;
  rawConfig(vmid: number): string | undefined;
  setRawConfig(vmid: number, text: string): void;
  setFirewall(vmid: number, text: string | undefined): void;
  setInit(vmid: number, behaviour: InitBehaviour): void;
  setTraits(traits: Partial<GuestTraits>): void;
}

/** What `stubFacts` needs of the task room. */
export interface TaskFacts {
  all(): readonly {
    readonly upid: string;
    readonly parts: { readonly type: string; readonly id: string; readonly user: string; readonly starttime: number };
    readonly endtime: number | undefined;
    readonly exitStatus: string | undefined;
  }[];
}

export function hostActions(pve: FakePve, tasks: TaskFacts): HostActions {
  const store = storeOf(pve);
  return {
    unlock: (vmid) => store.setLock(vmid, undefined),
    unmount: (vmid) => void store.mounts.delete(vmid),
    stubFacts: (vmid) => ({
      config: store.files.get(vmid),
      mounts: store.mounts.get(vmid) ?? new Map(),
      newestCreate: newestCreate(tasks, vmid),
    }),
    removeConfig(vmid) {
      if (!store.files.has(vmid)) die(`cannot remove the config of ${vmid}: there is none`);
      store.remove(vmid);
    },
    freeVolume: (volid) => freeVolume(pve, volid),
    rawConfig: (vmid) => store.files.get(vmid),
    setRawConfig: (vmid, text) => void store.files.set(vmid, text),
    setFirewall(vmid, text) {
      if (text === undefined) store.firewalls.delete(vmid);
      else store.firewalls.set(vmid, text);
    },
    setInit: (vmid, behaviour) => void store.inits.set(vmid, behaviour),
    setTraits: (traits) => void Object.assign(store.traits, traits),
  };
}

function newestCreate(tasks: TaskFacts, vmid: number): CreatingTask | undefined {
  const found = tasks
    .all()
    .find(({ parts }) => ['vzcreate', 'vzrestore'].includes(parts.type) && parts.id === `${vmid}`);
  if (found === undefined) return undefined;
  const { type, user, starttime } = found.parts;
  return {
    upid: found.upid,
    type,
    user,
    startedAt: starttime,
    end:
      found.endtime === undefined
        ? { is: 'running' }
        : { is: 'ended', at: found.endtime, exitStatus: found.exitStatus ?? 'unexpected status' },
  };
}
