/** The real adapters of monitoring, for a machine that is its own node. */
import { createGateFiles } from '../adapters/gate-files/index.ts';
import { createHostFacts, readZfsStates } from '../adapters/host-facts/index.ts';
import { createStorageDevices } from '../adapters/storage-devices/index.ts';
import { createSystemctl } from '../adapters/systemctl/index.ts';
import {
  createDeclaredIngress,
  createInternetProbe,
  createSignedRules,
  createTunnelEndpoint,
} from '../adapters/tunnel/index.ts';
import type { PveClient } from '../adapters/pve-http/index.ts';
import type { AgentConfig } from '../config.ts';
import type { Clock, Random } from '../kernel/index.ts';
import type { Ending } from '../monitoring/index.ts';
import type { HostFacts } from '../ports/host-facts.ts';
import type { StorageDevices } from '../ports/storage-devices.ts';
import type { StorageHelper } from '../ports/storage-helper.ts';
import type { HostPorts } from '../watch-host.ts';

/** Until when the certificates are valid that were shown last, milliseconds since the epoch. */
export interface SeenCertificates {
  proxmox: number | undefined;
  hub: number | undefined;
}

export const storageDevicesOf = ({ kernel }: AgentConfig): StorageDevices =>
  createStorageDevices({
    mountinfo: `${kernel.proc}/self/mountinfo`,
    udevData: `${kernel.run}/udev/data`,
    sysBlock: `${kernel.sys}/dev/block`,
  });

/** Both answer within milliseconds on a host that is well; on any other one they must not pile up. */
const systemdMs = 10_000;

export function hostFactsOf(config: AgentConfig, clock: Clock): HostFacts {
  return createHostFacts({
    roots: config.kernel,
    systemctl: createSystemctl({ timeoutMs: systemdMs }),
    timedatectl: createSystemctl({ program: '/usr/bin/timedatectl', timeoutMs: systemdMs }),
    clock,
  });
}

export function monitoringPorts(
  config: AgentConfig,
  world: { readonly clock: Clock; readonly random: Random },
  parts: {
    readonly proxmox: Pick<PveClient, 'disks' | 'login' | 'pools'>;
    readonly helper: Pick<StorageHelper, 'smart'> | undefined;
    readonly certificates: Readonly<SeenCertificates>;
  },
): HostPorts | undefined {
  if (!config.watchHost) return undefined;
  const { proxmox, helper, certificates } = parts;
  return {
    host: hostFactsOf(config, world.clock),
    disks: proxmox.disks,
    pools: proxmox.pools(() => readZfsStates(config.kernel.proc)),
    login: proxmox.login,
    smart: helper === undefined ? undefined : (device, signal) => helper.smart(device, signal),
    tunnel: {
      endpoint: createTunnelEndpoint({ port: config.tunnel.metricsPort }),
      declared: createDeclaredIngress(config.tunnel.ingressFile),
      rules: createSignedRules(config.tunnel.rulesFile),
    },
    internet: createInternetProbe({ random: world.random }),
    endings: () => endingsOf(certificates),
    gate: createGateFiles(config.gateDirectory),
  };
}

function endingsOf({ proxmox, hub }: Readonly<SeenCertificates>): readonly Ending[] {
  const ending = (what: string, endsAt: number | undefined, advice: Ending['advice']): readonly Ending[] =>
    endsAt === undefined ? [] : [{ what, endsAt, advice }];
  return [
    // Proxmox renews its own two weeks before; one that is as near as this was not renewed.
    ...ending('certificate of Proxmox', proxmox, {
      text: 'Proxmox renews its own by itself, two weeks before; see why it did not, or:',
      command: 'pvecm updatecerts --force && systemctl reload pveproxy',
    }),
    ...ending('certificate of the hub', hub, { text: 'Renew it on the hub, with the same key if hosts pin it.' }),
  ];
}
