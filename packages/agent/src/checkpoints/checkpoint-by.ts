/** By what a checkpoint of a guest is taken, and why not otherwise; told to its controller before it asks for one. Pure. */
import type { GuestView } from '../guests/index.ts';

export interface CheckpointQuestion {
  readonly view: Pick<GuestView, 'disks'>;
  /** Whether Proxmox can take a snapshot of every volume; `undefined`: it could not be asked. */
  readonly snapshotPossible: boolean | undefined;
  /** Checkpoints that it holds, and may hold. */
  readonly held: number;
  readonly most: number;
  /** The tier of class fast that a quick backup would go to. */
  readonly quickTier: string | undefined;
}

export interface CheckpointChoice {
  readonly by: 'snapshot' | 'backup' | 'none';
  /** In words for the customer; empty for a snapshot. */
  readonly why: string;
}

/**
 * A rollback reverts every volume of a snapshot, those without backups too [R1]: a guest that has any gets a backup
 * instead. A full quota is never made room in [R42].
 */
export function checkpointBy(question: CheckpointQuestion): CheckpointChoice {
  const { view, snapshotPossible, held, most, quickTier } = question;
  if (held >= most)
    return { by: 'none', why: `it holds ${held} of at most ${most} checkpoints; the oldest ends by itself` };
  const bulk = view.disks.filter(({ backup }) => !backup).map(({ path }) => path);
  const against =
    bulk.length > 0
      ? `going back to a snapshot would also take back ${listed(bulk)}, of which no backups are made`
      : snapshotPossible === undefined
        ? 'whether its storage can make snapshots is not known now'
        : snapshotPossible
          ? undefined
          : 'the storage of one of its volumes makes no snapshots';
  if (against === undefined) return { by: 'snapshot', why: '' };
  return quickTier === undefined
    ? { by: 'none', why: `${against}, and it has no fast backup tier for a quick backup` }
    : {
        by: 'backup',
        why: `${against}: a quick backup to ${quickTier} is taken, and going back to it needs a signed restore`,
      };
}

function listed(paths: readonly string[]): string {
  const [named, more] = [paths.slice(0, 5), paths.length - 5];
  return more > 0 ? `${named.join(', ')} and ${more} more` : named.join(', ');
}
