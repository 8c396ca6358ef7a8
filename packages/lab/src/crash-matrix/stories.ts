/**
 * How a world comes to where a saga runs, and what makes the saga turn back. One entry per registered saga: a saga
 * without a story fails the matrix, so that none can join without being crashed at every point.
 */
import type { SimWorld } from '../world/sim-world.ts';
import { controllerStories } from './controller-stories.ts';
import { diskStories } from './disk-stories.ts';
import { protectionStories } from './protection-stories.ts';
import { restoreStories } from './restore-stories.ts';
import { signedStories } from './signed-stories.ts';
import { doesNotStartAtOnce, lacks, notRunning, refusedOnce, storyVmid, web } from './story.ts';
import type { Story } from './story.ts';

const [data] = web.volumes;

/** Down when its first moments are watched, and up again when the agent has turned back because of that. */
function rebootsItself({ node }: SimWorld): void {
  const looked = { method: 'GET', path: /\/status\/current$/ } as const;
  node.faults.add({ ...looked, nth: 2, fault: { is: 'meanwhile', act: () => node.guests.stop(storyVmid) } });
  node.faults.add({ ...looked, nth: 3, fault: { is: 'meanwhile', act: () => node.guests.start(storyVmid) } });
}

export const stories: Readonly<Record<string, Story>> = {
  'bring-up': {
    asks: [web],
    spoils: {
      'never starts': ({ host }) => host.setInit(storyVmid, 'cannot-be-executed'),
      'reboots itself while it is watched': rebootsItself,
      'restore is killed': ({ node }) => node.tasks.trap({ type: 'vzrestore', atLine: /^restoring/, action: 'kill' }),
      'restore fails': ({ node }) => node.tasks.trap({ type: 'vzrestore', atLine: /^restoring/, action: 'abort' }),
      'a volume is refused': (world) => refusedOnce(world, /\/lxc\/\d+\/config$/, 'PUT'),
    },
    missing: (world) => [
      ...lacks(world, /^memory: 512$/m, /^onboot: 1$/m, /^mp0: guests:/m, /^mp1: bulk:/m, /^net0: (?!.*link_down)/m),
      ...notRunning(world),
    ],
  },
  'change-config': {
    before: [web],
    asks: [{ ...web, memoryMiB: 1024 }],
    spoils: { 'the change is refused': (world) => refusedOnce(world, /\/lxc\/\d+\/config$/, 'PUT') },
    missing: (world) => [...lacks(world, /^memory: 1024$/m), ...notRunning(world)],
  },
  'add-volume': {
    before: [{ ...web, volumes: [data] }],
    asks: [web],
    spoils: { 'the volume is refused': (world) => refusedOnce(world, /\/lxc\/\d+\/config$/, 'PUT') },
    missing: (world) => [...lacks(world, /^mp0: guests:/m, /^mp1: bulk:.*backup=0.*size=4G$/m), ...notRunning(world)],
  },
  'grow-volume': {
    before: [web],
    asks: [{ ...web, volumes: web.volumes.map((volume) => (volume === data ? { ...volume, sizeGiB: 2 } : volume)) }],
    spoils: {
      'the growth is refused': (world) => refusedOnce(world, /\/lxc\/\d+\/resize$/, 'PUT'),
      'the growth is killed': ({ node }) => node.tasks.trap({ type: 'resize', action: 'kill' }),
    },
    missing: (world) => [...lacks(world, /^mp0: .*size=2G$/m), ...notRunning(world)],
  },
  start: {
    before: [web],
    // It goes down from the inside; a task would be a person's word, and be respected.
    prepare: ({ clock, node }) => clock.runUntil(node.guests.stop(storyVmid)),
    asks: [web],
    spoils: {
      'does not start at once': doesNotStartAtOnce,
    },
    missing: notRunning,
  },
  ...signedStories,
  ...protectionStories,
  ...restoreStories,
  ...controllerStories,
  ...diskStories,
};
