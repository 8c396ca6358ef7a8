/**
 * The witness: says from inside how the guest is, so that its host can see it without entering. Facts are empty folders in
 * the witness's own cgroup: a beat, and per check whether it passes. The whole folder goes with the process, so nothing
 * stale stays behind. Checks are real probes; that a process exists is none.
 */
import type { Clock, WitnessFolder } from './ports.ts';

export interface WitnessCheck {
  /** Lower-case letters, digits and hyphens, at most 32. */
  readonly name: string;
  probe(signal: AbortSignal): Promise<boolean>;
}

export interface WitnessNeeds {
  readonly folder: WitnessFolder;
  readonly clock: Clock;
  readonly checks: readonly WitnessCheck[];
  /** Percent used per volume, for `df.<volume>.<percent>`. */
  readonly usage?: () => Promise<ReadonlyMap<string, number>>;
  readonly everyMs?: number;
}

export const beatMs = 5_000;
const maxChecks = 20;
const probeMs = 4_000;
const plainName = /^[a-z0-9-]{1,32}$/;
const ours = /^(?:beat|ok|no|df)\./;

/** Works until aborted. What the folder refuses is tried again with the next beat. */
export async function keepWitness(needs: WitnessNeeds, signal: AbortSignal): Promise<void> {
  const { folder, clock } = needs;
  while (!signal.aborted) {
    const facts = await factsNow(needs, signal);
    await show(folder, facts).catch(() => undefined);
    await clock.sleep(needs.everyMs ?? beatMs, signal);
  }
}

async function factsNow(needs: WitnessNeeds, signal: AbortSignal): Promise<Set<string>> {
  const { clock, checks, usage } = needs;
  const facts = new Set<string>();
  for (const check of checks.slice(0, maxChecks)) {
    if (!plainName.test(check.name)) continue;
    const slow = new AbortController();
    const limit = clock.sleep(probeMs, AbortSignal.any([slow.signal, signal])).then(
      () => false,
      () => false,
    );
    const passed = await Promise.race([check.probe(signal).catch(() => false), limit]);
    slow.abort();
    facts.add(`${passed ? 'ok' : 'no'}.${check.name}`);
  }
  for (const [volume, percent] of (await usage?.().catch(() => undefined)) ?? [])
    if (plainName.test(volume)) facts.add(`df.${volume}.${Math.round(percent)}`);
  // Last: a beat vouches for what stands beside it.
  facts.add(`beat.${Math.floor(clock.now() / 1000)}`);
  return facts;
}

/** What is new first, so that a fact is never missing in between. */
async function show(folder: WitnessFolder, facts: ReadonlySet<string>): Promise<void> {
  const before = await folder.names();
  for (const name of facts) if (!before.includes(name)) await folder.make(name);
  for (const name of before) if (ours.test(name) && !facts.has(name)) await folder.remove(name);
}
