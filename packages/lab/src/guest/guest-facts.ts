/** What of a guest's config matters to the programs in it: environment, mounts, interfaces. Read at its start. */
import { mountKeysOf } from '../fake-pve/guests/config-file.ts';
import { isTrue, parseMountPoint, parseProperties } from '../fake-pve/guests/property-string.ts';
import type { FakePveNode } from '../world/enrolled-node.ts';

export interface GuestInterface {
  readonly net: number;
  readonly bridge: string;
  /** Lower-case. */
  readonly mac: string;
  readonly linkDown: boolean;
  /** Port of the bridge that its frames come in by: behind the firewall's own bridge it has another name. */
  readonly port: string;
}

export interface GuestFacts {
  readonly vmid: number;
  readonly environment: Readonly<Record<string, string>>;
  /** Guest path → path of its volume on the node's disk. */
  readonly mounts: ReadonlyMap<string, string>;
  readonly interfaces: readonly GuestInterface[];
}

/** Only `FELHOM…` of the environment, as a unit with PassEnvironment gets it; NUL separates (pct.conf(5)). */
export function guestFacts(node: FakePveNode, vmid: number): GuestFacts {
  const { active } = node.guests.config(vmid);
  const environment: Record<string, string> = {};
  for (const pair of (active.get('env') ?? '').split('\0')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.startsWith('FELHOM_')) environment[pair.slice(0, at)] = pair.slice(at + 1);
  }
  const mounts = new Map<string, string>();
  for (const key of mountKeysOf(active)) {
    const { kind, volume, path } = parseMountPoint(key, active.get(key));
    if (kind === 'volume' && node.storage.volume(volume) !== undefined)
      mounts.set(path, node.storage.volumeDiskPath(volume));
  }
  const interfaces: GuestInterface[] = [];
  for (const [key, value] of active) {
    const net = /^net(\d+)$/.exec(key)?.[1];
    if (net === undefined) continue;
    const of = parseProperties(value);
    const [bridge, mac] = [of.get('bridge'), of.get('hwaddr')];
    if (bridge === undefined || mac === undefined) continue;
    interfaces.push({
      net: Number(net),
      bridge,
      mac: mac.toLowerCase(),
      linkDown: isTrue(of.get('link_down')),
      port: isTrue(of.get('firewall')) ? `fwpr${vmid}p${net}` : `veth${vmid}i${net}`,
    });
  }
  return { vmid, environment, mounts, interfaces };
}

/** Where connections of this guest come from: an address of the loopback network that is nobody else's. */
export const addressOfGuest = (vmid: number): string => `127.9.${(vmid >> 8) & 255}.${vmid & 255}`;
