/**
 * Whether the tunnel may lead where a declaration says, from root's own facts. Operators signed it, and still: nothing
 * but a guest of this host is ever behind the tunnel [R9]. Pure.
 */
import { BlockList } from 'node:net';
import { guestOfService } from '@felhom/protocol';
import type { TunnelDeclaration } from '@felhom/protocol';

export interface RuleFacts {
  /** Addresses of this host, on every interface of it. */
  readonly own: readonly string[];
  /** Addresses that guests of this host have, in the range of the policy. */
  readonly guests: ReadonlySet<string>;
}

const nobody = new BlockList();
for (const [network, length] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const)
  nobody.addSubnet(network, length, 'ipv4');

/** Whatever answers there, it is nothing that people outside should come to: SSH, portmapper, Proxmox with its consoles. */
const shut: ReadonlySet<number> = new Set([22, 85, 111, 3128, 8006, 8007]);

/** Why not; `undefined`: it may. */
export function whyNotRules({ ingress }: TunnelDeclaration, { own, guests }: RuleFacts): string | undefined {
  for (const { service } of ingress) {
    const to = guestOfService(service);
    if (to === undefined) continue;
    const { address, port } = to;
    if (nobody.check(address, 'ipv4')) return `${address} is loopback, or the address of nobody`;
    if (own.includes(address)) return `${address} is an address of this host`;
    if (!guests.has(address))
      return `${address} is of no guest of this host in the range of the policy; one with DHCP has to be running, and this host has to have spoken to it`;
    if (shut.has(port)) return `port ${port} of ${address} is not for people outside`;
  }
  return undefined;
}

/**
 * The addresses that guests have: fixed ones from their configs, and those of which the kernel knows by whom they are
 * answered (proc_net(5), `arp`; flag 2: it is sure). `configs`: of containers and VMs of Proxmox, active part first.
 */
export function guestAddresses(configs: readonly string[], arp: string): ReadonlySet<string> {
  const found = new Set<string>();
  const cards = new Set<string>();
  for (const text of configs)
    for (const line of (text.split(/^\[/m)[0] ?? '').split('\n')) {
      if (!/^(?:net|ipconfig)\d+: /.test(line)) continue;
      const card = /\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\b/.exec(line)?.[0];
      if (card !== undefined) cards.add(card.toLowerCase());
      const address = /(?:^|[ ,])ip=([0-9.]{7,15})\/\d{1,2}(?:,|$)/.exec(line)?.[1];
      if (address !== undefined) found.add(address);
    }
  for (const line of arp.split('\n').slice(1)) {
    const [address = '', , flags = '', card = ''] = line.split(/\s+/);
    if ((Number(flags) & 2) === 2 && cards.has(card.toLowerCase())) found.add(address);
  }
  return found;
}
