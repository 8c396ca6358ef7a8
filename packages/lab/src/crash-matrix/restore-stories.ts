/** Restores that people sign, and what becomes of their undo windows. */
import type { SimWorld } from '../world/sim-world.ts';
import { catalogueTrouble, helperBusy, meanwhile, planAt, storageAway, untested } from './protection-scenes.ts';
import {
  afterOverwrite,
  besideVmid,
  copy,
  gone,
  inPlace,
  kept,
  overwrite,
  proven,
  restoreStands,
  serves,
  wroteOn,
} from './restore-scenes.ts';
import { deniedOnce, refusedOnce, storyVmid, web } from './story.ts';
import type { Story } from './story.ts';

const minute = 60_000;
const configs = /\/lxc\/\d+\/config$/;
const starts = /\/status\/start$/;
const moves = /\/move_volume$/;
const destroys = /\/lxc\/\d+$/;

const now = ['rootfs now', 'data now', 'photos now'];

/** Of the guest in this VMID: how it boots from its nth start on. */
function bootsNot(world: SimWorld, vmid: number, nth: number, ms = 60 * minute): void {
  const path = new RegExp(`/lxc/${vmid}/status/start$`);
  meanwhile(
    world,
    'POST',
    path,
    async () => {
      world.host.setInit(vmid, 'cannot-be-executed');
      void world.clock.sleep(ms).then(() => world.host.setInit(vmid, 'obeys'));
    },
    nth,
  );
}

const lost = ({ node }: SimWorld, method: 'POST' | 'DELETE', path: RegExp, when: 'before' | 'after'): void =>
  node.faults.add({ method, path, fault: { is: 'drop', when } });

const restoreMishaps: Story['spoils'] = {
  'the restore is killed': ({ node }) =>
    node.tasks.trap({ type: 'vzrestore', atLine: /^restoring|merging/, action: 'kill' }),
  'the restore fails': ({ node }) =>
    node.tasks.trap({ type: 'vzrestore', atLine: /^restoring|merging/, action: 'abort' }),
  'the answer to the restore is lost': (world) => lost(world, 'POST', /\/lxc$/, 'after'),
  'the helper is busy': (world) => helperBusy(world, 'archive-digest'),
  'the storage is away for a while': (world) => meanwhile(world, 'POST', /\/lxc$/, () => storageAway(world)),
};

const handOvers: Story['spoils'] = {
  'the hand-over is lost': (world) => lost(world, 'POST', moves, 'before'),
  'the hand-over is made and its answer lost': (world) => lost(world, 'POST', moves, 'after'),
  'the hand-over is killed before anything': ({ node }) =>
    node.tasks.trap({ type: 'move_volume', atLine: /moving volume/, action: 'kill' }),
  'the hand-over is killed half-way': ({ node }) =>
    node.tasks.trap({ type: 'move_volume', atLine: /removing volume/, action: 'kill' }),
  'the hand-over is killed at its end': ({ node }) =>
    node.tasks.trap({ type: 'move_volume', atLine: /updated with/, action: 'kill' }),
  'the hand-over is denied': (world) => deniedOnce(world, moves, 'POST'),
};

const stops: Story['spoils'] = {
  'the shutdown is killed': ({ node }) => node.tasks.trap({ type: 'vzshutdown', action: 'kill' }),
  'the start is killed': ({ node }) => node.tasks.trap({ type: 'vzstart', action: 'kill' }),
};

const destructions: Story['spoils'] = {
  'the destroy is killed': ({ node }) => node.tasks.trap({ type: 'vzdestroy', action: 'kill' }),
  'the destroy is lost': (world) => lost(world, 'DELETE', destroys, 'before'),
  'the destroy is done and its answer lost': (world) => lost(world, 'DELETE', destroys, 'after'),
};

/** As before it was asked for: nothing of a second guest is left. */
const asBefore = async (world: SimWorld): Promise<readonly string[]> => [
  ...(await serves(world, { vmid: storyVmid, incarnation: 1, notes: now })),
  ...gone(world, besideVmid),
  ...(await catalogueTrouble(world, 1)),
  ...restoreStands(world, 'not on record'),
];

/** As the restore left it. */
const asRestored = async (world: SimWorld): Promise<readonly string[]> => [
  ...(await serves(world, {
    vmid: besideVmid,
    incarnation: 2,
    notes: ['rootfs later', 'data then', 'photos later'],
  })),
  ...(await kept(world, storyVmid)),
];

const small = { ...web, volumes: web.volumes.filter(({ storage }) => storage === 'guests') };

