import type { Report } from '@felhom/protocol';
import { dueNow, labGuest } from '../world/desired.ts';
import type { SimDisk } from '../world/sim-targets.ts';
import { copiesOf, runningVmid } from './living.ts';
import type { Scenario, Scene } from './scenario.ts';

const storage = 'usb-usb1';

/** The most common real accident: somebody pulls the USB disk while it is being written to. */
export const diskDrop = {
  name: 'disk-drop',
  about:
    'the USB disk is pulled during a backup, another one is plugged in, then the right one, and the backup goes on; then one under a running guest',
  stage: { lifeless: true, pace: { backupMs: 8_000 }, policy: { backups: { targets: {} } } },
  async play(scene) {
    const { stage, tell, apply, converged, expect, check, show } = scene;
    tell.step('Root attaches a USB disk for backups: declared by UUID, serial number and a mark written on it.');
    const own = await stage.disks.attach('usb1');
    await apply([labGuest('web')]);
    tell.step('The agent starts.');
    stage.agent.start();
    await converged(['web']);
    await expect('the disk is attached', ({ targets }) => targets[0]?.state === 'attached');

    tell.step('A backup to it is due at once. While it is being written, somebody pulls the disk.');
    await apply([labGuest('web')], [dueNow('usb', 'usb1', Date.now())]);
    await expect('the archive is being written', () => writing(scene));
    await pulled(scene);
    await expect('the backup has failed, and its task on the node has ended', ({ sagas, backups }) => {
      const failed = backups[0]?.lastFailure?.includes('cannot count the backup') === true;
      return failed && sagas.every(({ name }) => name !== 'backup') && !writing(scene);
    });
    check('nothing was counted', copiesOf((await stage.report()) as Report, 'web').length === 0);
    const { disk, archives } = stage.pve.node.storage;
    const root = archives.diskPath('backup', 'x').split('/srv/')[0] ?? '';
    check(
      'nothing was written where the disk was: the root disk is as before',
      disk.list(`${root}${stage.place.kernel.mounts}/usb1/dump`).length === 0,
    );

    tell.step('Another disk is put into the same port.');
    const other: SimDisk = { uuid: 'ffffffff-0000-4000-8000-000000000000', serial: 'OTHER', mark: undefined };
    stage.disks.plugIn('usb1', other);
    await stage.wake();
    check('it is not taken for the right one', (await stage.report())?.targets[0]?.state === 'disconnected');
    tell.step('Then a copy of the right one: the same UUID, and not the mark.');
    stage.disks.pull('usb1');
    stage.disks.plugIn('usb1', { ...own, serial: 'COPY', mark: undefined });
    await expect('the copy is refused, and said to be one', ({ findings, targets }) => {
      const told = findings.some(({ key }) => key === 'storage.other-disk');
      return told && targets[0]?.state === 'disconnected';
    });
    await show(['status', 'lab']);

    tell.step('At last the right one again.');
    stage.disks.pull('usb1');
    stage.disks.plugIn('usb1');
    const back = Date.now();
    await expect('it is attached by itself', ({ targets }) => targets[0]?.state === 'attached');
    tell.note(`${Date.now() - back} ms after it was plugged in, of which systemd takes 250`);
    await expect('what waited goes on: the backup is taken', (report) => copiesOf(report, 'web').length === 1);
    await expect('and no finding about storage is left', ({ findings }) =>
      findings.every(({ key }) => !key.startsWith('storage.')),
    );
    await underGuest(scene);
  },
} satisfies Scenario;

/** A running guest keeps the mount of a disk that was pulled, also when the disk is back. */
async function underGuest({ stage, tell, apply, converged, expect, check, show }: Scene): Promise<void> {
  tell.step('Root attaches another disk, for the photos of a guest.');
  await stage.disks.attach('media', { role: 'bulk-data' });
  const volume = { name: 'photos', path: '/srv/photos', storage: 'usb-media', sizeGiB: 1, backup: false };
  await apply([labGuest('web'), labGuest('album', { volumes: [volume] })]);
  await converged(['web', 'album']);
  const vmid = runningVmid(stage, 'album');
  const mounts = (): string => {
    const seen = stage.disks.guestMounts(vmid);
    return seen.is === 'done' ? seen.value.mounts.map(({ path, state }) => `${path} ${state}`).join(', ') : 'not told';
  };
  let starts = 0;
  stage.pve.node.guests.onPower((event) => void (event.vmid === vmid && event.is === 'up' && (starts += 1)));
  tell.step('Somebody pulls it while the guest runs.');
  stage.disks.pull('media');
  await expect('the guest is named, and its volume', ({ findings }) =>
    findings.some(({ key, text }) => key === 'guest.volume-away' && text.includes('album') && text.includes('photos')),
  );
  await show(['status', 'lab']);
  tell.step(
    'It is plugged in again. The guest still has the disk that was pulled, and its image keeps the mount in use.',
  );
  stage.disks.plugIn('media');
  check('what the guest has is dead', mounts() === '/srv/photos dead');
  await expect(
    'the guest is restarted, and the disk mounted while it is down',
    () => starts > 0 && mounts() === '/srv/photos live',
    120_000,
  );
  await expect(
    'nothing is left to tell',
    ({ findings, sagas }) =>
      sagas.length === 0 && findings.every(({ key }) => !/^storage|^guest\.(?:stale|volume|mounts)/.test(key)),
  );
  check('it was restarted once', starts === 1);
}

const writing = ({ stage }: Scene): boolean =>
  stage.pve.node.tasks.running().some(({ type }) => type === 'vzdump') &&
  stage.pve.node.storage.disk.list(`ext4%3A${'0'.repeat(7)}1-0000-4000-8000-000000000000/dump`).length > 0;

/** Pulls the disk and measures until the hub shows it. */
async function pulled({ stage, tell, check }: Scene): Promise<void> {
  const at = Date.now();
  stage.disks.pull('usb1');
  await stage.until('the hub shows that the disk is gone', async () =>
    (await stage.felhom(['status', 'lab'])).out.includes('disconnected'),
  );
  const tookMs = Date.now() - at;
  tell.seen(`the hub shows it ${tookMs} ms after the pull`);
  check('that is less than a second', tookMs < 1_000);
  check('Proxmox agrees', !stage.pve.node.storage.status(storage).active);
}
