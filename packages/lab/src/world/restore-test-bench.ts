/** A node with real semantics, a scripted witness and the restore-test sagas, without the agent around them. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { createHash } from 'node:crypto';
import {
  createAuditLog,
  createCatalogue,
  createEvidenceStore,
  createFence,
  createGuestRegistry,
  createLanes,
  createPveClient,
  createRegistry,
  createRunner,
  createVmidClaims,
  installPowerSwitch,
  isEvidenceOf,
  openJournalOn,
  restoreTest,
  sweepScratch,
} from '@felhom/agent';
import type {
  BackupRecord,
  CrashPoint,
  GuestWitness,
  RestoreTestNeeds,
  RestoreTestParams,
  WitnessSample,
} from '@felhom/agent';
import { digestOfManifest } from '@felhom/protocol';
import type {
  ContentManifest,
  Digest,
  GuestName,
  GuestUid,
  HostId,
  RestoreEvidence,
  StorageId,
  Vmid,
  VolumeId,
} from '@felhom/protocol';
import { directoryMember, fileMember, MemoryDisk, placeArchive } from '../fake-pve/storage/index.ts';
import type { Member, PlacedArchive } from '../fake-pve/storage/index.ts';
import { createSimClock } from '../simulation/sim-clock.ts';
import { createSimRandom } from '../simulation/sim-random.ts';
import { enrolNode } from './enrolled-node.ts';
import type { EnrolledNode } from './enrolled-node.ts';
import { simHostKey } from './sim-host-key.ts';
import { helperPort, sendTo, startAt } from './sim-world.ts';

const uid = 'abcdefghijklmnopqrstuvwxyz' as GuestUid;
const guest = { uid, incarnation: 1, name: 'photos' as GuestName };
export const id = 'aaaaaaaaaaaaaaaa';

export const config = (...lines: readonly string[]): string =>
  [
    'arch: amd64',
    'cores: 4',
    'features: nesting=1',
    'hostname: photos',
    'memory: 4096',
    'mp0: guests:vm-9001-disk-1,mp=/data,backup=1,size=2G',
    'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:09,ip=dhcp,type=veth',
    'onboot: 1',
    'ostype: debian',
    'rootfs: guests:vm-9001-disk-0,size=1G',
    'tags: felhom',
    'unprivileged: 1',
    ...lines,
    '',
  ].join('\n');

export const photo = 'a picture of a cat\n'.repeat(50);
export const root: readonly Member[] = [
  directoryMember('./'),
  directoryMember('./etc/'),
  fileMember('./etc/hostname', 'photos\n'),
  fileMember('./etc/os-release', 'ID=debian\n'),
  fileMember('./srv/app.conf', 'port=80\n'),
];
export const data = (text: string): readonly Member[] => [
  directoryMember('./data/'),
  fileMember('./data/cat.jpg', text),
  fileMember('./data/dog.jpg', 'woof\n'),
];
export const emptyMount = directoryMember('./data/');
export const whole = [...root, ...data(photo)];

const sampleOf = (path: string, text: string) => ({
  path,
  sizeBytes: text.length,
  sha256: createHash('sha256').update(text).digest('hex') as Digest,
});
export const manifest: ContentManifest = {
  v: 1,
  at: startAt,
  volumes: [
    { path: '/', files: 3, bytes: 25, samples: [sampleOf('srv/app.conf', 'port=80\n')] },
    { path: '/data', files: 2, bytes: photo.length + 5, samples: [sampleOf('cat.jpg', photo)] },
  ],
};

/** What the cgroup tree shows `ms` after the guest was started. */
type Script = (ms: number, at: number) => Partial<Extract<WitnessSample, { is: 'seen' }>> | undefined;

const unit = (inode: string) => ({ inode, populated: true });
export const booted = new Map([
  ['felhom-ready.service', unit('1')],
  ['felhom-witness.service', unit('2')],
]);
export const beat = (at: number): string => `beat.${Math.floor(at / 1000)}`;
export const well: Script = (ms, at) => (ms < 20_000 ? {} : { units: booted, facts: [beat(at), 'ok.web'] });

