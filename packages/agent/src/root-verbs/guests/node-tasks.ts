/**
 * What a node remembers of Proxmox's workers, from root's own files: the names of their logs, the last line of each, and
 * whether the process lives. Nobody can be asked for it: a journal says what its owner wants [R19].
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Vmid } from '@felhom/protocol';
import { startOfProcess } from '../one-at-a-time.ts';

export interface NodeTask {
  /** Also the name of its log. */
  readonly upid: string;
  readonly pid: number;
  /** Start of its process, clock ticks since boot. */
  readonly startTicks: number;
  /** Seconds since the epoch. */
  readonly startedAt: number;
  readonly type: string;
  /** A VMID, a volume, two of them, or nothing. */
  readonly id: string;
  /** `user@realm!token`. */
  readonly user: string;
  readonly log: string;
}

/** PVE: UPID.pm decode. The name of the node and the ids hold no colon. */
const upidForm = /^UPID:[A-Za-z0-9-]+:([0-9A-F]{8}):([0-9A-F]{8,9}):([0-9A-F]{8}):([a-z_-]+):([^:/]*):([^:/]+):$/i;

/** Newest first. Throws where the folder cannot be read: no task at all would prove something. */
export function tasksIn(folder: string): readonly NodeTask[] {
  const found: NodeTask[] = [];
  for (const bucket of readdirSync(folder)) {
    if (!/^[0-9A-F]$/i.test(bucket)) continue;
    for (const upid of readdirSync(join(folder, bucket))) {
      const [, pid, startTicks, startedAt, type = '', id = '', user = ''] = upidForm.exec(upid) ?? [];
      if (pid === undefined || startTicks === undefined || startedAt === undefined) continue;
      found.push({
        upid,
        pid: Number.parseInt(pid, 16),
        startTicks: Number.parseInt(startTicks, 16),
        startedAt: Number.parseInt(startedAt, 16),
        type,
        id,
        user,
        log: join(folder, bucket, upid),
      });
    }
  }
  return found.sort((a, b) => b.startedAt - a.startedAt || b.startTicks - a.startTicks);
}

/** `9001`, `9001-mp0>9002-mp0` on both sides, `9001@storage`. */
export const isOf = ({ id }: Pick<NodeTask, 'id'>, vmid: Vmid): boolean =>
  id.split('>').some((part) => part.split(/[-@]/)[0] === String(vmid));

/** Whether its process lives: the same number and the same start. */
export const isAlive = (task: NodeTask, proc: string): boolean =>
  startOfProcess(proc, String(task.pid)) === String(task.startTicks);

/** PVE: UPID.pm upid_read_status: the last line of the log. `undefined`: it was killed, or still runs. */
export function endOf(task: NodeTask): 'well' | 'badly' | undefined {
  const last = tailOf(task.log).trimEnd().split('\n').at(-1) ?? '';
  if (/^TASK (?:OK|WARNINGS: \d+)$/.test(last)) return 'well';
  return last.startsWith('TASK ERROR:') ? 'badly' : undefined;
}

/** When its log was written last, seconds since the epoch. */
export const lastWordAt = ({ log }: NodeTask): number => Math.ceil(lstatSync(log).mtimeMs / 1000);

const tailBytes = 4_096;

function tailOf(log: string): string {
  const opened = openSync(log, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const facts = fstatSync(opened);
    if (!facts.isFile()) throw new Error(`cannot use ${log}: it is no file`);
    const bytes = Buffer.alloc(Math.min(tailBytes, facts.size));
    const read = readSync(opened, bytes, 0, bytes.length, Math.max(0, facts.size - tailBytes));
    return bytes.subarray(0, read).toString('utf8');
  } finally {
    closeSync(opened);
  }
}
