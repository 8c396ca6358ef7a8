/** A machine that can lose its power: the disk and the world stay, everything else begins anew at each boot. */
import { DatabaseSync } from 'node:sqlite';
import { openJournalOn } from '../../adapters/sqlite-journal/index.ts';
import type { CrashPoint } from '../crash-points.ts';
import { createFence } from '../fence.ts';
import type { Journal } from '../journal.ts';
import { createLanes } from '../lanes.ts';
import type { Lanes } from '../lanes.ts';
import type { PowerSwitch } from '../power-switch.ts';
import { installPowerSwitch } from '../power-switch.ts';
import { createRegistry } from '../registry.ts';
import type { Runner } from '../runner.ts';
import { createRunner } from '../runner.ts';
import type { AnySaga, SagaEnd } from '../saga.ts';
import type { ToyNeeds } from './toy-saga.ts';
import { toySaga } from './toy-saga.ts';
import { emptyWorld, toyClock, toyRandom } from './toy-world.ts';
import type { ToyWorld } from './toy-world.ts';

export interface Boot {
  readonly runner: Runner;
  readonly journal: Journal;
  readonly lanes: Lanes;
  readonly power: PowerSwitch;
  readonly needs: ToyNeeds;
  /** Ends of the sagas that were open at this boot. */
  finish(): Promise<readonly SagaEnd[]>;
}

export function toyMachine(world: ToyWorld = emptyWorld(), sagas: readonly AnySaga[] = [toySaga]) {
  const disk = new DatabaseSync(':memory:');
  const clock = toyClock();
  const random = toyRandom();

  const bootWith = (release: readonly AnySaga[], crash?: { readonly at: CrashPoint; readonly nth?: number }): Boot => {
    const journal = openJournalOn(disk, { clock, random });
    const power = installPowerSwitch(journal, (point, nth) => point === crash?.at && nth === (crash.nth ?? 1));
    const lanes = createLanes(clock);
    const needs: ToyNeeds = {
      world: () => {
        power.off.throwIfAborted();
        return world;
      },
    };
    const runner = createRunner({
      journal: power.journal,
      crashPoints: power.crashPoints,
      fence: createFence(power.journal, clock),
      lanes,
      clock,
      random,
      registry: createRegistry(release),
    });
    const open = runner.resumeAll(() => needs).map(({ ended }) => ended);
    return { runner, journal: power.journal, lanes, power, needs, finish: () => Promise.all(open) };
  };
  return {
    boot: (crash?: { readonly at: CrashPoint; readonly nth?: number }) => bootWith(sagas, crash),
    /** With another release, which knows other sagas. */
    reboot: (release: readonly AnySaga[]) => bootWith(release),
    /** Of the open sagas; reading them is no boot for the agent, though it raises the epoch. */
    recordsOnDisk: () => {
      const journal = openJournalOn(disk, { clock, random });
      return journal.openSagas().flatMap((saga) => journal.recordsOf(saga));
    },
    world,
    clock,
  };
}
