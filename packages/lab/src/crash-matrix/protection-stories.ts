/** The sagas that protect guests: most of them the host begins by itself, when their time has come. */
import type { SignedJob } from '../world/sign-job.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { openSagas, registered } from '../world/traces.ts';
import {
  archivesOf,
  asRoot,
  backedUp,
  catalogueOf,
  catalogueTrouble,
  contentPath,
  cutShort,
  damaged,
  diskFull,
  evidenceOf,
  guestTrouble,
  helperBusy,
  meanwhile,
  noteIn,
  planAt,
  storageAway,
  until as untilHour,
  untested,
  write,
} from './protection-scenes.ts';
import { signed } from './signed-stories.ts';
import { changedSince, deniedOnce, notRunning, refusedOnce, storyVmid, web } from './story.ts';
import type { Story } from './story.ts';

const minute = 60_000;
const configs = /\/lxc\/\d+\/config$/;
const dumps = /\/vzdump$/;
const archived = /\/storage\/backup\/content\/[^/]+$/;

/** Of the world: what must be left when one archive has gone. */
const keeps = new WeakMap<SimWorld, readonly string[]>();

const idsOf = (world: SimWorld): readonly string[] => catalogueOf(world).map(({ id }) => id);

/** Exactly what was kept is left, on record and on the storage. */
const onlyKept = async (world: SimWorld): Promise<readonly string[]> => {
  const kept = keeps.get(world) ?? [];
  return [
    ...(await catalogueTrouble(world, kept.length)),
    ...(idsOf(world).join() === kept.join()
      ? []
      : [`left are ${idsOf(world).join()}, and kept must be ${kept.join()}`]),
    ...(archivesOf(world).length === kept.length ? [] : [`${archivesOf(world).length} archives are left`]),
    ...guestTrouble(world),
    ...notRunning(world),
  ];
};

const oldest = (world: SimWorld) => {
  const [record] = catalogueOf(world);
  if (record === undefined) throw new Error('cannot tell the story: no backup is on record');
  return record;
};

function about(world: SimWorld, kind: 'backup-delete' | 'backup-unprotect'): Promise<SignedJob> {
  const { archive, sha256 } = oldest(world);
  const [record] = registered(world);
  if (record === undefined) throw new Error('cannot tell the story: no guest is on record');
  const { uid, incarnation } = record;
  return signed(world, kind, { guest: { uid, incarnation }, backup: { archive, sha256 } });
}

/** Its answer is lost at once, and the call is carried out when it has waited for so long. */
function deletedLate(world: SimWorld, ms: number): void {
  const call = { method: 'DELETE', path: archived } as const;
  const { archive } = oldest(world);
  const land = async (): Promise<void> => {
    await world.clock.sleep(ms);
    await world.node.handle({ method: 'DELETE', path: contentPath(world, archive), as: world.tokenId, params: {} });
  };
  world.node.faults.add({ ...call, fault: { is: 'meanwhile', act: async () => void land() } });
  world.node.faults.add({ ...call, fault: { is: 'drop', when: 'before' } });
}

const deletions: Story['spoils'] = {
  'the answer is lost, and it is done': ({ node }) =>
    node.faults.add({ method: 'DELETE', path: archived, fault: { is: 'drop', when: 'after' } }),
  'the call is lost': ({ node }) =>
    node.faults.add({ method: 'DELETE', path: archived, fault: { is: 'drop', when: 'before' } }),
  'the call lands later': (world) => deletedLate(world, 20_000),
  'it is killed': ({ node }) => node.tasks.trap({ type: 'imgdel', action: 'kill' }),
  'the storage is away for a while': (world) => meanwhile(world, 'DELETE', archived, () => storageAway(world)),
  'the helper is busy': (world) => helperBusy(world, 'archive-digest'),
  'somebody protects it in between': (world) =>
    meanwhile(world, 'DELETE', archived, () =>
      asRoot(world, 'PUT', contentPath(world, oldest(world).archive), { protected: 1 }),
    ),
};

