/**
 * What a guest's controller needs of its host now: a claim, a restart in place, a newer image, a cleaner config. Pure.
 * Healing is a restart and never more; what three restarts did not bring back is for people.
 */
import type { Digest, Finding } from '@felhom/protocol';
import type { GuestRef, ProtectionEffect } from '../authority/effects.ts';
import { restartsPerHour } from './restarts.ts';
import type { Tokens } from './tokens.ts';

/** So long nobody may hear of a supervisor before its guest is restarted [R17]. */
export const silentMs = 10 * 60_000;

export interface ControllerSight {
  readonly guest: GuestRef;
  /** Desired state gives it a controller, and wants it to run. */
  readonly wanted: boolean;
  readonly running: boolean;
  /** Wall time of its start, as far as it is known. */
  readonly runningSince: number | undefined;
  /** A saga is at work on it. */
  readonly busy: boolean;
  /** Wall time of the last word of its supervisor, in whatever incarnation. */
  readonly heardAt: number | undefined;
  readonly token: ReturnType<Tokens['standing']>;
  readonly claimOpen: boolean;
  /** A claim that is worth nothing may still stand in its config. */
  readonly claimLeft: boolean;
  /** When the agent restarted it since `heardAt`. */
  readonly restarts: readonly number[];
  readonly newer: { readonly role: string; readonly version: string; readonly digest: Digest } | undefined;
}

export interface HealClock {
  readonly now: number;
  /** Since when guests can reach the agent: a silence of the agent's own is none of theirs. */
  readonly listeningSince: number;
}

export type Heal =
  | { readonly is: 'well' }
  /** Not yet, or not now. */
  | { readonly is: 'wait' }
  | { readonly is: 'restart'; readonly why: string }
  /** Restarts did not help. */
  | { readonly is: 'give-up'; readonly why: string };

export function decideHeal(sight: ControllerSight, { now, listeningSince }: HealClock): Heal {
  if (!sight.wanted || !sight.running) return { is: 'well' };
  const last = Math.max(
    listeningSince,
    sight.heardAt ?? 0,
    sight.runningSince ?? 0,
    sight.token.is === 'unused' ? sight.token.since : 0,
    ...sight.restarts,
  );
  if (now - last < silentMs) return { is: sight.token.is === 'used' ? 'well' : 'wait' };
  // It is still to be taken up.
  if (sight.claimOpen || sight.busy) return { is: 'wait' };
  const why =
    sight.token.is === 'none'
      ? 'it has no token that counts'
      : sight.token.is === 'unused'
        ? 'its token never reached it'
        : `its supervisor has been silent for ${Math.round((now - last) / 60_000)} minutes`;
  if (sight.restarts.length >= restartsPerHour) return { is: 'give-up', why };
  return { is: 'restart', why };
}

export interface ControllerWork {
  readonly effects: readonly ProtectionEffect[];
  readonly findings: readonly Finding[];
}

/** For every guest on record that serves; effects are submitted like any other, and the gate decides. */
export function controllerWork(sights: readonly ControllerSight[], clock: HealClock): ControllerWork {
  const effects: ProtectionEffect[] = [];
  const findings: Finding[] = [];
  for (const sight of sights) {
    const { guest } = sight;
    const heal = decideHeal(sight, clock);
    if (heal.is === 'restart') effects.push({ kind: 'claim-issue', guest });
    if (heal.is === 'give-up')
      findings.push({
        key: 'controller.silent',
        severity: 'critical',
        subject: guest.name,
        text: `guest ${guest.name} was restarted ${sight.restarts.length} times and is not heard of: ${heal.why}`,
        advice: {
          text: 'Look into the guest: its supervisor does not run, or does not reach the local API of the host.',
        },
        since: sight.restarts.at(-1) ?? clock.now,
      });
    if (heal.is === 'restart' || sight.busy) continue;
    if (heal.is === 'well' && sight.newer !== undefined && sight.heardAt !== undefined)
      effects.push({ kind: 'controller-update', guest, ...sight.newer });
    else if (sight.claimLeft) effects.push({ kind: 'claim-drop', guest });
  }
  return { effects, findings };
}
