// The process-held config flock, with the patience of Proxmox.
import type { FakePve } from '../core.ts';

/** Seconds that Proxmox waits for the config flock before it gives up. */
export const LOCK_TIMEOUT_SECONDS = 10;

export function withLock<T>(pve: FakePve, vmid: number, body: () => Promise<T>): Promise<T> {
  return pve.tasks.withGuestLock(vmid, LOCK_TIMEOUT_SECONDS, body);
}
