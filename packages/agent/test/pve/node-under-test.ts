/** The node that the suite works on: clients, free VMIDs, and the clean-up of guests that carry the suite's marker. */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:tls';
import type { StorageId, Upid, Vmid, VolumeId } from '@felhom/protocol';
import { createHelperCommand } from '../../src/adapters/helper-command/index.ts';
import { spkiOf } from '../../src/adapters/hub-https/index.ts';
import type { ServerTrust } from '../../src/adapters/hub-https/index.ts';
import { createPveClient, createPveHttps } from '../../src/adapters/pve-http/index.ts';
import type { PveClient } from '../../src/adapters/pve-http/index.ts';
import { systemClock } from '../../src/adapters/system-clock/index.ts';
import { backupWarrantFor, destroyWarrantFor, parseMarker, volumesInConfig } from '../../src/authority/index.ts';
import type { DestroyGuestWarrant } from '../../src/authority/warrant.ts';
import type { Clock } from '../../src/kernel/clock.ts';
import type { Outcome } from '../../src/kernel/saga.ts';
import type { ArchiveDigest, HostHelper } from '../../src/ports/host-helper.ts';
import type { GuestConfigView, TaskEnd } from '../../src/ports/proxmox.ts';
import { undeclaredVmids } from '../../src/node-check/index.ts';
import { readEnvironment } from './environment.ts';
import type { PveSettings } from './environment.ts';

export interface Absent {
  readonly is: 'absent';
  readonly why: string;
}

/** Marks guests of this suite and of nothing else; the agent itself draws uids at random. */
const suiteUid = 'testpvetestpvetestpvetestp';

/** Begins the notes of its backups. */
const suiteNotes = 'felhom-test';

export const never = new AbortController().signal;

export interface NodeUnderTest {
  readonly settings: PveSettings;
  readonly pve: PveClient;
  readonly clock: Clock;
  readonly helper: HostHelper | undefined;
  readonly storage: StorageId;
  readonly archive: VolumeId;
  readonly backupStorage: StorageId;
  /** Notes by which backups of this suite are known. */
  backupNotes(): string;
  /** SHA-256 of an archive as root reads it; `absent` with the reason where there is no root, or it does not know how. */
  digestOf(archive: VolumeId): Promise<({ readonly is: 'read' } & ArchiveDigest) | Absent>;
  /** A declared VMID that no guest has; throws with what to do when none is left. */
  freeVmid(): Promise<Vmid>;
  /** Config values that make a restored guest harmless and ours. */
  markedValues(extra?: Readonly<Record<string, string>>): Record<string, string>;
  /** Waits for a task that must have been started. */
  wait(upid: Outcome<Upid | undefined>): Promise<TaskEnd>;
  /** The config of a guest that must be there. */
  configOf(vmid: Vmid): Promise<GuestConfigView>;
  /** A warrant for a guest of this suite, from the same decision the agent takes; throws for any other guest. */
  warrantFor(vmid: Vmid): Promise<DestroyGuestWarrant>;
  /** Stops and destroys every guest of the range that carries the suite's marker, and declares its id again. */
  cleanUp(): Promise<void>;
  close(): Promise<void>;
}

