/**
 * Desired state against one snapshot of the world: what to do, as data. Pure and total; the same input gives the same
 * plan in the same order, and a converged world plans nothing. Asks for everything that differs and permits nothing.
 */
import type { DesiredGuest, Finding, GuestName, HeldDesiredState, Vmid } from '@felhom/protocol';
import type { GuestEffect } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { GuestSight, GuestStanding, InFlight } from '../guests/index.ts';
import { planGuest } from '../guests/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { GuestDisk } from '../ports/guest-disks.ts';
import type { GuestRow } from '../ports/proxmox.ts';
import type { Observation } from './observe.ts';

export interface PlanInput {
  readonly desired: HeldDesiredState;
  readonly observed: Observation;
  readonly registry: readonly GuestRecord[];
  readonly policy: HostPolicy;
  /** Guests and VMIDs that open sagas are working on. */
  readonly inFlight: InFlight;
  /** The declared disk below a storage. */
  readonly diskOf?: (storage: string) => GuestDisk | undefined;
  /** Wall time, milliseconds. */
  readonly now: number;
}

export interface Plan {
  /** Removals first, then what makes room, then changes, then what takes room; stable within. */
  readonly effects: readonly GuestEffect[];
  readonly findings: readonly Finding[];
  readonly guests: readonly GuestStanding[];
}

export function plan(input: PlanInput): Plan {
  const { desired, observed, policy, inFlight, now } = input;
  const findings: Finding[] = [];
  const guests: GuestStanding[] = [];
  const effects: GuestEffect[] = [];
  const records = input.registry.filter((record) => !record.scratch);
  if (observed.problem !== undefined)
    findings.push({
      key: 'host.unreadable',
      severity: 'critical',
      subject: 'host',
      text: `the guests of this host could not be read: ${observed.problem.text}`.slice(0, 1000),
      advice: { text: 'Nothing is changed until they can be read again; felhom-agent doctor says what is wrong.' },
      since: now,
    });
  // Never received is not empty: without a document nothing is asked for, and nothing counts as surplus.
  if (desired.is === 'held' && observed.problem === undefined) {
    const wanted = new Map(desired.state.guests.map((guest) => [guest.name, guest]));
    for (const record of records) {
      const planned = planGuest(wanted.get(record.name), sightOf(record, observed), policy, now, input.diskOf);
      const busy = inFlight.names.has(record.name);
      effects.push(...(busy ? [] : planned.effects));
      findings.push(...planned.findings);
      guests.push(planned.standing);
    }
    const known = new Set<GuestName>(records.map((record) => record.name));
    for (const guest of desired.state.guests) {
      if (known.has(guest.name)) continue;
      const comingUp = inFlight.names.has(guest.name);
      const twin = comingUp ? undefined : twinOf(guest, input);
      if (twin !== undefined) findings.push(alreadyThere(guest, twin, now));
      else if (!comingUp) effects.push({ kind: 'guest-provision', desired: guest });
      guests.push({
        name: guest.name,
        uid: undefined,
        vmid: undefined,
        status: comingUp ? 'coming-up' : 'missing',
        drift: twin === undefined ? [] : [`VMID ${twin.vmid} looks like it and is not on record`],
        waiting: twin !== undefined,
        held: policy.hold.host || policy.hold.guests.includes(guest.name),
      });
    }
    findings.push(...strangers(input, records));
  }
  return {
    effects: effects
      .map((effect, at) => ({ effect, at }))
      .toSorted(byOrder)
      .map(({ effect }) => effect),
    findings: findings.toSorted((a, b) => compare(`${a.key} ${a.subject}`, `${b.key} ${b.subject}`)),
    guests: guests.toSorted((a, b) => compare(a.name, b.name)),
  };
}

/**
 * A guest in our ranges under the same host name, with a mark of Felhom that no record knows: most likely this very
 * guest, made before the journal was lost or left by a saga that was abandoned. A second one beside it would answer to
 * the same name with none of its data.
 */
function twinOf(desired: DesiredGuest, { observed, registry, inFlight }: PlanInput): GuestRow | undefined {
  const known = new Set<string>(registry.map((record) => record.uid));
  return [...observed.rows.values()].find((row) => {
    const seen = observed.seen.get(row.vmid);
    if (seen?.is !== 'present' || seen.view.marker === undefined || inFlight.vmids.has(row.vmid)) return false;
    return !known.has(seen.view.marker.uid) && seen.view.hostname === desired.hostname;
  });
}

