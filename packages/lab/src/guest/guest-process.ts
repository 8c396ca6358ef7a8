/**
 * Guests that really run: when the fake node starts one, the programs of `packages/controller` are started as a process on
 * its real files, its cgroups appear, and the host's bridge learns of it. All of it goes when the node stops it.
 *
 * A guest's own file `/etc/felhom-lab.json` says how it misbehaves, so that an archive can carry it.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import type { FakePveNode } from '../world/enrolled-node.ts';
import { createGuestCgroups, readyUnit, supervisorUnit } from './guest-cgroups.ts';
import type { GuestCgroups } from './guest-cgroups.ts';
import { addressOfGuest, guestFacts } from './guest-facts.ts';
import type { GuestFacts } from './guest-facts.ts';
import { createGuestNetwork } from './guest-network.ts';
import type { GuestNetwork } from './guest-network.ts';

const guestMain = resolve(import.meta.dirname, '../../../controller/src/main.ts');

export interface LabGuestsOptions {
  readonly node: FakePveNode;
  /** For logs. */
  readonly folder: string;
  /** What stands for `/proc/net/arp`, `/sys/class/net` and `/sys/fs/cgroup`; the agent's `kernel` configuration. */
  readonly kernel: { readonly arp: string; readonly net: string; readonly cgroup: string };
  /** `address:port` of the local API, for guests that no claim tells it; asked at every start. */
  readonly agent: () => string | undefined;
  /** Whether a guest's `env` reaches its programs on this node; true unless told. */
  readonly envReaches?: boolean;
  /** The reference controller runs while the host wants no image; true unless told. */
  readonly builtIn?: boolean;
  /** Milliseconds from the start until units are up; 300 unless told. */
  readonly bootMs?: number;
  readonly beatMs?: number;
}

export interface LabGuests {
  readonly cgroups: GuestCgroups;
  readonly network: GuestNetwork;
  /** Guests whose programs run now. */
  readonly running: () => readonly number[];
  readonly address: (vmid: number) => string;
  /** Folder of this machine that stands for the guest's `/`, and for its other mounts. */
  readonly rootMap: (vmid: number) => Readonly<Record<string, string>>;
  readonly log: (vmid: number) => string;
  /** kill -9 of the guest's programs. They are started again after `restartMs`, or stay dead. */
  killPrograms(vmid: number, restartMs: number | 'never'): Promise<void>;
  /** A unit that ends and starts again every so often, until the guest stops. */
  crashLoop(vmid: number, unit: string, everyMs: number): void;
  close(): Promise<void>;
}

const labTraits = z.object({
  /** Units that come up, besides those every guest has. */
  units: z.array(z.string()).default([]),
  /** Units that end after so many milliseconds and are started again. */
  crashLoops: z.record(z.string(), z.number()).default({}),
  /** It never reaches multi-user. */
  neverReady: z.boolean().default(false),
});
export type LabTraits = z.input<typeof labTraits>;
/** In the guest: how it misbehaves in a lab. */
export const labTraitsFile = '/etc/felhom-lab.json';

interface Life {
  readonly facts: GuestFacts;
  readonly map: Readonly<Record<string, string>>;
  readonly timers: Set<NodeJS.Timeout>;
  child: ChildProcess | undefined;
  over: boolean;
}

