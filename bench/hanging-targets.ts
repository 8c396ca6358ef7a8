/** A share and a disk that stop answering in the kernel, and an agent beside them with a hub, a node and guests. */
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalClient, guestPaths, httpsConnect } from '@felhom/controller';
import type { LocalClient } from '@felhom/controller';
import { manifestText, mountPathOf } from '../packages/agent/src/storage-manifest.ts';
import type { StorageManifest } from '../packages/agent/src/storage-manifest.ts';
import { mountHanging } from '../packages/agent/test/hanging-mount.ts';
import type { HangingMount } from '../packages/agent/test/hanging-mount.ts';
import { addressOfGuest } from '../packages/lab/src/guest/index.ts';
import { filesOf, runningVmid } from '../packages/lab/src/scenarios/living.ts';
import { dueNow, livingGuest } from '../packages/lab/src/world/desired.ts';
import { openHubSide } from '../scripts/vm/hub-side.ts';
import type { HubSide } from '../scripts/vm/hub-side.ts';
import { mustRun, runProgram } from '../scripts/vm/run-program.ts';
import { declarationsOf, makeDisk } from '../scripts/vm/targets.ts';
import type { TestTarget } from '../scripts/vm/targets.ts';

/** Documentation addresses: nobody is ever there (RFC 5737). */
const server = '192.0.2.10';
const remotePath = '/export';
export const shareName = 'bench-share';
export const diskName = 'bench-disk';
const guests = ['one', 'two'] as const;

export interface HangingTargets {
  readonly hub: HubSide;
  /** Neither share nor disk answers from now on; nor does Proxmox where it would have to ask the share. */
  hang(): void;
  answer(): void;
  /** Of each guest its client of the local API, as the programs in it have it. */
  readonly clients: readonly LocalClient[];
  /** A backup to the disk becomes due for every guest. */
  backUp(): Promise<void>;
  close(): Promise<void>;
}

