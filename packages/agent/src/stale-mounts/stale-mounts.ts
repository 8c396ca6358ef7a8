/**
 * Asks root, once per attachment of a disk and start of a guest, whether the guest has the disk that is there; each
 * question costs a process. What was answered is durable, so a restart of the agent neither forgets a dead mount nor asks
 * everything anew, and a disk that came back while no agent ran shows as another attachment.
 */
import { z } from 'zod';
import type { Finding, GuestName, GuestUid } from '@felhom/protocol';
import { refOf } from '../authority/guest-record.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { storageOf } from '../guests/index.ts';
import type { Clock, Documents } from '../kernel/index.ts';
import type { GuestWitness } from '../ports/guest-witness.ts';
import type { GuestMount, HostHelper } from '../ports/host-helper.ts';
import { judgeGuest, keepersOf, mostVain, relianceOf } from './judge-guest.ts';
import type { DiskOf, GuestOnDisks, Judged, Known, OnDisk, Reliance, Remount } from './judge-guest.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const stored = z.strictObject({
  known: z
    .array(
      z.strictObject({
        storage: z.string().max(100),
        attachment: z.string().max(300),
        boot: z.string().max(100),
        state: z.enum(['live', 'dead', 'unknown']),
        why: z.string().max(500),
        vain: z.number().int().min(0).max(mostVain).default(0),
        at: time,
        since: time,
      }),
    )
    .max(64),
  stuck: z.strictObject({ boot: z.string().max(100), at: time }).optional(),
});
type Stored = z.output<typeof stored>;

export interface StaleMountsNeeds {
  readonly documents: Pick<Documents, 'get' | 'put' | 'remove'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly helper: Pick<HostHelper, 'guestMounts'>;
  readonly witness: Pick<GuestWitness, 'sample'>;
  readonly diskOf: DiskOf;
}

/** A guest on record, as a pass saw it. */
export interface SeenGuest extends Pick<GuestOnDisks, 'wanted' | 'busy' | 'held' | 'due' | 'restarts'> {
  readonly record: GuestRecord;
  readonly running: boolean;
  /** Wall time of its start, as far as Proxmox knows it. */
  readonly upSince: number;
}

export interface StaleMounts {
  /** After a pass. The effects are submitted like any other, and the gate decides. */
  round(guests: readonly SeenGuest[], signal: AbortSignal): Promise<Found>;
  /** Whether a guest, as it was started last, can rely on what it has of a storage now. */
  reliance(guest: GuestRecord, signal: AbortSignal): Promise<(storage: string) => Reliance>;
  /** It was to be restarted, and would not go down. */
  couldNotStop(guest: GuestUid): void;
  forget(guest: GuestUid): void;
}

export interface Found {
  readonly effects: readonly Remount[];
  readonly findings: readonly Finding[];
  /** When there is something to look at again, wall time. */
  readonly nextAt: number | undefined;
}

interface RunningGuest {
  readonly name: GuestName;
  /** Its disks that are back without being mounted, by their storages. */
  readonly inUse: () => readonly string[];
  /** `undefined`: it has only begun to run. */
  readonly judge: ((keptBy: readonly string[]) => Judged) | undefined;
}

/** A question takes root's program a moment to start; after a reboot there is one for each guest. */
const mostQuestions = 4;
const soonMs = 5_000;
const sameStartMs = 60_000;

