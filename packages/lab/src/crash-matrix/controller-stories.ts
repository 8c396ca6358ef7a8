/** Claims of controllers and their updates; checkpoints, which controllers ask for, and the ways back to them. */
import type { JobOf, VolumeId } from '@felhom/protocol';
import type { SimWorld } from '../world/sim-world.ts';
import { openSagas } from '../world/traces.ts';
import { asRoot, catalogueOf, guestTrouble, planAt, untested, write } from './protection-scenes.ts';
import { recordOf, serves } from './restore-scenes.ts';
import {
  checkpointsOf,
  claimGoes,
  controllerOf,
  heard,
  lived,
  living,
  programsOf,
  released,
  settledIn,
  snapshotsOf,
  told,
  wake,
} from './controller-scenes.ts';
import { signed } from './signed-stories.ts';
import { deniedOnce, doesNotStartAtOnce, lacks, notRunning, refusedOnce, storyVmid } from './story.ts';
import type { Story } from './story.ts';

const minute = 60_000;
const hour = 60 * minute;
const configs = /\/lxc\/\d+\/config$/;
const snapshots = /\/lxc\/\d+\/snapshot$/;
const rollbacks = /\/snapshot\/[^/]+\/rollback$/;
const drops = /\/snapshot\/[^/]+$/;

const lost = ({ node }: SimWorld, method: 'POST' | 'PUT' | 'DELETE', path: RegExp, when: 'before' | 'after'): void =>
  node.faults.add({ method, path, fault: { is: 'drop', when } });

/** The worker dies when it is done with the first volume of the guest. */
function killedHalfWay({ node }: SimWorld, work: 'snapshot' | 'deleteSnapshot' | 'rollback', type: string): void {
  const { storage } = node;
  const real = storage[work].bind(storage);
  storage[work] = async (volid, name) => {
    storage[work] = real;
    await real(volid, name);
    node.killWorker(type);
  };
}

const changes: Story['spoils'] = {
  'the change is refused': (world) => refusedOnce(world, configs, 'PUT'),
  'the change is denied': (world) => deniedOnce(world, configs, 'PUT'),
  'the change is lost': (world) => lost(world, 'PUT', configs, 'before'),
  'the change is made and its answer lost': (world) => lost(world, 'PUT', configs, 'after'),
};

const taking: Story['spoils'] = {
  'the snapshot is lost': (world) => lost(world, 'POST', snapshots, 'before'),
  'the snapshot is taken and its answer lost': (world) => lost(world, 'POST', snapshots, 'after'),
  'the snapshot is killed half-way': (world) => killedHalfWay(world, 'snapshot', 'vzsnapshot'),
  'the snapshot is denied': (world) => deniedOnce(world, snapshots, 'POST'),
};

/** Those of our own, on record and at the guest: the same ones. */
const checkpointTrouble = (world: SimWorld): readonly string[] => {
  const noted = checkpointsOf(world)
    .filter(({ by }) => by === 'snapshot')
    .map(({ name }) => name)
    .toSorted();
  const there = snapshotsOf(world)
    .filter((name) => name.startsWith('felhom-'))
    .toSorted();
  return noted.join() === there.join() ? [] : [`on record is ${noted.join()}, there is ${there.join()}`];
};

const sound = (world: SimWorld): readonly string[] => [
  ...checkpointTrouble(world),
  ...guestTrouble(world),
  ...notRunning(world),
  ...told(world),
];

/** What the guest asked for is over, one way or the other. */
const isAnswered = (world: SimWorld): boolean =>
  ['done', 'failed'].includes(String(programsOf(world).standing?.['state']));

async function wantsCheckpoint(world: SimWorld): Promise<void> {
  await settledIn(world);
  programsOf(world).wants = { path: '/v1/snapshot', body: { purpose: 'deploy' } };
}

/** As the customer would before the next deploy, and so long ago that its time is over. */
async function oldCheckpoint(world: SimWorld): Promise<void> {
  await wantsCheckpoint(world);
  await lived(world, () => isAnswered(world) && openSagas(world).length === 0, 'a checkpoint');
  programsOf(world).wants = undefined;
  await world.clock.advance(world.policy.backups.checkpointHours * hour);
}

const noteOf = (world: SimWorld, text: string) =>
  Promise.all(['rootfs', 'data'].map((name) => write(world, name, `${name} ${text}`)));

/** Root took a snapshot; then the guest went on. */
async function snapshotted(world: SimWorld): Promise<void> {
  await settledIn(world);
  await noteOf(world, 'then');
  const path = `/nodes/${world.node.name}/lxc/${storyVmid}/snapshot`;
  const upid = await world.clock.runUntil(asRoot(world, 'POST', path, { snapname: 'before' }));
  await world.clock.runUntil(world.node.tasks.settled(String(upid)));
  await noteOf(world, 'now');
}

async function rollback(world: SimWorld) {
  const { uid, incarnation, volumes } = recordOf(world);
  const takenAt = Number(world.node.guests.config(storyVmid).snapshots.get('before')?.get('snaptime'));
  const reverted: VolumeId[] = volumes.map(({ volid }) => volid).toSorted();
  const params: JobOf<'rollback'>['params'] = {
    guest: { uid, incarnation },
    snapshot: 'before',
    takenAt,
    volumes: reverted,
  };
  return signed(world, 'rollback', params);
}

const first = '1'.repeat(64);
const second = '2'.repeat(64);

const versionOf = (world: SimWorld): string | undefined => controllerOf(world)?.desired.image?.version;

