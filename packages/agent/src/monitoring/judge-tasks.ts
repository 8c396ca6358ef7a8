/** Tasks of others that failed: a backup that Proxmox planned itself, a scrub, a replication. Pure. */
import type { Finding } from '@felhom/protocol';
import type { TaskRow } from '../ports/proxmox.ts';

/** Longer ago nobody is told. */
export const taskWindowSeconds = 24 * 3600;
const mostFindings = 20;

/** Consoles end when somebody closes a window. */
const ofNoInterest = new Set(['vncproxy', 'vncshell', 'termproxy', 'spiceproxy', 'spiceshell']);
/** Nobody sits before these and sees them fail. */
const unattended = /^(?:vzdump|zfs|prunebackups|garbage|sync|replication|ha|startall|stopall|auto)/;

export const failed = ({ status, endTime }: TaskRow): boolean =>
  endTime !== undefined && status !== undefined && status !== 'OK' && !/^WARNINGS: \d+$/.test(status);

const causeOf = ({ type, id }: TaskRow): string => (id === '' ? type : `${type} ${id}`);

/** Those that are somebody else's and count: the newest per type and id. */
export function foreignFailures(rows: readonly TaskRow[], ownToken: string, nowSeconds: number): readonly TaskRow[] {
  const newest = new Map<string, TaskRow>();
  for (const row of rows) {
    const foreign = row.user !== ownToken && !ofNoInterest.has(row.type);
    if (!foreign || !failed(row) || (row.endTime ?? 0) < nowSeconds - taskWindowSeconds) continue;
    const known = newest.get(causeOf(row));
    if (known === undefined || known.startTime < row.startTime) newest.set(causeOf(row), row);
  }
  return [...newest.values()].toSorted((a, b) => b.startTime - a.startTime).slice(0, mostFindings);
}

/** `later`: tasks of the same types; one that went well since has made good what failed. */
export function findingsOfTasks(failures: readonly TaskRow[], later: readonly TaskRow[]): readonly Finding[] {
  const open = failures.filter(
    (task) =>
      !later.some(
        (other) =>
          causeOf(other) === causeOf(task) &&
          other.startTime > task.startTime &&
          other.endTime !== undefined &&
          !failed(other),
      ),
  );
  return open.map((task): Finding => {
    const status = (task.status ?? '').replaceAll(/\s+/g, ' ').slice(0, 400);
    return {
      key: 'task.failed',
      severity: unattended.test(task.type) ? 'warning' : 'info',
      subject: causeOf(task).slice(0, 120),
      text: `A task of ${task.user} failed: ${causeOf(task)}: ${status}.`.slice(0, 1000),
      advice: {
        text: 'Its log tells more; a later one of the same kind that goes well settles this, and so does a day.',
        command: `pvenode task log ${task.upid}`.slice(0, 300),
      },
      since: (task.endTime ?? task.startTime) * 1000,
    };
  });
}
