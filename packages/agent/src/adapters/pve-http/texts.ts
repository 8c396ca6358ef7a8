/**
 * The texts of Proxmox that mean something, first match wins. There is no 404, 409 or 423 in Proxmox: nearly every
 * runtime error is a 500 whose text is all there is. Texts were taken from recordings of Proxmox VE 9.2.
 *
 * `proof` says for which writes the text proves that nothing was changed. A write whose error proves nothing is
 * `unknown` and is settled by reading the world, however much it looks like a refusal: PUT config answers 500
 * "bridge … does not exist" after it has written the change.
 *
 * Of the calls that protect a guest, little is refused before the worker begins: missing rights, bad parameters, names
 * of snapshots that Proxmox keeps for itself, notes on what is no backup. The rest says its task, and of what a task
 * says only the world tells what it did: "protection mode enabled" after a hand-over has renamed its volume. These were
 * recorded as ends of tasks that had changed nothing: a guest that is locked (any kind), a snapshot's name that is taken
 * or not there, no snapshots on its storage; a storage of backups that is not there or not mounted, no right to back
 * one of the guests up; a protected archive that was to be deleted. A dump that ends with "job errors" may be either.
 */
import type { ErrorCode } from '@felhom/protocol';

/** The writes the agent makes; `other` is whatever has no proof of its own. */
export type WriteKind =
  | 'restore'
  | 'configure'
  | 'resize'
  | 'start'
  | 'shutdown'
  | 'stop'
  | 'destroy'
  | 'abort-task'
  | 'backup'
  | 'protect'
  | 'delete-backup'
  | 'snapshot'
  | 'drop-snapshot'
  | 'rollback'
  | 'reassign'
  | 'other';

export interface TextRule {
  readonly match: RegExp;
  readonly code: ErrorCode;
  /** `always`: checked before any effect by every call that says so. */
  readonly proof: 'always' | 'never' | readonly WriteKind[];
}

const power: readonly WriteKind[] = ['start', 'shutdown', 'stop'];
/** These check the storage in the handler, before the config file of the guest is made (PVE: API2/LXC.pm create_vm). */
const checksStorageFirst: readonly WriteKind[] = ['restore'];