export function runLabGuests(options: LabGuestsOptions): LabGuests {
  const { node, kernel, folder } = options;
  mkdirSync(folder, { recursive: true });
  const cgroups = createGuestCgroups(kernel.cgroup);
  const network = createGuestNetwork(kernel);
  const lives = new Map<number, Life>();
  const killAll = (): void => {
    for (const { child } of lives.values()) child?.kill('SIGKILL');
  };
  process.once('exit', killAll);

  const later = (life: Life, ms: number, work: () => void): void => {
    const timer = setTimeout(() => {
      life.timers.delete(timer);
      if (!life.over) work();
    }, ms);
    life.timers.add(timer);
  };
  const startPrograms = (life: Life): void => {
    const { vmid } = life.facts;
    const log = openSync(join(folder, `guest-${vmid}.log`), 'a', 0o600);
    try {
      life.child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', guestMain], {
        env: environmentOf(options, life, cgroups.witness(vmid)),
        // Whatever ends the lab, its end of the pipe goes with it, and the guest with that.
        stdio: ['pipe', log, log],
      });
    } finally {
      closeSync(log);
    }
    cgroups.unitsUp(vmid, [supervisorUnit]);
  };
  const loop = (life: Life, unit: string, everyMs: number): void =>
    later(life, everyMs, () => {
      cgroups.restartUnit(life.facts.vmid, unit);
      loop(life, unit, everyMs);
    });
  const up = (vmid: number): void => {
    const facts = guestFacts(node, vmid);
    const map = Object.fromEntries(
      [...facts.mounts].flatMap(([path, disk]) => {
        const directory = node.storage.disk.directoryOf(disk);
        return directory === undefined ? [] : [[path, directory]];
      }),
    );
    const life: Life = { facts, map, timers: new Set(), child: undefined, over: false };
    lives.set(vmid, life);
    cgroups.up(vmid);
    network.up(facts);
    const traits = traitsOf(map);
    later(life, options.bootMs ?? 300, () => {
      // A guest without these files has no such programs: it is somebody else's.
      if (map['/'] !== undefined) startPrograms(life);
      cgroups.unitsUp(vmid, [...(traits.neverReady ? [] : [readyUnit]), ...traits.units]);
      for (const [unit, everyMs] of Object.entries(traits.crashLoops)) {
        cgroups.unitsUp(vmid, [unit]);
        loop(life, unit, everyMs);
      }
    });
  };
  const down = async (vmid: number): Promise<void> => {
    const life = lives.get(vmid);
    if (life === undefined) return;
    lives.delete(vmid);
    life.over = true;
    for (const timer of life.timers) clearTimeout(timer);
    await end(life.child);
    network.down(vmid);
    cgroups.down(vmid);
  };
  const need = (vmid: number): Life => {
    const life = lives.get(vmid);
    if (life === undefined) throw new Error(`cannot find guest ${vmid}: it does not run`);
    return life;
  };
  const unlisten = node.guests.onPower((event) => (event.is === 'up' ? up(event.vmid) : down(event.vmid)));

  return {
    cgroups,
    network,
    running: () => [...lives].filter(([, { child }]) => child?.exitCode === null).map(([vmid]) => vmid),
    address: addressOfGuest,
    rootMap: (vmid) => need(vmid).map,
    log: (vmid) => join(folder, `guest-${vmid}.log`),
    killPrograms: async (vmid, restartMs) => {
      const life = need(vmid);
      await end(life.child);
      // With the process its whole cgroup goes, and every fact in it.
      cgroups.unitDown(vmid, supervisorUnit);
      cgroups.witness(vmid);
      if (restartMs !== 'never') later(life, restartMs, () => startPrograms(life));
    },
    crashLoop: (vmid, unit, everyMs) => {
      cgroups.unitsUp(vmid, [unit]);
      loop(need(vmid), unit, everyMs);
    },
    close: async () => {
      unlisten();
      await Promise.all([...lives.keys()].map(down));
      process.off('exit', killAll);
    },
  };
}

/** The child sees nothing of the caller's environment. */
function environmentOf(options: LabGuestsOptions, { facts, map }: Life, witness: string): Record<string, string> {
  const agent = options.agent();
  return {
    PATH: process.env['PATH'] ?? '',
    ...(options.envReaches === false ? {} : facts.environment),
    ...(agent === undefined ? {} : { FELHOM_AGENT: agent }),
    ...(options.builtIn === false ? {} : { FELHOM_CONTROLLER: 'built-in' }),
    FELHOM_ROOT_MAP: JSON.stringify(map),
    FELHOM_SOURCE: addressOfGuest(facts.vmid),
    FELHOM_WITNESS: witness,
    FELHOM_BEAT_MS: `${options.beatMs ?? 1000}`,
  };
}

function traitsOf(map: Readonly<Record<string, string>>): z.output<typeof labTraits> {
  const none = labTraits.parse({});
  if (map['/'] === undefined) return none;
  try {
    return labTraits.parse(JSON.parse(readFileSync(join(map['/'], labTraitsFile), 'utf8')));
  } catch {
    return none;
  }
}

/** A container's processes are killed, not asked: a stop of Proxmox is one of the kernel. */
function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((done) => {
    child.once('exit', () => done());
    child.kill('SIGKILL');
  });
}
