/**
 * Which bridge port a peer is behind, from the kernel's files alone: no process, no privilege [R27]. IPv4 only, because
 * the kernel shows no file of IPv6 neighbours.
 *
 * A guest chooses its address and its MAC; it cannot choose the port. What it can do is send frames with another's MAC,
 * so that the bridge learns it at the wrong port: a MAC that was seen at two ports within a minute is nobody's.
 */
import { open, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../kernel/clock.ts';
import type { BridgePorts, PeerPort } from '../../ports/bridge-ports.ts';
import { addressInTable, guestOfPort, interfaceName, parseArp, parseForwarding, parsePortNumber } from './tables.ts';
import type { ForwardingEntry, Neighbour } from './tables.ts';

export interface BridgePortsOptions {
  /** `/proc/net/arp`. */
  readonly arp: string;
  /** `/sys/class/net`. */
  readonly net: string;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** How old an answer may be, and when it is read anew in the background: who asks then need not wait. */
const oldestMs = 1000;
const freshMs = 500;
const twoPortsMs = 60_000;
/** Of one table: 65,536 entries of the forwarding table. What is further back is not found, and its peer is dropped. */
const maxTableBytes = 1_048_576;
const maxSeen = 4096;
const maxPorts = 4096;

interface Snapshot {
  readonly at: number;
  readonly neighbours: ReadonlyMap<string, readonly Neighbour[]>;
  /** By bridge. */
  readonly bridges: ReadonlyMap<string, BridgeTables>;
}
interface BridgeTables {
  readonly entries: ReadonlyMap<string, readonly ForwardingEntry[]>;
  readonly ports: ReadonlyMap<number, string>;
}

/** Never throws: what cannot be read makes a peer `unknown`, which nobody lets in. */
export function createBridgePorts({ arp, net, clock }: BridgePortsOptions): BridgePorts {
  let last: Snapshot | undefined;
  let reading: Promise<Snapshot> | undefined;
  /** By bridge and MAC: the ports it was seen at lately, and when. */
  const seen = new Map<string, Map<string, number>>();

  const take = async (): Promise<Snapshot> => {
    const at = clock.monotonicMs();
    const neighbours = parseArp((await readTable(arp)).toString('latin1'));
    const macsOf = new Map<string, Set<string>>();
    for (const { mac, device } of [...neighbours.values()].flat())
      macsOf.set(device, (macsOf.get(device) ?? new Set()).add(mac));
    const bridges = new Map<string, BridgeTables>();
    for (const [device, macs] of macsOf) {
      const tables = await readBridge(net, device, macs);
      if (tables !== undefined) bridges.set(device, tables);
    }
    const snapshot = { at, neighbours, bridges };
    remember(snapshot);
    return snapshot;
  };

  const remember = ({ at, bridges }: Snapshot): void => {
    for (const [key, ports] of seen) {
      for (const [port, since] of ports) if (at - since >= twoPortsMs) ports.delete(port);
      if (ports.size === 0) seen.delete(key);
    }
    for (const [device, { entries, ports }] of bridges)
      for (const [mac, found] of entries) {
        const key = `${device} ${mac}`;
        const known = seen.get(key) ?? new Map<string, number>();
        for (const { portNumber } of found) known.set(ports.get(portNumber) ?? `#${portNumber}`, at);
        if (seen.size < maxSeen) seen.set(key, known);
      }
  };

  /** One reading at a time, whoever asks; the next one serves all who came while it ran. */
  const snapshotSince = async (since: number): Promise<Snapshot> => {
    for (;;) {
      if (last !== undefined && last.at >= since) return last;
      reading ??= take().finally(() => (reading = undefined));
      last = await reading;
    }
  };

  const look = (address: string, { neighbours, bridges }: Snapshot): PeerPort => {
    const [neighbour, other] = neighbours.get(address) ?? [];
    if (neighbour === undefined) return { is: 'unknown' };
    const { mac, device } = neighbour;
    if (other !== undefined) return { is: 'ambiguous', mac };
    const tables = bridges.get(device);
    if (tables === undefined) return { is: 'other', port: device };
    const found = tables.entries.get(mac) ?? [];
    const [entry] = found;
    if (entry === undefined) return { is: 'unknown' };
    if (found.length > 1 || (seen.get(`${device} ${mac}`)?.size ?? 0) > 1) return { is: 'ambiguous', mac };
    const port = tables.ports.get(entry.portNumber);
    if (port === undefined) return { is: 'unknown' };
    const guest = entry.local ? undefined : guestOfPort(port);
    return guest === undefined ? { is: 'other', port } : { is: 'guest', ...guest, mac, port };
  };

  return {
    portOf: async (address) => {
      const wanted = addressInTable(address);
      if (wanted === undefined) return { is: 'unknown' };
      const now = clock.monotonicMs();
      const snapshot = await snapshotSince(now - oldestMs);
      if (snapshot.at < now - freshMs) void snapshotSince(now);
      const port = look(wanted, snapshot);
      // A guest that has just come may not be in what was read half a second ago.
      return port.is === 'unknown' ? look(wanted, await snapshotSince(now)) : port;
    },
  };
}

/** `undefined`: no bridge. */
async function readBridge(net: string, device: string, macs: ReadonlySet<string>): Promise<BridgeTables | undefined> {
  // `vmbr0.20` is a VLAN of the host on a bridge; the ports are the bridge's.
  for (const bridge of new Set([device, device.replace(/\.\d{1,4}$/, '')])) {
    const names = await readdir(join(net, bridge, 'brif')).catch(() => undefined);
    if (names === undefined) continue;
    const ports = new Map<number, string>();
    const reading = names
      .filter((name) => interfaceName.test(name))
      .slice(0, maxPorts)
      .map(async (name) => {
        const text = await readFile(join(net, bridge, 'brif', name, 'port_no'), 'latin1').catch(() => '');
        const portNumber = parsePortNumber(text);
        if (portNumber !== undefined) ports.set(portNumber, name);
      });
    await Promise.all(reading);
    return { entries: parseForwarding(await readTable(join(net, bridge, 'brforward')), macs), ports };
  }
  return undefined;
}

/** A file of the kernel says its size is 0: read until it ends, or it is too much. Empty where it cannot be read. */
async function readTable(path: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  try {
    await using file = await open(path, 'r');
    for (let total = 0; total < maxTableBytes;) {
      // The kernel hands out whole entries, at most a page of them for each read.
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(65_536), 0, 65_536, null);
      if (bytesRead === 0) break;
      parts.push(buffer.subarray(0, bytesRead));
      total += bytesRead;
    }
  } catch {
    return Buffer.alloc(0);
  }
  return Buffer.concat(parts);
}
