/** The one restore call of a new guest: everything that isolates the new guest is in it. Pure. */
import type { DesiredGuest } from '@felhom/protocol';
import type { Marker } from '../guests/settle.ts';
import { formatDescription, formatNet, formatNetPlaceholder, keyOfNetwork } from '../guests/pve-config.ts';

export interface NewGuestCall {
  readonly desired: DesiredGuest;
  readonly marker: Marker;
  /** Networks of the archive: each is overridden in full, or its MAC and address would come along. */
  readonly archivedNetworks: readonly string[];
}

/**
 * Explicit `rootfs`, so that no mount of the archive comes along; never `unique` (it would discard the networks passed
 * here), never `features` (refused for tokens), never tags (Proxmox checks them without looking at the pool).
 * A crash right after it leaves a guest that no reboot starts, that reaches no network, and that can be destroyed.
 */
export function newGuestValues(call: NewGuestCall): Readonly<Record<string, string>> {
  const { desired } = call;
  const values: Record<string, string> = {
    hostname: desired.hostname,
    description: formatDescription(call.marker, desired.label),
    cores: String(desired.cores),
    memory: String(desired.memoryMiB),
    swap: String(desired.swapMiB),
    onboot: '0',
    protection: '0',
    rootfs: `${desired.rootfs.storage}:${desired.rootfs.sizeGiB}`,
  };
  const bridge = desired.networks[0]?.bridge ?? '';
  for (const key of call.archivedNetworks) values[key] = formatNetPlaceholder(key, bridge);
  for (const network of desired.networks)
    values[keyOfNetwork(network)] = formatNet(network, { mac: undefined, linkDown: true });
  if (desired.nameservers.length > 0) values['nameserver'] = desired.nameservers.join(' ');
  if (desired.startup !== undefined) values['startup'] = `order=${desired.startup.order}`;
  if (desired.timezone !== undefined) values['timezone'] = desired.timezone;
  return values;
}
