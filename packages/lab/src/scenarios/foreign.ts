import { labGuest } from '../world/desired.ts';
import type { Scenario, Scene } from './scenario.ts';

export const foreign = {
  name: 'foreign',
  about: 'somebody else has a guest inside our range, and one elsewhere: neither is ever touched',
  stage: {},
  async play(scene) {
    const { stage, tell, apply, converged, check } = scene;
    tell.step('Somebody made guest 9000, inside the range of the agent, and guest 120.');
    await makeForeign(scene, 9000);
    await makeForeign(scene, 120);
    const before = [9000, 120].map((vmid) => describeGuest(scene, vmid));
    await apply([labGuest('web'), labGuest('photos')]);
    tell.step('The agent starts.');
    stage.agent.start();
    const report = await converged(['web', 'photos']);
    const findings = report.findings.filter(({ key }) => key !== 'host.version-limited');
    for (const { key, text } of findings) tell.note(`${key}: ${text}`);
    check(
      '9000 is reported: it is in the range and not ours',
      findings.some(({ text }) => text.includes('9000')),
    );
    check(
      'nobody got VMID 9000',
      report.guests.every(({ vmid }) => vmid !== 9000),
    );
    const now = [9000, 120].map((vmid) => describeGuest(scene, vmid));
    check('both are byte for byte as they were, configs and volumes', before.join() === now.join());
  },
} satisfies Scenario;

/** As root would in the GUI: restored from the golden archive, with a data volume of its own. */
export async function makeForeign({ stage, byHand }: Pick<Scene, 'stage' | 'byHand'>, vmid: number): Promise<void> {
  const { node, policy } = stage.pve;
  await byHand('POST', `/nodes/${node.name}/lxc`, {
    vmid,
    ostemplate: policy.goldens['debian-13']?.archive,
    restore: 1,
    storage: 'guests',
    rootfs: 'guests:1',
    mp0: 'guests:1,mp=/srv/theirs',
    hostname: `theirs-${vmid}`,
    unique: 1,
  });
}

export function describeGuest({ stage }: Pick<Scene, 'stage'>, vmid: number): string {
  const { node, host } = stage.pve;
  const volumes = node.storage.volumesOf(vmid).map(({ volid, sizeBytes, ctime }) => `${volid} ${sizeBytes} ${ctime}`);
  return [host.rawConfig(vmid) ?? 'no config', ...volumes.toSorted()].join('\n');
}
