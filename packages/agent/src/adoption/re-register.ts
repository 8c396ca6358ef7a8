/**
 * A config that is gone while its volumes are there [R6]. What a token can ask of Proxmox does not give it back:
 *
 *   - PUT config needs a config that exists.
 *   - POST /nodes/{n}/lxc is the only call that makes one, and always unpacks an `ostemplate` into the root file system
 *     it is given; an empty one, or one from a path, is for root (500 "Only root can pass arbitrary filesystem paths").
 *     Handed the surviving root volume it would write over the very data that is to be kept.
 *   - A restore allocates new volumes; with the VMID's old ones lying there they would get names beside them, and the
 *     old ones stay unreferenced.
 *
 * So this needs root to write the config file, which is no verb of the helper. The job and its row of the gate stay;
 * carrying it out is refused with these words.
 */
export const cannotReRegister =
  'Proxmox offers a token no call that puts a config around volumes that exist; write the config of the VMID back as root (/etc/pve/lxc/ID.conf, from a backup or from the report), then have the guest looked at again';
