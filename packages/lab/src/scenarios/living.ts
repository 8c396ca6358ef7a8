/** What stories about living guests have in common: their files, their apps, their archives, the people who sign. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkLedger, guestPaths, realFiles } from '@felhom/controller';
import type { GuestFiles } from '@felhom/controller';
import type { Report } from '@felhom/protocol';
import { controllerRole, publishController } from '../stage/release.ts';
import type { LabGuests } from '../guest/index.ts';
import type { Stage } from '../stage/stage.ts';
import { guestsNamed, NotAsTold } from './scenario.ts';
import type { Scene } from './scenario.ts';

/** A node that is quicker than most: these stories are about what comes after. */
export const brisk = { restoreMs: 600, startMs: 200, stopMs: 100, allocateMs: 20 };

/** A guest that is looked at for a quarter of a minute only: nothing here loops more slowly. */
export const quickTests = { restoreTests: { bootSeconds: 60, healthySeconds: 30 } };

const ledgerFolder = '/srv/data/ledger';

export function livesOn(stage: Stage): LabGuests {
  if (stage.guests === undefined) throw new Error('nothing lives on this stage');
  return stage.guests;
}

/** Of several guests of a name the one that runs: the others wait for an undo. */
export function runningVmid(stage: Stage, name: string): number {
  const [vmid, ...more] = guestsNamed(stage, name).filter((one) => stage.pve.node.guests.isRunning(one));
  if (vmid === undefined || more.length > 0)
    throw new NotAsTold(
      `${more.length > 0 ? `${more.length + 1} guests run` : 'no guest runs'} by the name of ${name}`,
    );
  return vmid;
}

/** The files of a guest that runs, as its programs see them. */
export const filesOf = (stage: Stage, name: string): GuestFiles =>
  realFiles(livesOn(stage).rootMap(runningVmid(stage, name)));

async function readJson(files: GuestFiles, path: string): Promise<Record<string, unknown> | undefined> {
  const bytes = await files.read(path, 65_536);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch {
    // It is being written.
    return undefined;
  }
}

/** `running`, or `standing` while the apps are held still. */
export const appsOf = async (stage: Stage, name: string): Promise<unknown> =>
  (await readJson(filesOf(stage, name), `${guestPaths.home}/ledger-stack.json`))?.['state'];

export const entriesOf = async (stage: Stage, name: string): Promise<number> =>
  (await checkLedger(filesOf(stage, name), ledgerFolder)).count;

/** Whether the two books agree in an archive as it lies on its storage. */
export async function ledgerIn(stage: Stage, archive: string): Promise<'empty' | 'agrees' | 'torn'> {
  const { storage } = stage.pve.node;
  const [name = ''] = archive.split(':');
  const books = new Map<string, string>();
  for await (const member of storage.disk.readArchive(
    storage.archives.diskPath(name, archive.slice(archive.indexOf('/') + 1)),
  )) {
    const book = /^\.\/srv\/data\/ledger\/(left|right)\.json$/.exec(member.name)?.[1];
    if (book !== undefined) books.set(book, new TextDecoder().decode(member.content));
  }
  const [left, right] = [books.get('left'), books.get('right')];
  if (left === undefined && right === undefined) return 'empty';
  return left === right ? 'agrees' : 'torn';
}

/** Alice and bob pin the key that stands on the screen of the host. */
export async function pinHost({ stage, tell }: Scene): Promise<void> {
  const identity = await stage.agentCommand(['identity', '--json']);
  const { fingerprint } = JSON.parse(identity.out) as { readonly fingerprint: string };
  for (const person of ['alice', 'bob'] as const) {
    const pinned = await stage.felhomAs(person, ['hosts', 'trust', 'lab', fingerprint]);
    if (pinned.code !== 0) throw new NotAsTold(`${person} cannot pin the key: ${pinned.err}`);
  }
  tell.note('alice and bob have pinned the key that stands on the screen of the host');
}

/** Carol signs a release of the controller, and its guests run it. */
export async function releaseController({ stage, tell }: Scene, version = '1.0.0'): Promise<void> {
  await publishController(stage, version);
  tell.step(`Carol signs release ${version} of ${controllerRole}; it goes into the mailbox of the host.`);
}

/** The guests' supervisors run the image of the release; the host has heard of each. */
export async function controllersUp({ stage, expect }: Scene, names: readonly string[]): Promise<Report> {
  return expect(`the controller${names.length === 1 ? '' : 's'} of ${names.join(' and ')} came up`, async () => {
    for (const name of names) {
      const record = await readJson(filesOf(stage, name), guestPaths.supervisor);
      if (record?.['current'] === undefined) return false;
    }
    return true;
  });
}

export const copiesOf = (report: Report, name: string): Report['copies'] =>
  report.copies.filter(({ guest }) => guest === name);

/** Bytes in the middle of an archive turn over, as on a dying disk. */
export function damage(stage: Stage, archive: string): void {
  const { storage } = stage.pve.node;
  const [name = ''] = archive.split(':');
  storage.disk.damageArchive(storage.archives.diskPath(name, archive.slice(archive.indexOf('/') + 1)));
}

/** Waits until so many copies of a guest were shown to be restorable. */
export async function provenAll({ expect }: Scene, name: string, count: number): Promise<Report> {
  return expect(
    `${count === 1 ? 'its copy is' : `${count} copies are`} proven by a restore-test`,
    (report) => copiesOf(report, name).filter(({ proven }) => proven).length >= count,
    120_000,
  );
}

/** A digest over all files in the bulk volume of a guest, wherever that lies. */
export function bulkBytes(stage: Stage, name: string): string {
  const config = stage.pve.host.rawConfig(runningVmid(stage, name)) ?? '';
  const volid = /^mp\d+: (bulk:[^,\n]+)/m.exec(config)?.[1] ?? '';
  const folder =
    volid === '' ? undefined : stage.pve.node.storage.disk.directoryOf(stage.pve.node.storage.volumeDiskPath(volid));
  if (folder === undefined) throw new NotAsTold(`${name} has no bulk volume`);
  const hash = createHash('sha256');
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()) {
    const path = join(folder, file);
    hash.update(`${file}\0`);
    if (statSync(path).isFile()) hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}
