/**
 * What the kernel of a host shows about its bridges: `/proc/net/arp`, and per bridge `brforward` and the numbers of its
 * ports. Written anew whenever a guest comes or goes; whoever reads meanwhile sees the old or the new one whole.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { addressOfGuest } from './guest-facts.ts';
import type { GuestFacts, GuestInterface } from './guest-facts.ts';

export interface GuestNetworkOptions {
  /** Stands for `/proc/net/arp`. */
  readonly arp: string;
  /** Stands for `/sys/class/net`. */
  readonly net: string;
}

export interface GuestNetwork {
  /** `interfaces` of a guest that runs. */
  up(guest: Pick<GuestFacts, 'vmid' | 'interfaces'>): void;
  down(vmid: number): void;
  /** A MAC that also shows at the port of another guest: somebody pretends to be it. */
  pretend(mac: string, atVmid: number): void;
}

/** `struct __fdb_entry` of linux/if_bridge.h. */
const entryBytes = 16;
const title = 'IP address       HW type     Flags       HW address            Mask     Device';

export function createGuestNetwork({ arp, net }: GuestNetworkOptions): GuestNetwork {
  const running = new Map<number, readonly GuestInterface[]>();
  const pretended: { readonly mac: string; readonly vmid: number }[] = [];
  /** Bridge and port → number; a port keeps its number, as bridges count up. */
  const numbers = new Map<string, number>();
  const bridges = new Set<string>();

  const show = (): void => {
    const lines = [title];
    const entries = new Map<string, Buffer[]>();
    const ports = new Map<string, Map<string, number>>();
    for (const [vmid, interfaces] of running)
      for (const one of interfaces) {
        bridges.add(one.bridge);
        const number = numberOf(numbers, one);
        ports.set(one.bridge, (ports.get(one.bridge) ?? new Map<string, number>()).set(one.port, number));
        // With its link down a guest has said nothing, so that no bridge has learnt of it.
        if (one.linkDown) continue;
        lines.push(`${addressOfGuest(vmid).padEnd(16)} 0x1         0x2         ${one.mac}     *        ${one.bridge}`);
        const macs = [one.mac, ...pretended.filter((other) => other.vmid === vmid).map(({ mac }) => mac)];
        entries.set(one.bridge, [...(entries.get(one.bridge) ?? []), ...macs.map((mac) => fdbEntry(mac, number))]);
      }
    for (const bridge of bridges) {
      const folder = join(net, bridge);
      mkdirSync(folder, { recursive: true });
      const unfinished = join(folder, '.brif');
      rmSync(unfinished, { recursive: true, force: true });
      mkdirSync(unfinished);
      for (const [port, number] of ports.get(bridge) ?? []) {
        mkdirSync(join(unfinished, port));
        writeFileSync(join(unfinished, port, 'port_no'), `0x${number.toString(16)}\n`);
      }
      const brif = join(folder, 'brif');
      rmSync(brif, { recursive: true, force: true });
      renameSync(unfinished, brif);
      put(join(folder, 'brforward'), Buffer.concat(entries.get(bridge) ?? []));
    }
    put(arp, Buffer.from(`${lines.join('\n')}\n`, 'latin1'));
  };
  show();
  return {
    up: ({ vmid, interfaces }) => {
      running.set(vmid, interfaces);
      show();
    },
    down: (vmid) => {
      running.delete(vmid);
      show();
    },
    pretend: (mac, vmid) => {
      pretended.push({ mac: mac.toLowerCase(), vmid });
      show();
    },
  };
}

function numberOf(numbers: Map<string, number>, { bridge, port }: GuestInterface): number {
  const key = `${bridge} ${port}`;
  // 1 is the host's own network card.
  const number = numbers.get(key) ?? numbers.size + 2;
  numbers.set(key, number);
  return number;
}

/** mac[6], port_no, is_local, ageing_timer_value (u32), port_hi, pad, unused (u16). */
export function fdbEntry(mac: string, portNumber: number): Buffer {
  const entry = Buffer.alloc(entryBytes);
  Buffer.from(mac.replaceAll(':', ''), 'hex').copy(entry);
  entry.writeUInt8(portNumber & 0xff, 6);
  entry.writeUInt8(portNumber >> 8, 12);
  return entry;
}

function put(path: string, bytes: Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, bytes);
  renameSync(`${path}.new`, path);
}
