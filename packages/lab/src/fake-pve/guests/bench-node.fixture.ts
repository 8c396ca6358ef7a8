// A node for this room's tests: the real router, access control and workers on a simulated clock, and a storage that
// only remembers names and sizes.
import { createSimClock } from '../../simulation/sim-clock.ts';
import type { SimClock } from '../../simulation/sim-clock.ts';
import { createSimRandom } from '../../simulation/sim-random.ts';
import type { ApiResponse, FakePve, GuestsRoom, StorageRoom, Task, VolumeInfo } from '../core.ts';
import { die } from '../core.ts';
import type { FakeNode } from '../node.ts';
import { assembleNode } from '../node.ts';
import { benchTraits, createGuestsRoom } from './room.ts';
import { guestRoutes } from './routes.ts';
import type { GuestTraits, InnerGuests } from './store.ts';

/** What is inside an archive of the bench: the first and the last config member, and perhaps a firewall file. */
export interface BenchArchive {
  readonly first: string;
  readonly last?: string;
  readonly firewall?: string;
  readonly unpackFails?: string;
}

export class BenchStorage implements StorageRoom {
  readonly #pve: FakePve;
  readonly volumes = new Map<string, VolumeInfo>();
  readonly archives = new Map<string, BenchArchive>();
  readonly offline = new Set<string>();
  /** `files` has no snapshots, `thin` has; both take container disks. */
  readonly defined = new Map([
    ['files', 'dir'],
    ['thin', 'lvmthin'],
    ['local', 'dir'],
  ]);

  constructor(pve: FakePve) {
    this.#pve = pve;
  }

  ids(): readonly string[] {
    return [...this.defined.keys()];
  }
  row(storage: string): Record<string, unknown> {
    return { storage };
  }
  exists(storage: string): boolean {
    return this.defined.has(storage);
  }
  type(storage: string): string {
    return this.defined.get(storage) ?? die(`storage '${storage}' does not exist`);
  }
  hasContent(storage: string): boolean {
    return this.exists(storage);
  }
  activate(storage: string): void {
    if (this.offline.has(storage)) die(`storage '${storage}' is not online`);
  }
  isEnabled(storage: string): boolean {
    return this.exists(storage);
  }
  async allocate(task: Task | undefined, storage: string, vmid: number, sizeKiB: number): Promise<VolumeInfo> {
    this.activate(storage);
    if (sizeKiB > 1024 ** 3) die('unable to create image: too large');
    const volume = this.#add(storage, vmid, sizeKiB * 1024);
    task?.log(`Formatting ${volume.volid}`);
    return volume;
  }
  #add(storage: string, vmid: number, sizeBytes: number): VolumeInfo {
    let index = 0;
    while (this.volumes.has(`${storage}:vm-${vmid}-disk-${index}`)) index += 1;
    const volid = `${storage}:vm-${vmid}-disk-${index}`;
    const volume: VolumeInfo = { volid, storage, vmid, format: 'raw', sizeBytes, usedBytes: 0, ctime: 0 };
    this.volumes.set(volid, volume);
    return volume;
  }
  async free(volid: string): Promise<void> {
    this.activate(volid.slice(0, volid.indexOf(':')));
    this.volumes.delete(volid);
  }
  volume(volid: string): VolumeInfo | undefined {
    return this.volumes.get(volid);
  }
  volumesOf(vmid: number): readonly VolumeInfo[] {
    return [...this.volumes.values()].filter((volume) => volume.vmid === vmid);
  }
  async resize(volid: string, sizeBytes: number): Promise<void> {
    const volume = this.volumes.get(volid) ?? die(`volume '${volid}' does not exist`);
    this.volumes.set(volid, { ...volume, sizeBytes });
  }
  async rename(volid: string, targetVmid: number): Promise<VolumeInfo> {
    const volume = this.volumes.get(volid) ?? die(`volume '${volid}' does not exist`);
    this.volumes.delete(volid);
    return this.#add(volume.storage, targetVmid, volume.sizeBytes);
  }
  async copy(_task: Task, volid: string, storage: string, vmid: number): Promise<VolumeInfo> {
    return this.#add(storage, vmid, this.volumes.get(volid)?.sizeBytes ?? 0);
  }
  path(volid: string): string {
    return `/bench/${volid}`;
  }
  hasFeature(volid: string, feature: string): boolean {
    return feature === 'rename' || volid.startsWith('thin:');
  }
  async snapshot(): Promise<void> {}
  async deleteSnapshot(): Promise<void> {}
  async rollback(): Promise<void> {}
  parse(
    volid: string,
  ): { storage: string; content: 'images' | 'backup' | 'vztmpl'; name: string; vmid?: number } | undefined {
    const [storage = '', name = ''] = volid.split(':');
    if (!this.defined.has(storage)) return undefined;
    const disk = /^vm-(\d+)-disk-\d+$/.exec(name);
    if (disk) return { storage, content: 'images', name, vmid: Number(disk[1]) };
    const file = /^(backup|vztmpl)\/(?:vzdump-lxc-(\d+)-)?/.exec(name);
    if (!file) return undefined;
    const content = file[1] === 'backup' ? 'backup' : 'vztmpl';
    return { storage, content, name, ...(file[2] === undefined ? {} : { vmid: Number(file[2]) }) };
  }
  checkAccess(): void {}
  archive(
    volid: string,
  ): undefined | { volid: string; storage: string; vmid: number; sizeBytes: number; ctime: number; format: string } {
    if (!this.archives.has(volid)) return undefined;
    return { volid, storage: 'files', vmid: 100, sizeBytes: 4096 * 1024, ctime: 0, format: 'tar.zst' };
  }
  async archivedConfig(volid: string): Promise<string> {
    return this.archives.get(volid)?.first ?? die(`volume '${volid}' does not exist`);
  }
  async unpack(task: Task, volid: string): Promise<{ config: string; firewall?: string }> {
    const archive = this.archives.get(volid) ?? die(`volume '${volid}' does not exist`);
    task.log(`extracting archive '${volid}'`);
    await task.work(this.#pve.pace.restoreMs);
    if (archive.unpackFails !== undefined) die(archive.unpackFails);
    const config = archive.last ?? archive.first;
    return archive.firewall === undefined ? { config } : { config, firewall: archive.firewall };
  }
}

