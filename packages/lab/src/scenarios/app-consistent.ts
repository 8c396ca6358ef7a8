import { dueNow, labGuest, livingGuest } from '../world/desired.ts';
import {
  appsOf,
  brisk,
  controllersUp,
  copiesOf,
  entriesOf,
  ledgerIn,
  livesOn,
  pinHost,
  releaseController,
} from './living.ts';
import { vmidOf } from './scenario.ts';
import type { Scenario, Scene } from './scenario.ts';

const guests = [livingGuest('shop'), labGuest('plain')];

/** Apps stand still for seconds, not for the whole backup, and never for ever. */
export const appConsistent = {
  name: 'app-consistent',
  about: 'apps stand still until the storage holds their state, and go on while the archive is still being written',
  stage: { signed: true, pace: { ...brisk, backupMs: 6_000 } },
  async play(scene) {
    const { stage, tell, apply, converged, expect, check, showAs } = scene;
    await apply(guests);
    await releaseController(scene);
    tell.step('The agent starts. In both guests an app writes all the time; shop has a controller, plain has none.');
    stage.agent.start();
    await converged(['shop', 'plain']);
    await controllersUp(scene, ['shop']);
    await stage.until('shop works', async () => (await entriesOf(stage, 'shop')) > 3);

    tell.step('Desired state gets a tier of backups, due at once.');
    const nightly = dueNow('nightly', 'local', Date.now());
    await apply(guests, [nightly]);
    await standstill(scene);
    const { copies, findings } = await expect(
      'both guests have a backup that was read back whole',
      (report) => copiesOf(report, 'shop').length > 0 && copiesOf(report, 'plain').length > 0,
      60_000,
    );
    const of = (name: string) => copies.find(({ guest }) => guest === name);
    check('the record of shop says app-consistent', of('shop')?.consistency === 'app');
    check('the books in its archive agree', (await ledgerIn(stage, of('shop')?.archive ?? '')) === 'agrees');
    check('the record of plain says crash-consistent: nobody could be asked', of('plain')?.consistency === 'crash');
    check('no backup is missed', !findings.some(({ key }) => key === 'backup.missing'));

    tell.step('A second tier. This time the backup hangs before it has captured anything, and the guest is killed.');
    const hung = vmidOf(stage, 'shop');
    stage.pve.node.tasks.trap({ type: 'vzdump', id: `${hung}`, action: 'stall' });
    await apply(guests, [nightly, dueNow('away', 'offsite', Date.now())]);
    await killed(scene, hung);
    stage.pve.node.tasks.clearTraps();
    await pinHost(scene);
    await stage.until('the hub knows', async () => (await stage.felhom(['status', 'lab'])).out.includes('failing'));
    await showAs('alice', ['status', 'lab']);
  },
} satisfies Scenario;

const writing = (stage: Scene['stage'], vmid: number): boolean =>
  stage.pve.node.tasks.running().some(({ type, id }) => type === 'vzdump' && id === `${vmid}`);

/** Watches the apps of shop while it is backed up. */
async function standstill({ stage, tell, expect, check }: Scene): Promise<void> {
  const vmid = vmidOf(stage, 'shop');
  await expect('the apps of shop stand still', async () => (await appsOf(stage, 'shop')) === 'standing');
  const stoodAt = Date.now();
  await stage.until('the apps of shop go on', async () => (await appsOf(stage, 'shop')) === 'running');
  const stillWritten = writing(stage, vmid);
  const seconds = (Date.now() - stoodAt) / 1000;
  tell.seen(`the apps of shop go on, after ${seconds.toFixed(1)} s`);
  check('its archive is still being written', stillWritten);
}

/** The worst moment: everything in the guest dies while its apps stand still, and the backup does not move. */
async function killed({ stage, tell, expect, check }: Scene, vmid: number): Promise<void> {
  await expect(
    'the apps of shop stand still, and vzdump hangs',
    async () => (await appsOf(stage, 'shop')) === 'standing' && writing(stage, vmid),
  );
  const before = await entriesOf(stage, 'shop');
  await livesOn(stage).killPrograms(vmid, 1_000);
  const killedAt = Date.now();
  tell.step('kill -9 of everything in shop; its supervisor starts again a second later, as systemd would have it.');
  await stage.until('the app writes again', async () => (await entriesOf(stage, 'shop')) > before);
  tell.seen(`the app writes again ${((Date.now() - killedAt) / 1000).toFixed(1)} s after the kill`);
  await expect('the host hears that nothing stands still any more, and stops the backup', ({ sagas }) =>
    sagas.some(({ name, guest, direction }) => name === 'backup' && guest === 'shop' && direction === 'back'),
  );
  for (const { upid, type } of stage.pve.node.tasks.running())
    if (type === 'vzdump') stage.pve.node.tasks.release(upid);
  const { copies, backups } = await expect('this backup counts as failed, and is tried again later', (report) =>
    report.backups.some(({ guest, tier, state }) => guest === 'shop' && tier === 'away' && state === 'failing'),
  );
  tell.note(backups.find(({ guest, tier }) => guest === 'shop' && tier === 'away')?.lastFailure ?? '');
  check('its vzdump is gone from the node', !writing(stage, vmid));
  const away = copies.filter(({ guest, tier }) => guest === 'shop' && tier === 'away');
  check(
    'nothing is called app-consistent that was not',
    away.every(({ consistency }) => consistency !== 'app'),
  );
}