export const restoreStories: Readonly<Record<string, Story>> = {
  'restore-overwrite': {
    before: [web],
    prepare: (world) => wroteOn(world),
    policy: untested,
    asks: [web],
    plan: planAt(4),
    signs: overwrite,
    sparse: 'once',
    spoils: {
      ...restoreMishaps,
      ...handOvers,
      ...stops,
      'the first change is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'the second change is refused': (world) => refusedOnce(world, configs, 'PUT', 2),
      'the third change is denied': (world) => deniedOnce(world, configs, 'PUT', 3),
      'the fourth change is denied': (world) => deniedOnce(world, configs, 'PUT', 4),
      'it does not boot': (world) => bootsNot(world, besideVmid, 1),
      'it does not boot in its place': (world) => bootsNot(world, besideVmid, 2),
      'the starts are denied': (world) => deniedOnce(world, starts, 'POST', 2),
    },
    missing: async (world) => [
      ...(await serves(world, { vmid: besideVmid, incarnation: 2, notes: ['rootfs then', 'data then', 'photos now'] })),
      ...(await kept(world, storyVmid)),
      ...(await catalogueTrouble(world, 1)),
      ...restoreStands(world, 'undoable'),
    ],
    changed: asBefore,
  },
  'undo-restore': {
    before: [web],
    prepare: (world) => wroteOn(world),
    policy: untested,
    asks: [web],
    plan: planAt(4),
    signs: afterOverwrite('undo'),
    sparse: 'once',
    spoils: {
      ...handOvers,
      ...stops,
      ...destructions,
      'the first change is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'the second change is refused': (world) => refusedOnce(world, configs, 'PUT', 2),
      'the third change is denied': (world) => deniedOnce(world, configs, 'PUT', 3),
      'the fourth change is denied': (world) => deniedOnce(world, configs, 'PUT', 4),
      'the old one does not boot': (world) => bootsNot(world, storyVmid, 1),
    },
    missing: async (world) => [
      ...(await serves(world, { vmid: storyVmid, incarnation: 3, notes: ['rootfs now', 'data now', 'photos later'] })),
      ...gone(world, besideVmid),
      ...restoreStands(world, 'undone'),
    ],
    changed: asRestored,
  },
  'finish-restore': {
    before: [web],
    prepare: (world) => wroteOn(world),
    policy: untested,
    asks: [web],
    plan: planAt(4),
    signs: afterOverwrite('finish'),
    sparse: 'once',
    removes: true,
    spoils: {
      ...destructions,
      'taking off the protection is refused': (world) => refusedOnce(world, configs, 'PUT'),
      'taking off the protection is denied': (world) => deniedOnce(world, configs, 'PUT'),
    },
    missing: async (world) => [
      ...(await serves(world, {
        vmid: besideVmid,
        incarnation: 2,
        notes: ['rootfs later', 'data then', 'photos later'],
      })),
      ...gone(world, storyVmid),
      ...restoreStands(world, 'finished'),
    ],
    changed: asRestored,
  },
  'restore-copy': {
    before: [web],
    prepare: (world) => wroteOn(world),
    policy: untested,
    asks: [web],
    plan: planAt(4),
    signs: copy,
    sparse: 'once',
    guests: { done: 2, undone: 1 },
    spoils: {
      ...restoreMishaps,
      'the start is killed': ({ node }) => node.tasks.trap({ type: 'vzstart', action: 'kill' }),
      'the first change is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'the second change is denied': (world) => deniedOnce(world, configs, 'PUT', 2),
      'it does not boot': (world) => bootsNot(world, besideVmid, 1),
    },
    missing: async (world) => [
      ...(await serves(world, { vmid: storyVmid, incarnation: 1, notes: now })),
      ...(await serves(world, {
        name: 'copy',
        vmid: besideVmid,
        incarnation: 1,
        notes: ['rootfs then', 'data then'],
      })),
      ...(await catalogueTrouble(world, 1)),
    ],
    changed: asBefore,
  },
  'restore-in-place': {
    before: [small],
    prepare: async (world) => {
      await wroteOn(world, small);
      proven(world);
    },
    policy: untested,
    asks: [small],
    plan: planAt(4),
    signs: inPlace,
    sparse: 'once',
    removes: true,
    spoils: {
      ...restoreMishaps,
      ...stops,
      ...destructions,
      'the first change is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'the second change is denied': (world) => deniedOnce(world, configs, 'PUT', 2),
    },
    missing: async (world) => [
      ...(await serves(world, { incarnation: 2, notes: ['rootfs then', 'data then'] })),
      ...(await catalogueTrouble(world, 1)),
      ...restoreStands(world, 'finished'),
    ],
    changed: async (world) => [
      ...(await serves(world, { vmid: storyVmid, incarnation: 1, notes: ['rootfs now', 'data now'] })),
      ...(await catalogueTrouble(world, 1)),
      ...restoreStands(world, 'not on record'),
    ],
  },
};
