/**
 * The named formats of PVE's JSON schema, with its own words. Each check answers the text that follows
 * `invalid format - `, or undefined when the value is fine.
 *
 * PVE: JSONSchema.pm, Storage/Plugin.pm, AccessControl.pm, LXC/Config.pm, GuestHelpers.pm
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';

export type FormatCheck = (value: string) => string | undefined;

const says =
  (ok: (value: string) => boolean, text: string | ((value: string) => string)): FormatCheck =>
  (value) =>
    ok(value) ? undefined : typeof text === 'string' ? text : text(value);

const matches = (pattern: RegExp, text: string | ((value: string) => string)): FormatCheck =>
  says((value) => pattern.test(value), text);

/** Of any length, unlike a real DNS label: only the whole name is limited, by `maxLength`. */
const dnsLabel = '[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?';
const dnsName = new RegExp(`^(${dnsLabel}\\.)*${dnsLabel}$`);

/** Splits like PVE::Tools::split_list: commas, semicolons, NUL and white space. */
export function splitList(value: string): string[] {
  return value.split(/[,;\0\s]+/).filter((part) => part !== '');
}

function ipConfig(value: string, version: 4 | 6): boolean {
  if (value === 'dhcp' || value === 'manual' || (version === 6 && value === 'auto')) return true;
  const [address = '', bits = '', ...more] = value.split('/');
  if (more.length > 0) return false;
  const isAddress = version === 4 ? isIPv4(address) : isIPv6(address);
  const most = version === 4 ? 32 : 128;
  return isAddress && /^\d+$/.test(bits) && Number(bits) >= 8 && Number(bits) <= most;
}

function storageId(value: string): string | undefined {
  if (value.length < 2) return `storage ID '${value}' cannot be shorter than 2 characters\n`;
  return /^[a-z][a-z0-9\-_.]*[a-z0-9]$/i.test(value)
    ? undefined
    : `storage ID '${value}' contains illegal characters\n`;
}

/** PVE: LXC/Config.pm verify_lxc_mp_string. A lone `..` or a leading `./` is not among what it looks for. */
function mountPath(value: string): string | undefined {
  const climbs = /\/\.\.?\//.test(value) || /\/\.\.?$/.test(value) || value.startsWith('../');
  return climbs ? `${value} contains illegal character sequences\n` : undefined;
}

/** PVE: LXC/Config.pm verify_lxc_dev_string. */
function devicePath(value: string): string | undefined {
  const ok = value.startsWith('/dev/') && !/\/\.\.?(\/|$)/.test(value);
  return ok ? undefined : `${value} is not a valid device path\n`;
}

/** Separated by commas only, and never empty. PVE: JSONSchema.pm pve_parse_startup_order. */
function startupOrder(value: string): boolean {
  if (value === '' || value === '0') return false;
  return value.split(',').every((part) => /^\s*$/.test(part) || /^((order=)?|up=|down=)\d+$/.test(part));
}

const AREAS = /^(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)\/[A-Z]/;

/** `host`, UTC, or a place in zone.tab, which lists neither `Etc/…` nor abbreviations. PVE: pve_verify_timezone. */
function timezone(value: string): boolean {
  if (value === 'host' || value === 'UTC') return true;
  if (!AREAS.test(value)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: value }).format(0) !== '';
  } catch {
    return false;
  }
}

/** PVE: LXC/Config.pm verify_ip_with_ll_iface: a link-local IPv6 address may name its interface. */
function isNameserver(value: string): boolean {
  const [, address, iface = ''] = /^(fe80:[^%]+)%(.*)$/i.exec(value) ?? [];
  return isIP(value) !== 0 && !value.includes('%') ? true : isIP(address ?? '') === 6 && IFACE.test(iface);
}

const IFACE = /^[a-z][a-z0-9_]{1,20}([:.]\d+)?$/i;

const contentTypes = new Set(['images', 'rootdir', 'vztmpl', 'iso', 'backup', 'snippets', 'import', 'none']);

