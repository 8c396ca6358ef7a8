import { labGuest } from '../world/desired.ts';
import { leftovers, ownRange, restoring } from './scenario.ts';
import type { Scenario } from './scenario.ts';

export const nodeReboot = {
  name: 'node-reboot',
  about:
    'the machine loses power in the middle of a restore, agent and node at once; both come back and it is finished',
  stage: { pace: { restoreMs: 2000 } },
  async play({ stage, tell, apply, converged, expect, check }) {
    await apply([labGuest('web')]);
    tell.step('The agent starts.');
    stage.agent.start();
    await converged(['web']);
    tell.step('A second guest is wanted. The agent polls within 10 s.');
    await apply([labGuest('web'), labGuest('photos')]);
    await expect('photos is being restored', () => restoring(stage).length > 0);
    tell.step('Power loss: the agent dies, every worker of the node dies, guests stop.');
    await stage.agent.kill('SIGKILL');
    await stage.pve.node.reboot();
    for (const one of leftovers(stage, ownRange(stage))) tell.note(one);
    tell.step('The machine is back, and with it the agent.');
    stage.agent.start();
    await converged(['web', 'photos'], 50_000);
    check('no lock, no orphan volume, nothing half made on the node', leftovers(stage, ownRange(stage)).length === 0);
  },
} satisfies Scenario;
