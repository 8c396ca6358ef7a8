/**
 * Disks that can be pulled, on the fake node: what kernel, udev and systemd would show of them, root's declarations, and
 * root's helper for storage. systemd unmounts a pulled disk a moment later and mounts a declared one that is plugged in.
 */
import { entryOf, requiredAcl, storageManifest } from '@felhom/agent';
import type {
  AgentParts,
  HostHelper,
  Probe,
  SeenDevices,
  StorageHelper,
  StorageManifest,
  TargetJob,
} from '@felhom/agent';
import { bindingOf, reason, storageTarget, targetIdentity } from '@felhom/protocol';
import type { DiskTarget, StorageTarget } from '@felhom/protocol';
import type { EnrolledNode } from './enrolled-node.ts';

type Parts = AgentParts['storage'];
type NfsTarget = Extract<StorageTarget, { type: 'nfs' }>;
type Outcome<T> = Awaited<ReturnType<StorageHelper['mount']>> | { readonly is: 'done'; readonly value: T };

export interface SimDisk {
  readonly uuid: string;
  readonly serial: string;
  /** What the mark file on it says; `undefined`: it has none. */
  mark: string | undefined;
}

export interface SimTargets {
  readonly parts: (off: AbortSignal) => Parts;
  /** Root attaches a new disk: its mark is on it, it is mounted, declared, and Proxmox has an entry. */
  attach(name: string, changes?: Readonly<Record<string, unknown>>): Promise<SimDisk>;
  /** Whether anything lies at the path of a target. */
  isMounted(name: string): boolean;
  /** The disk of a target leaves its port, whatever is going on. */
  pull(name: string): void;
  /** A disk is put into the port of a target: its own, unless told. */
  plugIn(name: string, disk?: SimDisk): void;
  /** What the mark file of a target's disk answers with, until told otherwise. */
  answer(name: string, probe: Probe | 'as it is'): void;
  /** Nothing that touches a target comes back from now on: no probe, not even one that is over. */
  hang(name: string): void;
  /** What lies in the port of a target, and whether it is mounted. */
  state(name: string): { readonly disk: SimDisk | undefined; readonly mounted: boolean };
  /** Root's verb: what a guest has mounted of the disks, and whether it is what lies there now. */
  guestMounts(vmid: number): Awaited<ReturnType<HostHelper['guestMounts']>>;
  /** Root attaches a share of an NFS server that answers at an address. */
  attachShare(name: string, server: string): Promise<NfsTarget>;
  /** Root's manifest as it is, and how an order that root believes changes it and what it is about; '' = done. */
  manifest(): StorageManifest;
  order(job: TargetJob): Promise<string>;
  /** Verbs that root's helper was asked, `<verb> <target>`. */
  readonly asked: readonly string[];
  /** systemd mounts what is plugged in; without it root has to. */
  mountsByItself: boolean;
  /** Event lines reach the agent; without them its slow look is all that there is. */
  tellsEvents: boolean;
}

interface Port {
  readonly target: DiskTarget;
  readonly own: SimDisk;
  disk: SimDisk | undefined;
  mounted: boolean;
  /** What is mounted is of a disk that was pulled, and stays because it is in use. */
  dead: boolean;
  appearance: number;
  /** Counts mounts: what was mounted before is not what is mounted now. */
  mount: number;
}

const deviceId = ({ uuid }: SimDisk): string => `ext4:${uuid}`;
/** Measured: systemd has unmounted a quarter of a second after the kernel lost the disk. */
const systemdMs = 250;
const user = 'felhom-agent@pve';