export interface Bench {
  readonly clock: SimClock;
  readonly node: FakeNode<BenchStorage, GuestsRoom & InnerGuests>;
  /** A call as `root@pam`, or as another identity. */
  readonly call: (
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    params?: Record<string, unknown>,
    as?: string,
  ) => Promise<ApiResponse>;
  /** Config of a guest as `GET config` answers it, without the digest. */
  readonly config: (vmid: number) => Promise<Record<string, unknown>>;
  /** Starts the task and lets it end; answers its exit status and log. */
  readonly run: (
    method: 'POST' | 'PUT' | 'DELETE',
    path: string,
    params?: Record<string, unknown>,
    as?: string,
  ) => Promise<{ status: string; log: readonly string[] }>;
  /** A stopped guest with a config file as given. */
  readonly guest: (vmid: number, config: string) => void;
}

export const GOLDEN = 'files:backup/vzdump-lxc-100-2026_01_01-00_00_00.tar.zst';

/** The agent as the recordings know it: a privilege-separated token with a wide role, without Sys.Modify. */
export const AGENT = 'agent@pve!main';

const AGENT_ROLE = [
  'VM.Allocate',
  'VM.Audit',
  'VM.PowerMgmt',
  'VM.Config.Options',
  'VM.Config.CPU',
  'VM.Config.Memory',
  'VM.Config.Disk',
  'VM.Config.Network',
  'VM.Snapshot',
  'VM.Backup',
  'VM.Clone',
  'Datastore.AllocateSpace',
  'Datastore.Audit',
  'Datastore.Allocate',
  'SDN.Use',
  'Pool.Audit',
  'Sys.Audit',
];

