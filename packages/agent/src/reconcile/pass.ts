/** One pass: observe, plan, submit each, report. It permits nothing and waits for no saga. */
import type { BlockedAction, Finding, HeldDesiredState } from '@felhom/protocol';
import { carrySince, explain } from '@felhom/protocol';
import type { Submission } from '../admission/index.ts';
import type { GuestEffect } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { identityOf } from '../guests/index.ts';
import type { GuestStanding, InFlight } from '../guests/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { GuestDisk } from '../ports/guest-disks.ts';
import type { SagaEnd } from '../kernel/saga.ts';
import { forget, noteFailure, prune, sift } from './back-off.ts';
import type { Failures } from './back-off.ts';
import { emptyMemory, observe } from './observe.ts';
import type { Observation, ObserveNeeds, ObserverMemory } from './observe.ts';
import { plan, sightOf } from './plan.ts';

export interface PassNeeds extends ObserveNeeds {
  desired(): HeldDesiredState;
  registry(): readonly GuestRecord[];
  policy(): HostPolicy;
  /** The declared disk below a storage. */
  readonly diskOf?: (storage: string) => GuestDisk | undefined;
  inFlight(): InFlight;
  /** The only door to a mutation. Gets the snapshot that the plan was made from, for the gate's facts. */
  submit(effect: GuestEffect, observation: Observation): Promise<Submission>;
  /** A guest of ours that never served by its record runs: whoever started it, from now on it has. */
  sawServing(record: GuestRecord): void;
  /** Wall time, milliseconds. */
  now(): number;
  /** Something ended: the world is worth another look. */
  wake(): void;
}

export interface PassReport {
  readonly at: number;
  readonly observation: Observation;
  readonly effects: readonly GuestEffect[];
  readonly submitted: readonly { readonly effect: GuestEffect; readonly result: Submission }[];
  readonly blocked: readonly BlockedAction[];
  readonly findings: readonly Finding[];
  readonly guests: readonly GuestStanding[];
  /** Digest of the desired state that the pass went by; `undefined` while there is none. */
  readonly desired: string | undefined;
  /** That desired state is known, and nothing is left to do, under way or in the way. */
  readonly converged: boolean;
  /** Wall time in milliseconds at which something that failed may be tried again: sooner than the next pass, perhaps. */
  readonly lookAgainAt: number | undefined;
}

export interface PassMemory {
  observer: ObserverMemory;
  failures: Failures;
  findings: readonly Finding[];
}

export const newPassMemory = (): PassMemory => ({ observer: emptyMemory, failures: new Map(), findings: [] });

export async function pass(needs: PassNeeds, memory: PassMemory, signal: AbortSignal): Promise<PassReport> {
  const [registry, policy, inFlight, desired] = [needs.registry(), needs.policy(), needs.inFlight(), needs.desired()];
  const seen = await observe(needs, { registry, policy, inFlight, memory: memory.observer }, signal);
  memory.observer = seen.memory;
  const { observation } = seen;
  const at = needs.now();
  for (const record of registry)
    // A scratch guest serves nobody, however long it runs.
    if (
      !record.scratch &&
      record.servedAt === undefined &&
      !inFlight.names.has(record.name) &&
      isServing(record, observation)
    )
      needs.sawServing(record);
  const { diskOf = () => undefined } = needs;
  const planned = plan({ desired, observed: observation, registry, policy, inFlight, diskOf, now: at });
  memory.failures = prune(memory.failures, planned.effects, inFlight.names);
  const sifted = sift(planned.effects, memory.failures, at);
  const submitted: { effect: GuestEffect; result: Submission }[] = [];
  for (const effect of sifted.ready) {
    signal.throwIfAborted();
    const result = await needs.submit(effect, observation);
    if (result.is === 'started') void follow(needs, memory, effect, result.ended);
    submitted.push({ effect, result });
  }
  const refusals = submitted.flatMap(({ effect, result }) => refusalOf(effect, result, at));
  const findings = carrySince([...planned.findings, ...sifted.waiting, ...refusals], memory.findings);
  memory.findings = findings;
  return {
    at,
    observation,
    effects: planned.effects,
    submitted,
    blocked: submitted.flatMap(({ result }) => (result.is === 'blocked' ? [result.action] : [])),
    findings,
    guests: planned.guests,
    desired: desired.is === 'held' ? desired.digest : undefined,
    converged:
      desired.is === 'held' &&
      observation.problem === undefined &&
      planned.effects.length === 0 &&
      !planned.guests.some((guest) => guest.waiting) &&
      inFlight.names.size === 0,
    lookAgainAt: sifted.nextAt,
  };
}

/** Also where it is only likely that it is ours: having served makes the gate stricter and nothing else. */
function isServing(record: GuestRecord, observation: Observation): boolean {
  if (observation.rows.get(record.vmid)?.status !== 'running') return false;
  const identity = identityOf(sightOf(record, observation));
  return identity.is === 'ours' || identity.is === 'ours-unproven';
}

async function follow(
  needs: PassNeeds,
  memory: PassMemory,
  effect: GuestEffect,
  ended: Promise<SagaEnd>,
): Promise<void> {
  const end = await ended.catch((): undefined => undefined);
  // A runner that was stopped says nothing about the effect; a parked saga keeps its lane, which says enough.
  if (end?.is === 'completed') memory.failures = forget(memory.failures, effect);
  if (end?.is === 'unwound') memory.failures = noteFailure(memory.failures, effect, end.why, needs.now());
  needs.wake();
}

function refusalOf(effect: GuestEffect, result: Submission, now: number): Finding[] {
  if (result.is !== 'refused') return [];
  return [
    {
      key: `guest.refused.${effect.kind}`,
      severity: 'warning',
      subject: effect.kind === 'guest-provision' ? effect.desired.name : effect.guest.name,
      text: result.why.text.slice(0, 1000),
      advice: { text: `Nothing was done. ${explain(result.why.code)?.advice ?? result.why.code}`.slice(0, 500) },
      since: now,
    },
  ];
}