/** The table of formats that our endpoints use. `privileges` is what `pve-priv` accepts. */
export function formatTable(privileges: readonly string[]): ReadonlyMap<string, FormatCheck> {
  const known = new Set(privileges);
  const vmid = says((value) => /^[1-9]\d{2,8}$/.test(value), 'value does not look like a valid VM ID\n');
  const single: Record<string, FormatCheck> = {
    'pve-vmid': vmid,
    'pve-node': matches(new RegExp(`^${dnsLabel}$`), 'value does not look like a valid node name\n'),
    'pve-configid': matches(/^[a-z][a-z0-9_-]+$/i, (value) => `invalid configuration ID '${value}'\n`),
    'pve-storage-id': storageId,
    'pve-poolid': (value) => {
      if (value.split('/').length > 3) return `pool name '${value}' nested too deeply (max levels = 3)\n`;
      const ok = value.split('/').every((part) => /^[A-Za-z0-9._-]+$/.test(part));
      return ok ? undefined : `pool name '${value}' contains invalid characters\n`;
    },
    'pve-userid': says(
      (value) => /^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$/.test(value) && value.length <= 64,
      (value) =>
        value.includes('@') ? `value '${value}' does not look like a valid user name\n` : `invalid user name format\n`,
    ),
    'pve-tokenid': matches(
      /^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$/,
      (value) => `value '${value}' does not look like a valid token ID\n`,
    ),
    'pve-groupid': matches(/^[A-Za-z0-9.\-_]+$/, (value) => `group name '${value}' contains invalid characters\n`),
    'pve-roleid': matches(/^[A-Za-z0-9.\-_]+$/, (value) => `role name '${value}' contains invalid characters\n`),
    'pve-realm': matches(/^[A-Za-z][A-Za-z0-9.\-_]+$/, (value) => `invalid realm '${value}'\n`),
    'pve-priv': says(
      (value) => known.has(value),
      (value) => `invalid privilege '${value}'\n`,
    ),
    'pve-volume-id': matches(/^[a-z][a-z0-9\-_.]*[a-z0-9]:.+$/i, (value) => `unable to parse volume ID '${value}'\n`),
    'pve-storage-content': says(
      (value) => contentTypes.has(value),
      (value) => `invalid content type '${value}'\n`,
    ),
    'pve-storage-path': matches(/^\/([A-Za-z0-9_.\-@]+\/?)*$/, 'value does not look like a valid absolute path\n'),
    'pve-storage-server': says(
      (value) => isIP(value) !== 0 || dnsName.test(value),
      'value does not look like a valid server name or IP address\n',
    ),
    'pve-storage-portal-dns': says(
      (value) => dnsName.test(value.replace(/:\d+$/, '')) || isIP(value) !== 0,
      'value does not look like a valid portal address\n',
    ),
    'pve-storage-options': matches(/^\S+$/, 'invalid format - value does not look like valid mount options\n'),
    'pve-storage-vgname': matches(
      /^[a-z][a-z0-9\-_.]*[a-z0-9]$/i,
      (value) => `lvm name '${value}' contains illegal characters\n`,
    ),
    'pve-iface': matches(IFACE, 'invalid network interface name\n'),
    'dns-name': matches(dnsName, 'value does not look like a valid DNS name\n'),
    'email-opt': says(
      (value) => value === '' || /^[\w+.-]+@[\w.-]+$/.test(value),
      'value does not look like a valid email address\n',
    ),
    'email-or-username': matches(
      /^[\w+.-]+(@[\w.-]+)?$/,
      'value does not look like a valid email address or user name\n',
    ),
    address: says(
      (value) => isIP(value) !== 0 || dnsName.test(value),
      'value does not look like a valid IP address or hostname\n',
    ),
    'lxc-ip-with-ll-iface': says(isNameserver, 'value does not look like a valid IP address\n'),
    ipv4: says(isIPv4, 'value does not look like a valid IPv4 address\n'),
    ipv6: says(isIPv6, 'value does not look like a valid IPv6 address\n'),
    ip: says((value) => isIP(value) !== 0, 'value does not look like a valid IP address\n'),
    'pve-ipv4-config': says(
      (value) => ipConfig(value, 4),
      'value does not look like a valid ipv4 network configuration\n',
    ),
    'pve-ipv6-config': says(
      (value) => ipConfig(value, 6),
      'value does not look like a valid ipv6 network configuration\n',
    ),
    'mac-addr': matches(
      /^[a-f0-9][02468ace](:[a-f0-9]{2}){5}$/i,
      'value does not look like a valid unicast MAC address\n',
    ),
    'disk-size': matches(/^\d+(\.\d+)?[TGMK]?$/, (value) => `value does not look like a valid disk size: ${value}\n`),
    'pve-lxc-mp-string': mountPath,
    'pve-lxc-dev-string': devicePath,
    'pve-ct-timezone': says(timezone, (value) => `invalid time zone '${value}'\n`),
    'pve-startup-order': says(startupOrder, 'unable to parse startup options\n'),
    'pve-tag': matches(/^[a-z0-9_][a-z0-9_\-+.]*$/i, 'invalid characters in tag\n'),
    'pve-task-status-type': says(
      (value) => ['ok', 'error', 'warning', 'unknown'].includes(value),
      (value) => `invalid type ${value}\n`,
    ),
    'pve-dir-override': matches(/^[a-z]+=\S+$/, (value) => `invalid override '${value}'\n`),
  };
  return new Map(Object.entries(single));
}
