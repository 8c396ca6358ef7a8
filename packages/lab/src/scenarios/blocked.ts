import { labGuest } from '../world/desired.ts';
import { nodeInventory } from './scenario.ts';
import type { Scenario } from './scenario.ts';

export const blocked = {
  name: 'blocked',
  about: 'desired state drops a guest and shrinks another: both wait for a signature, nothing happens on the node',
  stage: {},
  async play({ stage, tell, apply, converged, expect, show, check }) {
    await apply([labGuest('web', { memoryMiB: 1024 }), labGuest('photos')]);
    tell.step('The agent starts.');
    stage.agent.start();
    await converged(['web', 'photos']);
    const before = nodeInventory(stage);

    tell.step(
      'Somebody applies a desired state without photos, with less memory for web. The agent polls within 10 s.',
    );
    await apply([labGuest('web', { memoryMiB: 512 })]);
    const report = await expect('removal and shrinking are blocked', ({ blocked: actions }) => {
      const verbs = new Set<string>(actions.map(({ document }) => document.verb));
      return verbs.has('guest-remove') && verbs.has('memory-down');
    });
    for (const action of report.blocked) tell.note(`${action.digest}  ${action.text}`);
    check(
      'every blocked action has a digest that can be signed',
      report.blocked.every(({ digest }) => digest.length === 64),
    );
    const passAt = report.lastPassAt ?? 0;
    await expect('more passes go by', (later) => (later.lastPassAt ?? 0) > passAt + 4_000);
    check('configs and volumes on the node are byte for byte as before', sameAs(before, nodeInventory(stage)));
    await stage.until('the hub knows', async () =>
      (await stage.felhom(['status', 'lab'])).out.includes('guest-remove'),
    );
    await show(['status', 'lab']);
  },
} satisfies Scenario;

const sameAs = (before: readonly string[], now: readonly string[]): boolean => before.join('\n') === now.join('\n');
