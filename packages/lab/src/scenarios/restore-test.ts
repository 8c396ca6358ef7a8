import type { Report } from '@felhom/protocol';
import { dueNow, livingGuest } from '../world/desired.ts';
import { brisk, controllersUp, damage, entriesOf, filesOf, pinHost, quickTests, releaseController } from './living.ts';
import { leftovers, NotAsTold, scratchRange, vmidOf } from './scenario.ts';
import type { Scenario, Scene } from './scenario.ts';

type Evidence = Report['restoreTests'][number]['evidence'];

const guests = [livingGuest('shop')];

/** A backup counts once a guest came up from it. */
export const restoreTest = {
  name: 'restore-test',
  about: 'backups are restored as a test; a damaged one and two that would run somebody else’s code are caught',
  stage: { signed: true, pace: brisk, policy: quickTests },
  async play(scene) {
    const { stage, tell, apply, converged, check, showAs } = scene;
    await apply(guests);
    await releaseController(scene);
    tell.step('The agent starts.');
    stage.agent.start();
    await converged(['shop']);
    await controllersUp(scene, ['shop']);
    await stage.until('shop works', async () => (await entriesOf(stage, 'shop')) > 3);

    tell.step('A tier of backups, due at once. Its copy is restored beside everything else, into the scratch range.');
    const tiers = [dueNow('nightly', 'local', Date.now())];
    await apply(guests, tiers);
    const good = await verdictOf(scene, 'nightly');
    check('passed, and proven: the volumes hold what the guest had declared', good.grade === 'proven');
    told(scene, good);

    tell.step('A second tier. Its archive rots on its storage before anybody has looked at it.');
    tiers.push(dueNow('rotten', 'offsite', Date.now()));
    await apply(guests, tiers);
    await scene.expect('the copy is on record', ({ copies }) => {
      const copy = copies.find(({ tier }) => tier === 'rotten');
      if (copy !== undefined) damage(stage, copy.archive);
      return copy !== undefined;
    });
    const rotten = await verdictOf(scene, 'rotten');
    check('caught, by its bytes', rotten.verdict === 'failed' && /bytes/.test(rotten.text));
    told(scene, rotten);

    tell.step(
      'Somebody in the guest plants a second config for the archive: with a hookscript that the host would run.',
    );
    const planted =
      'arch: amd64\nhostname: shop\nhookscript: local:snippets/mine.sh\nrootfs: guests:vm-9999-disk-0,size=1G\n';
    const files = filesOf(stage, 'shop');
    await files.makeFolder('/etc/vzdump');
    await files.write('/etc/vzdump/pct.conf', new TextEncoder().encode(planted), 0o644);
    tiers.push(dueNow('planted', 'local', Date.now()));
    await apply(guests, tiers);
    const evil = await verdictOf(scene, 'planted');
    check('not proven: what it planted did not become its config', evil.verdict !== 'passed');
    told(scene, evil);

    tell.step('Somebody at the host writes a hookscript into the config of shop, and so into its next archive.');
    const vmid = vmidOf(stage, 'shop');
    const config = stage.pve.host.rawConfig(vmid) ?? '';
    stage.pve.host.setRawConfig(vmid, config.replace(/^hostname:/m, 'hookscript: local:snippets/mine.sh\nhostname:'));
    tiers.push(dueNow('hooked', 'offsite', Date.now()));
    await apply(guests, tiers);
    const hooked = await verdictOf(scene, 'hooked');
    check('refused before anything of it could run', hooked.verdict !== 'passed' && hooked.text.includes('hookscript'));
    told(scene, hooked);

    check('nothing is left in the scratch range', leftovers(stage, scratchRange(stage)).length === 0);
    check(
      'no guest is left in the scratch range',
      stage.pve.node.guests.ids().every((vmid) => !scratchRange(stage).includes(vmid)),
    );
    check('shop was not touched', vmidOf(stage, 'shop') > 0 && (await entriesOf(stage, 'shop')) > 3);
    await pinHost(scene);
    await stage.until('the hub knows', async () => (await stage.felhom(['status', 'lab'])).out.includes('hooked'));
    await showAs('alice', ['status', 'lab']);
  },
} satisfies Scenario;

async function verdictOf({ expect }: Scene, tier: string): Promise<Evidence> {
  const has = ({ evidence }: Report['restoreTests'][number]): boolean =>
    evidence.tier === tier && evidence.verdict !== 'skipped';
  const { restoreTests } = await expect(`a restore-test of ${tier} has ended`, (report) =>
    report.restoreTests.some(has),
  );
  const found = restoreTests.find(has);
  if (found === undefined) throw new NotAsTold(`no restore-test of ${tier} is reported`);
  return found.evidence;
}

function told({ tell }: Scene, { verdict, grade, text, code, timings }: Evidence): void {
  const times = Object.entries(timings).map(
    ([what, ms = 0]) => `${what.replace(/Ms$/, '')} ${(ms / 1000).toFixed(1)} s`,
  );
  tell.note(`${verdict}, ${grade}${code === undefined ? '' : ` (${code})`}${text === '' ? '' : `: ${text}`}`);
  if (times.length > 0) tell.note(times.join(', '));
}
