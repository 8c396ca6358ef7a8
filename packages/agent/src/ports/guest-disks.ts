/** The declared disks as whoever looks after guests on them needs to know them; the room `storage` tells. */
import type { Reason } from '@felhom/protocol';

export interface GuestDisk {
  /** Name of the declared target. */
  readonly target: string;
  /**
   *   attached  what was declared lies there
   *   in-use    it is plugged in again, and the mount of the time before is kept where it is by who uses it
   *   away      it is not there, or is not to be used
   *   unclear   it was not looked at yet, or only its entry in Proxmox is not as it should be
   */
  readonly state: 'attached' | 'in-use' | 'away' | 'unclear';
  /** Another word after each time that it was away. */
  readonly attachment: string;
  /** Comes and goes too often to be relied on. */
  readonly flapping: boolean;
  /** Of this state, wall time in milliseconds. */
  readonly since: number;
  /** For people; empty where it is attached. */
  readonly why: string;
}

export interface GuestDisks {
  /** `undefined`: the storage is no disk that root declared, or it was taken out of use. */
  disk(storage: string): GuestDisk | undefined;
  /** Has root mend now what it can, looks, and asks the disk. Why it is not attached still. */
  bringBack(storage: string, signal: AbortSignal): Promise<Reason | undefined>;
}
