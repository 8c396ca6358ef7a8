/**
 * What the programs of a guest need from outside. Each port has a real adapter in `adapters/` and a stand-in in the lab;
 * the simulation gives its own clock, files and transport, so that the same code runs in all three.
 */
import type { LocalRoute } from '@felhom/protocol';

export interface Clock {
  /** Whole milliseconds since the epoch. A guest shares the clock of its host. */
  now(): number;
  /** Rejects with the reason of the signal when aborted; aborting stops the waiting and nothing else. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export interface Random {
  bytes(count: number): Uint8Array;
}

export interface TransportRequest {
  readonly method: LocalRoute['method'];
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /** After that nobody waits for the answer any more. */
  readonly timeoutMs: number;
}

export type TransportAnswer =
  | { readonly is: 'answered'; readonly status: number; readonly body: string }
  /** Nobody knows whether the request arrived. `untrusted`: the other side is not who it should be; nothing was sent. */
  | { readonly is: 'failed'; readonly text: string; readonly untrusted?: true };

export interface Transport {
  send(request: TransportRequest, signal: AbortSignal): Promise<TransportAnswer>;
}

/** How the guest knows its host. */
export type HostTrust =
  /** The claim's pin: SHA-256 of the public key of the host's CA, hex. */
  | { readonly is: 'pin'; readonly spkiSha256: string }
  /** PEM, as the redemption answered them. */
  | { readonly is: 'ca'; readonly pems: readonly string[] }
  /** Whoever answers; only to redeem by the bridge port, and only for a while after the start. */
  | { readonly is: 'first-use' };

/** `address`: `address:port` of the host. */
export type Connect = (address: string, trust: HostTrust) => Transport;

export type EntryKind = 'file' | 'directory' | 'link' | 'other';

export interface Entry {
  readonly name: string;
  readonly kind: EntryKind;
  /** Of a file; 0 for others. */
  readonly sizeBytes: number;
  /** Something else is mounted here. */
  readonly mount: boolean;
}

/**
 * Files below the paths of the guest. Nothing is ever read or written through a symbolic link in the last part of a
 * path. What is written is on the disk when the promise resolves: file and folder are synced.
 */
export interface GuestFiles {
  /** `undefined`: there is no such regular file, or it is longer than `limit` bytes. */
  read(path: string, limit: number): Promise<Uint8Array | undefined>;
  /** Replaces the file as a whole or not at all; makes the folders above it. `mode` in octal as for chmod. */
  write(path: string, bytes: Uint8Array, mode: number): Promise<void>;
  /** Names in a folder, in no order; empty when there is none. */
  list(path: string): Promise<readonly Entry[]>;
  /** SHA-256 (hex) and size of a regular file. */
  digest(path: string): Promise<{ readonly sha256: string; readonly sizeBytes: number } | undefined>;
  copyFile(from: string, to: string): Promise<void>;
  /** Copies a symbolic link as such. */
  copyLink(from: string, to: string): Promise<void>;
  makeFolder(path: string): Promise<void>;
  /** Within one file system. */
  rename(from: string, to: string): Promise<void>;
  /** A file or a whole folder; nothing there is fine. */
  remove(path: string): Promise<void>;
}

export type Done = { readonly is: 'done' } | { readonly is: 'failed'; readonly text: string };

/** Stacks of containers: the customer's apps. */
export interface Apps {
  /** Stacks that run now. */
  running(): Promise<readonly string[]>;
  /** Stacks that people stopped on purpose: not to be healed. */
  stopped(): Promise<readonly string[]>;
  /** Brings these stacks to a stand, so that what is on the disk agrees with itself. */
  quiesce(stacks: readonly string[]): Promise<Done>;
  /** These stacks go on; `all`: each that stands still and that nobody stopped on purpose. Twice is once. */
  unquiesce(stacks: readonly string[] | 'all'): Promise<Done>;
  start(stack: string): Promise<Done>;
  stop(stack: string): Promise<Done>;
  health(stack: string): Promise<'starting' | 'healthy' | 'unhealthy'>;
}

/** What a running controller says of itself. */
export interface ControllerHealth {
  readonly healthy: boolean;
  readonly quiesced: boolean;
  readonly text: string;
  readonly stoppedStacks: readonly string[];
}

export interface RunningImage {
  /** Resolves when it ended, whatever the cause; `text` for people. */
  readonly ended: Promise<{ readonly text: string }>;
  /** `undefined`: it does not answer. */
  health(): Promise<ControllerHealth | undefined>;
  stop(): Promise<void>;
}

export interface ImageOrder {
  /** SHA-256, hex. */
  readonly digest: string;
  readonly version: string;
  readonly config: Readonly<Record<string, string>>;
  readonly outward: boolean;
}

/** Runs a controller image. In a guest: `docker compose up` for exactly this digest [R17]. */
export interface Images {
  run(order: ImageOrder, signal: AbortSignal): Promise<RunningImage | { readonly is: 'failed'; readonly text: string }>;
}

/** Makes SSH host keys anew; `ssh-keygen -A` in a guest. The old ones are gone already. */
export interface HostKeys {
  make(): Promise<void>;
}

/** The witness's own cgroup: empty folders are facts that the host can see. */
export interface WitnessFolder {
  names(): Promise<readonly string[]>;
  make(name: string): Promise<void>;
  remove(name: string): Promise<void>;
}
