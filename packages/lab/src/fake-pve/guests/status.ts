// What the node tells about a guest without opening it: list rows, current status, addresses.
// PVE: LXC.pm vmstatus, get_interfaces.
import type { Call, FakePve, GuestConfig } from '../core.ts';
import { netKeysOf } from './config-file.ts';
import { isTrue, parseMountPoint, parseProperties } from './property-string.ts';
import type { GuestStore } from './store.ts';
import { isTemplate, storeOf, vmidOf } from './store.ts';

const MIB = 1024 ** 2;
const HOST_CPUS = 2;
const DEFAULT_MEMORY_MIB = 512;
/** What an absent rootfs is assumed to have. */
const DEFAULT_DISK_BYTES = 4 * 1024 ** 3;
/** Of an ext4 volume this much is usable; of a 1 GiB one exactly this many bytes are gone. */
const EXT4_OVERHEAD = 53_039_104 / 1024 ** 3;

export function rowOf(pve: FakePve, vmid: number): Record<string, unknown> {
  const store = storeOf(pve);
  const { config } = store.load(vmid);
  const running = store.running.get(vmid);
  const diskBytes = rootfsBytes(config);
  const number = (key: string): number => Number(config.active.get(key) ?? 0);
  const row: Record<string, unknown> = {
    vmid,
    name: config.active.get('hostname') ?? `CT${vmid}`,
    type: 'lxc',
    status: running ? 'running' : 'stopped',
    cpus: number('cores') || number('cpulimit') || HOST_CPUS,
    maxmem: (number('memory') || DEFAULT_MEMORY_MIB) * MIB,
    maxswap: number('swap') * MIB,
    maxdisk: running ? Math.floor(diskBytes * (1 - EXT4_OVERHEAD)) : diskBytes,
    disk: running ? usedBytes(pve, config) : 0,
    uptime: running ? Math.floor((pve.clock.now() - running.since) / 1000) : 0,
    mem: running ? MIB : 0,
    cpu: 0,
    swap: 0,
    netin: 0,
    netout: 0,
    diskread: 0,
    diskwrite: 0,
  };
  for (const key of ['tags', 'lock']) if (config.active.has(key)) row[key] = config.active.get(key);
  if (isTemplate(config)) row['template'] = 1;
  if (running) Object.assign(row, { pid: running.pid, ...PRESSURE });
  return row;
}

/** The node has no pressure information (cgroup v1 in the recordings), so every field is null. */
const PRESSURE = {
  pressurecpusome: null,
  pressurecpufull: null,
  pressureiosome: null,
  pressureiofull: null,
  pressurememorysome: null,
  pressurememoryfull: null,
};

function rootfsBytes(config: GuestConfig): number {
  const rootfs = config.active.get('rootfs');
  if (rootfs === undefined) return DEFAULT_DISK_BYTES;
  return parseMountPoint('rootfs', rootfs).sizeBytes ?? DEFAULT_DISK_BYTES;
}

function usedBytes(pve: FakePve, config: GuestConfig): number {
  const rootfs = config.active.get('rootfs');
  return rootfs === undefined ? 0 : (pve.storage.volume(parseMountPoint('rootfs', rootfs).volume)?.usedBytes ?? 0);
}

/** Guests are listed where the caller has VM.Audit; the others do not exist for it. */
export function listGuests(call: Call): unknown {
  const { pve, who } = call;
  const visible = pve.guests.ids().filter((vmid) => pve.access.has(who, `/vms/${vmid}`, ['VM.Audit']));
  return visible.map((vmid) => rowOf(pve, vmid));
}

export function currentStatus(call: Call): unknown {
  return { ...rowOf(call.pve, vmidOf(call)), ha: { managed: 0 } };
}

export function interfacesOf(call: Call): unknown {
  const store = storeOf(call.pve);
  const vmid = vmidOf(call);
  const { config } = store.load(vmid);
  if (!store.isRunning(vmid)) return null;
  return [LOOPBACK, ...netKeysOf(config.active).map((key) => oneInterface(store, vmid, config, key))];
}

const LOOPBACK = {
  name: 'lo',
  hwaddr: '00:00:00:00:00:00',
  'hardware-address': '00:00:00:00:00:00',
  inet: '127.0.0.1/8',
  inet6: '::1/128',
  'ip-addresses': [
    { 'ip-address': '127.0.0.1', prefix: '8', 'ip-address-type': 'inet' },
    { 'ip-address': '::1', prefix: '128', 'ip-address-type': 'inet6' },
  ],
};

function oneInterface(store: GuestStore, vmid: number, config: GuestConfig, key: string): Record<string, unknown> {
  const net = parseProperties(config.active.get(key) ?? '');
  const hwaddr = (net.get('hwaddr') ?? '').toLowerCase();
  const inet = store.traits.addresses === 'configured' ? addressOf(net, vmid) : undefined;
  const [address = '', prefix = ''] = inet?.split('/') ?? [];
  return {
    name: net.get('name') ?? '',
    hwaddr,
    'hardware-address': hwaddr,
    ...(inet === undefined ? {} : { inet }),
    'ip-addresses': inet === undefined ? [] : [{ 'ip-address': address, prefix, 'ip-address-type': 'inet' }],
  };
}

/** A guest with DHCP gets an address made from its id, so that two guests never share one. */
function addressOf(net: ReadonlyMap<string, string>, vmid: number): string | undefined {
  const ip = net.get('ip');
  if (ip === undefined || ip === 'manual' || isTrue(net.get('link_down'))) return undefined;
  return ip === 'dhcp' ? `10.99.${(vmid >> 8) & 0xff}.${vmid & 0xff}/16` : ip;
}

/** Two coarse points are enough for callers that only look whether there is data at all. */
export function rrdData(call: Call): unknown {
  const row = rowOf(call.pve, vmidOf(call));
  const now = Math.floor(call.pve.clock.now() / 60_000) * 60;
  return [now - 60, now].map((time) => ({
    time,
    maxcpu: row['cpus'],
    maxmem: row['maxmem'],
    maxdisk: row['maxdisk'],
    disk: row['disk'],
  }));
}