/** Texts of a 500, and of the 400s that carry no parameter errors. */
export const messageRules: readonly TextRule[] = [
  { match: /^Configuration file 'nodes\/[^']*' does not exist/, code: 'pve.guest-absent', proof: 'always' },
  { match: /^(?:CT|VM) \d+ already exists on node/, code: 'pve.vmid-taken', proof: 'always' },
  { match: /^CT \d+ already running/, code: 'pve.already-running', proof: power },
  { match: /^(?:CT|VM) \d+ not running/, code: 'pve.not-running', proof: power },
  { match: /container is running|can't overwrite running container/, code: 'pve.guest-running', proof: 'always' },
  { match: /CT is locked \(|VM is locked \(/, code: 'pve.guest-locked', proof: 'always' },
  { match: /can't lock file '[^']*pve-config-\d+\.lock'.*got timeout/s, code: 'pve.config-busy', proof: 'always' },
  { match: /got (?:lock request )?timeout|can't lock file|unable to acquire lock/, code: 'pve.busy', proof: 'never' },
  { match: /detected modified configuration/, code: 'pve.digest-mismatch', proof: 'always' },
  // A hand-over says this of its new owner when the volume is renamed and in no config any more.
  { match: /^can't update CT \d+ drive '[^']*' - protection mode/, code: 'pve.protected', proof: ['configure'] },
  { match: /protection mode enabled|cannot remove protected volume/, code: 'pve.protected', proof: 'always' },
  { match: /^disk is already at specified size/, code: 'pve.size-already', proof: 'always' },
  { match: /^unable to shrink disk size/, code: 'pve.cannot-shrink', proof: 'always' },
  { match: /no quorum/, code: 'pve.no-quorum', proof: 'always' },
  { match: /[Bb]ridge '[^']*' does not exist/, code: 'pve.bridge-absent', proof: 'never' },
  { match: /storage '[^']*' does not exist/, code: 'pve.storage-absent', proof: checksStorageFirst },
  { match: /snapshot '[^']*' does not exist/, code: 'pve.snapshot-absent', proof: 'always' },
  { match: /volume '[^']*' does not exist|failed - no format/, code: 'pve.volume-absent', proof: checksStorageFirst },
  { match: /pool '[^']*' does not exist/, code: 'pve.pool-absent', proof: 'always' },
  { match: /^hostname lookup '[^']*' failed/, code: 'pve.node-absent', proof: 'always' },
  {
    match: /already exists|already defined|already used|already a pool member/,
    code: 'pve.already-exists',
    proof: 'never',
  },
  { match: /is not empty/, code: 'pve.not-empty', proof: 'never' },
  {
    match: /[Nn]o space left on device|not enough (?:free )?space|Disk quota exceeded/,
    code: 'pve.no-space',
    proof: 'never',
  },
  {
    match:
      /is not online|(?:unable to|could not) activate storage|not mounted|storage '[^']*' is (?:disabled|not available)|error fetching datastores|no such logical volume|is not a btrfs file system/,
    code: 'pve.storage-offline',
    proof: checksStorageFirst,
  },
  { match: /^Only root can pass arbitrary filesystem paths/, code: 'pve.root-only', proof: 'always' },
  { match: /^got no worker upid/, code: 'pve.worker-failed', proof: 'never' },
  { match: /^malformed JSON string/, code: 'pve.protocol', proof: 'always' },
  {
    match: /^unable to (?:delete|modify) (?:read-only|required) option/,
    code: 'pve.invalid-parameter',
    proof: ['configure'],
  },
  { match: /^no options specified/, code: 'pve.invalid-parameter', proof: 'always' },
  { match: /^mount points configured, but 'rootfs' not set/, code: 'pve.invalid-parameter', proof: 'always' },
  { match: /^unable to use volume .* content type needs to be/, code: 'pve.invalid-parameter', proof: 'always' },
  { match: /^unable to use snapshot name/, code: 'pve.invalid-parameter', proof: 'always' },
  { match: /^SSH public key validation error/, code: 'pve.invalid-parameter', proof: 'always' },
  { match: /^400 Parameter verification failed/, code: 'pve.invalid-parameter', proof: 'always' },
  { match: /^only backups can have/, code: 'pve.invalid-parameter', proof: 'always' },
  { match: /^format error/, code: 'pve.invalid-parameter', proof: ['resize'] },
  {
    match: /missing value for required option|formatted encryption key/,
    code: 'pve.invalid-parameter',
    proof: 'never',
  },
  { match: /^command '.*' failed|open3: exec of/s, code: 'pve.command-failed', proof: 'never' },
  { match: /does not exist|: not found$/, code: 'pve.absent', proof: 'never' },
];

/** Texts in the `errors` object of a 400, any key. */
export const parameterRules: readonly TextRule[] = [
  { match: /^unable to hotplug /, code: 'pve.hotplug-failed', proof: 'never' },
  { match: /^unable to apply pending change /, code: 'pve.apply-failed', proof: 'never' },
  { match: /^(?:VM|CT) \d+ already exists/, code: 'pve.vmid-taken', proof: 'always' },
  { match: /^no such task/, code: 'pve.task-absent', proof: 'always' },
  { match: /^No such storage/, code: 'pve.storage-absent', proof: 'always' },
  { match: /^No such job/, code: 'pve.absent', proof: 'always' },
  { match: /^Token already exists/, code: 'pve.already-exists', proof: 'always' },
  { match: /^Only root may use this option|^Only root may set this option/, code: 'pve.root-only', proof: 'always' },
  { match: /^property is not defined in schema/, code: 'pve.unknown-parameter', proof: 'always' },
];
