/**
 * What restoring an archive would bring along, from the config inside it. A preview for people and an early refusal;
 * never the barrier, because an archive can show one config and restore another [R7]. Pure.
 */
import { classOfArchiveKey, problemOfKept, whyRefused } from './archive-keys.ts';
import { isVolumeId, parseDisk, parseNet } from '../guests/pve-config.ts';
import { parseFlag } from '../guests/property-string.ts';

export interface RiskReport {
  /** Reasons not to restore it at all; empty means that the agent would. */
  readonly refusals: readonly { readonly key: string; readonly text: string }[];
  /** Whether Proxmox would let a token restore it; false for privileged guests and host paths. */
  readonly tokenCanRestore: boolean;
  /** Networks that the restore call must override: key and the interface name inside. */
  readonly networks: readonly { readonly key: string; readonly name: string }[];
  readonly mounts: readonly { readonly key: string; readonly path: string; readonly backup: boolean }[];
  /** Paths whose content is not in the archive: they would come back empty or not at all. */
  readonly comesBackEmpty: readonly string[];
  /** Keys that are dropped or replaced before the first start. */
  readonly strips: readonly string[];
  readonly rootfsGiB: number | undefined;
  readonly hostname: string | undefined;
}

/** The active section of a `pct.conf`: keys and raw values in order; `lxc.*` lines keep their own names. */
export function parseArchivedConfig(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line.startsWith('[')) break;
    if (line.startsWith('#') || line.trim() === '') continue;
    const match = /^([A-Za-z0-9_.]+)\s*[:=]\s*(.*)$/.exec(line);
    // A line that is no setting is not skipped: what cannot be understood is refused under its own text.
    if (match === null) values.set(line.trim().slice(0, 60), '');
    else values.set(match[1] ?? '', (match[2] ?? '').trim());
  }
  return values;
}

export function riskReport(archivedConfig: string): RiskReport {
  const values = parseArchivedConfig(archivedConfig);
  const refusals: { key: string; text: string }[] = [];
  const refuse = (key: string, text: string): void => void refusals.push({ key, text });
  const networks: { key: string; name: string }[] = [];
  const mounts: { key: string; path: string; backup: boolean }[] = [];
  const strips: string[] = [];
  let hostPath = false;
  for (const [key, value] of values) {
    if (/^mp\d+$/.test(key)) {
      const disk = parseDisk(key, value);
      if (!isVolumeId(disk.volid)) {
        hostPath = true;
        refuse(key, `${key} is a path or device of the host that it was made on`);
      }
      mounts.push({ key, path: disk.path, backup: disk.backup });
      continue;
    }
    const kind = classOfArchiveKey(key);
    if (kind === 'refuse') refuse(key, whyRefused(key));
    if (kind === 'strip') strips.push(key);
    if (/^net\d+$/.test(key)) networks.push({ key, name: parseNet(key, value).name });
    const problem = kind === 'keep' ? problemOfKept(key, value) : undefined;
    if (problem !== undefined) refuse(key, problem);
  }
  if (!values.has('unprivileged')) refuse('unprivileged', problemOfKept('unprivileged', undefined) ?? '');
  if (!values.has('rootfs')) refuse('rootfs', 'it has no root file system');
  if (parseFlag(values.get('protection'), false))
    refuse('protection', 'it was protected when it was archived, so somebody meant it to stay as it is');
  return {
    refusals,
    tokenCanRestore: values.get('unprivileged') === '1' && !hostPath,
    networks,
    mounts,
    comesBackEmpty: mounts.filter((mount) => !mount.backup).map((mount) => mount.path),
    strips,
    rootfsGiB: parseDisk('rootfs', values.get('rootfs') ?? '').sizeGiB,
    hostname: values.get('hostname'),
  };
}
