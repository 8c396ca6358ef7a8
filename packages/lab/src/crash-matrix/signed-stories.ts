/**
 * The sagas that only a signature begins. People sign while an agent lives; then the envelope lies in the mailbox, and
 * the power goes during what it leads to.
 */
import { storageTarget } from '@felhom/protocol';
import type { JobKind, JobOf, TrustDocument } from '@felhom/protocol';
import type { LabPerson } from '../world/people.ts';
import { addNeighbour } from '../world/neighbour.ts';
import type { SignedJob } from '../world/sign-job.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { markedUid, ownTasks, registered } from '../world/traces.ts';
import {
  changedSince,
  doesNotStartAtOnce,
  lacks,
  notRunning,
  deniedOnce,
  refusedOnce,
  standing,
  standingOfJob,
  stillRunning,
  storyVmid,
  web,
} from './story.ts';
import type { JobStanding, Story } from './story.ts';

const minute = 60_000;
const [data, photos] = web.volumes;

const configs = /\/lxc\/\d+\/config$/;
const shutdowns = /\/status\/shutdown$/;
const downs = /\/status\/(?:shutdown|stop)$/;
const starts = /\/status\/start$/;

export async function until(world: SimWorld, condition: () => boolean, what: string, ms = 20 * minute): Promise<void> {
  if (await world.until(condition, ms)) return;
  throw new Error(`cannot tell the story: ${what} does not come: ${JSON.stringify(world.life()?.agent.report())}`);
}

export const agentOf = ({ life }: SimWorld) => {
  const agent = life()?.agent;
  if (agent === undefined) throw new Error('cannot tell the story: no agent lives');
  return agent;
};

export async function signed<K extends JobKind>(
  world: SimWorld,
  kind: K,
  params: JobOf<K>['params'],
  people: readonly LabPerson[] = ['alice', 'bob'],
): Promise<SignedJob> {
  await until(world, () => world.hub.lastStatement() !== undefined, 'a statement of the host');
  return world.sign(
    kind,
    params,
    people.map((person) => world.people[person]),
  );
}

/** Carried out up to `state`, before the story begins. */
export async function carried(world: SimWorld, job: SignedJob, state: JobStanding['state']): Promise<void> {
  world.hub.mail(job.envelope);
  await until(world, () => standingOfJob(world, job.jobId)?.state === state, `${state} of job ${job.jobId}`);
}

/** Whatever the host asks for under this verb. */
async function approval(world: SimWorld, verb: string): Promise<SignedJob> {
  const asked = () =>
    agentOf(world)
      .report()
      .blocked.find(({ document }) => document.verb === verb);
  await until(world, () => asked() !== undefined, `a blocked ${verb}`);
  const found = asked();
  if (found === undefined) throw new Error(`cannot tell the story: ${verb} is not blocked any more`);
  return signed(world, 'approve', { digest: found.digest });
}

function decommission(world: SimWorld): Promise<SignedJob> {
  const [record] = registered(world);
  if (record === undefined) throw new Error('cannot tell the story: no guest is on record');
  const { uid, incarnation, volumes } = record;
  return signed(world, 'decommission', {
    guest: { uid, incarnation },
    lossSet: volumes.map(({ volid }) => volid).toSorted(),
    backups: 'keep',
  });
}

const soon = { coolOffMinutes: 0.1, quarantineHours: 0.05 };
const cutOff = [/^onboot: 0$/m, /^protection: 1$/m, /^net0: .*link_down=1/m];

/** Worlds in which a lost call came when its guest was gone: whoever had the VMID by then would have been hit. */
const tooSoon = new WeakSet<SimWorld>();

