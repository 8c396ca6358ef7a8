/**
 * What each config key means when it arrives inside an archive. Pure and total: a key that is not listed is `refuse`,
 * because an archive is root-equivalent (devices, hooks and raw LXC lines survive a token's restore unchecked).
 */
import { parseProperties } from '../guests/property-string.ts';
import { diskKey, netKey } from '../guests/pve-config.ts';

/**
 * `keep`    belongs to the image and is harmless
 * `call`    the restore call passes it in full, so the archive's value never counts
 * `strip`   harmless, but not wanted: removed or replaced before the first start
 * `refuse`  code, a device, another guest's volume, or unknown
 */
export type ArchiveKeyClass = 'keep' | 'call' | 'strip' | 'refuse';

const listed: Readonly<Record<string, ArchiveKeyClass>> = {
  arch: 'keep',
  ostype: 'keep',
  unprivileged: 'keep',
  features: 'keep',
  hostname: 'call',
  cores: 'call',
  memory: 'call',
  swap: 'call',
  onboot: 'call',
  protection: 'call',
  description: 'call',
  env: 'call',
  rootfs: 'call',
  tags: 'strip',
  startup: 'strip',
  timezone: 'strip',
  nameserver: 'strip',
  searchdomain: 'strip',
  cpulimit: 'strip',
  cpuunits: 'strip',
  cmode: 'strip',
  console: 'strip',
  tty: 'strip',
};

export function classOfArchiveKey(key: string): ArchiveKeyClass {
  if (Object.hasOwn(listed, key)) return listed[key] ?? 'refuse';
  if (netKey.test(key)) return 'call';
  return 'refuse';
}

/** Why a key is refused, for people; ends without a full stop. */
export function whyRefused(key: string): string {
  if (/^dev\d+$/.test(key)) return `${key} passes a device of the host into the guest`;
  if (key === 'hookscript') return 'hookscript runs a program on the host';
  if (key === 'lxc' || key.startsWith('lxc.')) return 'raw lxc lines can grant anything';
  if (key === 'entrypoint') return 'entrypoint replaces the init of the guest';
  if (diskKey.test(key)) return `${key} is a mount that nobody asked for`;
  if (/^unused\d+$/.test(key)) return `${key} is a volume that nobody asked for`;
  return `${key} is not on the list of keys that a restored guest may have`;
}

const allowedFeatures = new Set(['nesting', 'keyctl']);

/** Problems of the two `keep` keys whose values carry power. `undefined`: fine. */
export function problemOfKept(key: string, value: string | undefined): string | undefined {
  if (key === 'unprivileged' && value !== '1') return 'the guest is privileged: its root is root of the host';
  if (key === 'features') {
    const surplus = [...parseProperties(value ?? '').keys()].filter((feature) => !allowedFeatures.has(feature));
    if (surplus.length > 0) return `features beyond nesting and keyctl: ${surplus.toSorted().join(', ')}`;
  }
  if (key === 'ostype' && value === 'unmanaged')
    return 'ostype unmanaged: Proxmox would set neither hostname nor network';
  return undefined;
}