async function updatable(world: SimWorld): Promise<void> {
  released(world, '1.0.0', first);
  await settledIn(world);
  await lived(world, () => versionOf(world) === '1.0.0' && world.hub.polls() > 0, 'the first image');
  await world.clock.advance(1_000);
  released(world, '1.1.0', second);
}

/** Either image, as it was offered: kept, or taken back. */
const updated = (world: SimWorld): boolean => {
  const controller = controllerOf(world);
  if (controller === undefined) return false;
  return controller.before === undefined && (versionOf(world) === '1.1.0' || controller.failed.length > 0);
};

export const controllerStories: Readonly<Record<string, Story>> = {
  checkpoint: {
    before: [living],
    prepare: wantsCheckpoint,
    policy: untested,
    asks: [living],
    plan: planAt(23),
    once: true,
    sparse: 'once',
    settled: isAnswered,
    spoils: {
      ...taking,
      // What is left is a quick backup.
      'its storage takes no snapshots': ({ node }) => {
        const { storage } = node;
        const real = storage.hasFeature.bind(storage);
        storage.hasFeature = (volid, feature, running) => feature !== 'snapshot' && real(volid, feature, running);
      },
    },
    missing: (world) => {
      const done = programsOf(world).standing?.['state'] === 'done';
      return [
        ...sound(world),
        ...(checkpointsOf(world).length === (done ? 1 : 0)
          ? []
          : [
              `the guest was told ${JSON.stringify(programsOf(world).standing)}: ${JSON.stringify(checkpointsOf(world))}`,
            ]),
        ...(catalogueOf(world).length === checkpointsOf(world).filter(({ by }) => by === 'backup').length
          ? []
          : ['there are other backups than the checkpoint']),
      ];
    },
  },
  'drop-checkpoint': {
    before: [living],
    prepare: oldCheckpoint,
    policy: { ...untested, backups: { targets: {}, checkpointHours: 1 } },
    asks: [living],
    once: true,
    sparse: 'once',
    settled: (world) => checkpointsOf(world).length === 0,
    spoils: {
      'the call is lost': (world) => lost(world, 'DELETE', drops, 'before'),
      'it is dropped and the answer lost': (world) => lost(world, 'DELETE', drops, 'after'),
      'it is killed half-way': (world) => killedHalfWay(world, 'deleteSnapshot', 'vzdelsnapshot'),
    },
    missing: sound,
  },
  rollback: {
    before: [living],
    prepare: snapshotted,
    policy: untested,
    asks: [living],
    signs: rollback,
    sparse: 'once',
    spoils: {
      ...changes,
      'the second change is refused': (world) => refusedOnce(world, configs, 'PUT', 2),
      'the call is lost': (world) => lost(world, 'POST', rollbacks, 'before'),
      'it is rolled back and the answer lost': (world) => lost(world, 'POST', rollbacks, 'after'),
      'it is killed half-way': (world) => killedHalfWay(world, 'rollback', 'vzrollback'),
      'the start is killed': ({ node }) => node.tasks.trap({ type: 'vzstart', action: 'kill' }),
    },
    missing: async (world) => [
      ...(await serves(world, { vmid: storyVmid, incarnation: 2, notes: ['rootfs then', 'data then'] })),
      ...(snapshotsOf(world).join() === 'before' ? [] : [`its snapshots are ${snapshotsOf(world).join()}`]),
      ...sound(world),
      ...(await heard(world)),
    ],
    changed: async (world) => [
      ...(await serves(world, { vmid: storyVmid, incarnation: 1, notes: ['rootfs now', 'data now'] })),
      ...sound(world),
    ],
  },
  'issue-claim': {
    before: [living],
    prepare: async (world) => {
      wake(world, true);
      // What it was brought up with is worth nothing by now.
      await world.clock.advance(11 * minute);
    },
    policy: untested,
    asks: [living],
    once: true,
    sparse: 'once',
    settled: (world) => programsOf(world).token !== undefined,
    spoils: {
      ...changes,
      'the shutdown is killed': ({ node }) => node.tasks.trap({ type: 'vzshutdown', action: 'kill' }),
      'the start is killed': ({ node }) => node.tasks.trap({ type: 'vzstart', action: 'kill' }),
      'it does not start at once': doesNotStartAtOnce,
    },
    missing: async (world) => [...sound(world), ...(await heard(world)), ...lacks(world, /^onboot: 1$/m)],
  },
  'drop-claim': {
    before: [living],
    prepare: async (world) => {
      const mine = wake(world);
      await lived(world, () => mine.token !== undefined, 'its token');
    },
    policy: untested,
    asks: [living],
    // Not `once`: whether it is gone is looked up by every life of the agent.
    sparse: 'once',
    settled: claimGoes,
    spoils: changes,
    missing: async (world) => [...sound(world), ...(await heard(world))],
  },
  'update-controller': {
    before: [living],
    prepare: updatable,
    policy: untested,
    asks: [living],
    once: true,
    sparse: 'once',
    settled: updated,
    spoils: {
      ...taking,
      'the image is ill': (world) => void (programsOf(world).ill = second),
      'the image is ill at first': (world) => {
        programsOf(world).ill = second;
        void world.clock.sleep(8 * minute).then(() => (programsOf(world).ill = undefined));
      },
    },
    missing: async (world, { variant }) => [
      ...sound(world),
      ...(await heard(world)),
      ...(versionOf(world) === (variant === 'the image is ill' ? '1.0.0' : '1.1.0')
        ? []
        : [`its controller is ${JSON.stringify(controllerOf(world))}`]),
    ],
  },
};
