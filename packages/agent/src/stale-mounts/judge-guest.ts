/**
 * What the disks below a guest call for: nothing, a question to root, a restart, or a person. Pure.
 *
 *   the disk is away                 nothing can be done; a person is told which guest and volume write into nothing
 *   attached, root not asked yet     asked: once per attachment of the disk and start of the guest
 *   attached, mounts live            well
 *   attached, mounts dead            a restart, if it is to run and all its disks are there and steady
 *   back, and not yet mounted        the same, once every guest that keeps the mount of before is restarted with it
 */
import type { Finding, GuestName } from '@felhom/protocol';
import type { GuestRef, ProtectionEffect } from '../authority/effects.ts';
import { restartsPerHour } from '../controllers/restarts.ts';
import type { GuestDisk } from '../ports/guest-disks.ts';

/** The disk below a storage; `undefined`: it is none that root declared. */
export type DiskOf = (storage: string) => GuestDisk | undefined;

export interface OnDisk {
  readonly volume: string;
  readonly storage: string;
}

/** What root said last about the mounts of a guest that are of one disk. */
export interface Known {
  readonly storage: string;
  readonly attachment: string;
  /** The start of the guest that it was said of. */
  readonly boot: string;
  readonly state: 'live' | 'dead' | 'unknown';
  readonly why: string;
  /** How often it was started at this attachment and had a dead one still. */
  readonly vain: number;
  /** Wall times. */
  readonly at: number;
  /** Since when it is in this state. */
  readonly since: number;
}

export type Remount = Extract<ProtectionEffect, { kind: 'guest-remount' }>;

export interface GuestOnDisks {
  readonly guest: GuestRef;
  /** Desired state names it and wants it to run. */
  readonly wanted: boolean;
  readonly busy: boolean;
  /** It is on hold, or its host is. */
  readonly held: boolean;
  /** False: one that failed is to wait. */
  readonly due: (effect: Remount) => boolean;
  /** Guests that run on, and keep a disk of its from being mounted. */
  readonly keptBy: readonly string[];
  /** Of its present start. */
  readonly boot: string;
  readonly volumes: readonly OnDisk[];
  readonly known: readonly Known[];
  /** Times at which the agent restarted it within the last hour. */
  readonly restarts: readonly number[];
  /** It could not be brought down at this start. */
  readonly stuck: { readonly boot: string; readonly at: number } | undefined;
}

export interface Judged {
  readonly ask: boolean;
  readonly effect: Remount | undefined;
  /** The effect is due. */
  readonly goes: boolean;
  readonly findings: readonly Finding[];
  /** When to look again, wall time. */
  readonly nextAt: number | undefined;
}

/** What could not be told is asked again after that. */
export const askAgainMs = 10 * 60_000;
/** Where so many starts did not help one more does not: a person has to see to it, or the disk to come back anew. */
export const mostVain = 3;

export function judgeGuest(sight: GuestOnDisks, diskOf: DiskOf, now: number): Judged {
  const { guest, volumes } = sight;
  const findings: Finding[] = [];
  let [ask, nextAt]: [boolean, number | undefined] = [false, undefined];
  const dead: { readonly disk: GuestDisk; readonly known: Known; readonly names: string }[] = [];
  let waits = '';
  for (const storage of new Set(volumes.map((each) => each.storage))) {
    const disk = diskOf(storage);
    if (disk === undefined) continue;
    const names = volumes.flatMap((each) => (each.storage === storage ? [each.volume] : [])).join(', ');
    if (disk.state === 'away') {
      findings.push(awayFinding(guest, names, disk));
      waits = `target ${disk.target} is not attached`;
    }
    if (disk.state === 'unclear') waits = `target ${disk.target} is being looked at`;
    if (disk.state === 'away' || disk.state === 'unclear') continue;
    if (disk.flapping) waits = `target ${disk.target} comes and goes`;
    const known = sight.known.find((one) => isOf(one, storage, disk, sight.boot));
    if (known === undefined) ask = true;
    else if (known.state === 'dead') dead.push({ disk, known, names });
    else if (known.state === 'unknown') {
      const due = known.at + askAgainMs;
      // A clock that went back asks at once rather than never.
      if (now >= due || now < known.at) ask = true;
      else nextAt = Math.min(nextAt ?? due, due);
      findings.push(unknownFinding(guest, names, disk, known));
    }
  }
  if (dead.length === 0) return { ask, effect: undefined, goes: false, findings, nextAt };
  const vain = Math.max(...dead.map(({ known }) => known.vain));
  const next = whatNext(sight, waits, ask, vain);
  const targets = dead.map(({ disk }) => disk.target).toSorted();
  const effect = next.is === 'restart' ? ({ kind: 'guest-remount', guest, targets } as const) : undefined;
  const goes = effect !== undefined && sight.due(effect);
  const advice = next.is !== 'restart' ? next.text : goes ? 'It is restarted by itself now.' : triedAgain;
  for (const { disk, known, names } of dead) findings.push(deadFinding(guest, names, disk, known, advice));
  return { ask, effect, goes, findings, nextAt };
}

export const isOf = (known: Known, storage: string, disk: GuestDisk, boot: string): boolean =>
  known.storage === storage && known.attachment === disk.attachment && known.boot === boot;

