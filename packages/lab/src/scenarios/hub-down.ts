import { labGuest } from '../world/desired.ts';
import { nodeInventory, vmidOf } from './scenario.ts';
import type { Scenario, Scene } from './scenario.ts';

export const hubDown = {
  name: 'hub-down',
  about: 'the hub is away, then something else answers, then it sends nonsense: the last good state stays in force',
  stage: {},
  async play(scene) {
    const { stage, tell, apply, converged, expect, check, byHand } = scene;
    await apply([labGuest('web')]);
    tell.step('The agent starts.');
    stage.agent.start();
    await converged(['web']);
    const before = nodeInventory(stage);

    tell.step('The hub goes away.');
    await stage.hub.goAway();
    await restart(scene);
    await finding(scene, 'that the hub is not there', /hub/i);

    tell.step('Something else answers at its address: a login page in HTML.');
    await stage.hub.replaceBy((request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Please log in</title>');
    });
    await restart(scene);
    await finding(scene, 'that what answers is no hub', /hub/i);

    tell.step('A hub answers with a desired state that is cut off in the middle.');
    await stage.hub.replaceBy((request, response) => {
      request.resume();
      const desired = { is: 'document', digest: '0'.repeat(64), text: '{"v":1,"lineage":"' };
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ v: 1, desired, sendReport: false, sendHeld: false }));
    });
    await restart(scene);
    await finding(scene, 'that this document is not adopted', /last good/i);
    check('configs and volumes on the node are byte for byte as before', before.join() === nodeInventory(stage).join());

    tell.step('Without a hub, a person lowers the memory of web on the node.');
    const vmid = vmidOf(stage, 'web');
    await byHand('PUT', `/nodes/${stage.pve.node.name}/lxc/${vmid}/config`, { memory: 256 });
    await expect('it is healed from the state that is held', () =>
      /^memory: 512$/m.test(stage.pve.host.rawConfig(vmid) ?? ''),
    );

    tell.step('The hub comes back.');
    await stage.hub.comeBack();
    await restart(scene);
    await converged(['web']);
    await expect(
      'no finding about the hub is left',
      ({ findings }) => !findings.some(({ key }) => key.startsWith('hub.')),
    );
  },
} satisfies Scenario;

/** A hub that failed is asked again after 10 to 20 s and later; an agent that starts asks at once, and has to remember. */
async function restart({ stage, tell }: Scene): Promise<void> {
  tell.note('(the agent is restarted: it asks at once then, and has to know what it held)');
  await stage.agent.kill('SIGKILL');
  stage.agent.start();
}

async function finding({ expect, tell }: Scene, what: string, about: RegExp): Promise<void> {
  const held = await expect(
    `the agent says ${what}, and keeps web as it was`,
    ({ findings, guests }) =>
      findings.some(({ key, text }) => key !== 'host.version-limited' && about.test(text)) &&
      guests.some(({ name, status }) => name === 'web' && status === 'running'),
  );
  for (const { key, text, advice } of held.findings.filter(({ key }) => key !== 'host.version-limited')) {
    tell.note(`${key}: ${text}`);
    tell.note(`next: ${advice.text}`);
  }
}
