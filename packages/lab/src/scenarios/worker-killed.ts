import { labGuest } from '../world/desired.ts';
import { leftovers, ownRange, restoresOf, restoring } from './scenario.ts';
import type { Scenario } from './scenario.ts';

export const workerKilled = {
  name: 'worker-killed',
  about: 'the Proxmox worker dies in the middle of a restore; its stub is reaped, the restore is tried again',
  stage: { pace: { restoreMs: 2000 } },
  async play({ stage, tell, apply, converged, check, expect }) {
    await apply([labGuest('web')]);
    tell.step('The agent starts.');
    stage.agent.start();
    await expect('a restore runs on the node', () => restoring(stage).length > 0);
    const upid = stage.pve.node.killWorker('vzrestore');
    tell.step(
      `The worker is killed on the node (${upid?.split(':')[2] ?? ''}). It leaves a locked stub and its volumes:`,
    );
    const left = leftovers(stage, ownRange(stage));
    for (const one of left) tell.note(one);
    check('a dead worker leaves something behind', left.length > 0);
    tell.note('what failed is not tried again at once: the agent waits 20 s first');
    await converged(['web']);
    check('a second restore was made', restoresOf(stage).length === 2);
    check('no lock, no orphan volume, nothing half made on the node', leftovers(stage, ownRange(stage)).length === 0);
  },
} satisfies Scenario;