/** Past its point of no return, and somebody says no: it waits for people, and nothing has gone. */
const heldBack = async (world: SimWorld, says: string): Promise<readonly string[]> => [
  ...(archivesOf(world).some((archive) => archive.protected) ? [] : ['it is parked, and nothing is protected']),
  ...(says.includes('backup') ? [] : ['it is parked, and does not say what about']),
  ...(await catalogueTrouble(world, 2)),
];

/** As the bytes of it are read again once a week. */
function readBack(world: SimWorld): void {
  const newest = catalogueOf(world).at(-1);
  if (newest === undefined) throw new Error('cannot tell the story: no backup is on record');
  const body = { ...newest, integrity: { at: Math.trunc(world.clock.now()), is: 'ok', text: '' } };
  world.disk().put({ key: `backup/${newest.id}`, v: 1, body });
}

const twoBackups = async (world: SimWorld): Promise<void> => {
  await backedUp(world, 4, 5);
  keeps.set(world, idsOf(world).slice(1));
};

/** Root's backup of the guest. */
async function foreignBackup(world: SimWorld): Promise<void> {
  const params = { vmid: storyVmid, storage: 'backup', mode: 'snapshot', compress: 'zstd', remove: 0 };
  const upid = await world.clock.runUntil(asRoot(world, 'POST', `/nodes/${world.node.name}/vzdump`, params));
  await world.clock.runUntil(world.node.tasks.settled(String(upid)));
}

/** Of the world: the marker before, which some archive holds now. */
const stale = new WeakMap<SimWorld, string>();

const markerOf = (world: SimWorld): string => registered(world).find(({ vmid }) => vmid === storyVmid)?.marker ?? '';

const quick = { restoreTests: { bootSeconds: 120, healthySeconds: 10 } };

/** Every test is told once, in the audit log too, and the backup is not blamed for what the host did. */
function evidenceTrouble(world: SimWorld, { blamed }: { readonly blamed: boolean }): readonly string[] {
  const evidence = evidenceOf(world).map((told) => told.evidence);
  const [newest] = evidence;
  const tests = evidence.map(({ test }) => test);
  const { entries } = world.life()?.agent.auditFrom(1) ?? { entries: [] };
  const audited = entries.filter((entry) => JSON.stringify(entry).includes('restore-test.')).length;
  const says = `${newest?.verdict ?? 'nothing'} ${newest?.grade ?? ''} ${newest?.text ?? ''}`;
  return [
    ...(new Set(tests).size === tests.length ? [] : ['a test is told more than once']),
    ...(audited === tests.length ? [] : [`${tests.length} tests are told, ${audited} are in the audit log`]),
    ...(blamed || (newest?.verdict === 'unproven' && newest.grade === 'healthy') ? [] : [`the test says ${says}`]),
    ...(blamed || catalogueOf(world).every(({ failedTest }) => failedTest === undefined)
      ? []
      : [`the backup is blamed: ${says}`]),
  ];
}

const scratchVmid = ({ policy }: SimWorld): number => policy.vmids.scratch.from;

/** A test whose scratch guest runs, and which somebody gave up as it stood. */
async function abandonedTest(world: SimWorld): Promise<void> {
  await untilHour(world, 4);
  world.hub.publish([web], { backups: planAt(4) });
  world.boot();
  const runs = (): boolean =>
    world.node.guests.exists(scratchVmid(world)) && world.node.guests.isRunning(scratchVmid(world));
  const ready = await world.until(() => runs() && registered(world).some(({ scratch }) => scratch), 20 * minute);
  world.cut();
  if (!ready) throw new Error('cannot tell the story: no scratch guest runs');
  const [test] = openSagas(world);
  const journal = world.disk();
  if (test === undefined) throw new Error('cannot tell the story: no test is open');
  const end = { is: 'abandoned', by: 'root' } as const;
  journal.append([{ v: 1, at: world.clock.now(), kind: 'saga-ended', saga: test.id, end }]);
  // Another test would make another one.
  Object.assign(world.policy.restoreTests, untested.restoreTests);
}

const names = ['rootfs', 'data', 'photos'] as const;

