import { writeFileSync } from 'node:fs';
import { labGuest } from '../world/desired.ts';
import { nodeInventory } from './scenario.ts';
import type { Scenario } from './scenario.ts';

export const standalone = {
  name: 'standalone',
  about: 'no hub at all: the guests stand in a YAML file on the host; a broken edit changes nothing',
  stage: { source: 'file' },
  async play({ stage, tell, converged, expect, check }) {
    await stage.hub.goAway();
    tell.step(`Somebody writes a guest into ${stage.place.desired}. The agent starts.`);
    stage.writeDesired([labGuest('web')]);
    stage.agent.start();
    await converged(['web']);
    const before = nodeInventory(stage);

    tell.step('An editor leaves half a file behind.');
    writeFileSync(stage.place.desired, 'v: 1\nguests:\n  - name: we');
    const report = await expect('the agent says so', ({ findings }) =>
      findings.some(({ text }) => text.includes('last good')),
    );
    for (const { key, text } of report.findings) if (text.includes('last good')) tell.note(`${key}: ${text}`);
    check('nothing changed on the node', before.join() === nodeInventory(stage).join());

    tell.step('The file is mended, with a second guest.');
    stage.writeDesired([labGuest('web'), labGuest('photos')]);
    await converged(['web', 'photos']);
    const status = await stage.agentCommand(['status']);
    tell.output('felhom-agent status', status.out + status.err);
    check('felhom-agent status ends with 0', status.code === 0);
  },
} satisfies Scenario;
