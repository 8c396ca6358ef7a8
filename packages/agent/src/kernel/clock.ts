/**
 * Injected time, randomness and ids. Nothing in the agent reads a clock, sleeps or draws a random number any other
 * way, because the simulation owns all three.
 */
export interface Clock {
  /** Wall time, whole milliseconds since the epoch. May jump; never used to measure a duration. */
  now(): number;
  /** Monotonic milliseconds that stop while the machine is suspended (CLOCK_MONOTONIC). */
  monotonicMs(): number;
  /** Milliseconds since boot that go on while the machine is suspended (CLOCK_BOOTTIME). */
  bootMs(): number;
  /** Waits. Rejects with `signal.reason` when aborted; aborting stops the waiting and nothing else. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export interface Random {
  /** Uniform bytes; cryptographic in production, seeded in the simulation. */
  bytes(count: number): Uint8Array;
}
