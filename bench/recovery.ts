/**
 * A restore worker is killed in the middle of a bring-up, at ten different moments, in a simulated world: how long until
 * nothing of it is left, how long until the guest runs after all, and what lies around in the end. Time is the node's
 * simulated time, so these figures are the same on every machine.
 */
import { createSimWorld, labGuest } from '@felhom/lab';
import type { SimWorld } from '@felhom/lab';
import type { Section } from './section.ts';
import { figure, median } from './statistics.ts';

export const recovery: Section = {
  name: 'recovery',
  title: 'After a killed restore worker',
  run: async ({ quick, tell }) => {
    const moments = quick ? 3 : 10;
    const trials: Trial[] = [];
    for (let nth = 0; nth < moments; nth++) {
      tell(`trial ${nth + 1} of ${moments}`);
      trials.push(await killAt(nth, Math.round((restoreMs * (nth + 0.5)) / moments)));
    }
    const seconds = (of: (trial: Trial) => number): readonly number[] => trials.map((trial) => of(trial) / 1000);
    const clean = seconds((trial) => trial.cleanMs);
    const whole = seconds((trial) => trial.runningMs);
    const stubs = trials.filter((trial) => trial.stubs > 0).length;
    const orphans = trials.filter((trial) => trial.orphans > 0).length;
    const told = trials.filter((trial) => trial.told).length;
    return {
      tables: [
        {
          title: `${moments} trials, a restore of ${restoreMs / 1000} s killed at evenly spread moments`,
          columns: ['', 'agent', 'a proxmoxer script', 'Ansible'],
          rows: [
            ['trials that left a locked stub', `${stubs} of ${moments}`, '10 of 10', '10 of 10'],
            ['trials that left an orphan volume', `${orphans} of ${moments}`, '10 of 10', '10 of 10'],
            ['seconds until nothing was left (median)', figure(median(clean)), 'it stayed', 'it stayed'],
            ['seconds until the guest ran after all (median)', figure(median(whole)), '–', '–'],
            ['the trouble was told', `${told} of ${moments}`, '–', 'reruns reported success'],
          ],
        },
      ],
      notes: [
        `Slowest of the ${moments}: clean after ${figure(Math.max(...clean))} s, running after ${figure(Math.max(...whole))} s, counted from the kill.`,
        'The waiting in it: a task that ended without a verdict is looked at twice, and a failed bring-up is tried again after 20 s.',
        'The two right columns were measured on the real API elsewhere, ten trials each.',
      ],
      figures: {
        trials: moments,
        'stub-left': stubs,
        'orphan-left': orphans,
        'clean-s': median(clean),
        'running-s': median(whole),
      },
    };
  },
};

const restoreMs = 4_000;

interface Trial {
  readonly cleanMs: number;
  readonly runningMs: number;
  /** Configs locked by a create, and volumes without a config that names them, once the guest runs. */
  readonly stubs: number;
  readonly orphans: number;
  /** The report said what happened while it was being mended. */
  readonly told: boolean;
}

async function killAt(seed: number, afterMs: number): Promise<Trial> {
  const world = await createSimWorld({ seed: seed + 1, pace: { restoreMs } });
  world.hub.publish([labGuest('web')]);
  const { agent } = world.boot();
  await reach(world, 'the restore runs', () => running(world, 'vzrestore'));
  await world.clock.advance(afterMs);
  const upid = world.node.killWorker('vzrestore');
  if (upid === undefined) throw new Error(`cannot measure: no restore ran ${afterMs} ms after its start`);
  const killedAt = world.clock.now();
  let told = false;
  await reach(world, 'what the dead worker left is gone', () => {
    const { sagas, findings } = agent.report();
    told ||= findings.length > 0 || sagas.some((saga) => saga.direction === 'back');
    return leftovers(world).stubs + leftovers(world).orphans === 0 && agent.report().sagas.length === 0;
  });
  const cleanMs = world.clock.now() - killedAt;
  await reach(world, 'the guest runs', () => {
    told ||= agent.report().findings.length > 0;
    return agent.report().converged;
  });
  return { cleanMs, runningMs: world.clock.now() - killedAt, ...leftovers(world), told };
}

const running = (world: SimWorld, type: string): boolean =>
  world.node.tasks.running().some((task) => task.type === type);

async function reach(world: SimWorld, what: string, condition: () => boolean): Promise<void> {
  if (!(await world.until(condition, 3_600_000))) throw new Error(`cannot measure: within an hour not ${what}`);
}

function leftovers(world: SimWorld): Pick<Trial, 'stubs' | 'orphans'> {
  let [stubs, orphans] = [0, 0];
  const { from, to } = world.policy.vmids.guests;
  for (let vmid: number = from; vmid <= to; vmid++) {
    const config = world.host.rawConfig(vmid);
    if (config !== undefined && /^lock: create$/m.test(config)) stubs++;
    for (const { volid } of world.node.storage.volumesOf(vmid)) if (config?.includes(volid) !== true) orphans++;
  }
  return { stubs, orphans };
}
