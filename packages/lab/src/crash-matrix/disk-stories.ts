/** A guest whose disk was pulled while it ran, and is plugged in again. */
import type { SimWorld } from '../world/sim-world.ts';
import { labGuest } from '../world/desired.ts';
import { lived } from './controller-scenes.ts';
import { agentOf } from './signed-stories.ts';
import { doesNotStartAtOnce, notRunning, standing, storyVmid } from './story.ts';
import type { Story } from './story.ts';

const second = 1_000;
const minute = 60 * second;

const onDisk = labGuest('web', {
  volumes: [{ name: 'photos', path: '/srv/photos', storage: 'usb-usb1', sizeGiB: 4, backup: false }],
});

const staleMounts = ({ targets }: SimWorld): readonly string[] => {
  const seen = targets.guestMounts(storyVmid);
  return seen.is === 'done' && seen.value.running
    ? seen.value.mounts.flatMap(({ path, state, why }) => (state === 'live' ? [] : [`${path} is ${state}: ${why}`]))
    : ['its mounts cannot be seen'];
};

/** Root was asked about it while all was well; then its disk was away for a minute. */
async function dropped(world: SimWorld): Promise<void> {
  await world.clock.runUntil(world.targets.attach('usb1', { role: 'bulk-data' }));
  world.hub.publish([onDisk]);
  const wasAsked = (): boolean => world.targets.asked.some((line) => line.startsWith('guest-mounts'));
  await lived(world, () => agentOf(world).report().converged && wasAsked(), 'a guest on a disk');
  world.targets.pull('usb1');
  await world.clock.advance(minute);
  world.targets.plugIn('usb1');
  await world.clock.advance(5 * second);
}

/** The disk goes once more while the guest is brought down, and is back later. */
function droppedAgain({ node, targets, clock }: SimWorld): void {
  node.faults.add({
    method: 'POST',
    path: /\/status\/shutdown$/,
    fault: {
      is: 'meanwhile',
      act: () => {
        targets.pull('usb1');
        void clock.sleep(4 * minute).then(() => targets.plugIn('usb1'));
        return Promise.resolve();
      },
    },
  });
}

export const diskStories: Readonly<Record<string, Story>> = {
  'remount-guest': {
    prepare: dropped,
    asks: [onDisk],
    once: true,
    sparse: 'once',
    settled: (world) => standing(world).runs && staleMounts(world).length === 0,
    spoils: {
      'does not start at once': doesNotStartAtOnce,
      'its shutdown is killed': ({ node }) => node.tasks.trap({ type: 'vzshutdown', action: 'kill' }),
      'the disk goes again': droppedAgain,
    },
    missing: (world) => [...notRunning(world), ...staleMounts(world)],
  },
};