export function createStaleMounts({ documents, clock, helper, witness, diskOf }: StaleMountsNeeds): StaleMounts {
  const keyOf = (uid: GuestUid): string => `mounts/${uid}`;
  /** Of the present starts, as they were seen last. */
  const boots = new Map<GuestUid, string>();
  const read = (uid: GuestUid): Stored => {
    const document = documents.get(keyOf(uid));
    const kept = document === undefined ? undefined : stored.safeParse(document.body);
    // What cannot be read is asked again.
    return kept?.success === true ? kept.data : { known: [] };
  };
  const keep = (uid: GuestUid, body: Stored): void => documents.put({ key: keyOf(uid), v: 1, body });

  const onDisks = (record: GuestRecord): readonly OnDisk[] =>
    record.volumes.flatMap(({ name, volid }) => {
      const storage = storageOf(volid);
      return diskOf(storage) === undefined ? [] : [{ volume: name, storage }];
    });

  /** `undefined`: it has only begun to run. */
  const bootOf = async ({ record, upSince }: SeenGuest, signal: AbortSignal): Promise<string | undefined> => {
    const seen = await witness.sample(record.vmid, [], signal);
    if (seen.is === 'seen') return seen.boot === '' ? undefined : seen.boot;
    // Its control group tells nothing: then the time of its start, which is known to a few seconds.
    const known = read(record.uid).known.find(({ boot }) => Math.abs(Number(boot.slice(6)) - upSince) < sameStartMs);
    return known?.boot ?? `since ${Math.trunc(upSince)}`;
  };

  const ask = async (record: GuestRecord, boot: string, signal: AbortSignal): Promise<void> => {
    // As they are before the question: what comes or goes meanwhile is another attachment, and asked about anew.
    const disks = new Map(
      [...new Set(onDisks(record).map(({ storage }) => storage))].flatMap((storage) => {
        const disk = diskOf(storage);
        return disk?.state === 'attached' || disk?.state === 'in-use' ? [[storage, disk] as const] : [];
      }),
    );
    const answer = await helper.guestMounts(record.vmid, signal);
    signal.throwIfAborted();
    if (answer.is === 'done' && !answer.value.running) return;
    const now = Math.trunc(clock.now());
    const kept = read(record.uid);
    const known = kept.known.filter(({ storage }) => diskOf(storage) !== undefined);
    for (const [storage, disk] of disks) {
      const { state, why } =
        answer.is === 'done'
          ? worstOf(answer.value.mounts.filter(({ target }) => target === disk.target))
          : { state: 'unknown' as const, why: answer.why.text };
      const at = known.findIndex((one) => one.storage === storage);
      const last = known[at];
      const since = last?.state === state ? last.since : now;
      const suspect = last !== undefined && last.state !== 'live';
      const before = suspect && last.attachment === disk.attachment ? last.vain : 0;
      const vain = suspect && state === 'dead' && last.boot !== boot ? Math.min(before + 1, mostVain) : before;
      known.splice(at === -1 ? known.length : at, 1, {
        storage,
        attachment: disk.attachment,
        boot,
        state,
        why: why.slice(0, 500),
        vain: state === 'live' ? 0 : vain,
        at: now,
        since,
      });
    }
    keep(record.uid, { ...kept, known: known.slice(-64) });
  };

  return {
    async round(guests, signal) {
      const seen: RunningGuest[] = [];
      let questions = 0;
      for (const guest of guests) {
        const { record, running } = guest;
        const volumes = running ? onDisks(record) : [];
        if (volumes.length === 0) continue;
        const inUse = () => volumes.flatMap(({ storage }) => (diskOf(storage)?.state === 'in-use' ? [storage] : []));
        const boot = await bootOf(guest, signal);
        if (boot !== undefined) boots.set(record.uid, boot);
        const judge = (boot: string, keptBy: readonly string[]): Judged =>
          judgeGuest(
            { ...guest, guest: refOf(record), boot, volumes, keptBy, ...saidOf(read(record.uid)) },
            diskOf,
            clock.now(),
          );
        if (boot !== undefined && judge(boot, []).ask && questions < mostQuestions) {
          questions += 1;
          await ask(record, boot, signal);
        }
        seen.push({
          name: record.name,
          inUse,
          judge: boot === undefined ? undefined : (keptBy) => judge(boot, keptBy),
        });
      }
      // All at one moment, and after the questions.
      const kept = keepersOf(
        seen.map(({ name, inUse, judge }) => ({ name, inUse: inUse(), goes: judge?.([]).goes === true })),
      );
      const found = seen.flatMap(({ name, judge }): Found[] => {
        const judged = judge?.(kept.get(name) ?? []);
        if (judged === undefined) return [];
        const { effect, findings, ask, nextAt } = judged;
        return [
          { effects: effect === undefined ? [] : [effect], findings, nextAt: ask ? clock.now() + soonMs : nextAt },
        ];
      });
      const times = found.flatMap(({ nextAt }) => nextAt ?? []);
      return {
        effects: found.flatMap(({ effects }) => effects),
        findings: found.flatMap(({ findings }) => findings),
        nextAt: times.length === 0 ? undefined : Math.min(...times),
      };
    },
    async reliance({ uid, vmid }, signal) {
      // It may have been started since the last round, and what was said of it before is void then.
      const seen = await witness.sample(vmid, [], signal);
      const boot = seen.is === 'seen' && seen.boot !== '' ? seen.boot : boots.get(uid);
      return (storage) => relianceOf(storage, diskOf(storage), read(uid).known, boot);
    },
    couldNotStop: (uid) => {
      const boot = boots.get(uid);
      if (boot !== undefined) keep(uid, { ...read(uid), stuck: { boot, at: Math.trunc(clock.now()) } });
    },
    forget: (uid) => {
      boots.delete(uid);
      documents.remove(keyOf(uid));
    },
  };
}

const saidOf = ({ known, stuck }: Stored): Pick<GuestOnDisks, 'known' | 'stuck'> => ({ known, stuck });

/** Of all mounts of one disk. Where nothing of it is mounted, nothing can be dead. */
function worstOf(mounts: readonly GuestMount[]): Pick<Known, 'state' | 'why'> {
  const worst =
    mounts.find(({ state }) => state === 'dead') ?? mounts.find(({ state }) => state === 'unknown') ?? mounts[0];
  return { state: worst?.state ?? 'live', why: worst === undefined ? '' : `${worst.path}: ${worst.why}` };
}