export async function createBench(traits?: GuestTraits): Promise<Bench> {
  const clock = createSimClock();
  const node = assembleNode(
    { clock, random: createSimRandom(1) },
    {
      storage: (pve: FakePve) => new BenchStorage(pve),
      storageRoutes: [],
      guests: (pve: FakePve) => createGuestsRoom(pve, traits),
      guestRoutes,
    },
  );
  const call: Bench['call'] = (method, path, params = {}, as = 'root@pam') =>
    clock.runUntil(
      node.handle({
        method,
        path: path.startsWith('/') && !path.startsWith('/lxc') ? path : `/nodes/pve1${path}`,
        params,
        as,
      }),
    );
  const setUp = async (method: 'POST' | 'PUT', path: string, params: Record<string, unknown>): Promise<void> => {
    const answer = await call(method, path, params);
    if (answer.status !== 200) throw new Error(`cannot set up the bench: ${path}: ${answer.reason}`);
  };
  await setUp('POST', '/access/roles', { roleid: 'Agent', privs: AGENT_ROLE.join(',') });
  await setUp('POST', '/access/users', { userid: 'agent@pve' });
  await setUp('POST', '/access/users/agent@pve/token/main', { privsep: 0 });
  await setUp('POST', '/access/users/root@pam/token/bench', { privsep: 0 });
  await setUp('PUT', '/access/acl', { path: '/', roles: 'Agent', users: 'agent@pve' });
  return {
    clock,
    node,
    call,
    async config(vmid) {
      const { digest: _, ...rest } = dataOf(await call('GET', `/lxc/${vmid}/config`));
      return rest;
    },
    async run(method, path, params, as) {
      const answer = await call(method, path, params, as);
      if (answer.status !== 200) die(`${method} ${path}: ${answer.status} ${answer.reason}`);
      const upid = upidOf(answer);
      await clock.runUntil(node.tasks.settled(upid));
      const task = node.tasks.find(upid);
      return { status: task?.exitStatus ?? 'gone', log: task?.lines ?? [] };
    },
    guest(vmid, config) {
      node.guests.inside.files.set(vmid, config);
      for (const volid of config.matchAll(/[a-z]+:vm-\d+-disk-\d+/g)) {
        const [storage = '', name = ''] = volid[0].split(':');
        const owner = Number(name.split('-')[1]);
        node.storage.volumes.set(volid[0], {
          volid: volid[0],
          storage,
          vmid: owner,
          format: 'raw',
          sizeBytes: 1024 ** 3,
          usedBytes: 0,
          ctime: 0,
        });
      }
    },
  };
}

/** The data of an answer, where it is a UPID. */
export function upidOf(answer: ApiResponse): string {
  return String(Reflect.get(Object(answer.body), 'data'));
}

export function dataOf(answer: ApiResponse): Record<string, unknown> {
  const data: unknown = Reflect.get(Object(answer.body), 'data');
  return typeof data === 'object' && data !== null ? Object.fromEntries(Object.entries(data)) : {};
}

/** Guest 101 as most tests want it. */
export const GUEST_CONFIG = [
  'cores: 1',
  'features: nesting=1,keyctl=1',
  'hostname: app1',
  'memory: 256',
  'mp0: files:vm-101-disk-1,mp=/srv/data,size=1G',
  'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth',
  'rootfs: files:vm-101-disk-0,size=1G',
  'unprivileged: 1',
  '',
].join('\n');

/** The first error of a 400, otherwise the message. */
export function said(answer: ApiResponse): string {
  const errors: unknown = Reflect.get(Object(answer.body), 'errors');
  const texts = typeof errors === 'object' && errors !== null ? Object.entries(errors) : [];
  if (answer.status === 400 && texts.length > 0) return texts.map(([key, text]) => `${key}: ${text}`).join('|');
  return answer.reason;
}

/** A node like the recorded one, with guest 101 on it. */
export async function benchWithGuest(config = GUEST_CONFIG) {
  const made = await createBench(benchTraits);
  made.guest(101, config);
  return made;
}