export interface BenchOptions {
  readonly script?: Script;
  /** Units that come and go by themselves: told as the kernel does. */
  readonly loops?: string;
  readonly storage?: string;
  readonly startsFail?: true;
}

export async function createBench(options: BenchOptions = {}) {
  const clock = createSimClock(startAt);
  const random = createSimRandom(42);
  const disk = new MemoryDisk(() => Math.floor(clock.now() / 1000));
  const enrolled = await clock.runUntil(enrolNode({ clock, random: random.fork('node'), disk }));
  const { node, policy } = enrolled;
  const hostKey = simHostKey(random.fork('host key'));
  const database = new DatabaseSync(':memory:');
  if (options.startsFail === true)
    for (let tries = 0; tries < 2; tries++) node.tasks.trap({ type: 'vzstart', action: 'abort' });
  const upSince = new Map<number, number>();

  const isUp = (vmid: number): boolean => node.guests.exists(vmid) && node.guests.isRunning(vmid);
  const sample = (vmid: Vmid): WitnessSample => {
    if (!isUp(vmid)) {
      upSince.delete(vmid);
      return { is: 'stopped' };
    }
    const since = upSince.get(vmid) ?? clock.now();
    upSince.set(vmid, since);
    const said = (options.script ?? well)(clock.now() - since, clock.now());
    if (said === undefined) return { is: 'stopped' };
    return {
      is: 'seen',
      boot: `${since}`,
      frozen: false,
      init: true,
      units: new Map(),
      facts: [],
      oomKills: 0,
      ...said,
    };
  };
  const witness: GuestWitness = {
    sample: async (vmid) => sample(vmid),
    watch: (_vmid, seen) => {
      const closed = new AbortController();
      const loop = async (name: string): Promise<void> => {
        for (;;) {
          await clock.sleep(20_000, closed.signal);
          seen(name, 'came');
          seen(name, 'went');
        }
      };
      if (options.loops !== undefined) loop(options.loops).catch(() => undefined);
      return { close: () => closed.abort() };
    },
  };

  /** One life of the process. */
  const boot = (cutsAt?: (point: CrashPoint, nth: number) => boolean) => {
    const own = random.fork('agent');
    const power = installPowerSwitch(openJournalOn(database, { clock, random: own }), cutsAt);
    const { journal } = power;
    const proxmox = createPveClient({
      transport: {
        send: async (request, signal) => {
          const answer = await sendTo(enrolled, request, signal);
          return power.off.aborted ? new Promise<never>(() => undefined) : answer;
        },
        close: () => Promise.resolve(),
      },
      node: node.name,
      token: enrolled.token,
      clock,
    });
    const registry = createGuestRegistry(journal);
    const catalogue = createCatalogue(journal);
    const evidence = createEvidenceStore(journal);
    const sagas = createRegistry([restoreTest, sweepScratch]);
    const needs: RestoreTestNeeds = {
      reader: proxmox.reader,
      writer: proxmox.writer,
      destroyer: proxmox.destroyer,
      tasks: proxmox.tasks,
      stores: proxmox.stores,
      node: proxmox.facts,
      backups: proxmox.backups,
      remover: proxmox.remover,
      snapshots: proxmox.snapshots,
      mover: proxmox.mover,
      helper: helperPort(enrolled, power.off),
      witness,
      registry,
      claims: createVmidClaims([], (saga) => journal.openSagas().includes(saga)),
      policy: () => policy,
      tokenId: enrolled.tokenId,
      host: 'lab' as HostId,
      catalogue,
      manifests: { byDigest: (of) => (of === digestOfManifest(manifest) ? manifest : undefined) },
      evidence,
      audit: createAuditLog(journal),
      hostKey,
    };
    const runner = createRunner({
      journal,
      fence: createFence(journal, clock),
      clock,
      random: own,
      crashPoints: power.crashPoints,
      lanes: createLanes(clock),
      registry: sagas,
    });
    const recovered = runner.resumeAll(() => needs);
    return { runner, needs, registry, catalogue, evidence, journal, power, recovered };
  };

  /** Puts an archive there as a backup did, and the record of it. */
  const backUp = async (archive: PlacedArchive, change: Partial<BackupRecord> = {}): Promise<BackupRecord> => {
    const storage = options.storage ?? 'backup';
    const volid = await clock.runUntil(placeArchive(node.storage, storage, 9001, startAt, archive));
    const read = await clock.runUntil(
      enrolled.helper.answer({ v: 1, verb: 'archive-digest', archive: volid as VolumeId }),
    );
    if (read.is !== 'done' || read.archive === undefined) throw new Error(`cannot read ${volid} back`);
    return {
      id,
      guest: uid,
      incarnation: 1,
      vmid: 9001 as Vmid,
      tier: 'local',
      storage: storage as StorageId,
      archive: volid as VolumeId,
      class: 'scheduled',
      consistency: 'app',
      mode: 'snapshot',
      startedAt: startAt,
      takenAt: startAt,
      sizeBytes: read.archive.sizeBytes,
      sha256: read.archive.sha256,
      protected: false,
      warnings: [],
      risk: { tokenCanRestore: true, refusals: [], comesBackEmpty: [], devices: false },
      manifest: { digest: digestOfManifest(manifest), files: 5, bytes: 1000, at: startAt },
      massChange: false,
      ...change,
    };
  };

  const paramsOf = ({ archive, sha256 }: BackupRecord): RestoreTestParams => ({
    guest,
    tier: 'local',
    backup: { id, archive, sha256 },
    storage: 'guests' as StorageId,
  });

  const nothingLeft = (life: ReturnType<typeof boot>): void => {
    const { from, to } = policy.vmids.scratch;
    const pool = node.access.config.pools.get(policy.pool)?.vms;
    for (let vmid: number = from; vmid <= to; vmid++) {
      assert.equal(node.guests.exists(vmid), false, `guest ${vmid} is left`);
      assert.deepEqual(node.storage.volumesOf(vmid), [], `volumes of ${vmid} are left`);
      assert.ok(pool?.has(vmid), `${vmid} fell out of the pool`);
    }
    assert.deepEqual(life.registry.all(), []);
    assert.deepEqual(life.journal.openSagas(), []);
  };

  return { ...enrolled, clock, disk, boot, backUp, paramsOf, nothingLeft, hostKey };
}

