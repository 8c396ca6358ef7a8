import { labGuest } from '../world/desired.ts';
import { leftovers, ownRange } from './scenario.ts';
import type { Scenario } from './scenario.ts';

/** The first thing anybody sees: two guests with mounts, from a file to running. */
export const provision = {
  name: 'provision',
  about: 'two guests with mounts come up from a desired state that is applied at the hub',
  stage: {},
  async play({ stage, tell, apply, converged, check, show }) {
    tell.step('The operator writes two guests into a file and applies it at the hub.');
    await apply([labGuest('web'), labGuest('photos', { memoryMiB: 1024, cores: 2 })]);
    tell.step('The agent starts, as its own process, and asks the hub.');
    stage.agent.start();
    const report = await converged(['web', 'photos']);
    const took = ((Date.now() - report.startedAt) / 1000).toFixed(1);
    tell.note(`${took} s after the agent started, with ${stage.server.requests()} requests to the node`);
    check('no lock, no orphan volume, nothing half made on the node', leftovers(stage, ownRange(stage)).length === 0);
    await stage.until('the hub knows', async () =>
      (await stage.felhom(['status', 'lab', '--json'])).out.includes('"converged": true'),
    );
    await show(['status', 'lab']);
  },
} satisfies Scenario;