/** Backed up, written to again, and lost without a task, as when the disk under it dies. */
async function lost(world: SimWorld): Promise<void> {
  for (const name of names) await write(world, name, `${name} then`);
  await backedUp(world, 4);
  for (const name of names) await write(world, name, `${name} now`);
  const [record] = registered(world);
  if (record === undefined) throw new Error('cannot tell the story: no guest is on record');
  await world.clock.runUntil(world.node.guests.stop(record.vmid));
  world.host.removeConfig(record.vmid);
  for (const { name, volid } of record.volumes) if (name !== 'photos') await world.host.freeVolume(volid);
}

const recovered = async (world: SimWorld): Promise<readonly string[]> => {
  const [record, ...more] = registered(world);
  if (record === undefined || more.length > 0) return ['not one guest is on record'];
  const notes = await Promise.all(names.map((name) => noteIn(world, name)));
  const wanted = ['rootfs then', 'data then', 'photos now'];
  const { vmid, incarnation, servedAt } = record;
  return [
    ...(notes.join() === wanted.join() ? [] : [`its volumes hold ${notes.join()}`]),
    ...(vmid === storyVmid ? ['it came back into its old VMID'] : []),
    ...(incarnation === 2 ? [] : [`its incarnation is ${incarnation}`]),
    ...(servedAt === undefined ? ['it is on record as one that never served'] : []),
    ...(world.node.guests.exists(vmid) && world.node.guests.isRunning(vmid) ? [] : [`${vmid} does not run`]),
    ...(world.node.guests.exists(storyVmid) ? [`${storyVmid} is there again`] : []),
    ...(/^onboot: 1$/m.test(world.host.rawConfig(vmid) ?? '') ? [] : [`${vmid} does not start at boot`]),
    ...(/^net0: .*link_down/m.test(world.host.rawConfig(vmid) ?? '') ? [`${vmid} has no network`] : []),
    ...(await catalogueTrouble(world, 1)),
    ...guestTrouble(world),
  ];
};

const restoreMishaps: Story['spoils'] = {
  'the restore is killed': ({ node }) =>
    node.tasks.trap({ type: 'vzrestore', atLine: /^restoring|merging/, action: 'kill' }),
  'the restore fails': ({ node }) =>
    node.tasks.trap({ type: 'vzrestore', atLine: /^restoring|merging/, action: 'abort' }),
};

