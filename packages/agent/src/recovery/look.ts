/** Looking for a guest that a pass did not see. Reads only. */
import type { GuestUid, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { ownerOf } from '../bring-up/config-audit.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { upidParts } from '../guests/settle.ts';
import type { Clock } from '../kernel/clock.ts';
import { betweenLooksMs, personsHourMs } from './lost.ts';
import type { LossLook, LossMemory } from './lost.ts';

export type LookNeeds = Pick<GuestNeeds, 'reader' | 'tasks' | 'node' | 'helper' | 'tokenId'>;

export async function lookForLoss(
  needs: LookNeeds,
  clock: Pick<Clock, 'monotonicMs'>,
  record: Pick<GuestRecord, 'vmid' | 'volumes'>,
  signal: AbortSignal,
): Promise<LossLook> {
  const [free, permissions, tasks, listed] = await Promise.all([
    needs.reader.isVmidFree(record.vmid, signal),
    permissionsText(needs, signal),
    tasksOn(needs, record.vmid, signal),
    listedVolumes(needs, record, signal),
  ]);
  return {
    at: clock.monotonicMs(),
    vmidFree: free.is === 'done' ? free.value : undefined,
    listed,
    permissions,
    running: tasks?.running,
    foreignDestroy: tasks?.foreignDestroy,
  };
}

/** Bulk that was carried over lies under the VMID of an earlier incarnation. */
export function ownersOf(record: Pick<GuestRecord, 'vmid' | 'volumes'>): readonly Vmid[] {
  const owners = record.volumes.flatMap(({ volid }) => ownerOf(volid) ?? []);
  return [...new Set<number>([record.vmid, ...owners])] as Vmid[];
}

async function listedVolumes(
  needs: LookNeeds,
  record: Pick<GuestRecord, 'vmid' | 'volumes'>,
  signal: AbortSignal,
): Promise<readonly VolumeId[] | undefined> {
  const known = new Set(record.volumes.map((volume) => volume.volid));
  const found: VolumeId[] = [];
  for (const owner of ownersOf(record)) {
    const listed = await needs.helper.volumesOf(owner, signal);
    if (listed.is !== 'done') return undefined;
    // Under its own VMID every volume counts, also one that a person moved; under an older one only what is its own.
    found.push(...(owner === record.vmid ? listed.value : listed.value.filter((volid) => known.has(volid))));
  }
  return found;
}

/** PVE: `GET /access/permissions` drops `/vms/ID` with the guest. */
async function permissionsText(needs: LookNeeds, signal: AbortSignal): Promise<string | undefined> {
  const held = await needs.node.permissions(signal);
  if (held.is !== 'done') return undefined;
  return [...held.value]
    .filter(([path]) => !path.startsWith('/vms/'))
    .map(([path, privileges]) => `${path} ${[...privileges].toSorted().join(',')}`)
    .toSorted()
    .join('\n');
}

const longestTaskSeconds = 2 * 86_400;

async function tasksOn(
  needs: LookNeeds,
  vmid: Vmid,
  signal: AbortSignal,
): Promise<(Pick<LossLook, 'foreignDestroy'> & { readonly running: readonly string[] }) | undefined> {
  const time = await needs.node.time(signal);
  if (time.is !== 'done') return undefined;
  // PVE filters by the time of the start, also what runs still: a long task is as much in the way as a new one.
  const rows = await needs.tasks.find({ vmid, sinceSeconds: Math.floor(time.value - longestTaskSeconds) }, signal);
  if (rows.is !== 'done') return undefined;
  const running = rows.value.filter((row) => row.endTime === undefined).map((row) => row.upid);
  const anHourAgo = time.value - personsHourMs / 1000;
  const [destroy] = rows.value
    .filter((row) => row.type === 'vzdestroy' && upidParts(row.upid).user !== needs.tokenId)
    .filter((row) => (row.endTime ?? row.startTime) > anHourAgo)
    .toSorted((a, b) => b.startTime - a.startTime);
  if (destroy === undefined) return { running, foreignDestroy: undefined };
  const agoMs = Math.max(0, (time.value - (destroy.endTime ?? destroy.startTime)) * 1000);
  return { running, foreignDestroy: { by: destroy.user, agoMs } };
}

/** How long a record of what the token may see is good enough while all guests are seen. */
const permissionsAgeMs = 600_000;

/**
 * One round for a pass: looks at the guests that it did not see and forgets those that it saw. `unseen`: on record, and
 * no config was read of them.
 */
export async function lookForUnseen(
  needs: LookNeeds,
  clock: Pick<Clock, 'monotonicMs'>,
  unseen: readonly Pick<GuestRecord, 'uid' | 'vmid' | 'volumes'>[],
  memory: LossMemory,
  signal: AbortSignal,
): Promise<LossMemory> {
  const looks = new Map<GuestUid, readonly LossLook[]>();
  for (const record of unseen) {
    const last = await lookForLoss(needs, clock, record, signal);
    const before = memory.looks.get(record.uid) ?? [];
    // The newest one that is old enough is where the minute begins.
    const begins = before.findLastIndex((look) => last.at - look.at >= betweenLooksMs);
    looks.set(record.uid, [...before.slice(Math.max(0, begins)), last]);
  }
  if (unseen.length > 0) return { looks, permissions: memory.permissions };
  const now = clock.monotonicMs();
  if (memory.permissions !== undefined && now - memory.permissions.at < permissionsAgeMs)
    return { looks, permissions: memory.permissions };
  const text = await permissionsText(needs, signal);
  return { looks, permissions: text === undefined ? memory.permissions : { text, at: now } };
}