export const startsOf = ({ node }: Pick<EnrolledNode, 'node'>): readonly string[] =>
  node.tasks.all().flatMap(({ upid, parts }) => (parts.type === 'vzstart' ? [upid] : []));

export type Bench = Awaited<ReturnType<typeof createBench>>;
export const hourMs = 3_600_000;

/** From the backup to its evidence, in one life. */
export async function runTest(bench: Bench, record: BackupRecord): Promise<RestoreEvidence> {
  const life = bench.boot();
  life.catalogue.put(record);
  const end = await bench.clock.runUntil(
    life.runner.start(restoreTest, bench.paramsOf(record), life.needs).ended,
    hourMs,
  );
  assert.equal(end.is, 'completed', JSON.stringify(end));
  bench.nothingLeft(life);
  const [kept] = life.evidence.newest();
  assert.ok(kept);
  assert.equal(isEvidenceOf(bench.hostKey.publicLine, kept), true, 'the evidence is not signed by the host');
  assert.equal(
    isEvidenceOf(bench.hostKey.publicLine, {
      ...kept,
      evidence: { ...kept.evidence, verdict: 'passed', grade: 'proven', text: 'x' },
    }),
    false,
  );
  assert.doesNotMatch(JSON.stringify(kept.evidence), /cat\.jpg|app\.conf/, 'a name of a file left the guest');
  assert.equal(life.needs.evidence.byDigest(kept.digest)?.digest, kept.digest);
  return kept.evidence;
}

export const said = ({ verdict, grade, code }: RestoreEvidence): string =>
  [verdict, grade, code].filter(Boolean).join(' ');
