/**
 * The mount unit of a disk, as text. Pure. A unit and not a line in fstab, because systemd then unmounts by itself when
 * the disk is pulled, and mounts again when it is plugged: the unit is wanted by the device, so nothing polls.
 */
import type { DiskTarget } from '@felhom/protocol';
import { mountPathOf } from '../../storage-manifest.ts';

/** A path as systemd writes it in the name of a unit (systemd.unit(5), "String Escaping for Inclusion in Unit Names"). */
export function escapePath(path: string): string {
  const inner = path.split('/').filter((part) => part !== '');
  if (inner.length === 0) return '-';
  const escaped = [...Buffer.from(inner.join('/'))].map((byte, at) => {
    const letter = String.fromCharCode(byte);
    if (letter === '/') return '-';
    if (/[A-Za-z0-9:_]/.test(letter) || (letter === '.' && at > 0)) return letter;
    return `\\x${byte.toString(16).padStart(2, '0')}`;
  });
  return escaped.join('');
}

export const mountUnitName = (name: string, root?: string): string => `${escapePath(mountPathOf(name, root))}.mount`;

const deviceOf = (uuid: string): string => `/dev/disk/by-uuid/${uuid}`;

/** Nothing on a disk is run, or a device, or of another user's rights: it may be somebody's who was never here. */
const options = 'nodev,nosuid,noexec,noatime';

export function mountUnitText(target: DiskTarget, root?: string): string {
  const device = deviceOf(target.uuid);
  return `${[
    `# Target ${target.name} of Felhom. Written by felhom-agent from /etc/felhom/storage.json; changes here are lost.`,
    '[Unit]',
    `Description=Felhom storage target ${target.name}`,
    '',
    '[Mount]',
    `What=${device}`,
    `Where=${mountPathOf(target.name, root)}`,
    `Type=${target.fileSystem}`,
    `Options=${options}`,
    'TimeoutSec=30s',
    '',
    '[Install]',
    `WantedBy=${escapePath(device)}.device`,
  ].join('\n')}\n`;
}