/** Its answer is lost at once, and the call is carried out when it has waited for so long. */
function landsLate(world: SimWorld, ms: number): void {
  const { node, clock, tokenId } = world;
  const call = { method: 'DELETE', path: /\/lxc\/\d+$/ } as const;
  const land = async (): Promise<void> => {
    await clock.sleep(ms);
    if (!node.guests.exists(storyVmid)) tooSoon.add(world);
    const path = `/nodes/${node.name}/lxc/${storyVmid}`;
    await node.handle({ ...call, path, as: tokenId, params: { purge: 1, 'destroy-unreferenced-disks': 0 } });
  };
  node.faults.add({ ...call, fault: { is: 'meanwhile', act: async () => void land() } });
  node.faults.add({ ...call, fault: { is: 'drop', when: 'before' } });
}

/** Each millisecond of a destroy is one volume; after the last one a locked stub is left. */
function destroyKilled({ node, clock }: SimWorld, afterMs: number): void {
  const kill = async (): Promise<void> => {
    await clock.sleep(afterMs);
    for (const { upid, type } of node.tasks.running()) if (type === 'vzdestroy') node.tasks.kill(upid);
  };
  const act = async (): Promise<void> => void kill();
  node.faults.add({ method: 'DELETE', path: /\/lxc\/\d+$/, fault: { is: 'meanwhile', act } });
}

function storageGone({ node, clock }: SimWorld): void {
  const device = node.storage.hardware.device('lvm:pve/data');
  const away = async (): Promise<void> => {
    if (device === undefined) return;
    device.online = false;
    void clock.sleep(2 * minute).then(() => (device.online = true));
  };
  node.faults.add({ method: 'DELETE', path: /\/lxc\/\d+$/, fault: { is: 'meanwhile', act: away } });
}

/** What is left of a guest that was not destroyed to its end is named, volume by volume. */
function unnamedRest(world: SimWorld, says: string): readonly string[] {
  const broken = ownTasks(world).some(({ type, exitStatus }) => type === 'vzdestroy' && exitStatus !== 'OK');
  const left = world.node.storage.volumesOf(storyVmid).map(({ volid }) => volid);
  return [
    ...(broken ? [] : ['it is parked, and no destroy of it was broken off']),
    ...left
      .filter((volid) => !says.includes(volid))
      .map((volid) => `it is parked, and nothing says that ${volid} is left`),
  ];
}

const guestLeft = (world: SimWorld): readonly string[] => [
  ...(tooSoon.has(world) ? ['the guest was gone while an earlier call to destroy it could still land'] : []),
  ...(world.node.guests.exists(storyVmid) ? [`${storyVmid} is still there`] : []),
  ...world.node.storage.volumesOf(storyVmid).map(({ volid }) => `${volid} was signed for and is still there`),
];

async function trustDocument(world: SimWorld): Promise<{ readonly digest: string; readonly document: TrustDocument }> {
  await until(world, () => agentOf(world).report().trust.is === 'held', 'a trust document');
  const { trust } = agentOf(world).report();
  if (trust.is !== 'held') throw new Error('cannot tell the story: there is no trust document');
  return trust;
}

const trustedPeople = ({ root }: SimWorld): string => {
  const held = root.store.read();
  return held.is === 'held' ? held.document.signers.map(({ principal }) => principal).join() : held.is;
};

const openGlass = (world: SimWorld): Promise<SignedJob> =>
  signed(world, 'break-glass-open', { minutes: 60, key: world.people.carol.keyLine, consents: [] });

const photosOnly = {
  tunnel: '00000000-0000-4000-8000-000000000000',
  ingress: [{ hostname: 'photos.example.org', service: 'http://192.168.1.50:80' }, { service: 'http_status:404' }],
};

const stick = storageTarget.parse({
  type: 'usb',
  name: 'stick',
  storage: 'stick',
  role: 'vzdump-target',
  class: 'slow',
  uuid: 'AAAA-BBBB',
  fileSystem: 'ext4',
});

