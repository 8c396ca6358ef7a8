/**
 * The cgroup tree of started guests as their host sees it: `lxc/<vmid>` with `ns` below it, one folder per unit, each with
 * `cgroup.events`. What a unit's restart looks like from outside was recorded on a real host: its folder goes and another
 * one comes, with another inode.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface GuestCgroups {
  /** The container is there; nothing is booted yet. */
  up(vmid: number): void;
  /** Units that came up. */
  unitsUp(vmid: number, units: readonly string[]): void;
  unitDown(vmid: number, unit: string): void;
  /** A unit that ends and is started again: new folder, new inode. */
  restartUnit(vmid: number, unit: string): void;
  freeze(vmid: number, frozen: boolean): void;
  /** Folder of the witness, for `FELHOM_WITNESS`; empty of facts. */
  witness(vmid: number): string;
  down(vmid: number): void;
}

export const readyUnit = 'felhom-ready.service';
export const witnessUnit = 'felhom-witness.service';
export const supervisorUnit = 'felhom-supervisor.service';

const eventsText = (populated: boolean, frozen: boolean): string =>
  `populated ${populated ? 1 : 0}\nfrozen ${frozen ? 1 : 0}\n`;

/** `root` stands for `/sys/fs/cgroup`. */
export function createGuestCgroups(root: string): GuestCgroups {
  mkdirSync(join(root, 'lxc'), { recursive: true });
  // Folders wait here for a while, so that the file system gives their inodes to nobody else.
  const graveyard = join(root, '.gone');
  mkdirSync(graveyard, { recursive: true });
  let buried = 0;
  const guest = (vmid: number): string => join(root, 'lxc', `${vmid}`);
  const slice = (vmid: number): string => join(guest(vmid), 'ns', 'system.slice');
  const make = (path: string): void => {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'cgroup.events'), eventsText(true, false));
    writeFileSync(join(path, 'cgroup.procs'), '1\n');
  };
  const bury = (path: string): void => {
    if (!existsSync(path)) return;
    buried += 1;
    renameSync(path, join(graveyard, `${buried}`));
    if (buried > 50) rmSync(join(graveyard, `${buried - 50}`), { recursive: true, force: true });
  };
  return {
    up: (vmid) => {
      bury(guest(vmid));
      make(guest(vmid));
      writeFileSync(join(guest(vmid), 'memory.events'), 'low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n');
      for (const part of ['ns', 'ns/init.scope', 'ns/system.slice']) make(join(guest(vmid), part));
    },
    unitsUp: (vmid, units) => {
      if (existsSync(slice(vmid))) for (const unit of units) make(join(slice(vmid), unit));
    },
    unitDown: (vmid, unit) => bury(join(slice(vmid), unit)),
    restartUnit: (vmid, unit) => {
      if (!existsSync(slice(vmid))) return;
      bury(join(slice(vmid), unit));
      make(join(slice(vmid), unit));
    },
    freeze: (vmid, frozen) => writeFileSync(join(guest(vmid), 'cgroup.events'), eventsText(true, frozen)),
    witness: (vmid) => {
      const folder = join(slice(vmid), witnessUnit);
      make(folder);
      for (const { name } of readdirSync(folder, { withFileTypes: true }).filter((one) => one.isDirectory()))
        rmSync(join(folder, name), { recursive: true });
      mkdirSync(join(folder, 'main'));
      return folder;
    },
    down: (vmid) => bury(guest(vmid)),
  };
}
