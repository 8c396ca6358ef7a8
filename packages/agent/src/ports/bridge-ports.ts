/** Behind which port of the host's bridges an address is: the only thing about a peer that a guest cannot choose [R27]. */
export interface BridgePorts {
  /** By the kernel's neighbour table and forwarding table, as they are now. */
  portOf(address: string): Promise<PeerPort>;
}

export type PeerPort =
  /** `veth<vmid>i<n>` or `fwpr<vmid>p<n>` of one of this host's containers. */
  | { readonly is: 'guest'; readonly vmid: number; readonly net: number; readonly mac: string; readonly port: string }
  /** A port that is no container's: the LAN, the host itself. */
  | { readonly is: 'other'; readonly port: string }
  /** The same MAC was seen at two ports within a minute: somebody pretends. */
  | { readonly is: 'ambiguous'; readonly mac: string }
  | { readonly is: 'unknown' };
