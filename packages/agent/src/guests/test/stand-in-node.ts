/**
 * A small stand-in for the ports, for saga tests only: it keeps configs, volumes and tasks, and can be told to fail at
 * named places. The honest fake node lives in the lab; this one knows just what the sagas ask.
 */
import { createHash } from 'node:crypto';
import { reason } from '@felhom/protocol';
import type { Reason, Upid, Vmid, VolumeId } from '@felhom/protocol';
import { done, refused, unknown } from '../../kernel/saga.ts';
import type { Outcome } from '../../kernel/saga.ts';
import type { HostHelper } from '../../ports/host-helper.ts';
import type {
  GuestDestroyer,
  GuestReader,
  GuestWriter,
  NodeFacts,
  PveTasks,
  Stores,
  TaskRow,
  TaskVerdict,
} from '../../ports/proxmox.ts';

export const tokenId = 'felhom@pve!agent';

interface Guest {
  values: Record<string, string>;
  lock: string | undefined;
  running: boolean;
  uptime: number;
}

interface Task extends TaskRow {
  verdict: TaskVerdict;
  log: string[];
  status: string | undefined;
  endTime: number | undefined;
}

/** What happens at the next call of a kind; the list is used up from the front, then all is well. */
export type Mishap =
  /** The request never arrived. */
  | 'lost-request'
  /** It arrived, and the answer was lost. */
  | 'lost-answer'
  /** The task fails and Proxmox cleans up. */
  | { fails: string; log?: string[]; frees?: number }
  /** The request is on its way for long; `landLate` lets it in. */
  | 'late'
  /** The worker is killed: at the stub, or after the config was complete. */
  | 'killed-at-stub'
  | 'killed-when-complete'
  /** Somebody else takes the VMID first. */
  | 'raced'
  | { warns: string };

export class StandInNode {
  readonly guests = new Map<number, Guest>();
  readonly volumes = new Map<VolumeId, number>();
  readonly tasks: Task[] = [];
  readonly pool = new Set<number>();
  readonly receipts = new Set<string>();
  readonly calls: string[] = [];
  readonly mishaps: Record<'restore' | 'configure' | 'start' | 'shutdown' | 'destroy' | 'resize', Mishap[]> = {
    restore: [],
    configure: [],
    start: [],
    shutdown: [],
    destroy: [],
    resize: [],
  };
  archive = [
    'arch: amd64',
    'cores: 1',
    'features: nesting=1,keyctl=1',
    'hostname: golden',
    'memory: 256',
    'mp0: local:100/vm-100-disk-1.raw,mp=/srv/data,backup=0,size=1G',
    'net0: name=eth0,bridge=vmbr0,gw=10.0.0.1,hwaddr=BC:24:11:86:8C:AE,ip=10.0.0.100/24,type=veth',
    'net1: name=eth1,bridge=vmbr0,hwaddr=BC:24:11:86:8C:AF,ip=dhcp,type=veth',
    'ostype: debian',
    'rootfs: local:100/vm-100-disk-0.raw,size=1G',
    'swap: 0',
    'tags: golden',
    'unprivileged: 1',
  ].join('\n');
  /** Keys that the archive really restores although its preview does not show them. */
  smuggled: Record<string, string> = {};
  archiveSize = 1000;
  availableBytes = 500 * 1024 ** 3;
  version = '9.2.11';
  /** Goes down this many status reads after a start. */
  diesAfterReads = Number.POSITIVE_INFINITY;
  #pid = 0;
  #disk = 0;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  #seconds(): number {
    return Math.floor(this.#now() / 1000);
  }

  foreignGuest(vmid: number): void {
    this.guests.set(vmid, { values: { hostname: 'stranger' }, lock: undefined, running: false, uptime: 0 });
  }

  digestOf(vmid: number): string {
    return createHash('sha1')
      .update(JSON.stringify(this.guests.get(vmid)?.values))
      .digest('hex');
  }

  #task(type: string, vmid: number, user = tokenId): Task {
    const pid = (++this.#pid).toString(16).padStart(8, '0').toUpperCase();
    const start = this.#seconds();
    const upid = `UPID:pve1:${pid}:00000001:${start.toString(16).toUpperCase()}:${type}:${vmid}:${user}:` as Upid;
    const task: Task = {
      upid,
      type,
      id: String(vmid),
      user,
      startTime: start,
      endTime: start,
      status: 'OK',
      verdict: { is: 'ok' },
      log: ['TASK OK'],
    };
    this.tasks.push(task);
    return task;
  }

