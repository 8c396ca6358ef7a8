/**
 * Whether a guest on record is lost, or only not visible [R6]. Pure and total. Restoring a second copy beside a running
 * original is worse than an hour of outage, so everything that is not known says no.
 *
 * Quorum is not asked for here: without it Proxmox refuses the restore itself, because it cannot write the new config.
 */
import type { DesiredGuest, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';

/** What one look found; `undefined` is "could not be asked" everywhere, and never a no. */
export interface LossLook {
  /** Milliseconds of a clock that only goes forward. */
  readonly at: number;
  /** Of its VMID, by `nextid`: counts guests of every kind on every node and needs no privilege. */
  readonly vmidFree: boolean | undefined;
  /** Root's listing of all storages under every VMID that a volume of the guest names. */
  readonly listed: readonly VolumeId[] | undefined;
  /** Effective privileges of the token as one text, without those on single guests: a destroy takes these away. */
  readonly permissions: string | undefined;
  /** UPIDs of tasks that work on its VMID now. */
  readonly running: readonly string[] | undefined;
  /** The newest destroy of its VMID by somebody else within `personsHourMs`. */
  readonly foreignDestroy: { readonly by: string; readonly agoMs: number } | undefined;
}

export type LossVerdict =
  | { readonly is: 'there' }
  /** Not decided yet; `why` for people. */
  | { readonly is: 'wait'; readonly why: string }
  /** Something has its VMID, or what the token may see has changed. */
  | { readonly is: 'not-visible'; readonly why: string }
  /** Its config is gone and what it was backed up from is not: it wants its config back, not a backup. */
  | { readonly is: 'config-gone'; readonly volumes: readonly VolumeId[] }
  /** Somebody destroyed it a moment ago, and may have meant it. */
  | { readonly is: 'destroyed'; readonly by: string; readonly agoMs: number }
  /** `surviving`: bulk that is still there; it is carried over. */
  | { readonly is: 'lost'; readonly surviving: readonly VolumeId[] };

/** Between the two looks that both have to say so. */
export const betweenLooksMs = 60_000;
/** As long as somebody else's destroy is taken for meant. */
export const personsHourMs = 3_600_000;

export interface LossEvidence {
  readonly record: Pick<GuestRecord, 'vmid' | 'volumes'>;
  /** Which of its volumes no backup holds; everything else that survives forbids a restore. */
  readonly bulk: ReadonlySet<VolumeId>;
  /** Oldest first, of the last minute or a little more; none: it was seen. */
  readonly looks: readonly LossLook[];
  /** When it was last seen; `undefined`: not by this process. */
  readonly permissionsThen: string | undefined;
  /** The self-check found every privilege that is needed; counts where nothing is known of then. */
  readonly permissionsSound: boolean;
}

export function judgeLoss(evidence: LossEvidence): LossVerdict {
  const [first] = evidence.looks;
  const last = evidence.looks.at(-1);
  if (first === undefined || last === undefined) return { is: 'there' };
  const verdict = judgeLook(last, evidence);
  if (verdict.is !== 'lost') return verdict;
  const apartMs = last.at - first.at;
  const agreed = evidence.looks.every((look) => judgeLook(look, evidence).is === 'lost');
  if (agreed && apartMs >= betweenLooksMs) return verdict;
  return { is: 'wait', why: 'it has to be found gone for a minute' };
}

/** Everything but the second look: also what is checked once more directly before the restore. */
export function judgeLook(look: LossLook, evidence: Omit<LossEvidence, 'looks'>): LossVerdict {
  const { record, bulk, permissionsThen, permissionsSound } = evidence;
  if (look.vmidFree === undefined) return { is: 'wait', why: 'Proxmox does not say whether its VMID is free' };
  if (!look.vmidFree)
    return { is: 'not-visible', why: `something has VMID ${record.vmid}, and the token does not see what` };
  if (look.listed === undefined)
    return { is: 'wait', why: 'its volumes cannot be listed: a storage does not answer, or the root helper does not' };
  const blocking = look.listed.filter((volid) => !bulk.has(volid));
  if (blocking.length > 0) return { is: 'config-gone', volumes: blocking };
  if (look.running === undefined) return { is: 'wait', why: 'the task list cannot be read' };
  if (look.running.length > 0) return { is: 'wait', why: `a task works on VMID ${record.vmid}: ${look.running[0]}` };
  if (look.permissions === undefined) return { is: 'wait', why: 'the privileges of the token cannot be read' };
  if (permissionsThen === undefined ? !permissionsSound : permissionsThen !== look.permissions)
    return { is: 'not-visible', why: 'what the token may see is not what it was when the guest was last seen' };
  if (look.foreignDestroy !== undefined) return { is: 'destroyed', ...look.foreignDestroy };
  return { is: 'lost', surviving: look.listed };
}

/**
 * Volumes that no backup holds: desired state says so, or they were carried over before. What it does not name counts
 * as backed up, so that it forbids rather than allows.
 */
export function bulkOf(
  record: Pick<GuestRecord, 'volumes'>,
  desired: Pick<DesiredGuest, 'volumes'> | undefined,
): ReadonlySet<VolumeId> {
  const named = new Set(desired?.volumes.filter((volume) => !volume.backup).map((volume) => volume.name));
  const bulk = record.volumes.filter((volume) => volume.carriedOver || named.has(volume.name));
  return new Set(bulk.map((volume) => volume.volid));
}

/** What is remembered from pass to pass; lost with the process, which only makes it look twice again. */
export interface LossMemory {
  readonly looks: ReadonlyMap<string, readonly LossLook[]>;
  /** Privileges while every guest was seen. */
  readonly permissions: { readonly text: string; readonly at: number } | undefined;
}

export const noLooks: LossMemory = { looks: new Map(), permissions: undefined };
