/** How a declared disk stands for the guests that have volumes on it. Pure. */
import { isDisk } from '@felhom/protocol';
import type { GuestDisk } from '../ports/guest-disks.ts';
import type { DeclaredTarget } from '../storage-manifest.ts';
import { damping, isFlapping } from './judge-target.ts';
import type { Cause, Standing } from './standing.ts';

/**
 * `undefined`: it is no disk, or was taken out of use. `now`: as it was judged last, perhaps before this process began;
 * `at`: wall time. After a second drop a disk has to stay for a while before guests are restarted for it.
 */
export function guestDisk(
  { target, state }: DeclaredTarget,
  now: Standing | undefined,
  at: number,
): GuestDisk | undefined {
  if (!isDisk(target) || state !== 'attached') return undefined;
  if (now === undefined)
    return {
      target: target.name,
      state: 'unclear',
      attachment: '',
      flapping: false,
      since: 0,
      why: 'it was not looked at yet',
    };
  const { since, why, appearance = '' } = now;
  const stands = now.state === 'attached' ? 'attached' : byCause[now.cause ?? 'not-asked'];
  return {
    target: target.name,
    state: stands,
    attachment: stands === 'attached' ? `${appearance} since ${since}` : `${stands} since ${since}`,
    flapping: isFlapping(now) || (now.drops.length > 1 && Math.abs(at - (now.drops.at(-1) ?? 0)) < damping.settleMs),
    since,
    why,
  };
}

/** What is only wrong with an entry of Proxmox takes nothing from a guest that runs. */
const byCause: Readonly<Record<Cause, GuestDisk['state']>> = {
  absent: 'away',
  'not-mounted': 'away',
  'in-use': 'in-use',
  other: 'away',
  'no-mark': 'away',
  'read-only': 'away',
  hung: 'away',
  failing: 'away',
  unreachable: 'away',
  'definition-missing': 'unclear',
  'definition-differs': 'unclear',
  'definition-other': 'unclear',
  'not-asked': 'unclear',
  settling: 'away',
};
