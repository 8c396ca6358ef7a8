/** Where the programs of a guest keep what must outlive them. Below `/var/lib/felhom`, root alone reads it. */
const home = '/var/lib/felhom';

export const guestPaths = {
  home,
  session: `${home}/session.json`,
  identity: `${home}/identity.json`,
  standstill: `${home}/standstill.json`,
  /** Stacks that were stopped because a volume of theirs cannot be relied on. */
  withoutVolume: `${home}/without-volume.json`,
  manifest: `${home}/content-manifest.json`,
  supervisor: `${home}/supervisor.json`,
  /** The controller's own state volume, and copies of it. */
  state: `${home}/controller-state`,
  stateCopies: `${home}/state-copies`,
  /** What the golden image carries: who may sign releases. */
  releaseSigners: '/etc/felhom/release-signers',
  machineId: '/etc/machine-id',
  sshFolder: '/etc/ssh',
  /** Each folder is a stack with its `.felhom.yml`. */
  stacks: '/srv/felhom/apps',
} as const;
