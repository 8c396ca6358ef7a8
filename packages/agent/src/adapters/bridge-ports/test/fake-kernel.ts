/** The kernel's files of neighbours and bridges, in a folder, as tests and benchmarks want them. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface FakePeer {
  readonly address: string;
  readonly mac: string;
  /** Interfaces that the bridge last saw the MAC at. */
  readonly at: readonly string[];
  readonly bridge?: string;
  readonly local?: boolean;
  readonly flags?: string;
}

export interface FakeKernel {
  readonly arp: string;
  readonly net: string;
  /** Replaces everything. Ports that no peer is at may be named too. */
  readonly show: (peers: readonly FakePeer[], ports?: readonly string[]) => void;
}

export function fdbEntry(mac: string, portNumber: number, local = false): Buffer {
  const entry = Buffer.alloc(16);
  Buffer.from(mac.replaceAll(':', ''), 'hex').copy(entry);
  entry.writeUInt8(portNumber & 0xff, 6);
  entry.writeUInt8(local ? 1 : 0, 7);
  entry.writeUInt32LE(123, 8);
  entry.writeUInt8(portNumber >> 8, 12);
  return entry;
}

export function fakeKernel(folder: string): FakeKernel {
  const arp = join(folder, 'arp');
  const net = join(folder, 'net');
  return {
    arp,
    net,
    show: (peers, more = []) => {
      rmSync(net, { recursive: true, force: true });
      const lines = peers.map(
        ({ address, mac, bridge = 'vmbr0', flags = '0x2' }) =>
          `${address.padEnd(17)}0x1         ${flags}         ${mac}     *        ${bridge}`,
      );
      for (const bridge of new Set(peers.map((peer) => peer.bridge ?? 'vmbr0'))) {
        const here = peers.filter((peer) => (peer.bridge ?? 'vmbr0') === bridge);
        const ports = [...new Set([...here.flatMap((peer) => peer.at), ...more])];
        const folderOf = join(net, bridge.replace(/\.\d+$/, ''));
        for (const [index, port] of ports.entries()) {
          mkdirSync(join(folderOf, 'brif', port), { recursive: true });
          writeFileSync(join(folderOf, 'brif', port, 'port_no'), `0x${(index + 1).toString(16)}\n`);
        }
        const entries = here.flatMap((peer) =>
          peer.at.map((port) => fdbEntry(peer.mac, ports.indexOf(port) + 1, peer.local)),
        );
        mkdirSync(join(folderOf, 'brif'), { recursive: true });
        writeFileSync(join(folderOf, 'brforward'), Buffer.concat(entries));
      }
      writeFileSync(
        arp,
        `IP address       HW type     Flags       HW address            Mask     Device\n${lines.join('\n')}\n`,
      );
    },
  };
}