const helperMishaps: Story['spoils'] = {
  'the helper refuses': ({ root }) => root.trip('refuses'),
  'the helper dies first': ({ root }) => root.trip('dies before'),
  'the helper dies before its receipt': ({ root }) => root.trip('dies without a receipt'),
  'the helper dies before its answer': ({ root }) => root.trip('dies without an answer'),
};

export const signedStories: Readonly<Record<string, Story>> = {
  stop: {
    before: [web],
    asks: [{ ...web, power: 'stopped' }],
    signs: (world) => approval(world, 'guest-stop'),
    spoils: {
      'the shutdown is refused': (world) => refusedOnce(world, shutdowns, 'POST'),
      'the shutdown is killed': ({ node }) => node.tasks.trap({ type: 'vzshutdown', action: 'kill' }),
      'shutdown and stop fail': ({ node }) => {
        node.tasks.trap({ type: 'vzshutdown', action: 'abort' });
        node.tasks.trap({ type: 'vzstop', action: 'abort' });
      },
      'going down is denied': (world) => deniedOnce(world, downs, 'POST'),
    },
    // A node that comes up brings it up again, as its onboot flag says; then the host asks once more.
    missing: (world, { interlude }) =>
      interlude === 'node rebooted' && agentOf(world).report().blocked.length > 0 ? [] : stillRunning(world),
  },
  'change-at-rest': {
    before: [web],
    asks: [{ ...web, volumes: [{ ...data, path: '/srv/other' }, photos] }],
    signs: (world) => approval(world, 'mount-change'),
    spoils: {
      'the change is refused': (world) => refusedOnce(world, configs, 'PUT'),
      'it does not start with the change': ({ node, host }) => {
        const init = (how: 'obeys' | 'cannot-be-executed') => async () => host.setInit(storyVmid, how);
        node.faults.add({
          method: 'POST',
          path: starts,
          fault: { is: 'meanwhile', act: init('cannot-be-executed') },
        });
        node.faults.add({ method: 'PUT', path: configs, nth: 2, fault: { is: 'meanwhile', act: init('obeys') } });
      },
      'the shutdown is killed': ({ node }) => node.tasks.trap({ type: 'vzshutdown', action: 'kill' }),
      'the start is killed': ({ node }) => node.tasks.trap({ type: 'vzstart', action: 'kill' }),
      'the change is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'going down is denied': (world) => deniedOnce(world, downs, 'POST'),
    },
    missing: (world) => [...lacks(world, /^mp0: .*mp=\/srv\/other/m), ...notRunning(world)],
  },
  quarantine: {
    before: [web],
    policy: { removal: { coolOffMinutes: 0.1, quarantineHours: 72 } },
    asks: [web],
    signs: decommission,
    doneAs: 'quarantine',
    spoils: {
      'onboot is refused': (world) => refusedOnce(world, configs, 'PUT'),
      'onboot is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'protection is refused': (world) => refusedOnce(world, configs, 'PUT', 2),
      'protection is denied': (world) => deniedOnce(world, configs, 'PUT', 2),
      'the shutdown is killed': ({ node }) => node.tasks.trap({ type: 'vzshutdown', action: 'kill' }),
      'shutdown and stop fail': ({ node }) => {
        node.tasks.trap({ type: 'vzshutdown', action: 'abort' });
        node.tasks.trap({ type: 'vzstop', action: 'abort' });
      },
      'going down is denied': (world) => deniedOnce(world, downs, 'POST'),
      'somebody starts it in between': ({ node }) =>
        node.faults.add({
          method: 'PUT',
          path: configs,
          nth: 2,
          fault: {
            is: 'meanwhile',
            act: async () => (node.guests.isRunning(storyVmid) ? undefined : node.guests.start(storyVmid)),
          },
        }),
    },
    missing: (world, { variant }) => [
      ...lacks(world, ...cutOff),
      ...(variant === 'somebody starts it in between' ? [] : stillRunning(world)),
    ],
  },
  'lift-quarantine': {
    before: [web],
    policy: { removal: { coolOffMinutes: 0.1, quarantineHours: 72 } },
    asks: [web],
    signs: async (world) => {
      const removal = await decommission(world);
      await carried(world, removal, 'quarantine');
      return signed(world, 'cancel', { job: removal.jobId }, ['carol']);
    },
    spoils: {
      'the opening is refused': (world) => refusedOnce(world, configs, 'PUT'),
      'the opening is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'does not start at once': doesNotStartAtOnce,
      'the start is killed': ({ node }) => node.tasks.trap({ type: 'vzstart', action: 'kill' }),
      'somebody started it': ({ node }) => void node.guests.start(storyVmid),
      'somebody started it, and the opening is denied': (world) => {
        void world.node.guests.start(storyVmid);
        deniedOnce(world, configs, 'PUT');
      },
    },
    // Whether it runs is nothing of the job's where somebody started it.
    changed: (world, was) => changedSince(world, { ...was, runs: standing(world).runs }),
    missing: (world) => [
      ...lacks(world, /^onboot: 1$/m, /^net0: (?!.*link_down)/m),
      ...(/^protection: 1$/m.test(world.host.rawConfig(storyVmid) ?? '') ? ['it is still protected'] : []),
      ...notRunning(world),
    ],
  },
  'free-guest': {
    before: [web],
    policy: { removal: soon },
    asks: [],
    signs: async (world) => {
      const removal = await decommission(world);
      await carried(world, removal, 'quarantine');
      return removal;
    },
    removes: true,
    guests: { done: 0, undone: 1 },
    spoils: {
      'the answer is lost, and it is done': ({ node }) =>
        node.faults.add({
          method: 'DELETE',
          path: /\/lxc\/\d+$/,
          fault: { is: 'status', status: 596, reason: 'Connection timed out', when: 'after' },
        }),
      'the call is lost': ({ node }) =>
        node.faults.add({
          method: 'DELETE',
          path: /\/lxc\/\d+$/,
          fault: { is: 'status', status: 596, reason: 'Connection timed out', when: 'before' },
        }),
      'the call lands a second later': (world) => landsLate(world, 1_000),
      'the call lands after the barrier': (world) => landsLate(world, 20_000),
      'it is killed before anything': ({ node }) => node.tasks.trap({ type: 'vzdestroy', action: 'kill' }),
      'it is killed after one volume': (world) => destroyKilled(world, 0),
      'it is killed at the last volume': (world) => destroyKilled(world, 1),
      'it is killed at the stub': (world) => destroyKilled(world, 3),
      'a storage is gone for a while': storageGone,
      'taking off the protection is refused': (world) => refusedOnce(world, configs, 'PUT'),
      'taking off the protection is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'a volume of nobody lies there': ({ node }) =>
        void node.storage.allocate(undefined, 'guests', storyVmid, 2 ** 20),
    },
    parked: unnamedRest,
    tolerates: /guests:vm-9000-disk-2/,
    changed: (world) => [
      // Half-way is parked, never given up: it is as the quarantine left it.
      ...lacks(world, ...cutOff),
      ...stillRunning(world),
    ],
    missing: guestLeft,
  },
  adopt: {
    prepare: async (world) => void (await addNeighbour(world, storyVmid)),
    asks: [],
    guests: { done: 1, undone: 0 },
    signs: async (world) => {
      const path = `/nodes/${world.node.name}/lxc/${storyVmid}/config`;
      const answer = await world.clock.runUntil(world.node.handle({ method: 'GET', path, as: 'root@pam', params: {} }));
      const { digest } = (answer.body as { readonly data: { readonly digest: string } }).data;
      const volumes = world.node.storage.volumesOf(storyVmid).map(({ volid }) => volid);
      const params = { vmid: storyVmid, name: 'theirs', configDigest: digest, volumes: volumes.toSorted() };
      return signed(world, 'adopt', params as JobOf<'adopt'>['params']);
    },
    spoils: {
      'the answer is lost, and it is done': ({ node }) =>
        node.faults.add({
          method: 'PUT',
          path: configs,
          fault: { is: 'status', status: 596, reason: 'Connection timed out', when: 'after' },
        }),
      'the call is lost': ({ node }) =>
        node.faults.add({
          method: 'PUT',
          path: configs,
          fault: { is: 'status', status: 596, reason: 'Connection timed out', when: 'before' },
        }),
      'the marker is refused': (world) => refusedOnce(world, configs, 'PUT'),
      'the marker is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'somebody edits it in between': ({ node, host }) => {
        const edit = async () => host.setRawConfig(storyVmid, `${host.rawConfig(storyVmid) ?? ''}cpuunits: 50\n`);
        node.faults.add({ method: 'PUT', path: configs, fault: { is: 'meanwhile', act: edit } });
      },
    },
    missing: (world) => lacks(world, /^#felhom%3A/m),
    changed: ({ host }) =>
      markedUid(host.rawConfig(storyVmid) ?? '') === undefined ? [] : ['it is not ours, and carries a marker'],
  },
  'trust-change': {
    asks: [],
    guests: { done: 0, undone: 0 },
    signs: async (world) => {
      const { digest, document } = await trustDocument(world);
      const signers = document.signers.filter(({ principal }) => principal !== 'carol');
      const next = { ...document, version: document.version + 1, signers };
      return signed(world, 'trust-change', { before: digest, document: next } as JobOf<'trust-change'>['params']);
    },
    spoils: helperMishaps,
    missing: (world) => (trustedPeople(world) === 'alice,bob' ? [] : [`trusted are ${trustedPeople(world)}`]),
    changed: (world) => (trustedPeople(world) === 'alice,bob,carol' ? [] : [`trusted are ${trustedPeople(world)}`]),
  },
  'break-glass-open': {
    asks: [],
    guests: { done: 0, undone: 0 },
    signs: openGlass,
    spoils: helperMishaps,
    // Open without a receipt is nobody's for certain: it closes by itself, and a person looks.
    parked: (world, says) => [
      ...(/break-glass/.test(says) ? [] : ['it is parked, and does not say what about']),
      ...(world.root.openUntil() === undefined || agentOf(world).report().breakGlass.is === 'open'
        ? []
        : ['break-glass is open, and the report does not say so']),
    ],
    missing: ({ root }) => (root.openUntil() === undefined ? ['break-glass is closed'] : []),
    changed: ({ root }) => (root.openUntil() === undefined ? [] : ['break-glass is open']),
  },
  'target-change': {
    asks: [],
    guests: { done: 0, undone: 0 },
    signs: (world) => signed(world, 'target-attach', { declaration: stick }, ['carol']),
    spoils: helperMishaps,
    missing: ({ root }) => (root.targets().includes(stick.name) ? [] : ['the target is not attached']),
    changed: ({ root }) => (root.targets().includes(stick.name) ? ['the target is attached'] : []),
  },
  'tunnel-change': {
    asks: [],
    guests: { done: 0, undone: 0 },
    signs: (world) => signed(world, 'tunnel-change', { declaration: photosOnly }, ['carol']),
    spoils: helperMishaps,
    missing: ({ root }) => (root.tunnel() === undefined ? ['the tunnel lets nobody in'] : []),
    changed: ({ root }) => (root.tunnel() === undefined ? [] : ['the tunnel lets somebody in']),
  },
  'break-glass-close': {
    asks: [],
    guests: { done: 0, undone: 0 },
    signs: async (world) => {
      await carried(world, await openGlass(world), 'done');
      return signed(world, 'break-glass-close', {}, ['carol']);
    },
    spoils: helperMishaps,
    missing: ({ root }) => (root.openUntil() === undefined ? [] : ['break-glass is open']),
    changed: ({ root }) => (root.openUntil() === undefined ? ['break-glass is closed'] : []),
  },
};
