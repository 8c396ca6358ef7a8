/** Loop devices that are unmounted and taken away, and when the hub has been told by the agent beside it. */
import { mkdirSync, mkdtempSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { mountPathOf } from '../packages/agent/src/storage-manifest.ts';
import { openHubSide } from '../scripts/vm/hub-side.ts';
import { mustRun, runProgram } from '../scripts/vm/run-program.ts';
import { declarationsOf, makeDisk } from '../scripts/vm/targets.ts';
import type { TestTarget } from '../scripts/vm/targets.ts';

/** The fourth drop within a quarter of an hour is damped, and that is not measured here. */
export const dropsPerTarget = 3;

/** At most one poll out of turn per three seconds; what comes sooner waits for its turn. */
const restMs = 3_500;

/** Why this machine has no loop devices to take away; `undefined`: it has. */
export async function noLoopDevices(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can mount a loop device';
  const { code, stderr } = await runProgram('losetup', ['--find']);
  return code === 0 ? undefined : `there is no loop device: ${stderr.trim()}`;
}

/** By its file: once it is gone, anybody's next device may have its name. Going already is no failure. */
async function detach(file: string): Promise<void> {
  const attached = await mustRun('losetup', ['--noheadings', '--output', 'NAME', '--associated', file]);
  for (const name of attached.split('\n').filter((line) => line !== ''))
    await runProgram('losetup', ['-d', name.trim()]);
}

/** Milliseconds from the command that unmounts to the report in the store of the hub, drop by drop. */
export async function measureLoopDrops(targets: number, tell: (text: string) => void): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-loop-drops-'));
  const disks: TestTarget[] = [];
  for (let at = 1; at <= targets; at += 1) disks.push(await makeDisk(folder, `bench-loop-${at}`));
  const hub = await openHubSide(disks);
  // No udev is asked here: what it would know of each loop device is written down for it.
  const records = join(folder, 'run/udev/data');
  mkdirSync(records, { recursive: true });
  const storageFile = join(folder, 'storage.json');
  writeFileSync(storageFile, declarationsOf(disks, false), { mode: 0o644 });
  const { stage } = hub;
  stage.writeConfig({
    kernel: {
      ...stage.place.kernel,
      proc: '/proc',
      sys: '/sys',
      mounts: '/mnt/felhom',
      run: join(folder, 'run'),
    },
    storageFile,
    watchHost: false,
    reconcile: { everySeconds: 60 },
  });
  const taken: number[] = [];
  try {
    stage.agent.start();
    for (const disk of disks) {
      tell(`loop device ${disk.name}`);
      const path = mountPathOf(disk.name);
      mkdirSync(path, { recursive: true });
      for (let drop = 0; drop < dropsPerTarget; drop += 1) {
        const loop = (await mustRun('losetup', ['--find', '--show', disk.file])).trim();
        try {
          const number = (await mustRun('lsblk', ['-dno', 'MAJ:MIN', loop])).trim();
          const record = join(records, `b${number}`);
          writeFileSync(record, `E:ID_FS_UUID=${disk.uuid}\nE:ID_FS_TYPE=ext4\n`);
          await mustRun('mount', [loop, path]);
          await hub.untilTold(disk.name, 'attached', 60);
          await wait(restMs);
          const dropped = performance.now();
          await mustRun('umount', [path]);
          await detach(disk.file);
          rmSync(record);
          taken.push((await hub.untilTold(disk.name, 'disconnected', 60)) - dropped);
        } finally {
          await runProgram('umount', ['-l', path]);
          await detach(disk.file);
        }
      }
      rmdirSync(path);
    }
    return taken;
  } finally {
    await hub.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
