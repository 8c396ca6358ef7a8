/** A share and a disk that stop answering in the kernel, and an agent beside them with a hub, a node and guests. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalClient, guestPaths, httpsConnect } from '@felhom/controller';
import type { LocalClient } from '@felhom/controller';
import { mountHanging } from '../packages/agent/test/hanging-mount.ts';
import { addressOfGuest } from '../packages/lab/src/guest/index.ts';
import { filesOf, runningVmid } from '../packages/lab/src/scenarios/living.ts';
import { dueNow, livingGuest } from '../packages/lab/src/world/desired.ts';
import { openHubSide } from '../scripts/vm/hub-side.ts';
import type { HubSide } from '../scripts/vm/hub-side.ts';
import { makeDisk } from '../scripts/vm/targets.ts';
import {
  addShare,
  declarations,
  makeMountPoint,
  mountDisk,
  recordsIn,
  seesRealMounts,
  share,
  undo,
} from './declared-targets.ts';
import type { Ends } from './declared-targets.ts';

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
  const ends: Ends = [() => rmSync(folder, { recursive: true, force: true })];
  try {
    const disk = await makeDisk(folder, diskName);
    await makeMountPoint(share.path, ends);
    const content = readFileSync(disk.file);
    const hanging = await mountHanging(share.path, share.source, { name: 'disk.img', content });
    ends.push(() => hanging.end());
    // The disk lies in the share, so that it hangs with it.
    await mountDisk(disk, join(share.path, 'disk.img'), recordsIn(folder), ends);
    const hub = await openHubSide([disk], { lifeless: false });
    ends.push(() => hub.close());
    // Before anything is taken down: nothing shall wait for what does not answer.
    ends.push(() => hanging.answer());
    const { stage } = hub;
    await addShare(hub);
    const storageFile = join(folder, 'storage.json');
    writeFileSync(storageFile, declarations([disk]), { mode: 0o644 });
    stage.writeConfig({ ...seesRealMounts(hub, folder, storageFile), reconcile: { everySeconds: 30 } });
    tell('bringing up two guests');
    await wish(hub, folder, []);
    stage.agent.start();
    await stage.until(
      'guests and targets are as declared',
      async () => {
        const report = await stage.report();
        return report?.converged === true && report.targets.every(({ state }) => state === 'attached');
      },
      180_000,
    );
    const { faults } = stage.pve.node;
    return {
      hub,
      clients: await clientsOf(hub),
      hang: () => {
        hanging.hang();
        const path = new RegExp(`/storage/${share.name}(?:/|$)`);
        faults.add({ path, always: true, fault: { is: 'delay', ms: 3_600_000 } });
      },
      answer: () => {
        hanging.answer();
        faults.clear();
      },
      backUp: () => wish(hub, folder, [dueNow('nightly', diskName, Date.now())]),
      close: () => undo(ends),
    };
  } catch (error) {
    await undo(ends);
    throw error;
  }
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
