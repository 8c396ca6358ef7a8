import { dueNow, livingGuest } from '../world/desired.ts';
import {
  brisk,
  bulkBytes,
  controllersUp,
  entriesOf,
  filesOf,
  pinHost,
  provenAll,
  quickTests,
  releaseController,
  runningVmid,
} from './living.ts';
import { guestsNamed, leftovers, NotAsTold, ownRange } from './scenario.ts';
import type { Scenario, Scene } from './scenario.ts';

const guests = [livingGuest('shop')];
const letters = '/srv/data/letters.txt';
const photo = '/srv/photos/summer.jpg';

/** Back to yesterday, and back again: what the backup does not hold is in one piece all the time. */
export const restoreUndo = {
  name: 'restore-undo',
  about: 'a signed restore puts a backup over a guest; undone, the guest is as it was; done again, it is finished',
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
    await write(scene, letters, 'as of yesterday');
    await pinHost(scene);
    tell.step('A backup, due at once, and restored as a test.');
    await apply(guests, [dueNow('nightly', 'local', Date.now())]);
    await provenAll(scene, 'shop', 1);
    await hubKnows(scene, '"proven": true');

    tell.step('A day of work: a letter, and a photo on the bulk volume, which no backup of the host holds.');
    await write(scene, letters, 'as of today');
    await write(scene, photo, 'of today');
    const [first, bulk] = [runningVmid(stage, 'shop'), bulkBytes(stage, 'shop')];

    tell.step('Alice puts the backup over shop. What is there now is kept for an hour.');
    const order = [
      'job',
      'restore-overwrite',
      'lab',
      'shop',
      '--backup',
      'newest-proven',
      '--undo-hours',
      '1',
      '--yes',
    ];
    await showAs('alice', order);
    await restored(scene, first);
    check('its letter is as of yesterday', (await read(scene, letters)) === 'as of yesterday');
    check('its bulk was carried over, byte for byte', bulkBytes(stage, 'shop') === bulk);

    tell.step('It was the wrong thing to do. A photo is written, and Alice undoes the restore.');
    await write(scene, photo, 'taken after the restore');
    const later = bulkBytes(stage, 'shop');
    await showAs('alice', ['job', 'undo', 'lab', await windowOf(scene), '--yes']);
    await scene.expect(
      'the restore is undone, and shop runs',
      ({ restores, guests: seen }) =>
        restores.some(({ state }) => state === 'undone') && seen.some(({ status }) => status === 'running'),
    );
    check('it is the guest from before, at its VMID', runningVmid(stage, 'shop') === first);
    check('its letter is as of today', (await read(scene, letters)) === 'as of today');
    check('its bulk has one history: it is as it is now', bulkBytes(stage, 'shop') === later);

    tell.step('The same once more, and this time it is what was wanted: Alice ends the window early.');
    await showAs('alice', order);
    await restored(scene, first);
    await showAs('alice', ['job', 'finish', 'lab', await windowOf(scene), '--yes']);
    await scene.expect('the restore is finished', ({ restores }) => restores.some(({ state }) => state === 'finished'));
    check('there is one shop, and the one from before is gone', guestsNamed(stage, 'shop').length === 1);
    check('its letter is as of yesterday', (await read(scene, letters)) === 'as of yesterday');
    check('its bulk is as it is now', bulkBytes(stage, 'shop') === later);
    const left = leftovers(stage, ownRange(stage));
    check('nothing is left behind', left.length === 0);
    await showAs('alice', ['status', 'lab']);
  },
} satisfies Scenario;

const write = ({ stage }: Scene, path: string, text: string): Promise<void> =>
  filesOf(stage, 'shop').write(path, new TextEncoder().encode(text), 0o644);

async function read({ stage }: Scene, path: string): Promise<string> {
  return new TextDecoder().decode(await filesOf(stage, 'shop').read(path, 1_000_000));
}

/** The restored guest runs elsewhere, and the one from before waits. */
async function restored({ expect, stage }: Scene, before: number): Promise<void> {
  await expect(
    'shop runs from the backup, and the one from before waits for an undo',
    ({ restores, guests: seen, sagas }) =>
      sagas.length === 0 &&
      restores.some(({ state }) => state === 'undoable') &&
      seen.some(({ name, status, vmid }) => name === 'shop' && status === 'running' && vmid !== before),
    120_000,
  );
  await stage.until('its files are there', () => stage.guests?.running().some((vmid) => vmid !== before) === true);
}

/** What people sign is about what the hub was told last. */
async function hubKnows({ stage }: Scene, text: string): Promise<void> {
  await stage.until('the hub knows', async () => (await stage.felhom(['status', 'lab', '--json'])).out.includes(text));
}

async function windowOf(scene: Scene): Promise<string> {
  const { stage } = scene;
  await hubKnows(scene, '"state": "undoable"');
  const restore = (await stage.report())?.restores.find(({ state }) => state === 'undoable');
  if (restore === undefined) throw new NotAsTold('no restore can be undone');
  return restore.id;
}
