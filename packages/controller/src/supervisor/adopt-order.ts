/**
 * Makes the host's order the guest's own: judges it, takes or brings back the copy of the controller's state volume, and
 * only then writes down what runs from now on. Every part may be repeated after a crash; nothing has run in between.
 */
import { compareVersions } from '@felhom/protocol';
import type { DesiredController } from '@felhom/protocol';
import { z } from 'zod';
import { copyFolder } from './copy-folder.ts';
import { guestPaths } from '../paths.ts';
import type { Apps, GuestFiles } from '../ports.ts';
import { readRecord, writeRecord } from '../record.ts';
import type { RecordKind } from '../record.ts';
import { judgeImage } from './verify-release.ts';
import type { ReleaseSigners } from './verify-release.ts';

const known = z.object({ digest: z.string(), version: z.string() });
const recordSchema = z.object({
  v: z.literal(1),
  /** Order that is carried out. */
  generation: z.number(),
  current: known.optional(),
  /** What ran here, oldest first. */
  ran: z.array(known),
  highest: z.string().optional(),
  /** Generation before which the newest copy of the state volume was taken. */
  copyOf: z.number().optional(),
  /** `revert` that was carried out: its copy comes back once, not at every start. */
  reverted: z.number().optional(),
  /** Apps stand still because the host said `stop`; they go on when it says anything else. */
  appsStand: z.boolean().optional(),
});
export type SupervisorRecord = z.output<typeof recordSchema>;
const kind: RecordKind<SupervisorRecord> = { path: guestPaths.supervisor, schema: recordSchema };

const keptRan = 16;
const keptCopies = 2;

export type Adopted =
  { readonly is: 'adopted'; readonly record: SupervisorRecord } | { readonly is: 'refused'; readonly text: string };

export async function readSupervisorRecord(files: GuestFiles): Promise<SupervisorRecord> {
  const held = await readRecord(files, kind);
  return held.is === 'held' ? held.value : { v: 1, generation: 0, ran: [] };
}

/** Brings all apps to a stand or lets them go on; on record first, so that no start forgets the second half. */
export async function obeyStop(files: GuestFiles, apps: Apps, stand: boolean): Promise<void> {
  const record = await readSupervisorRecord(files);
  if (!stand && record.appsStand !== true) return;
  if (stand && record.appsStand !== true) await writeRecord(files, kind, { ...record, appsStand: true });
  const done = stand ? await apps.quiesce(await apps.running()) : await apps.unquiesce('all');
  if (!stand && done.is === 'done') await writeRecord(files, kind, { ...record, appsStand: false });
}

/** The controller does not run meanwhile. `order.image` is not null. */
export async function adoptOrder(
  files: GuestFiles,
  order: DesiredController,
  signers: ReleaseSigners,
  now: number,
): Promise<Adopted> {
  const record = await readSupervisorRecord(files);
  const { image, directive, generation } = order;
  if (image === null || directive === 'stop') return { is: 'refused', text: 'cannot run a controller: none is wanted' };
  const going = directive === 'revert' ? 'back' : 'on';
  const verdict = judgeImage(image, signers, { going, highest: record.highest, known: record.ran, now });
  if (verdict.is === 'refused') return verdict;
  const current = { digest: image.digest as string, version: image.version };
  const next: SupervisorRecord = {
    ...record,
    generation,
    current,
    ran: [...record.ran.filter(({ digest }) => digest !== current.digest), current].slice(-keptRan),
    highest:
      record.highest === undefined || compareVersions(record.highest, image.version) < 0
        ? image.version
        : record.highest,
  };
  if (directive === 'revert') {
    if (record.reverted === generation) return { is: 'adopted', record };
    const back = await bringBack(files, order.stateOf);
    if (back !== undefined) return { is: 'refused', text: `cannot go back to ${image.version}: ${back}` };
    const reverted = { ...next, reverted: generation };
    await writeRecord(files, kind, reverted);
    return { is: 'adopted', record: reverted };
  }
  if (record.current?.digest !== current.digest) {
    const copyOf = order.stateOf ?? generation;
    // An order that was carried out has its copy. Until then nothing new has run, and a copy may be taken again.
    if (record.copyOf !== copyOf || record.generation < copyOf) await takeCopy(files, copyOf);
    next.copyOf = copyOf;
  }
  await writeRecord(files, kind, next);
  return { is: 'adopted', record: next };
}

const copyPath = (generation: number): string => `${guestPaths.stateCopies}/${generation}`;

async function takeCopy(files: GuestFiles, generation: number): Promise<void> {
  const unfinished = `${copyPath(generation)}.partial`;
  await files.remove(unfinished);
  await files.makeFolder(guestPaths.state);
  await copyFolder(files, guestPaths.state, unfinished);
  await files.remove(copyPath(generation));
  await files.rename(unfinished, copyPath(generation));
  const older = (await files.list(guestPaths.stateCopies))
    .map(({ name }) => name)
    .filter((name) => /^\d+$/.test(name))
    .toSorted((a, b) => Number(a) - Number(b));
  for (const name of older.filter((one) => one !== String(generation)).slice(0, -(keptCopies - 1)))
    await files.remove(`${guestPaths.stateCopies}/${name}`);
}

/** The copy stays where it is: a crash in the middle starts again from it. */
async function bringBack(files: GuestFiles, generation: number | undefined): Promise<string | undefined> {
  if (generation === undefined) return 'the order names no copy of its state';
  const copies = await files.list(guestPaths.stateCopies);
  if (!copies.some(({ name, kind: what }) => name === String(generation) && what === 'directory'))
    return `there is no copy of its state from before ${generation}`;
  const unfinished = `${guestPaths.state}.partial`;
  await files.remove(unfinished);
  await copyFolder(files, copyPath(generation), unfinished);
  await files.remove(guestPaths.state);
  await files.rename(unfinished, guestPaths.state);
  return undefined;
}
