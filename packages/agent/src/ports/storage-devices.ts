/**
 * What an ordinary user sees of the disks, mounts and servers behind the storage targets. Reads only, and never waits
 * on any of them: what may hang is touched by a child that is killed, or given up, when its time is over [users U7, U9].
 */

/** A block device with a file system, as udev knows it. */
export interface SeenDisk {
  /** As the kernel names it now, e.g. `sdb1`. */
  readonly device: string;
  readonly uuid: string;
  readonly fileSystem: string;
  /** Every number that it goes by: kernel, udev and lsblk do not agree on which one is the serial. */
  readonly serials: readonly string[];
  /** Of this plugging in: another word each time that the device appears, the same as long as it stays. */
  readonly appearance: string;
}

export interface SeenMount {
  readonly path: string;
  readonly fileSystem: string;
  /** `/dev/sdb1`, `server:/export`, `//server/share`. */
  readonly source: string;
  readonly readOnly: boolean;
  /** What lies under it; `undefined`: no disk, or the kernel has it no more and the mount is dead. */
  readonly disk: SeenDisk | undefined;
}

export interface SeenDevices {
  /** Of the paths asked for, what is mounted on top there. */
  readonly mounts: readonly SeenMount[];
  readonly disks: readonly SeenDisk[];
}

export type ProbeQuestion =
  /** Reads the mark file past the cache, and how full it is. */
  | { readonly is: 'path'; readonly path: string; readonly markFile: string }
  /** Whether the server answers, and with which certificate. */
  | { readonly is: 'pbs'; readonly server: string; readonly port: number };

export type Probe =
  | {
      readonly is: 'answers';
      /** What the mark file says; `undefined`: there is none. */
      readonly mark?: string;
      /** SHA-256 of the certificate, `aa:bb:…` in lower case. */
      readonly fingerprint?: string;
      readonly sizes?: { readonly usedBytes: number; readonly totalBytes: number };
    }
  /** It answers with an error, e.g. `Input/output error`. */
  | { readonly is: 'fails'; readonly text: string }
  /** Nothing within `limitMs`. */
  | { readonly is: 'hangs' };

export interface StorageDevices {
  /** Cheap: kernel and udev are read, no file system is touched. `paths`: absolute, where mounts are looked for. */
  look(paths: readonly string[]): Promise<SeenDevices>;
  /** Calls `onEvent` whenever a mount or a disk came, went or changed, until aborted. May tell too much, and misses none. */
  watch(onEvent: () => void, signal: AbortSignal): void;
  /** Never rejects. `limitMs` after which it counts as hanging. */
  probe(question: ProbeQuestion, limitMs: number): Promise<Probe>;
}