const alreadyThere = (desired: DesiredGuest, twin: GuestRow, now: number): Finding => ({
  key: 'guest.twin',
  severity: 'critical',
  subject: desired.name,
  text: `guest ${desired.name} is not made: VMID ${twin.vmid} (${twin.name}) carries a mark of Felhom that is not on record and the same host name`,
  advice: {
    text: `If it is this guest, bring the journal back that knew it. If nobody needs it, remove VMID ${twin.vmid} in Proxmox.`,
  },
  since: now,
});

/** One guest of ours as the snapshot shows it. */
export function sightOf(record: GuestRecord, observed: Observation): GuestSight {
  return {
    record,
    row: observed.rows.get(record.vmid),
    seen: observed.seen.get(record.vmid) ?? { is: 'unreadable', why: 'it was not looked at' },
    foreignTasks: observed.foreignTasks.get(record.vmid) ?? [],
    personStoppedAt: observed.personStops.get(record.vmid),
  };
}

/** Guests in our ranges that nobody here made: never touched, but somebody has to know. */
function strangers(input: PlanInput, records: readonly GuestRecord[]): Finding[] {
  const { observed, policy, inFlight, now } = input;
  const ours = new Set<Vmid>(input.registry.map((record) => record.vmid));
  return [...observed.rows.values()].flatMap((row): Finding[] => {
    const inRange = Object.values(policy.vmids).some((range) => row.vmid >= range.from && row.vmid <= range.to);
    if (!inRange || ours.has(row.vmid) || inFlight.vmids.has(row.vmid)) return [];
    const seen = observed.seen.get(row.vmid);
    const marked = seen?.is === 'present' ? seen.view.marker : undefined;
    const namesake = records.find((record) => record.uid === marked?.uid);
    if (marked === undefined)
      return [
        {
          key: 'guest.foreign-in-range',
          severity: 'warning',
          subject: String(row.vmid),
          text: `VMID ${row.vmid} (${row.name}) is in the range of the agent, and the agent did not make it`,
          advice: { text: 'It is never touched. Move it to another VMID, or take this one out of the range.' },
          since: now,
        },
      ];
    return [
      {
        key: 'guest.stray',
        severity: 'warning',
        subject: String(row.vmid),
        text:
          namesake === undefined
            ? `VMID ${row.vmid} (${row.name}) carries the marker of a guest that is not on record (${marked.uid})`
            : `VMID ${row.vmid} (${row.name}) carries the marker of guest ${namesake.name}, which is ${namesake.vmid}: it came from an archive of it`,
        advice: { text: 'It is never touched: remove it in Proxmox if nobody needs it, or have it adopted.' },
        since: now,
      },
    ];
  });
}

/** What gives room back comes before what takes it; a start comes after the changes that want the guest stopped. */
const rank: Readonly<Record<GuestEffect['kind'], number>> = {
  'guest-remove': 0,
  'volume-remove': 1,
  'volume-shrink': 2,
  'memory-down': 3,
  'cpu-down': 3,
  'swap-down': 3,
  'guest-stop': 4,
  'guest-onboot-off': 4,
  'marker-repair': 5,
  'backup-flag-off': 6,
  'backup-flag-on': 6,
  'mount-change': 6,
  'volume-move': 6,
  'network-change': 6,
  'nameserver-change': 6,
  'hostname-change': 6,
  'label-change': 7,
  'startup-change': 7,
  'timezone-change': 7,
  'cpu-up': 8,
  'memory-up': 8,
  'swap-up': 8,
  'volume-grow': 9,
  'volume-add': 10,
  'guest-onboot-on': 11,
  'guest-start': 12,
  'guest-provision': 13,
};

interface Placed {
  readonly effect: GuestEffect;
  readonly at: number;
}

const nameOf = (effect: GuestEffect): string =>
  effect.kind === 'guest-provision' ? effect.desired.name : effect.guest.name;

function byOrder(a: Placed, b: Placed): number {
  return rank[a.effect.kind] - rank[b.effect.kind] || compare(nameOf(a.effect), nameOf(b.effect)) || a.at - b.at;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
