import { eagerTier, labGuest, livingGuest } from '../world/desired.ts';
import { appsOf, controllersUp, copiesOf, entriesOf, ledgerIn, livesOn, releaseController } from './living.ts';
import { NotAsTold, vmidOf } from './scenario.ts';
import type { Scenario, Scene } from './scenario.ts';

/** Apps stand still for seconds, not for the whole backup, and never for ever. */
export const appConsistent = {
  name: 'app-consistent',
  about: 'apps stand still until the storage holds their state, and go on while the archive is still being written',
  stage: { signed: true, pace: { backupMs: 6_000 }, policy: {} },
  async play(scene) {
    const { stage, tell, apply, converged, expect, check, show } = scene;
    const shop = livingGuest('shop');
    const plain = labGuest('plain');
    await apply([shop, plain]);
    await releaseController(scene);
    tell.step('The agent starts. shop is to have a controller, plain has none. Both run an app that writes all the time.');
    stage.agent.start();
    await converged(['shop', 'plain']);
    await controllersUp(scene, stage, ['shop']);
    await stage.until('shop works', async () => (await entriesOf(stage, 'shop')) > 3);

    tell.step('Desired state gets a tier of backups, due at once.');
    await apply([shop, plain], [eagerTier('nightly', 'local')]);
    await standstill(scene, vmidOf(stage, 'shop'));
    const { copies } = await expect(
      'both guests have a backup that was read back whole',
      (report) => copiesOf(report, 'shop').length > 0 && copiesOf(report, 'plain').length > 0,
      60_000,
    );
    const of = (name: string) => copies.find(({ guest }) => guest === name);
    check('the record of shop says app-consistent', of('shop')?.consistency === 'app');
    check('the books in its archive agree', (await ledgerIn(stage, of('shop')?.archive ?? '')) === 'agrees');
    check('the record of plain says crash-consistent: nobody could be asked', of('plain')?.consistency === 'crash');

    await killed(scene);
    await stage.until('the hub knows', async () => (await stage.felhom(['status', 'lab'])).out.includes('crash'));
    await show(['status', 'lab']);
  },
} satisfies Scenario;

/** Watches the apps of shop while it is backed up. */
async function standstill({ stage, tell, expect, check }: Scene, vmid: number): Promise<void> {
  await expect('the apps of shop stand still', async () => (await appsOf(stage, 'shop')) === 'standing');
  const stoodAt = Date.now();
  const written = (): boolean => !writing(stage, vmid);
  await stage.until('the apps of shop go on', async () => (await appsOf(stage, 'shop')) === 'running');
  const whileWritten = !written();
  const seconds = ((Date.now() - stoodAt) / 1000).toFixed(1);
  tell.seen(`the apps of shop go on, after ${seconds} s`);
  check('its archive is still being written', whileWritten);
}

const writing = (stage: Scene['stage'], vmid: number): boolean =>
  stage.pve.node.tasks.running().some(({ type, id }) => type === 'vzdump' && id === `${vmid}`);

/** The worst moment: everything in the guest dies while its apps stand still, and the backup does not move. */
async function killed(scene: Scene): Promise<void> {
  const { stage, tell, apply, expect, check } = scene;
  const vmid = vmidOf(stage, 'shop');
  tell.step('A second tier. This time the backup hangs before it has captured anything, and the controller is killed.');
  stage.pve.node.tasks.trap({ type: 'vzdump', id: `${vmid}`, action: 'stall' });
  await apply([livingGuest('shop'), labGuest('plain')], [eagerTier('nightly', 'local'), eagerTier('away', 'offsite')]);
  await expect(
    'the apps of shop stand still, and vzdump hangs',
    async () => (await appsOf(stage, 'shop')) === 'standing' && writing(stage, vmid),
    60_000,
  );
  const [upid] = stage.pve.node.tasks.running().flatMap((task) => (task.type === 'vzdump' ? [task.upid] : []));
  if (upid === undefined) throw new NotAsTold('no vzdump runs');
  await livesOn(stage).killPrograms(vmid, 1_000);
  const killedAt = Date.now();
  const before = await entriesOf(stage, 'shop');
  tell.step('kill -9 of everything in shop; its supervisor starts again a second later.');
  await stage.until('the app writes again', async () => (await entriesOf(stage, 'shop')) > before);
  tell.seen(`the app writes again ${((Date.now() - killedAt) / 1000).toFixed(1)} s after the kill`);
  await stage.until('the host has heard of it', async () => (await appsOf(stage, 'shop')) === 'running');
  stage.pve.node.tasks.clearTraps();
  stage.pve.node.tasks.release(upid);
  const report = await expect(
    'the hanging backup has come to an end',
    () => !writing(stage, vmid),
    60_000,
  );
  const claimed = [...copiesOf(report, 'shop')].filter(({ tier, consistency }) => tier === 'away' && consistency === 'app');
  check('nothing says that this one is app-consistent', claimed.length === 0);
}
