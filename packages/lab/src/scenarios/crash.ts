import { labGuest } from '../world/desired.ts';
import { leftovers, ownRange, restoresOf, restoring } from './scenario.ts';
import type { Scenario } from './scenario.ts';

export const crash = {
  name: 'crash',
  about:
    'the agent is killed in the middle of a restore; the next one takes the running task over, nothing is made twice',
  stage: { pace: { restoreMs: 3000 } },
  async play({ stage, tell, apply, converged, check, expect }) {
    await apply([labGuest('web'), labGuest('photos')]);
    tell.step('The agent starts.');
    stage.agent.start();
    await expect('a restore runs on the node', () => restoring(stage).length > 0);
    const pid = stage.agent.pid();
    await stage.agent.kill('SIGKILL');
    tell.step(`kill -9 ${pid}: the agent is gone, its restore on the node goes on.`);
    check('the restore still runs', restoring(stage).length === 1);
    tell.step('The agent starts again, on the same journal.');
    stage.agent.start();
    await converged(['web', 'photos']);
    check('two restores were started in all: the interrupted one was taken over', restoresOf(stage).length === 2);
    check('no lock, no orphan volume, nothing half made on the node', leftovers(stage, ownRange(stage)).length === 0);
  },
} satisfies Scenario;
