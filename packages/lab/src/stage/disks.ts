/**
 * Disks of the stage that can be pulled: the same as in a simulation, shown to the agent's process as the files that kernel
 * and udev would show it.
 */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { EnrolledNode } from '../world/enrolled-node.ts';
import { createSimTargets } from '../world/sim-targets.ts';
import type { SimTargets } from '../world/sim-targets.ts';
import type { Place } from './place.ts';

export type StageDisks = Pick<SimTargets, 'attach' | 'pull' | 'plugIn' | 'state' | 'guestMounts'> & {
  /** Root's verbs about them. */
  readonly helper: ReturnType<SimTargets['parts']>['helper'];
};

export function openDisks(
  { kernel, storage }: Pick<Place, 'kernel' | 'storage'>,
  pve: EnrolledNode,
  clock: Parameters<typeof createSimTargets>[1],
): StageDisks {
  const never = new AbortController().signal;
  const targets = createSimTargets(pve, clock, kernel.mounts);
  const { devices, manifest, helper } = targets.parts(never);
  const names: string[] = [];
  const put = (file: string, text: string): void => {
    // Whole or not at all: the agent reads whenever it likes.
    writeFileSync(`${file}.next`, text, { mode: 0o644 });
    renameSync(`${file}.next`, file);
  };
  const show = async (): Promise<void> => {
    const seen = await devices.look(names.map((name) => join(kernel.mounts, name)));
    const { disks, mounts } = seen;
    const numberOf = (device: string): string => `8:${16 * (1 + names.indexOf(device.slice(2)))}`;
    for (const name of names) {
      const number = numberOf(`sd${name}`);
      const [link, record] = [join(kernel.sys, 'dev/block', number), join(kernel.run, 'udev/data', `b${number}`)];
      const disk = disks.find(({ device }) => device === `sd${name}`);
      rmSync(link, { force: true });
      if (disk === undefined) {
        rmSync(record, { force: true });
        continue;
      }
      const place = join(dirname(kernel.sys), 'devices', disk.appearance.replace(/\W/g, '-'), disk.device);
      mkdirSync(place, { recursive: true });
      put(join(place, 'diskseq'), `${disk.appearance.split(' ')[1] ?? ''}\n`);
      symlinkSync(place, link);
      const [serial = ''] = disk.serials;
      put(record, `E:ID_FS_UUID=${disk.uuid}\nE:ID_FS_TYPE=ext4\nE:ID_SERIAL_SHORT=${serial}\n`);
    }
    for (const name of names) {
      const folder = join(kernel.mounts, name);
      mkdirSync(folder, { recursive: true });
      const { disk, mounted } = targets.state(name);
      const mark = join(folder, '.felhom-target');
      if (mounted && disk?.mark !== undefined) put(mark, `${disk.mark}\n`);
      else rmSync(mark, { force: true });
    }
    // A mount that is in use keeps the number of its disk: what is plugged in meanwhile has another one.
    const lines = mounts.map(({ path, source, disk }, at) => {
      const number = disk === undefined ? '8:255' : numberOf(source.slice('/dev/'.length));
      return `${40 + at} 1 ${number} / ${path} rw - ext4 ${source} rw\n`;
    });
    put(join(kernel.proc, 'self/mountinfo'), lines.join(''));
  };
  devices.watch(() => void show(), never);
  return {
    ...targets,
    helper,
    attach: async (name, changes) => {
      names.push(name);
      const disk = await targets.attach(name, changes);
      const read = manifest();
      if (read.is === 'held') put(storage, JSON.stringify(read.manifest));
      await show();
      return disk;
    },
  };
}
