/**
 * `volumes-of`: each volume that carries a VMID, on every storage, whoever is its guest.
 *
 * Not by `pvesm list`: that lists by content type, and a volume whose container is gone counts as `images`, so that on a
 * storage that is for `rootdir` only nothing shows it (PVE: Storage/Plugin.pm list_volumes, Storage.pm volume_list). An
 * orphan that nobody sees looks like a VMID with nothing below it. The library's own list has no such filter, and it ends
 * with an error where one storage cannot be activated.
 */
import { volumeId } from '@felhom/protocol';
import type { Vmid, VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { HostCommand } from '../ports/host-command.ts';

/** For `perl -e`. Its only argument is the VMID. PVE: Storage.pm vdisk_list. */
export const listVolumesProgram = `use strict; use warnings; use JSON; use PVE::Storage;
my $vmid = shift @ARGV;
die "no VMID\\n" if !defined($vmid) || $vmid !~ /^[1-9][0-9]{2,8}\\z/;
my $found = PVE::Storage::vdisk_list(PVE::Storage::config(), undef, $vmid);
print encode_json([map { $_->{volid} } map { @$_ } grep { defined } values %$found]);
`;

const listed = z.array(volumeId).max(10_000);

export type VolumesAnswer =
  { readonly is: 'done'; readonly volumes: readonly VolumeId[] } | { readonly is: 'busy'; readonly text: string };

/** `busy` for whatever is not the whole list: a part of it would prove that nothing is left. */
export async function volumesOf(perl: HostCommand, vmid: Vmid): Promise<VolumesAnswer> {
  const busy = (why: string): VolumesAnswer => ({
    is: 'busy',
    text: `cannot list the volumes of ${vmid}: ${why.trim().slice(0, 500)}`,
  });
  try {
    const { code, stdout, stderr } = await perl(['-e', listVolumesProgram, '--', String(vmid)]);
    if (code !== 0) return busy(stderr === '' ? `perl ended with ${code}` : stderr);
    const found = listed.safeParse(JSON.parse(stdout));
    return found.success ? { is: 'done', volumes: [...found.data].toSorted() } : busy('perl answered something else');
  } catch (error) {
    return busy(error instanceof SyntaxError ? 'perl answered no JSON' : String(error));
  }
}