/** Takes root, FUSE and a loop device. Resolves once guests and targets are as declared. */
export async function openHangingTargets(tell: (text: string) => void): Promise<HangingTargets> {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-hanging-'));
  const share = `/mnt/pve/${shareName}`;
  const mount = mountPathOf(diskName);
  const ends: (() => Promise<unknown> | void)[] = [() => rmSync(folder, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    const disk = await makeDisk(folder, diskName);
    for (const path of [share, mount]) {
      // Of a run that was killed.
      await runProgram('umount', ['-l', path]);
      mkdirSync(path, { recursive: true });
      ends.push(() => rmdirSync(path));
    }
    const hanging = await mountHanging(share, `${server}:${remotePath}`, {
      name: 'disk.img',
      content: readFileSync(disk.file),
    });
    ends.push(() => hanging.end());
    const loop = (await mustRun('losetup', ['--find', '--show', join(share, 'disk.img')])).trim();
    ends.push(() => runProgram('losetup', ['-d', loop]));
    await mustRun('mount', [loop, mount]);
    ends.push(() => runProgram('umount', ['-l', mount]));
    const hub = await openHubSide([disk], { lifeless: false });
    ends.push(() => hub.close());
    // Before anything is taken down: nothing shall wait for what does not answer.
    ends.push(() => hanging.answer());
    await addShare(hub);
    await configure(hub, folder, disk, loop);
    tell('bringing up two guests');
    await wish(hub, folder, []);
    hub.stage.agent.start();
    await hub.stage.until(
      'guests and targets are as declared',
      async () => {
        const report = await hub.stage.report();
        return report?.converged === true && report.targets.every(({ state }) => state === 'attached');
      },
      180_000,
    );
    return { hub, ...handles(hub, folder, hanging), clients: await clientsOf(hub), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function handles(
  hub: HubSide,
  folder: string,
  hanging: HangingMount,
): Pick<HangingTargets, 'hang' | 'answer' | 'backUp'> {
  const { faults } = hub.stage.pve.node;
  const path = new RegExp(`/storage/${shareName}(?:/|$)`);
  return {
    hang: () => {
      hanging.hang();
      faults.add({ path, always: true, fault: { is: 'delay', ms: 3_600_000 } });
    },
    answer: () => {
      hanging.answer();
      faults.clear();
    },
    backUp: () => wish(hub, folder, [dueNow('nightly', diskName, Date.now())]),
  };
}

async function addShare({ stage }: HubSide): Promise<void> {
  const { node, tokenId } = stage.pve;
  node.storage.hardware.add({ id: `nfs:${server}:${remotePath}`, capacityBytes: 2 ** 34 });
  const [users] = tokenId.split('!');
  const calls = [
    ['POST', '/storage', { storage: shareName, type: 'nfs', server, export: remotePath, content: 'backup' }],
    ['PUT', '/access/acl', { path: `/storage/${shareName}`, roles: 'FelhomStore', users, propagate: 0 }],
  ] as const;
  for (const [method, path, params] of calls) {
    const answer = await node.handle({ method, path, params, as: 'root@pam' });
    if (answer.status !== 200) throw new Error(`cannot prepare the node of the lab: ${path}: ${answer.status}`);
  }
}

async function configure({ stage }: HubSide, folder: string, disk: TestTarget, loop: string): Promise<void> {
  const records = join(folder, 'run/udev/data');
  mkdirSync(records, { recursive: true });
  const number = (await mustRun('lsblk', ['-dno', 'MAJ:MIN', loop])).trim();
  writeFileSync(join(records, `b${number}`), `E:ID_FS_UUID=${disk.uuid}\nE:ID_FS_TYPE=ext4\n`);
  const { targets } = JSON.parse(declarationsOf([disk], false)) as { readonly targets: StorageManifest['targets'] };
  const declared: StorageManifest['targets'][number] = {
    target: {
      type: 'nfs',
      name: shareName as (typeof targets)[number]['target']['name'],
      storage: shareName as (typeof targets)[number]['target']['storage'],
      role: 'vzdump-target',
      class: 'slow',
      offsite: true,
      server,
      export: remotePath,
    },
    state: 'attached',
    mark: '0'.repeat(32),
    attachedAt: 0,
  };
  const storageFile = join(folder, 'storage.json');
  writeFileSync(storageFile, manifestText({ v: 1, targets: [...targets, declared] }), { mode: 0o644 });
  stage.writeConfig({
    kernel: { ...stage.place.kernel, proc: '/proc', sys: '/sys', mounts: '/mnt/felhom', run: join(folder, 'run') },
    storageFile,
    watchHost: true,
    reconcile: { everySeconds: 30 },
  });
}

async function wish({ stage }: HubSide, folder: string, tiers: readonly unknown[]): Promise<void> {
  const file = join(folder, 'wanted.json');
  const backups = tiers.length === 0 ? {} : { backups: { graceMinutes: 1, tiers } };
  writeFileSync(file, JSON.stringify({ v: 1, guests: guests.map((name) => livingGuest(name)), ...backups }));
  const { code, out, err } = await stage.felhom(['desired', 'apply', 'lab', file, '--yes']);
  if (code !== 0) throw new Error(`cannot apply desired state: ${out}${err}`);
}

/** With the token as it lies in the guest, from the guest's address. */
async function clientsOf({ stage }: HubSide): Promise<readonly LocalClient[]> {
  const clock = {
    now: () => Date.now(),
    sleep: (ms: number) => new Promise<void>((done) => setTimeout(done, ms)),
  };
  const clients: LocalClient[] = [];
  for (const name of guests) {
    let bytes: Uint8Array | undefined;
    await stage.until(`${name} has its token`, async () => {
      bytes = await filesOf(stage, name).read(guestPaths.session, 65_536);
      return bytes !== undefined;
    });
    const { token, ca } = JSON.parse(new TextDecoder().decode(bytes)) as { token: string; ca: readonly string[] };
    const connect = httpsConnect({ localAddress: addressOfGuest(runningVmid(stage, name)) });
    clients.push(createLocalClient({ transport: connect(stage.localApi, { is: 'ca', pems: ca }), clock, token }));
  }
  return clients;
}