type Next =
  | { readonly is: 'restart' }
  | { readonly is: 'wait'; readonly text: string }
  /** Nothing more is done by itself. */
  | { readonly is: 'person'; readonly text: string };

const triedAgain = 'Restarting it failed; why, and when it is tried again, is told beside this.';

function whatNext(sight: GuestOnDisks, waits: string, ask: boolean, vain: number): Next {
  const { wanted, busy, held, keptBy, boot, restarts, stuck } = sight;
  if (!wanted)
    return {
      is: 'person',
      text: 'Desired state does not want it to run, so it is not started anew: stop it, or restart it.',
    };
  if (stuck?.boot === boot)
    return {
      is: 'person',
      text: 'It could not be stopped: something in it waits in the kernel for the disk that is gone. Restart the host.',
    };
  if (vain >= mostVain)
    return {
      is: 'person',
      text: `It was restarted ${vain} times since this disk is back, and its mount is dead still. Look at the disk and at its start log, then restart it.`,
    };
  if (held) return { is: 'wait', text: 'It is restarted by itself once the hold is over.' };
  // A start needs all its disks.
  if (waits !== '') return { is: 'wait', text: `It is restarted by itself; now it waits: ${waits}.` };
  if (restarts.length >= restartsPerHour)
    return {
      is: 'person',
      text: `It was restarted ${restarts.length} times within the hour. Look at the disk and at its start log, then restart it.`,
    };
  if (busy || ask)
    return { is: 'wait', text: 'It is restarted by itself as soon as no other work on it is under way.' };
  // Down, it could not start again: who runs on keeps the mount of before where it is.
  if (keptBy.length > 0)
    return {
      is: 'wait',
      text: `It is restarted by itself once its disk can be mounted: that is kept in use by guest ${keptBy.join(', ')}, which is not restarted now. See to that one first.`,
    };
  return { is: 'restart' };
}

/** A guest that runs, and which of its disks are back without being mounted. */
export interface DiskUser {
  readonly name: GuestName;
  readonly inUse: readonly string[];
  /** It is about to be restarted, as far as it is up to it. */
  readonly goes: boolean;
}

/** Who keeps the disks of a guest in use for longer; nobody where all of them are about to be restarted. Pure. */
export function keepersOf(users: readonly DiskUser[]): ReadonlyMap<GuestName, readonly string[]> {
  const kept = new Map<GuestName, readonly string[]>();
  const stays = ({ name, goes }: DiskUser): boolean => !goes || kept.has(name);
  // Who is kept by one keeps another.
  for (let before = -1; before < kept.size;) {
    before = kept.size;
    const staying = users.filter(stays);
    for (const { name, inUse } of users) {
      const by = staying.filter((one) => one.name !== name && one.inUse.some((target) => inUse.includes(target)));
      if (by.length > 0 && !kept.has(name))
        kept.set(
          name,
          by.map((one) => one.name),
        );
    }
  }
  return kept;
}

const cut = (text: string, most: number): string => text.slice(0, most);

const awayFinding = ({ name }: GuestRef, names: string, disk: GuestDisk): Finding => ({
  key: 'guest.volume-away',
  severity: 'critical',
  subject: name,
  text: cut(
    `guest ${name} runs without its disk: ${names} on target ${disk.target}, which is not attached: ${disk.why}`,
    1000,
  ),
  advice: {
    text: 'See to the disk. What the guest writes there is lost until it is back; then the guest is restarted by itself.',
    command: 'felhom-agent status',
  },
  since: disk.since,
});

const unknownFinding = ({ name }: GuestRef, names: string, disk: GuestDisk, known: Known): Finding => ({
  key: 'guest.mounts-unknown',
  severity: 'warning',
  subject: name,
  text: cut(`cannot tell whether guest ${name} has ${names} of target ${disk.target} as it is now: ${known.why}`, 1000),
  advice: { text: 'It is asked again by itself. If the disk was pulled while the guest ran, restart the guest.' },
  since: known.since,
});

const deadFinding = ({ name }: GuestRef, names: string, disk: GuestDisk, known: Known, advice: string): Finding => ({
  key: 'guest.stale-mount',
  severity: 'critical',
  subject: name,
  text: cut(
    `guest ${name} still has the disk that was pulled: ${names} on target ${disk.target}, where it reads errors or writes into nothing: ${known.why}`,
    1000,
  ),
  advice: { text: cut(advice, 500) },
  since: known.since,
});

/** For a guest that asks whether it can rely on a volume. */
export type Reliance = 'attached' | 'away' | 'stale';

/**
 * `boot`: of the present start, `undefined` where nobody has looked yet. Between the return of a disk and root's answer a
 * guest has what it had before: that is not to be relied on. Where root cannot tell, nothing is known against it.
 */
export function relianceOf(
  storage: string,
  disk: GuestDisk | undefined,
  known: readonly Known[],
  boot: string | undefined,
): Reliance {
  if (disk === undefined || disk.state === 'unclear') return 'attached';
  if (disk.state === 'away') return 'away';
  if (disk.state === 'in-use') return 'stale';
  const last = known.find((one) => one.storage === storage);
  if (last === undefined || (boot !== undefined && last.boot !== boot)) return 'attached';
  return last.attachment !== disk.attachment || last.state === 'dead' ? 'stale' : 'attached';
}
