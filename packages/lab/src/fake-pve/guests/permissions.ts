// Who may change which config key. PVE: LXC.pm check_ct_modify_config_perm.
import type { FakePve, GuestConfig, Identity } from '../core.ts';
import { PveError, die } from '../core.ts';
import { changedFeatures, isTrue, newDiskOf, parseMountPoint, parseProperties } from './property-string.ts';

/** `raise_perm_exc`: 403 "Permission check failed (why)". */
export function denied(why?: string): never {
  throw new PveError(403, why === undefined ? 'Permission check failed' : `Permission check failed (${why})`);
}

/** SDN.Use on the bridge of a netN value, on the tag below it when there is one. PVE: check_bridge_access. */
export function checkBridge(pve: FakePve, who: Identity, network: string): void {
  if (pve.access.isRoot(who)) return;
  const net = parseProperties(network);
  const bridge = net.get('bridge');
  if (bridge === undefined) return;
  const zone = `/sdn/zones/localnetwork/${bridge}`;
  const tags = [net.get('tag'), ...(net.get('trunks')?.split(';') ?? [])].filter((tag) => tag !== undefined);
  for (const path of tags.length > 0 ? tags.map((tag) => `${zone}/${tag}`) : [zone]) {
    pve.access.check(who, path, ['SDN.Use']);
  }
}

/**
 * Access to an existing volume or archive by content type; the guest that owns it may always use it.
 * PVE: Storage.pm check_volume_access.
 */
export function checkVolume(
  pve: FakePve,
  who: Identity,
  vmid: number,
  volid: string,
  content: 'images' | 'backup' | 'vztmpl',
): void {
  const parsed = pve.storage.parse(volid);
  if (parsed === undefined) refuseUnknown(pve, who, volid);
  else {
    if (parsed.content !== content) {
      die(`unable to use volume ${volid} - content type needs to be '${content === 'images' ? 'rootdir' : content}'`);
    }
    if (parsed.content !== 'vztmpl' && parsed.vmid === vmid) return;
  }
  pve.storage.checkAccess(who, volid);
}

/** How the plugins call what a volume id names, in the text about one they cannot read. */
const VOLUME_KIND: Readonly<Record<string, string>> = { lvmthin: 'lvm', lvm: 'lvm', zfspool: 'zfs', rbd: 'rbd' };

/** What is no volume id is a path, and paths are for root. */
function refuseUnknown(pve: FakePve, who: Identity, volid: string): void {
  const storage = /^([A-Za-z][A-Za-z0-9._-]*):/.exec(volid)?.[1];
  if (storage !== undefined) {
    if (!pve.storage.exists(storage)) die(`storage '${storage}' does not exist`);
    const kind = VOLUME_KIND[pve.storage.type(storage)] ?? 'directory';
    die(`unable to parse ${kind} volume name '${volid.slice(storage.length + 1)}'`);
  }
  if (!pve.access.isRoot(who)) {
    die('Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.');
  }
}

export interface ConfigChange {
  readonly vmid: number;
  readonly pool: string | undefined;
  /** Absent for a guest that is being created. */
  readonly before: GuestConfig | undefined;
  readonly set: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
  readonly unprivileged: boolean;
}

type Rule = (pve: FakePve, who: Identity, change: ConfigChange, key: string, value: string | undefined) => void;

function needs(priv: string): Rule {
  return (pve, who, change) => pve.access.checkGuest(who, change.vmid, change.pool, [priv]);
}

const disk: Rule = (pve, who, change, key, value) => {
  pve.access.checkGuest(who, change.vmid, change.pool, ['VM.Config.Disk']);
  if (value === undefined) return;
  const mount = parseMountPoint(key, value);
  if (mount.kind !== 'volume') denied(`mount point type ${mount.kind} is only allowed for root@pam`);
  const fresh = newDiskOf(mount.volume);
  if (fresh) pve.access.check(who, `/storage/${fresh.storage}`, ['Datastore.AllocateSpace']);
  else checkVolume(pve, who, change.vmid, mount.volume, 'images');
};

const network: Rule = (pve, who, change, key, value) => {
  pve.access.checkGuest(who, change.vmid, change.pool, ['VM.Config.Network']);
  const old = change.before?.active.get(key);
  if (old !== undefined) checkBridge(pve, who, old);
  if (value !== undefined) checkBridge(pve, who, value);
};

const features: Rule = (pve, who, change, key, value) => {
  if (!change.unprivileged) denied('changing feature flags for privileged container is only allowed for root@pam');
  const changed = featuresToAllow(change.before?.active.get(key), value);
  if ([...changed].some((name) => name !== 'nesting')) {
    denied('changing feature flags (except nesting) is only allowed for root@pam');
  }
  if (changed.has('nesting')) pve.access.checkGuest(who, change.vmid, change.pool, ['VM.Allocate']);
};

/**
 * Flags that count as changed. Where one side has none at all, the other is not compared but looked at as a whole: only
 * a lone `nesting=1` passes as nesting, so even `nesting=0` counts as another flag.
 */
function featuresToAllow(before: string | undefined, after: string | undefined): Set<string> {
  if (before !== undefined && after !== undefined) return changedFeatures(before, after);
  const whole = [...parseProperties(after ?? before ?? '')];
  if (whole.length === 1 && whole.every(([name, value]) => name === 'nesting' && isTrue(value))) {
    return new Set(['nesting']);
  }
  return new Set(whole.map(([name]) => `${name} as a whole`));
}

/** Tags are checked on the guest itself; the pool named at creation is not consulted. */
const tags: Rule = (pve, who, change) => pve.access.check(who, `/vms/${change.vmid}`, ['VM.Config.Options']);

const RULES: readonly (readonly [pattern: RegExp, rule: Rule])[] = [
  [/^(cores|cpuunits|cpulimit)$/, needs('VM.Config.CPU')],
  [/^(rootfs|mp\d+)$/, disk],
  [/^(memory|swap)$/, needs('VM.Config.Memory')],
  [/^net\d+$/, network],
  [/^dev\d+$/, () => denied('configuring device passthrough is only allowed for root@pam')],
  [/^(nameserver|searchdomain|hostname)$/, needs('VM.Config.Network')],
  [/^features$/, features],
  [/^hookscript$/, () => denied('changing the hookscript is only allowed for root@pam')],
  [/^tags$/, tags],
  [/^/, needs('VM.Config.Options')],
];

/** Throws the 403 of the first key that the caller may not set or remove; root@pam may do anything. */
export function checkConfigChange(pve: FakePve, who: Identity, change: ConfigChange): void {
  if (pve.access.isRoot(who)) return;
  const ruleFor = (key: string): Rule =>
    RULES.find(([pattern]) => pattern.test(key))?.[1] ?? needs('VM.Config.Options');
  for (const key of change.remove) ruleFor(key)(pve, who, change, key, undefined);
  for (const [key, value] of change.set) ruleFor(key)(pve, who, change, key, value);
}
