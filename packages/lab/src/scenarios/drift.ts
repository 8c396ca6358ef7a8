import { labGuest } from '../world/desired.ts';
import { vmidOf } from './scenario.ts';
import type { Scenario } from './scenario.ts';

export const drift = {
  name: 'drift',
  about: 'people change a guest by hand: what only adds is healed, all else is shown and left alone',
  stage: {},
  async play({ stage, tell, apply, converged, expect, byHand, show, check }) {
    await apply([labGuest('web')]);
    tell.step('The agent starts.');
    stage.agent.start();
    await converged(['web']);
    const vmid = vmidOf(stage, 'web');
    const path = `/nodes/${stage.pve.node.name}/lxc/${vmid}`;
    const config = (): string => stage.pve.host.rawConfig(vmid) ?? '';

    tell.step('A person lowers the memory of web to 256 MiB on the node.');
    await byHand('PUT', `${path}/config`, { memory: 256 });
    await expect('the agent gives web its 512 MiB back', () => /^memory: 512$/m.test(config()));

    tell.step('A person raises it to 2048 MiB. Taking memory from a guest that serves is not done unasked.');
    await byHand('PUT', `${path}/config`, { memory: 2048 });
    await expect('the change back is blocked until somebody signs it', (report) =>
      report.blocked.some(({ document }) => document.verb === 'memory-down'),
    );
    check('the node still has what the person set', /^memory: 2048$/m.test(config()));

    tell.step(
      'A person writes a note over the description, and so over the marker by which the agent knows its guest.',
    );
    const marked = notesOf(config());
    await byHand('PUT', `${path}/config`, { description: 'Ask Anna before touching this.' });
    const { findings } = await expect('the agent is not sure any more whose guest this is, and says so', (report) =>
      report.findings.some(({ key }) => key === 'guest.marker-missing'),
    );
    for (const { text } of findings.filter(({ key }) => key.startsWith('guest.refused'))) tell.note(text);
    check('the note is left as it is', notesOf(config()).trim() === 'Ask Anna before touching this.');

    tell.step('The person puts the line back, above the note.');
    await byHand('PUT', `${path}/config`, { description: `${marked.trim()}\nAsk Anna before touching this.` });
    await expect('the agent knows its guest again', (report) =>
      report.blocked.some(({ document }) => document.verb === 'memory-down'),
    );

    tell.step('A person stops web.');
    await byHand('POST', `${path}/status/stop`, {});
    await expect('web is left stopped for ten minutes: a person had a reason', (report) =>
      report.guests.some(({ status, drift: ways }) => status === 'stopped' && ways.join().includes('somebody else')),
    );
    await stage.until('the hub knows', async () => (await stage.felhom(['status', 'lab'])).out.includes('stopped'));
    await show(['status', 'lab']);
  },
} satisfies Scenario;

/** The description, as it stands in comment lines at the head of a config file. */
const notesOf = (config: string): string =>
  [...config.matchAll(/^#(.*)$/gm)].map((match) => decodeURIComponent(match[1] ?? '')).join('\n');