export async function nodeUnderTest(): Promise<NodeUnderTest> {
  const environment = readEnvironment(process.env);
  if (environment.is !== 'ready') throw new Error('start this suite with npm run test:pve');
  const { settings } = environment;
  const clock = systemClock();
  const transport = createPveHttps({ url: settings.url, trust: await trustOf(settings), now: () => clock.now() });
  const pve = createPveClient({ transport, clock, node: settings.node, token: settings.token });
  const helper = settings.helper === undefined ? undefined : createHelperCommand({ command: settings.helper, clock });
  const run = randomBytes(6).toString('hex');
  const ids = Array.from({ length: settings.vmids.to - settings.vmids.from + 1 }, (_, n) => settings.vmids.from + n);

  const configOf = async (vmid: Vmid): Promise<GuestConfigView> => {
    const read = value(await pve.reader.config(vmid, { current: true }, never));
    if (read.is !== 'present') throw new Error(`CT ${vmid} is ${read.is}`);
    return read.config;
  };
  const wait = async (started: Outcome<Upid | undefined>): Promise<TaskEnd> => {
    const upid = value(started);
    if (upid === undefined) throw new Error('no task was started');
    return value(await pve.tasks.wait(upid, {}, never));
  };
  const warrantFor = async (vmid: Vmid): Promise<DestroyGuestWarrant> => {
    const config = await configOf(vmid);
    const marker = parseMarker(config.values['description']);
    if (marker.is !== 'present' || marker.uid !== suiteUid) throw new Error(`CT ${vmid} is not a guest of this suite`);
    const { config: mounted, unused } = volumesInConfig(config.values);
    const listed = value(await pve.stores.contents(settings.storage as StorageId, { vmid, content: 'rootdir' }, never));
    const basis = {
      vmid,
      uid: marker.uid as never,
      incarnation: marker.incarnation,
      marker: marker.n,
      allocated: [...mounted, ...unused, ...listed.map((item) => item.volid)],
      carriedOver: [],
      listedBeforeCreate: undefined,
    };
    const seen = { vmid, marker, config: mounted, pending: [], unused, listed: listed.map((item) => item.volid) };
    const decision = destroyWarrantFor(basis, seen);
    if (decision.is !== 'warranted') throw new Error(decision.why.text);
    return decision.warrant;
  };
  const backupStorage = settings.backupStorage as StorageId;
  /** While their guest is there: without its VMID in the pool nobody sees them. */
  const deleteBackups = async (vmid: Vmid): Promise<void> => {
    for (const item of value(await pve.stores.contents(backupStorage, { content: 'backup', vmid }, never))) {
      if (item.notes?.startsWith(`${suiteNotes} `) !== true) continue;
      if (item.protected) value(await pve.backups.protect(item.volid, false, never));
      const decision = backupWarrantFor(
        { guest: suiteUid as never, archive: item.volid, sha256: '0'.repeat(64) as never },
        { listed: true, protected: false, sha256: undefined },
        { by: 'retention' },
      );
      if (decision.is !== 'warranted') throw new Error(decision.why.text);
      const upid = value(await pve.remover.remove(decision.warrant, never));
      if (upid !== undefined) value(await pve.tasks.wait(upid, {}, never));
    }
  };
  const isOfSuite = async (vmid: Vmid): Promise<boolean> => {
    const read = value(await pve.reader.config(vmid, { current: true }, never));
    if (read.is !== 'present') return false;
    const marker = parseMarker(read.config.values['description']);
    return marker.is === 'present' && marker.uid === suiteUid;
  };

  return {
    settings,
    pve,
    clock,
    helper,
    storage: settings.storage as StorageId,
    archive: settings.archive as VolumeId,
    backupStorage,
    backupNotes: () => `${suiteNotes} ${run}`,
    async digestOf(archive) {
      if (helper === undefined)
        return { is: 'absent', why: 'FELHOM_PVE_HELPER is not set, and only root reads the bytes of an archive' };
      const read = await helper.archiveDigest(archive, never);
      if (read.is === 'done') return { is: 'read', ...read.value };
      return { is: 'absent', why: `the helper does not read archives: ${read.why.text}` };
    },
    configOf,
    wait,
    warrantFor,
    async freeVmid() {
      const undeclared = new Set(undeclaredVmids(value(await pve.facts.permissions(never)), settings.vmids));
      for (const id of ids as Vmid[]) {
        if (undeclared.has(id) || !value(await pve.reader.isVmidFree(id, never))) continue;
        if (helper !== undefined && value(await helper.volumesOf(id, never)).length > 0) continue;
        return id;
      }
      throw new Error(
        `no VMID of ${settings.vmids.from}-${settings.vmids.to} is free and declared; run as root on the node: ` +
          `pveum pool modify ${settings.pool} --vms ${[...undeclared].join(',')}`,
      );
    },
    markedValues: (extra = {}) => ({
      hostname: 'felhom-test',
      description: `felhom:${suiteUid}.1.${run}`,
      onboot: '0',
      protection: '0',
      cores: '1',
      memory: '256',
      swap: '0',
      net0: `name=eth0,bridge=${settings.bridge},ip=manual,link_down=1`,
      ...extra,
    }),
    async cleanUp() {
      for (const id of ids as Vmid[]) {
        if (!(await isOfSuite(id))) continue;
        await deleteBackups(id);
        const stopping = await pve.writer.stop(id, never);
        if (stopping.is === 'done' && stopping.value !== undefined) await wait(stopping);
        const end = await wait(await pve.destroyer.destroy(await warrantFor(id), never));
        if (end.verdict.is !== 'ok') throw new Error(`cannot destroy CT ${id}: ${end.logTail.join('\n')}`);
        await helper?.poolEnsure(`test-pve.clean-up.${id}.${run}.${clock.now()}`, id, never);
      }
    },
    close: () => pve.close(),
  };
}

/** The value of a `done`; anything else fails the test with its own reason. */
export function value<T>(outcome: Outcome<T>): T {
  if (outcome.is === 'done') return outcome.value;
  throw new Error(`${outcome.is} (${outcome.why.code}): ${outcome.why.text}`);
}

/** `refused pve.vmid-taken`, `done` … for comparing. */
export function codeOf(outcome: Outcome<unknown>): string {
  return outcome.is === 'done' ? 'done' : `${outcome.is} ${outcome.why.code}`;
}

async function trustOf(settings: PveSettings): Promise<ServerTrust> {
  switch (settings.trust.is) {
    case 'ca':
      return { ca: settings.trust.pem };
    case 'spki':
      return { spkiSha256: settings.trust.sha256 };
    case 'first-use':
      return { spkiSha256: await spkiShownBy(new URL(settings.url)) };
  }
}

/** Trust on first use, in tests only: nothing but the TLS handshake happens on this connection. */
function spkiShownBy(url: URL): Promise<string> {
  return new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const socket = connect({ host, port: Number(url.port || 443), rejectUnauthorized: false }, () => {
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (certificate === undefined) reject(new Error(`${url.host} shows no certificate`));
      else resolve(spkiOf(certificate));
    });
    socket.on('error', reject);
  });
}
