/** A golden image as small as it can be: what a sealed Debian guest would hold, minus Debian. */
import { directoryMember, fileMember } from '../fake-pve/storage/index.ts';
import type { Member } from '../fake-pve/storage/index.ts';

/** As root made it once: `keyctl` can only come along inside an archive. */
export const goldenConfig = [
  'arch: amd64',
  'cores: 1',
  'features: nesting=1,keyctl=1',
  'hostname: golden',
  'memory: 256',
  'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth',
  'onboot: 1',
  'ostype: debian',
  'rootfs: guests:vm-9900-disk-0,size=1G',
  'swap: 0',
  'unprivileged: 1',
  '',
].join('\n');

export function goldenMembers(config: string): readonly Member[] {
  return [
    directoryMember('./etc/vzdump/'),
    fileMember('./etc/vzdump/pct.conf', config),
    directoryMember('./'),
    directoryMember('./etc/'),
    // Sealed: every restore gets an identity of its own at its first boot.
    fileMember('./etc/machine-id', ''),
    fileMember('./etc/hostname', 'golden\n'),
    fileMember('./etc/os-release', 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'),
    directoryMember('./srv/'),
    directoryMember('./usr/'),
    directoryMember('./usr/lib/'),
    fileMember('./usr/lib/felhom-golden', 'felhom golden image, debian-13\n'.repeat(64)),
  ];
}