  #allocate(storage: string, vmid: number): VolumeId {
    const volid = `${storage}:${vmid}/vm-${vmid}-disk-${this.#disk++}.raw` as VolumeId;
    this.volumes.set(volid, vmid);
    return volid;
  }

  #fail(task: Task, verdict: TaskVerdict, log: string[] = []): void {
    task.verdict = verdict;
    task.log = log;
    task.status = verdict.is;
  }

  #setValue(vmid: number, key: string, value: string): string {
    const allocate = /^([a-z][a-z0-9]*):(\d+)(,.*)?$/.exec(value);
    if (/^(?:rootfs|mp\d+)$/.test(key) && allocate !== null)
      return `${this.#allocate(allocate[1] ?? '', vmid)}${allocate[3] ?? ''},size=${allocate[2]}G`;
    if (/^net\d+$/.test(key)) {
      const mac = value.includes('hwaddr=') ? '' : ',hwaddr=BC:24:11:00:00:01';
      return value.includes('type=veth') ? `${value}${mac}` : `${value}${mac},type=veth`;
    }
    if (key === 'description') return `${value}\n`;
    return value;
  }

  readonly writer: GuestWriter = {
    restore: async (call) => {
      this.calls.push(`restore ${call.vmid}`);
      const mishap = this.mishaps.restore.shift();
      if (mishap === 'lost-request') return unknown(lost);
      if (mishap === 'raced') this.foreignGuest(call.vmid);
      if (this.guests.has(call.vmid))
        return refused(reason('pve.vmid-taken', `cannot restore CT ${call.vmid}: it already exists`));
      const task = this.#task('vzrestore', call.vmid);
      this.#restore(task, call.vmid, call.values, mishap);
      return mishap === 'lost-answer' ? unknown(lost) : done(task.upid);
    },
    configure: async (vmid, change) => {
      const mishap = this.mishaps.configure.shift();
      const guest = this.guests.get(vmid);
      const keys = [...Object.keys(change.set ?? {}), ...(change.delete ?? [])].join(',');
      this.calls.push(`configure ${vmid} ${keys}`);
      if (mishap === 'lost-request') return unknown(lost);
      if (guest === undefined) return refused(reason('pve.guest-absent', `cannot change CT ${vmid}: absent`));
      if (guest.lock !== undefined) return refused(reason('pve.guest-locked', `cannot change CT ${vmid}: locked`));
      if (change.digest !== undefined && change.digest !== this.digestOf(vmid))
        return refused(reason('pve.digest-mismatch', `cannot change CT ${vmid}: digest`));
      if (mishap === 'killed-at-stub') {
        // Allocated, and the worker died before the config was written.
        for (const [key, value] of Object.entries(change.set ?? {})) this.#setValue(vmid, key, value);
        return unknown(lost);
      }
      for (const [key, value] of Object.entries(change.set ?? {})) guest.values[key] = this.#setValue(vmid, key, value);
      for (const key of change.delete ?? []) delete guest.values[key];
      return mishap === 'lost-answer' ? unknown(lost) : done(undefined);
    },
    resize: async (vmid, disk, sizeGiB) => {
      this.calls.push(`resize ${vmid} ${disk}`);
      const mishap = this.mishaps.resize.shift();
      if (mishap === 'lost-request') return unknown(lost);
      const guest = this.guests.get(vmid);
      const value = guest?.values[disk];
      if (guest === undefined || value === undefined)
        return refused(reason('pve.guest-absent', 'cannot resize: absent'));
      const task = this.#task('resize', vmid);
      guest.values[disk] = value.replace(/size=\d+G/, `size=${sizeGiB}G`);
      return mishap === 'lost-answer' ? unknown(lost) : done(task.upid);
    },
    start: async (vmid) => {
      this.calls.push(`start ${vmid}`);
      const mishap = this.mishaps.start.shift();
      const guest = this.guests.get(vmid);
      if (mishap === 'lost-request') return unknown(lost);
      if (guest === undefined) return refused(reason('pve.guest-absent', 'cannot start: absent'));
      if (guest.running) return done(undefined);
      const task = this.#task('vzstart', vmid);
      if (typeof mishap === 'object' && 'fails' in mishap) this.#fail(task, { is: 'failed', exitStatus: mishap.fails });
      else [guest.running, guest.uptime] = [true, 0];
      return mishap === 'lost-answer' ? unknown(lost) : done(task.upid);
    },
    shutdown: async (vmid) => {
      this.calls.push(`shutdown ${vmid}`);
      const mishap = this.mishaps.shutdown.shift();
      const guest = this.guests.get(vmid);
      if (mishap === 'lost-request') return unknown(lost);
      if (guest === undefined) return refused(reason('pve.guest-absent', 'cannot shut down: absent'));
      if (!guest.running) return done(undefined);
      const task = this.#task('vzshutdown', vmid);
      if (typeof mishap === 'object' && 'fails' in mishap) this.#fail(task, { is: 'failed', exitStatus: mishap.fails });
      else guest.running = false;
      return mishap === 'lost-answer' ? unknown(lost) : done(task.upid);
    },
    stop: async (vmid) => {
      this.calls.push(`stop ${vmid}`);
      const guest = this.guests.get(vmid);
      if (guest !== undefined) guest.running = false;
      return done(this.#task('vzstop', vmid).upid);
    },
  };

  #restore(task: Task, vmid: number, sent: Readonly<Record<string, string>>, mishap: Mishap | undefined): void {
    if (typeof mishap === 'object' && 'fails' in mishap)
      return this.#fail(task, { is: 'failed', exitStatus: mishap.fails }, mishap.log);
    const guest: Guest = { values: {}, lock: 'create', running: false, uptime: 0 };
    this.guests.set(vmid, guest);
    const rootfs = this.#setValue(vmid, 'rootfs', sent['rootfs'] ?? '');
    if (mishap === 'killed-at-stub') return this.#fail(task, { is: 'died' });
    const archived = Object.fromEntries(
      this.archive.split('\n').flatMap((line) => {
        const [key = '', value = ''] = line.split(/: (.*)/s);
        return /^(?:rootfs|mp\d+)$/.test(key) ? [] : [[key, value] as const];
      }),
    );
    guest.values = { ...archived, ...this.smuggled };
    for (const [key, value] of Object.entries(sent))
      if (!(key in this.smuggled)) guest.values[key] = key === 'rootfs' ? rootfs : this.#setValue(vmid, key, value);
    guest.lock = undefined;
    if (mishap === 'killed-when-complete') return this.#fail(task, { is: 'died' });
    this.pool.add(vmid);
    if (typeof mishap === 'object') this.#fail(task, { is: 'warnings', count: 1 }, [mishap.warns]);
  }

  readonly reader: GuestReader = {
    list: async () =>
      done(
        [...this.guests].map(([vmid, guest]) => ({
          vmid: vmid as Vmid,
          name: guest.values['hostname'] ?? `CT${vmid}`,
          status: guest.running ? ('running' as const) : ('stopped' as const),
          lock: guest.lock,
          tags: [],
          cpus: Number(guest.values['cores'] ?? 1),
          maxMemBytes: Number(guest.values['memory'] ?? 512) * 1024 ** 2,
          maxDiskBytes: 0,
          uptimeSeconds: guest.uptime,
        })),
      ),
    config: async (vmid) => {
      const guest = this.guests.get(vmid);
      if (guest === undefined) return done({ is: 'absent' });
      return done({
        is: 'present',
        config: { digest: this.digestOf(vmid), lock: guest.lock, values: { ...guest.values } },
      });
    },
    pending: async () => done([]),
    status: async (vmid) => {
      const guest = this.guests.get(vmid);
      if (guest === undefined) return refused(reason('pve.guest-absent', `cannot read CT ${vmid}: absent`));
      if (guest.running && ++guest.uptime > this.diesAfterReads) guest.running = false;
      return done({
        status: guest.running ? 'running' : 'stopped',
        lock: guest.lock,
        uptimeSeconds: guest.running ? guest.uptime : 0,
        maxDiskBytes: 0,
      });
    },
    isVmidFree: async (vmid) => done(!this.guests.has(vmid)),
  };

  readonly #late: (() => void)[] = [];

  landLate(): void {
    for (const land of this.#late.splice(0)) land();
  }

  readonly destroyer: GuestDestroyer = {
    destroy: async (warrant) => {
      this.calls.push(`destroy ${warrant.vmid}`);
      const mishap = this.mishaps.destroy.shift();
      if (mishap === 'lost-request') return unknown(lost);
      if (mishap === 'late') {
        this.#late.push(() => void this.destroyer.destroy(warrant, new AbortController().signal));
        return unknown(lost);
      }
      const guest = this.guests.get(warrant.vmid);
      if (guest === undefined) return refused(reason('pve.guest-absent', 'cannot destroy: absent'));
      if (guest.running) return refused(reason('pve.guest-running', 'cannot destroy: it runs'));
      if (guest.lock !== undefined) return refused(reason('pve.guest-locked', 'cannot destroy: locked'));
      if (guest.values['protection'] === '1') return refused(reason('pve.protected', 'cannot destroy: protected'));
      if (typeof mishap === 'object' && 'fails' in mishap) {
        const gone = this.volumesOf(warrant.vmid).slice(0, mishap.frees ?? 0);
        for (const volid of gone) this.volumes.delete(volid);
        const failed = this.#task('vzdestroy', warrant.vmid);
        this.#fail(failed, { is: 'failed', exitStatus: mishap.fails });
        return done(failed.upid);
      }
      for (const [volid, owner] of this.volumes)
        if (owner === warrant.vmid && (warrant.mayDestroyUnreferenced || warrant.volumes.includes(volid)))
          this.volumes.delete(volid);
      this.pool.delete(warrant.vmid);
      const task = this.#task('vzdestroy', warrant.vmid);
      if (mishap === 'killed-at-stub') {
        [guest.values, guest.lock] = [{}, 'destroyed'];
        this.#fail(task, { is: 'died' });
        return done(task.upid);
      }
      this.guests.delete(warrant.vmid);
      return mishap === 'lost-answer' ? unknown(lost) : done(task.upid);
    },
  };

  readonly pveTasks: PveTasks = {
    wait: async (upid) => {
      const task = this.tasks.find((candidate) => candidate.upid === upid);
      return done({ verdict: task?.verdict ?? { is: 'lost' }, logTail: task?.log ?? [] });
    },
    status: async () => done({ is: 'running' }),
    find: async ({ vmid, type, sinceSeconds }) =>
      done(
        this.tasks.filter(
          (task) =>
            (vmid === undefined || task.id === String(vmid)) &&
            (type === undefined || task.type === type) &&
            task.startTime >= (sinceSeconds ?? 0),
        ),
      ),
    abort: async () => done(undefined),
  };

  readonly stores: Stores = {
    list: async () =>
      done([
        {
          storage: 'local' as never,
          type: 'dir',
          content: ['rootdir', 'images', 'backup'],
          active: true,
          enabled: true,
          totalBytes: 1000 * 1024 ** 3,
          availableBytes: this.availableBytes,
        },
      ]),
    contents: async () =>
      done([
        {
          volid: goldenArchive,
          content: 'backup',
          vmid: 100,
          sizeBytes: this.archiveSize,
          ctime: 1,
          notes: undefined,
          protected: true,
        },
      ]),
    extractConfig: async () => done(this.archive),
  };

  readonly node: NodeFacts = {
    version: async () => done({ version: this.version, release: this.version.slice(0, 3) }),
    permissions: async () => done(new Map()),
    time: async () => done(this.#seconds()),
  };

  readonly helper: HostHelper = {
    volumesOf: async (vmid) => done(this.volumesOf(vmid)),
    reapStub: async (operation, vmid, volumes): Promise<Outcome<void>> => {
      this.calls.push(`reap ${vmid}`);
      if (this.receipts.has(operation)) return done(undefined);
      const guest = this.guests.get(vmid);
      if (guest !== undefined && guest.lock !== 'create' && guest.lock !== 'destroyed')
        return refused(reason('helper.refused', `cannot reap ${vmid}: it is no stub`));
      this.guests.delete(vmid);
      for (const volid of volumes) this.volumes.delete(volid);
      this.receipts.add(operation);
      return done(undefined);
    },
    unlock: async () => done(undefined),
    tunnelRestart: async () => refused(reason('helper.refused', 'cannot tunnel-restart: not here')),
    archiveDigest: async () => refused(reason('helper.refused', 'cannot archive-digest: not here')),
    scratchRead: async () => refused(reason('helper.refused', 'cannot scratch-read: not here')),
    keyTest: async () => refused(reason('helper.refused', 'cannot key-test: not here')),
    guestMounts: async () => refused(reason('helper.refused', 'cannot guest-mounts: not here')),
    poolEnsure: async (operation, vmid) => {
      this.calls.push(`pool ${vmid}`);
      this.receipts.add(operation);
      this.pool.add(vmid);
      return done(undefined);
    },
    show: async (operation) =>
      done(this.receipts.has(operation) ? { operation, verb: 'pool-ensure', at: this.#now() } : undefined),
  };

  volumesOf(vmid: number): VolumeId[] {
    return [...this.volumes].flatMap(([volid, owner]) => (owner === vmid ? [volid] : []));
  }
}

export const goldenArchive = 'local:backup/vzdump-lxc-100-2026_11_23-00_00_00.tar.zst' as VolumeId;

const lost: Reason = reason('pve.connection-lost', 'cannot tell what became of the request: the connection broke');
