/**
 * What a restored guest keeps and what it gets anew, per scenario [R47]. A table, so that a missing row does not
 * compile and a wrong one is seen by reading.
 */

export type Scenario = 'provision' | 'guest-loss' | 'host-loss' | 'restore-aside' | 'copy' | 'restore-test';

/** `fresh` = made anew; `keep` = as the source had it; `none` = it gets none. */
export interface IdentityRow {
  readonly mac: 'fresh' | 'keep';
  readonly hostname: 'desired' | 'keep' | 'scratch';
  readonly machineId: 'fresh' | 'keep';
  readonly sshHostKeys: 'fresh' | 'keep';
  readonly controllerIdentity: 'fresh' | 'keep' | 'none';
  readonly resticRepoId: 'fresh' | 'keep' | 'none';
  readonly tunnel: 'fresh' | 'keep' | 'none';
  readonly hubBinding: 'fresh' | 'keep' | 'none';
  /** Link at the moment of the restore call; `up-when-audited` comes up before the first start and not earlier. */
  readonly link: 'up-when-audited' | 'up-at-swap' | 'down';
  /** `after-healthy` is written last; a crash before that leaves a guest which no reboot starts. */
  readonly onboot: 'after-healthy' | 'after-pivot' | 'off';
  /** What the early-boot unit inside the guest reads as FELHOM_IDENTITY. */
  readonly directive: 'fresh' | 'continue' | 'test';
}

/**
 * In true loss the machine-id, host keys and MAC are kept: the source is certainly gone and continuity is worth more
 * than novelty. A copy must never be taken for its source, and a test never speaks to anybody.
 */
export const identityPolicy = {
  provision: {
    mac: 'fresh',
    hostname: 'desired',
    machineId: 'fresh',
    sshHostKeys: 'fresh',
    controllerIdentity: 'fresh',
    resticRepoId: 'fresh',
    tunnel: 'fresh',
    hubBinding: 'fresh',
    link: 'up-when-audited',
    onboot: 'after-healthy',
    directive: 'fresh',
  },
  'guest-loss': {
    mac: 'keep',
    hostname: 'keep',
    machineId: 'keep',
    sshHostKeys: 'keep',
    controllerIdentity: 'keep',
    resticRepoId: 'keep',
    tunnel: 'keep',
    hubBinding: 'keep',
    link: 'up-when-audited',
    onboot: 'after-healthy',
    directive: 'continue',
  },
  'host-loss': {
    mac: 'keep',
    hostname: 'keep',
    machineId: 'keep',
    sshHostKeys: 'keep',
    controllerIdentity: 'keep',
    resticRepoId: 'keep',
    tunnel: 'keep',
    hubBinding: 'keep',
    link: 'up-when-audited',
    onboot: 'after-healthy',
    directive: 'continue',
  },
  'restore-aside': {
    // The old guest still exists with this MAC; it goes over at the swap, when the old link is down [R16].
    mac: 'keep',
    hostname: 'keep',
    machineId: 'keep',
    sshHostKeys: 'keep',
    controllerIdentity: 'keep',
    resticRepoId: 'keep',
    tunnel: 'keep',
    hubBinding: 'keep',
    link: 'up-at-swap',
    onboot: 'after-pivot',
    directive: 'continue',
  },
  copy: {
    mac: 'fresh',
    hostname: 'desired',
    machineId: 'fresh',
    sshHostKeys: 'fresh',
    controllerIdentity: 'fresh',
    resticRepoId: 'fresh',
    tunnel: 'none',
    hubBinding: 'fresh',
    link: 'up-when-audited',
    onboot: 'after-healthy',
    directive: 'fresh',
  },
  'restore-test': {
    mac: 'fresh',
    hostname: 'scratch',
    machineId: 'fresh',
    sshHostKeys: 'fresh',
    controllerIdentity: 'none',
    resticRepoId: 'none',
    tunnel: 'none',
    hubBinding: 'none',
    link: 'down',
    onboot: 'off',
    directive: 'test',
  },
} as const satisfies Record<Scenario, IdentityRow>;

/** First release whose containers take `env` (PVE 9.1, pve-container 6.0.15). */
const envSince = { major: 9, minor: 1 } as const;

/** `9.2.11` → true. A version that cannot be read has no support. */
export function supportsEnv(version: string): boolean {
  const match = /^(\d+)\.(\d+)/.exec(version);
  if (match === null) return false;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  return major > envSince.major || (major === envSince.major && minor >= envSince.minor);
}

/**
 * The `env` of a restore call. Always passed where it can be, so that an archived one (an old claim, say) never comes
 * back [R26]; `undefined` where the release knows no `env` at all.
 */
export function identityEnv(scenario: Scenario, version: string): string | undefined {
  return supportsEnv(version) ? `FELHOM_IDENTITY=${identityPolicy[scenario].directive}` : undefined;
}
