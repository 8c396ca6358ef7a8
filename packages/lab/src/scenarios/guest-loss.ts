import { dueNow, livingGuest } from '../world/desired.ts';
import {
  brisk,
  bulkBytes,
  controllersUp,
  damage,
  entriesOf,
  filesOf,
  pinHost,
  provenAll,
  quickTests,
  releaseController,
} from './living.ts';
import { NotAsTold, vmidOf } from './scenario.ts';
import type { Scenario } from './scenario.ts';

const guests = [livingGuest('shop')];
const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

/** A fast disk dies. What lay on the bulk disk is still there, and so are the backups, one of them rotten. */
export const guestLoss = {
  name: 'guest-loss',
  about: 'a guest is lost with its disk; it comes back from the next good copy, with its bulk as it was',
  stage: { signed: true, pace: brisk, policy: quickTests },
  async play(scene) {
    const { stage, tell, apply, converged, expect, check, showAs } = scene;
    await apply(guests);
    await releaseController(scene);
    tell.step('The agent starts.');
    stage.agent.start();
    await converged(['shop']);
    await controllersUp(scene, ['shop']);
    const files = filesOf(stage, 'shop');
    await files.write('/srv/data/letters.txt', new TextEncoder().encode('dear customer\n'.repeat(500)), 0o644);
    await files.write('/srv/photos/summer.jpg', new TextEncoder().encode('not really a photo\n'.repeat(5000)), 0o644);
    await stage.until('shop works', async () => (await entriesOf(stage, 'shop')) > 3);
    const letters = text(await files.read('/srv/data/letters.txt', 1_000_000));

    tell.step('Two tiers of backups, due at once, and each copy restored as a test.');
    await apply(guests, [dueNow('nightly', 'local', Date.now()), dueNow('away', 'offsite', Date.now())]);
    const { copies, guests: reported } = await provenAll(scene, 'shop', 2);
    const fast = copies.find(({ tier }) => tier === 'nightly')?.archive ?? '';
    const bulk = bulkBytes(stage, 'shop');
    const vmid = vmidOf(stage, 'shop');

    tell.step(
      'The fast tier rots on its storage. Then the disk with shop on it dies; its bulk volume is on another one.',
    );
    damage(stage, fast);
    const { node, host } = stage.pve;
    await node.guests.stop(vmid);
    for (const volid of reported.find(({ name }) => name === 'shop')?.volumes ?? [])
      if (volid.startsWith('guests:')) await node.storage.free(volid);
    host.removeConfig(vmid);
    tell.note(`gone from the node: the config of ${vmid} and its volumes on guests`);
    tell.note('the host looks twice, a minute apart, before it calls a guest lost');
    await expect('the host has seen that it is not there', ({ findings }) =>
      findings.some(({ key, subject }) => key === 'guest.perhaps-lost' && subject === 'shop'),
    );
    await expect(
      'shop is lost for certain, and is being brought back',
      ({ sagas }) => sagas.some(({ guest }) => guest === 'shop'),
      150_000,
    );
    const { findings } = await expect(
      'shop runs again',
      (report) => report.converged && report.guests.some(({ name, status }) => name === 'shop' && status === 'running'),
      150_000,
    );
    for (const { key, text: told } of findings)
      if (/^(?:recovery|guest|backup)\.(?!bulk)/.test(key)) tell.note(`${key}: ${told}`);
    const cameBack = findings.find(({ key }) => key === 'recovery.came-back')?.text ?? '';
    check('it came back from the other tier', cameBack.includes('(away'));
    check(
      'the rotten copy is reported',
      findings.some(({ text: told }) => told.includes(fast)),
    );
    const after = filesOf(stage, 'shop');
    check('its data is byte-identical', text(await after.read('/srv/data/letters.txt', 1_000_000)) === letters);
    check('its bulk volume is byte-identical', bulkBytes(stage, 'shop') === bulk);
    await controllersUp(scene, ['shop']);
    const before = await entriesOf(stage, 'shop');
    await stage.until('its app writes again', async () => (await entriesOf(stage, 'shop')) > before);
    tell.seen('its app writes again');
    if (vmidOf(stage, 'shop') === vmid) throw new NotAsTold('it came back at the VMID that it was lost at');
    await pinHost(scene);
    await stage.until('the hub knows', async () => (await stage.felhom(['status', 'lab'])).out.includes('came back'));
    await showAs('alice', ['status', 'lab']);
  },
} satisfies Scenario;