export function createSimTargets(
  { node, policy }: Pick<EnrolledNode, 'node' | 'policy'>,
  clock: { now(): number; sleep(ms: number, signal: AbortSignal): Promise<void> },
  mountRoot = '/mnt/felhom',
): SimTargets {
  const mountPath = (name: string): string => `${mountRoot}/${name}`;
  const { hardware } = node.storage;
  const ports = new Map<string, Port>();
  const listeners = new Set<() => void>();
  const answers = new Map<string, Probe>();
  const hung = new Set<string>();
  const asked: string[] = [];
  const never = new AbortController().signal;
  let appearances = 0;
  let mounts = 0;
  /** Of guests that run: which mount of each target they were given at their start. */
  const given = new Map<number, ReadonlyMap<string, number>>();
  node.guests.onPower(({ vmid, is }) => {
    if (is === 'up') given.set(vmid, new Map([...ports].map(([name, port]) => [name, port.dead ? 0 : port.mount])));
    else given.delete(vmid);
  });
  const volumesOn = ({ target }: Port, vmid: number): readonly string[] =>
    [...node.guests.config(vmid).active].flatMap(([key, value]) =>
      /^mp\d+$/.test(key) && value.startsWith(`${target.storage}:`) ? (/,mp=([^,]+)/.exec(value)?.[1] ?? []) : [],
    );
  /** An image below a loop device keeps the file system under it from being unmounted, also when its disk is gone. */
  const usersOf = (port: Port): readonly number[] =>
    [...given].flatMap(([vmid, at]) =>
      at.get(port.target.name) === port.mount && volumesOn(port, vmid).length > 0 ? [vmid] : [],
    );
  let declared: StorageManifest = { v: 1, targets: [] };
  /** What Proxmox has mounted of shares. */
  const shares = new Map<string, { readonly path: string; readonly source: string }>();

  const tell = (): void => {
    if (targets.tellsEvents) for (const listener of listeners) listener();
  };
  const portOf = (name: string): Port => {
    const port = ports.get(name);
    if (port === undefined) throw new Error(`there is no target ${name}`);
    return port;
  };
  const asRoot = async (
    method: 'POST' | 'PUT' | 'GET' | 'DELETE',
    path: string,
    params: Record<string, unknown>,
  ): Promise<string> => {
    const answer = await node.handle({ method, path, params, as: 'root@pam' });
    return answer.status === 200 ? '' : answer.reason;
  };

  const mount = (name: string): void => {
    const port = portOf(name);
    if (port.disk === undefined || port.mounted) return;
    hardware.mount(mountPath(name), deviceId(port.disk));
    port.mounted = true;
    mounts += 1;
    port.mount = mounts;
    tell();
  };

  const unmount = (name: string): void => {
    const port = portOf(name);
    if (port.mounted && !port.dead) hardware.unmount(mountPath(name));
    port.mounted = false;
    port.dead = false;
    tell();
  };

  const unmountGone = (port: Port): void => {
    if (!port.dead || usersOf(port).length > 0) return;
    port.mounted = false;
    port.dead = false;
    tell();
  };

  const grant = (storage: string): Promise<string> => {
    const acl = requiredAcl({ pool: policy.pool, node: node.name, bridges: policy.bridges, storages: [storage] });
    const entry = acl.entries.find(({ path }) => path === `/storage/${storage}`);
    return asRoot('PUT', '/access/acl', {
      path: `/storage/${storage}`,
      roles: entry?.role ?? '',
      users: user,
      propagate: 1,
    });
  };

  /** Anew: that is what another address takes. */
  const defineShare = async (target: NfsTarget): Promise<string> => {
    await asRoot('DELETE', `/storage/${target.storage}`, {});
    const { type, ...options } = entryOf({ target, state: 'attached' }, node.name);
    const written = await asRoot('POST', '/storage', { storage: target.storage, type, ...options });
    if (written !== '') return written;
    shares.set(target.name, { path: `/mnt/pve/${target.storage}`, source: `${target.server}:${target.export}` });
    return grant(target.storage);
  };

  /** Whom root believes was looked at; here is what it does. */
  const order: SimTargets['order'] = async (job) => {
    if (job.kind === 'target-attach') return 'nothing is plugged in for it';
    const { target: name } = job.params;
    const known = declared.targets.find(({ target }) => target.name === name);
    if (known === undefined) return `${name} is not a declared target of this host`;
    const bound = bindingOf(known.target, known.mark);
    if ((['serial', 'uuid', 'idFile'] as const).some((key) => bound[key] !== job.params[key]))
      return `${name} is another one than was signed for`;
    const change = (next: StorageManifest['targets'][number] | undefined): void => {
      const targets = declared.targets.flatMap((one) => (one === known ? (next ?? []) : one));
      declared = storageManifest.parse({ ...declared, targets });
      tell();
    };
    if (job.kind === 'target-re-point') {
      const { declaration } = job.params;
      if (declaration.type !== 'nfs') return 'it is no share';
      const wrong = await defineShare(declaration);
      if (wrong === '') change({ ...known, target: declaration });
      return wrong;
    }
    const port = portOf(name);
    if (job.kind === 'target-detach') {
      change({ ...known, state: 'decommissioned' });
      unmount(name);
      return asRoot('PUT', `/storage/${known.target.storage}`, { disable: 1 });
    }
    if (known.state === 'attached') return 'it is in use; detach it first';
    if (port.disk === undefined) return 'its disk is not there';
    // Nothing on it can be read any more.
    port.disk = { ...port.disk, uuid: '', mark: undefined };
    change(undefined);
    declared = { ...declared, wiped: [{ name, identity: targetIdentity(known.target), at: clock.now() }] };
    return asRoot('DELETE', `/storage/${known.target.storage}`, {});
  };

  const define = async ({ storage, name, role }: DiskTarget): Promise<string> => {
    const content = role === 'vzdump-target' ? 'backup' : 'images,rootdir';
    const params = {
      content,
      is_mountpoint: 'yes',
      'create-base-path': 0,
      'prune-backups': 'keep-all=1',
      nodes: node.name,
    };
    const wrong = await asRoot('GET', `/storage/${storage}`, {});
    const written =
      wrong === ''
        ? await asRoot('PUT', `/storage/${storage}`, params)
        : await asRoot('POST', '/storage', { storage, type: 'dir', path: mountPath(name), ...params });
    if (written !== '') return written;
    return grant(storage);
  };

  const seen = (paths: readonly string[]): SeenDevices => {
    const shown = [...ports.values()].map((port) => ({
      port,
      disk:
        port.disk === undefined
          ? undefined
          : {
              device: `sd${port.target.name}`,
              uuid: port.disk.uuid,
              fileSystem: 'ext4',
              serials: [port.disk.serial],
              appearance: `8:16 ${port.appearance}`,
            },
    }));
    return {
      disks: shown.flatMap(({ disk }) => disk ?? []),
      mounts: [
        ...[...shares.values()].flatMap(({ path, source }) =>
          paths.includes(path) ? [{ path, fileSystem: 'nfs4', source, readOnly: false, disk: undefined }] : [],
        ),
        ...shown.flatMap(({ port, disk }) => {
          const path = mountPath(port.target.name);
          if (!port.mounted || !paths.includes(path)) return [];
          const under = port.dead ? undefined : disk;
          return [{ path, fileSystem: 'ext4', source: `/dev/sd${port.target.name}`, readOnly: false, disk: under }];
        }),
      ],
    };
  };

  const helped = async (
    verb: string,
    name: string,
    work: (port: Port) => Promise<string> | string,
  ): Promise<Outcome<void>> => {
    asked.push(`${verb} ${name}`);
    const wrong = await work(portOf(name));
    return wrong === '' ? { is: 'done', value: undefined } : { is: 'refused', why: reason('helper.refused', wrong) };
  };

  const declare = (one: StorageManifest['targets'][number]): void => {
    declared = storageManifest.parse({ ...declared, targets: [...declared.targets, one] });
  };

  const targets: SimTargets = {
    asked,
    mountsByItself: true,
    tellsEvents: true,
    parts: (off) => {
      const own = new Set<() => void>();
      const ifOn = <T>(value: T): Promise<T> =>
        off.aborted ? new Promise<never>(() => undefined) : Promise.resolve(value);
      off.addEventListener('abort', () => own.forEach((listener) => listeners.delete(listener)), { once: true });
      return {
        devices: {
          look: (paths) => ifOn(seen(paths)),
          watch: (onEvent, signal) => {
            own.add(onEvent);
            listeners.add(onEvent);
            signal.addEventListener('abort', () => listeners.delete(onEvent), { once: true });
          },
          probe: async (question, limitMs) => {
            const port = [...ports.values()].find(
              ({ target }) => question.is === 'path' && question.path === mountPath(target.name),
            );
            const told = port === undefined ? undefined : answers.get(port.target.name);
            if (port !== undefined && hung.has(port.target.name)) return new Promise<never>(() => undefined);
            if (told?.is === 'hangs') await clock.sleep(limitMs, never);
            if (told !== undefined) return ifOn(told);
            if (question.is === 'path' && [...shares.values()].some(({ path }) => path === question.path))
              return ifOn({ is: 'answers' });
            if (port?.disk === undefined) return ifOn({ is: 'fails', text: 'Input/output error' });
            const { mark } = port.disk;
            const sizes = { usedBytes: 2 ** 30, totalBytes: 500 * 2 ** 30 };
            return ifOn({ is: 'answers', sizes, ...(mark === undefined ? {} : { mark: `${mark}\n` }) });
          },
        },
        manifest: () =>
          declared.targets.length === 0 && declared.wiped === undefined
            ? { is: 'none' }
            : { is: 'held', manifest: storageManifest.parse(declared) },
        helper: {
          mount: (_, name) =>
            helped('mount', name, ({ disk, target }) => {
              if (disk?.uuid !== target.uuid) return 'another disk is there';
              const port = portOf(name);
              if (port.dead && usersOf(port).length > 0) return 'it is in use and stays mounted';
              if (port.dead) unmount(name);
              mount(name);
              return '';
            }),
          unmount: (_, name) =>
            helped('unmount', name, () => {
              unmount(name);
              return '';
            }),
          storageDefine: (_, name) => helped('storage-define', name, ({ target }) => define(target)),
          smart: () => Promise.resolve({ is: 'done', value: '{}' }),
        },
      };
    },
    attach: async (name, changes = {}) => {
      const nth = ports.size + 1;
      const own: SimDisk = {
        uuid: `0000000${nth}-0000-4000-8000-000000000000`,
        serial: `SERIAL${nth}`,
        mark: String(nth).repeat(32),
      };
      const target = storageTarget.parse({
        type: 'usb',
        name,
        storage: `usb-${name}`,
        role: 'vzdump-target',
        class: 'slow',
        uuid: own.uuid,
        serial: own.serial,
        fileSystem: 'ext4',
        ...changes,
      }) as DiskTarget;
      ports.set(name, { target, own, disk: undefined, mounted: false, dead: false, appearance: 0, mount: 0 });
      addDevice(own);
      targets.plugIn(name);
      mount(name);
      declare({ target, state: 'attached', mark: String(nth).repeat(32), iops: 90, attachedAt: clock.now() });
      const wrong = await define(target);
      if (wrong !== '') throw new Error(`cannot define the storage of ${name}: ${wrong}`);
      tell();
      return own;
    },
    attachShare: async (name, server) => {
      const target = storageTarget.parse({
        type: 'nfs',
        name,
        storage: `nfs-${name}`,
        role: 'vzdump-target',
        class: 'slow',
        offsite: true,
        server,
        export: '/export',
      }) as NfsTarget;
      hardware.add({ id: targetIdentity(target), capacityBytes: 500 * 2 ** 30 });
      const wrong = await defineShare(target);
      if (wrong !== '') throw new Error(`cannot define the storage of ${name}: ${wrong}`);
      declare({ target, state: 'attached', mark: 'f'.repeat(32), attachedAt: clock.now() });
      return target;
    },
    manifest: () => declared,
    order,
    isMounted: (name) => portOf(name).mounted,
    pull: (name) => {
      const port = portOf(name);
      port.disk = undefined;
      // What the node writes from now on goes nowhere.
      if (port.mounted && !port.dead) hardware.unmount(mountPath(name));
      port.dead = port.mounted;
      tell();
      void clock.sleep(systemdMs, never).then(() => unmountGone(port));
    },
    plugIn: (name, disk) => {
      const port = portOf(name);
      appearances += 1;
      port.disk = disk ?? port.own;
      port.appearance = appearances;
      addDevice(port.disk);
      tell();
      // The unit asks for the device by its UUID.
      if (targets.mountsByItself && port.disk.uuid === port.target.uuid)
        void clock.sleep(systemdMs, never).then(() => mount(name));
    },
    hang: (name) => void hung.add(name),
    state: (name) => portOf(name),
    guestMounts: (vmid) => {
      asked.push(`guest-mounts ${vmid}`);
      const at = given.get(vmid);
      if (at === undefined) return { is: 'done', value: { running: false, mounts: [] } };
      const found = [...ports.values()].flatMap((port) =>
        volumesOn(port, vmid).map((path) => {
          const why = !port.mounted
            ? 'its target is not mounted on the host now'
            : port.dead
              ? 'the disk under the mount of its target is gone'
              : at.get(port.target.name) === port.mount
                ? ''
                : 'its image lies on another disk';
          return { path, target: port.target.name, state: why === '' ? ('live' as const) : ('dead' as const), why };
        }),
      );
      return { is: 'done', value: { running: true, mounts: found } };
    },
    answer: (name, probe) => void (probe === 'as it is' ? answers.delete(name) : answers.set(name, probe)),
  };

  const addDevice = (disk: SimDisk): void => {
    if (hardware.device(deviceId(disk)) === undefined)
      hardware.add({ id: deviceId(disk), capacityBytes: 500 * 2 ** 30 });
  };
  return targets;
}
