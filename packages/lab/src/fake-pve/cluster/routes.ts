/** Cluster and node endpoints that belong to no other room. PVE: API2/{Cluster,Nodes}.pm. */
import type { Call, FakePve, Route } from '../core.ts';
import { paramError, textOf } from '../core.ts';
import { guestResource } from './resources.ts';

/** What stands still about the node: a small machine, as the recorded one. */
export interface NodeFacts {
  readonly version: { readonly release: string; readonly repoid: string; readonly version: string };
  readonly kernel: string;
  readonly memoryBytes: number;
  readonly rootBytes: number;
  readonly cpus: number;
  readonly fingerprint: string;
  readonly address: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Address of the bridges, CIDR. */
  readonly network: string;
  /** Installed packages, name → version. */
  readonly packages: Readonly<Record<string, string>>;
  /** Rows of `disks/list`. */
  readonly disks: readonly Readonly<Record<string, unknown>>[];
}

export const defaultNodeFacts: NodeFacts = {
  version: { release: '9.2', repoid: '14a22df35955d97d', version: '9.2.11' },
  kernel: '6.17.2-1-pve',
  memoryBytes: 16 * 1024 ** 3,
  rootBytes: 256 * 1024 ** 3,
  cpus: 4,
  fingerprint: Array.from({ length: 32 }, () => 'E7').join(':'),
  address: '10.99.0.1',
  options: { description: '', mac_prefix: 'BC:24:11' },
  network: '10.98.0.1/24',
  packages: { lxcfs: '6.0.4-pve1', 'pve-container': '6.1.10', 'pve-manager': '9.2.11', 'pve-storage': '9.1.7' },
  disks: [
    {
      devpath: '/dev/vda',
      model: 'unknown',
      serial: 'unknown',
      vendor: '0x1af4',
      wwn: 'unknown',
      type: 'unknown',
      health: 'UNKNOWN',
      wearout: 'N/A',
      used: 'mounted',
      mounted: 1,
      gpt: 0,
      rpm: -1,
      size: 256 * 1024 ** 3,
      osdid: -1,
      'osdid-list': null,
    },
  ],
};

export function clusterRoutes(facts: NodeFacts, bootedAt: () => number): readonly Route[] {
  const uptime = (pve: FakePve): number => Math.max(0, Math.floor((pve.clock.now() - bootedAt()) / 1000));
  const usage = (pve: FakePve): Record<string, unknown> => ({
    uptime: uptime(pve),
    cpu: 0.01,
    maxcpu: facts.cpus,
    mem: Math.round(facts.memoryBytes / 20),
    maxmem: facts.memoryBytes,
    disk: Math.round(facts.rootBytes / 10),
    maxdisk: facts.rootBytes,
  });
  const nodeRow = ({ pve, who }: Call): Record<string, unknown> => ({
    id: `node/${pve.name}`,
    node: pve.name,
    type: 'node',
    status: 'online',
    level: '',
    ...(pve.access.has(who, `/nodes/${pve.name}`, ['Sys.Audit']) ? usage(pve) : {}),
  });

  const version = (): unknown => facts.version;
  return [
    { method: 'GET', path: '/version', handler: version },
    { method: 'GET', path: '/nodes/{node}/version', handler: version },
    {
      method: 'GET',
      path: '/nodes',
      handler: (call) => [{ ...nodeRow(call), ssl_fingerprint: facts.fingerprint }],
    },
    {
      method: 'GET',
      path: '/nodes/{node}/time',
      handler: ({ pve }) => {
        const time = Math.floor(pve.clock.now() / 1000);
        return { time, localtime: time, timezone: 'Etc/UTC' };
      },
    },
    {
      method: 'GET',
      path: '/nodes/{node}/apt/versions',
      handler: () => Object.entries(facts.packages).map(([name, installed]) => packageRow(name, installed)),
    },
    { method: 'GET', path: '/nodes/{node}/disks/list', handler: () => facts.disks },
    { method: 'GET', path: '/nodes/{node}/status', handler: ({ pve }) => nodeStatus(facts, uptime(pve)) },
    {
      method: 'GET',
      path: '/nodes/{node}/network',
      handler: ({ pve, params, who }) => {
        const mayUse = (bridge: string): boolean =>
          pve.access.has(who, `/sdn/zones/localnetwork/${bridge}`, ['SDN.Audit', 'SDN.Use'], { any: true });
        return networkRows(facts, [...pve.bridges].filter(mayUse), params['type']);
      },
    },
    {
      method: 'GET',
      path: '/cluster/status',
      handler: ({ pve }) => [
        {
          id: `node/${pve.name}`,
          name: pve.name,
          type: 'node',
          ip: facts.address,
          level: '',
          local: 1,
          nodeid: 0,
          online: 1,
        },
      ],
    },
    {
      method: 'GET',
      path: '/cluster/options',
      handler: ({ pve }) => ({ ...facts.options, 'allowed-tags': usedTags(pve) }),
    },
    { method: 'GET', path: '/cluster/nextid', handler: nextId },
    {
      method: 'GET',
      path: '/cluster/resources',
      handler: (call) => {
        const { pve, who, params } = call;
        const type = params['type'];
        const guests = pve.guests
          .ids()
          .filter((vmid) => pve.access.has(who, `/vms/${vmid}`, ['VM.Audit']))
          .map((vmid) => guestResource(pve, vmid, 'in-cluster'));
        const storages = pve.storage
          .ids()
          .filter((storage) => pve.storage.isEnabled(storage))
          .filter((storage) => pve.access.has(who, `/storage/${storage}`, ['Datastore.Audit']))
          .map((storage) => pve.storage.row(storage));
        const zone = 'localnetwork';
        const maySeeZone = pve.access.has(who, `/sdn/zones/${zone}`, ['SDN.Audit']);
        const network = {
          id: `network/${pve.name}/zone/${zone}`,
          network: zone,
          node: pve.name,
          type: 'network',
          'network-type': 'zone',
          status: 'ok',
        };
        const is = (wanted: string): boolean => type === undefined || type === wanted;
        return [
          ...(is('vm') ? guests : []),
          ...(is('node') ? [{ ...nodeRow(call), 'cgroup-mode': 2 }] : []),
          ...(is('storage') ? storages : []),
          ...((is('sdn') || is('network')) && maySeeZone ? [network] : []),
        ];
      },
    },
  ];
}

