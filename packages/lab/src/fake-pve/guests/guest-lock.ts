// The process-held config flock, with the patience of Proxmox, and the moments in between.
import type { FakePve, Task } from '../core.ts';

/** Seconds that Proxmox waits for the config flock before it gives up. */
export const LOCK_TIMEOUT_SECONDS = 10;

export function withLock<T>(pve: FakePve, vmid: number, body: () => Promise<T>): Promise<T> {
  return pve.tasks.withGuestLock(vmid, LOCK_TIMEOUT_SECONDS, body);
}

/**
 * A moment between two effects of a worker: what kills it at the log line before, or by the clock, lands here and not
 * after the next effect. One millisecond, so that a simulated clock can stop inside.
 */
export function gap(task: Task): Promise<void> {
  return task.work(1);
}
