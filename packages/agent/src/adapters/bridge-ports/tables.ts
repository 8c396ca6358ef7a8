/**
 * The kernel's tables, read by what they look like. Pure. A guest cannot write them, but it fills them: with addresses,
 * with MACs, and with as many of both as it likes.
 */

export interface Neighbour {
  readonly mac: string;
  /** The interface the host reaches it by: a bridge, or a VLAN on one. */
  readonly device: string;
}

/** Of linux/if.h: IFNAMSIZ is 16 with the NUL; `/` and spaces are refused by the kernel, `.` and `..` too. */
export const interfaceName = /^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,15}$/;

const macAddress = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;
/** ATF_COM of linux/if_arp.h: the address is known. */
const complete = 0x2;
const maxNeighbours = 4096;

/** `/proc/net/arp`: one title line, then `IP address, HW type, Flags, HW address, Mask, Device`. */
export function parseArp(text: string): ReadonlyMap<string, readonly Neighbour[]> {
  const found = new Map<string, Neighbour[]>();
  for (const line of text.split('\n', maxNeighbours + 1).slice(1)) {
    const [address, type, flags, mac, , device] = line.trim().split(/\s+/);
    if (address === undefined || mac === undefined || device === undefined) continue;
    // 0x1 is Ethernet; of anything else the bytes are no MAC.
    if (type !== '0x1' || (Number(flags) & complete) === 0) continue;
    if (!macAddress.test(mac) || mac === '00:00:00:00:00:00' || !interfaceName.test(device)) continue;
    found.set(address, [...(found.get(address) ?? []), { mac, device }]);
  }
  return found;
}

/** `struct __fdb_entry` of linux/if_bridge.h. */
const entryBytes = 16;

export interface ForwardingEntry {
  readonly portNumber: number;
  /** The bridge's or a port's own MAC: the host itself. */
  readonly local: boolean;
}

/**
 * `/sys/class/net/<bridge>/brforward`: where the bridge last saw the wanted MACs, once for each VLAN. Only those are
 * looked for: a guest can make the bridge learn tens of thousands of others.
 */
export function parseForwarding(
  bytes: Buffer,
  wanted: ReadonlySet<string>,
): ReadonlyMap<string, readonly ForwardingEntry[]> {
  const found = new Map<string, ForwardingEntry[]>();
  // As numbers of 48 bits: a text for every entry of a full table would take a hundred times as long.
  const keys = new Map([...wanted].map((mac) => [Number.parseInt(mac.replaceAll(':', ''), 16), mac]));
  for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes) {
    const mac = keys.get(bytes.readUIntBE(at, 6));
    if (mac === undefined) continue;
    const portNumber = bytes.readUInt8(at + 6) | (bytes.readUInt8(at + 12) << 8);
    const entries = found.get(mac) ?? [];
    if (!entries.some((entry) => entry.portNumber === portNumber))
      entries.push({ portNumber, local: bytes.readUInt8(at + 7) !== 0 });
    found.set(mac, entries);
  }
  return found;
}

/** `/sys/class/net/<port>/brport/port_no`: hexadecimal with `0x` (net/bridge/br_sysfs_if.c). */
export function parsePortNumber(text: string): number | undefined {
  const value = text.trim();
  return /^(?:0x[0-9a-f]{1,4}|\d{1,5})$/.test(value) ? Number(value) : undefined;
}

/**
 * The container that a port belongs to. `veth<vmid>i<n>` is its own end of the cable; with the firewall on, that end is
 * in a bridge of its own and `fwpr<vmid>p<n>` is the port in the real one (PVE::Network, PVE::LXC).
 */
export function guestOfPort(name: string): { readonly vmid: number; readonly net: number } | undefined {
  const match = /^(?:veth([1-9]\d{2,8})i(\d{1,2})|fwpr([1-9]\d{2,8})p(\d{1,2}))$/.exec(name);
  if (match === null) return undefined;
  return { vmid: Number(match[1] ?? match[3]), net: Number(match[2] ?? match[4]) };
}

/** An IPv4 address as the kernel's table writes it; `undefined` for any other: there is no file of IPv6 neighbours. */
export function addressInTable(address: string): string | undefined {
  const plain = address.replace(/^::ffff:/i, '');
  return /^\d{1,3}(?:\.\d{1,3}){3}$/.test(plain) ? plain : undefined;
}