export const protectionStories: Readonly<Record<string, Story>> = {
  backup: {
    before: [web],
    prepare: (world) => untilHour(world, 4),
    policy: untested,
    asks: [web],
    plan: planAt(4),
    once: true,
    sparse: true,
    settled: (world) => catalogueOf(world).length > 0,
    spoils: {
      'it is killed at its snapshot': ({ node }) =>
        node.tasks.trap({ type: 'vzdump', atLine: /create storage snapshot/, action: 'kill' }),
      'it is killed while it writes': ({ node }) =>
        node.tasks.trap({ type: 'vzdump', atLine: /creating vzdump archive/, action: 'kill' }),
      'it is killed at its end': ({ node }) =>
        node.tasks.trap({ type: 'vzdump', atLine: /cleanup temporary/, action: 'kill' }),
      'it is aborted': ({ node }) =>
        node.tasks.trap({ type: 'vzdump', atLine: /creating vzdump archive/, action: 'abort' }),
      'the answer is lost, and it is done': ({ node }) =>
        node.faults.add({ method: 'POST', path: dumps, fault: { is: 'drop', when: 'after' } }),
      'the call is lost': ({ node }) =>
        node.faults.add({ method: 'POST', path: dumps, fault: { is: 'drop', when: 'before' } }),
      'the disk is full': (world) => meanwhile(world, 'POST', dumps, async () => diskFull(world)),
      'the storage is away for a while': (world) => meanwhile(world, 'POST', dumps, () => storageAway(world)),
      'the archive is cut short': (world) => meanwhile(world, 'POST', dumps, async () => void cutShort(world)),
      'the helper is busy': (world) => helperBusy(world, 'archive-digest'),
      'the helper cannot unlock at first': (world) => {
        world.node.tasks.trap({ type: 'vzdump', atLine: /creating vzdump archive/, action: 'kill' });
        helperBusy(world, 'unlock');
      },
      'the marker is refused': (world) => refusedOnce(world, configs, 'PUT'),
    },
    missing: async (world) => [...(await catalogueTrouble(world, 1)), ...guestTrouble(world), ...notRunning(world)],
  },
  'prune-backup': {
    before: [web],
    prepare: async (world) => {
      await twoBackups(world);
      readBack(world);
    },
    policy: untested,
    asks: [web],
    plan: planAt(4, 5),
    once: true,
    sparse: true,
    settled: (world) => catalogueOf(world).length < 2,
    spoils: deletions,
    parked: heldBack,
    missing: onlyKept,
  },
  'delete-backup': {
    before: [web],
    prepare: twoBackups,
    policy: untested,
    asks: [web],
    // Retention keeps both, as the newer one has not been read back.
    plan: planAt(4, 5),
    signs: (world) => about(world, 'backup-delete'),
    sparse: true,
    spoils: {
      ...deletions,
      'it has other bytes': (world) => damaged(world, oldest(world).archive),
    },
    parked: heldBack,
    missing: onlyKept,
    changed: async (world, was) => [
      ...changedSince(world, was),
      ...(archivesOf(world).length === 2 && catalogueOf(world).length === 2 ? [] : ['a backup has gone']),
    ],
  },
  'unprotect-backup': {
    before: [web],
    prepare: async (world) => {
      await backedUp(world, 4);
      await asRoot(world, 'PUT', contentPath(world, oldest(world).archive), { protected: 1 });
    },
    policy: untested,
    asks: [web],
    plan: planAt(4),
    signs: (world) => about(world, 'backup-unprotect'),
    sparse: true,
    spoils: {
      'the answer is lost, and it is done': ({ node }) =>
        node.faults.add({ method: 'PUT', path: archived, fault: { is: 'drop', when: 'after' } }),
      'the call is lost': ({ node }) =>
        node.faults.add({ method: 'PUT', path: archived, fault: { is: 'drop', when: 'before' } }),
      'it is refused': (world) => refusedOnce(world, archived, 'PUT'),
      'it is denied': (world) => deniedOnce(world, archived, 'PUT'),
      'the helper is busy': (world) => helperBusy(world, 'archive-digest'),
      'it has other bytes': (world) => damaged(world, oldest(world).archive),
    },
    missing: async (world) => [
      ...(archivesOf(world).some((archive) => archive.protected) ? ['it is still protected'] : []),
      ...(catalogueOf(world).some((record) => record.protected) ? ['it is on record as protected'] : []),
      ...(await catalogueTrouble(world, 1)),
    ],
    changed: (world, was) => [
      ...changedSince(world, was),
      ...(archivesOf(world).every((archive) => archive.protected) ? [] : ['it is not protected any more']),
    ],
  },
  'renew-marker': {
    before: [web],
    prepare: async (world) => {
      await backedUp(world, 4);
      await foreignBackup(world);
      stale.set(world, markerOf(world));
    },
    policy: untested,
    asks: [web],
    plan: planAt(4),
    sparse: true,
    settled: (world) => markerOf(world) !== stale.get(world),
    spoils: {
      'the marker is refused': (world) => refusedOnce(world, configs, 'PUT'),
      'the marker is denied': (world) => deniedOnce(world, configs, 'PUT'),
      'the answer is lost, and it is done': ({ node }) =>
        node.faults.add({ method: 'PUT', path: configs, fault: { is: 'drop', when: 'after' } }),
      'the call is lost': ({ node }) =>
        node.faults.add({ method: 'PUT', path: configs, fault: { is: 'drop', when: 'before' } }),
    },
    missing: async (world) => [
      ...(markerOf(world) === stale.get(world) ? ['an archive of somebody else holds the marker of today'] : []),
      ...(await catalogueTrouble(world, 1)),
      ...guestTrouble(world),
      ...notRunning(world),
    ],
  },
  'restore-test': {
    before: [web],
    prepare: (world) => untilHour(world, 4),
    policy: quick,
    asks: [web],
    plan: planAt(4),
    once: true,
    sparse: 'once',
    settled: (world) => evidenceOf(world).length > 0,
    spoils: {
      ...restoreMishaps,
      'it never boots': (world) => world.host.setInit(scratchVmid(world), 'cannot-be-executed'),
      'the start is killed': ({ node }) => node.tasks.trap({ type: 'vzstart', action: 'kill' }),
      'the start is denied': (world) => deniedOnce(world, /\/status\/start$/, 'POST'),
      'the stop is killed': ({ node }) => node.tasks.trap({ type: 'vzstop', action: 'kill' }),
      'the destroy is killed': ({ node }) => node.tasks.trap({ type: 'vzdestroy', action: 'kill' }),
      'the helper is busy': (world) => helperBusy(world, 'archive-digest'),
      'it is stopped while it is watched': (world) =>
        meanwhile(world, 'POST', /\/status\/start$/, async () => {
          const stop = async (): Promise<void> => {
            await world.clock.sleep(4_000);
            const vmid = scratchVmid(world);
            if (world.node.guests.exists(vmid) && world.node.guests.isRunning(vmid)) await world.node.guests.stop(vmid);
          };
          void stop();
        }),
    },
    missing: async (world, { variant }) => [
      ...evidenceTrouble(world, { blamed: /never boots|while it is watched/.test(variant) }),
      ...(await catalogueTrouble(world, 1)),
      ...guestTrouble(world),
      ...notRunning(world),
    ],
  },
  'sweep-scratch': {
    before: [web],
    prepare: abandonedTest,
    policy: quick,
    asks: [web],
    plan: planAt(4),
    once: true,
    sparse: true,
    settled: (world) => registered(world).every(({ scratch }) => !scratch),
    spoils: {
      'the stop is killed': ({ node }) => node.tasks.trap({ type: 'vzstop', action: 'kill' }),
      'the destroy is killed': ({ node }) => node.tasks.trap({ type: 'vzdestroy', action: 'kill' }),
      'the answer is lost, and it is done': ({ node }) =>
        node.faults.add({ method: 'DELETE', path: /\/lxc\/\d+$/, fault: { is: 'drop', when: 'after' } }),
      'the call is lost': ({ node }) =>
        node.faults.add({ method: 'DELETE', path: /\/lxc\/\d+$/, fault: { is: 'drop', when: 'before' } }),
    },
    missing: async (world) => [...(await catalogueTrouble(world, 1)), ...guestTrouble(world), ...notRunning(world)],
  },
  'recover-guest': {
    before: [web],
    prepare: lost,
    policy: untested,
    asks: [web],
    plan: planAt(4),
    once: true,
    sparse: 'once',
    // Its bulk lies where it lay.
    tolerates:
      /^(?:nothing refers to bulk:9000\/vm-9000-disk-0\.raw|guest 900\d names bulk:9000\/vm-9000-disk-0\.raw, which does not exist)$/,
    settled: (world) => registered(world).every(({ vmid }) => vmid !== storyVmid),
    spoils: {
      ...restoreMishaps,
      'the start is killed': ({ node }) => node.tasks.trap({ type: 'vzstart', action: 'kill' }),
      'the first change is refused': (world) => refusedOnce(world, configs, 'PUT'),
      'the second change is denied': (world) => deniedOnce(world, configs, 'PUT', 2),
      'the third change is denied': (world) => deniedOnce(world, configs, 'PUT', 3),
      'the helper is busy': (world) => helperBusy(world, 'archive-digest'),
      'the storage is away for a while': (world) => meanwhile(world, 'POST', /\/lxc$/, () => storageAway(world)),
      'it does not start at once': (world) => {
        const vmid = storyVmid + 2;
        world.host.setInit(vmid, 'cannot-be-executed');
        void world.clock.sleep(4 * minute).then(() => world.host.setInit(vmid, 'obeys'));
      },
    },
    missing: recovered,
  },
};