/** Tags in use; which of them a user may set is not restricted here. */
function usedTags(pve: FakePve): string[] {
  const tags = pve.guests.ids().flatMap((vmid) => (pve.guests.config(vmid).active.get('tags') ?? '').split(/[;,\s]+/));
  return [...new Set(tags.filter((tag) => tag !== ''))].sort();
}

function networkRows(facts: NodeFacts, bridges: readonly string[], type: unknown): Record<string, unknown>[] {
  const [address, netmask] = facts.network.split('/');
  const bridgeRows = bridges.map((iface) => ({
    iface,
    type: 'bridge',
    method: 'static',
    method6: 'manual',
    active: 1,
    autostart: 1,
    families: ['inet'],
    priority: 3,
    address,
    netmask,
    cidr: facts.network,
    bridge_fd: '0',
    bridge_ports: '',
    bridge_stp: 'off',
  }));
  const eth = {
    iface: 'eth0',
    type: 'eth',
    method: 'manual',
    method6: 'manual',
    active: 1,
    exists: 1,
    families: ['inet'],
  };
  if (type === undefined) return [...bridgeRows, eth];
  return [...bridgeRows, eth].filter((row) => row.type === type || (type === 'any_bridge' && row.type === 'bridge'));
}

function nextId({ pve, params }: Call): string {
  const asked = params['vmid'];
  if (asked !== undefined) {
    if (pve.guests.exists(Number(asked))) paramError({ vmid: `VM ${textOf(asked)} already exists` });
    return textOf(asked);
  }
  let vmid = 100;
  while (pve.guests.exists(vmid)) vmid += 1;
  return textOf(vmid);
}

function nodeStatus(facts: NodeFacts, uptime: number): unknown {
  const { memoryBytes, rootBytes, cpus, kernel } = facts;
  const usedMemory = Math.round(memoryBytes / 20);
  const usedRoot = Math.round(rootBytes / 10);
  return {
    uptime,
    cpu: 0.01,
    wait: 0,
    idle: 0,
    loadavg: ['0.10', '0.10', '0.10'],
    kversion: `Linux ${kernel} #1 SMP PREEMPT_DYNAMIC`,
    pveversion: `pve-manager/${facts.version.version}/${facts.version.repoid}`,
    'current-kernel': { sysname: 'Linux', release: kernel, version: '#1 SMP PREEMPT_DYNAMIC', machine: 'x86_64' },
    'boot-info': { mode: 'efi', secureboot: 0 },
    memory: {
      total: memoryBytes,
      used: usedMemory,
      free: memoryBytes - usedMemory,
      available: memoryBytes - usedMemory,
    },
    swap: { total: 0, used: 0, free: 0 },
    ksm: { shared: 0 },
    rootfs: { total: rootBytes, used: usedRoot, free: rootBytes - usedRoot, avail: rootBytes - usedRoot },
    cpuinfo: {
      cpus,
      cores: cpus,
      sockets: 1,
      vendor: 'GenuineIntel',
      family: '6',
      model: 'Virtual processor',
      mhz: '2600.000',
      user_hz: 100,
      flags: 'fpu vme',
      hvm: '1',
    },
  };
}

/** PVE: API2/APT.pm versions. `OldVersion` is what is installed, `Version` what could be. */
function packageRow(name: string, installed: string): Record<string, unknown> {
  return {
    Package: name,
    Title: name,
    Description: name,
    Origin: 'Debian',
    Arch: 'amd64',
    Section: 'admin',
    Priority: 'optional',
    Version: installed,
    OldVersion: installed,
    CurrentState: 'Installed',
  };
}
