/**
 * Apps on a volume that cannot be relied on stand still: its disk is away, or is back and the guest still has the one that
 * was pulled. What is stopped is on record before it is touched, so that a crash forgets nothing; only what is on record
 * is started again, so what people stopped stays stopped.
 */
import type { LocalAnswer } from '@felhom/protocol';
import { z } from 'zod';
import type { LocalClient, LocalResult } from '../client/client.ts';
import { guestPaths } from '../paths.ts';
import type { Apps, GuestFiles } from '../ports.ts';
import { readRecord, writeRecord } from '../record.ts';
import type { RecordKind } from '../record.ts';
import { readStandstill } from '../standstill.ts';
import { longestFelhomFile, parseFelhomFile } from './felhom-file.ts';
import { mountOf, stateOf } from './placement.ts';

export interface VolumeNeeds {
  readonly client: LocalClient;
  readonly files: GuestFiles;
  readonly apps: Apps;
}

const record: RecordKind<{ v: 1; stacks: string[] }> = {
  path: guestPaths.withoutVolume,
  schema: z.object({ v: z.literal(1), stacks: z.array(z.string()) }),
};

type Volumes = LocalAnswer<'volumes'>;

export interface Stack {
  readonly name: string;
  /** Paths of its `.felhom.yml`; `unknown`: there is one that does not read. */
  readonly paths: readonly string[] | 'unknown';
}

export interface StackPlan {
  readonly stop: readonly string[];
  readonly start: readonly string[];
  /** For people, one line per stack that has to stand still. */
  readonly texts: readonly string[];
}

export interface BeforePlan {
  readonly running: readonly string[];
  /** What this duty stopped earlier. */
  readonly stopped: readonly string[];
  /** Volumes that were stale at the look before: the host may say so for a moment when all is well. */
  readonly stale: readonly string[];
}

/** Pure. */
export function planStacks(
  stacks: readonly Stack[],
  volumes: Volumes['volumes'],
  { running, stopped, stale }: BeforePlan,
): StackPlan {
  const [stop, start, texts]: [string[], string[], string[]] = [[], [], []];
  for (const { name, paths } of stacks) {
    if (paths === 'unknown') {
      if (stopped.includes(name)) texts.push(`${name} stands still: its .felhom.yml does not read`);
      continue;
    }
    const bad = paths.flatMap((path) => {
      const mount = mountOf(path, volumes);
      return mount === undefined || stateOf(mount) === 'attached' ? [] : [mount];
    });
    if (bad.length === 0) {
      if (stopped.includes(name)) start.push(name);
      continue;
    }
    const ends = running.includes(name) && bad.some((one) => one.state === 'away' || stale.includes(one.name));
    if (ends) stop.push(name);
    if (!ends && (running.includes(name) || !stopped.includes(name))) continue;
    const what = [...new Set(bad.map((one) => `${one.name} is ${words[stateOf(one)]}`))].join(', ');
    texts.push(`${name} stands still: ${what}`);
  }
  return { stop, start, texts };
}

const words = {
  attached: 'there',
  away: 'away',
  stale: 'back, and this guest still has the disk that was pulled',
} as const;

export type VolumeLook =
  | {
      readonly is: 'looked';
      /** For people, empty where all apps have what they need. */
      readonly texts: readonly string[];
      readonly usesVolumes: boolean;
      /** For the next look. */
      readonly stale: readonly string[];
    }
  /** Nobody said how the volumes are: everything stays as it is. */
  | { readonly is: 'not-told' }
  /** A backup has brought the apps to a stand: who stops and starts now is the backup. */
  | { readonly is: 'standstill' };

const recordLost =
  `cannot read ${record.path}: which apps were stopped for their volumes is not known; ` +
  'start those that should run, and remove the file';

/** `stale`: what the look before said. */
export async function lookAfterVolumes(
  needs: VolumeNeeds,
  signal: AbortSignal,
  stale: readonly string[] = [],
): Promise<VolumeLook> {
  const { client, files, apps } = needs;
  if (!(await mayTouch(files))) return { is: 'standstill' };
  const stacks = await stacksOf(files);
  const held = await readRecord(files, record);
  // Of what cannot be read nobody knows what people had stopped.
  const before = held.is === 'held' ? held.value.stacks : [];
  const texts = held.is === 'unreadable' ? [recordLost] : [];
  const usesVolumes = stacks.some(({ paths }) => paths === 'unknown' || paths.length > 0);
  if (!usesVolumes && before.length === 0) return { is: 'looked', texts, usesVolumes, stale: [] };
  const told = await askVolumes(client, signal);
  if (told.is !== 'ok') return { is: 'not-told' };
  const { volumes } = told.value;
  // Asking costs something, and where every volume is there nothing is stopped.
  const running = volumes.every((volume) => stateOf(volume) === 'attached') ? [] : await apps.running();
  const stopped = before.filter((name) => stacks.some((stack) => stack.name === name));
  const plan = planStacks(stacks, volumes, { running, stopped, stale });
  texts.push(...plan.texts);
  const noted = [...new Set([...stopped, ...plan.stop])];
  const keep = async (names: readonly string[], was: readonly string[]): Promise<void> => {
    if (names.join() !== was.join()) await writeRecord(files, record, { v: 1, stacks: [...names] });
  };
  await keep(noted, before);
  for (const name of plan.stop) {
    // On record, and looked at again.
    if (!(await mayTouch(files))) break;
    const ended = await apps.stop(name);
    if (ended.is === 'failed') texts.push(`cannot stop ${name}: ${ended.text}`);
  }
  const gone: string[] = [];
  for (const name of plan.start) {
    if (!(await mayTouch(files))) break;
    const begun = await apps.start(name);
    // On record still: it is tried again.
    if (begun.is === 'failed') texts.push(`cannot start ${name}: ${begun.text}`);
    else gone.push(name);
  }
  await keep(
    noted.filter((name) => !gone.includes(name)),
    noted,
  );
  const staleNow = volumes.flatMap(({ name, state }) => (state === 'stale' ? [name] : []));
  return { is: 'looked', texts, usesVolumes, stale: staleNow };
}

/** An older host tells it with all the rest. */
async function askVolumes(client: LocalClient, signal: AbortSignal): Promise<LocalResult<Volumes>> {
  const told = await client.volumes({}, signal);
  return told.is === 'problem' && told.problem.status === 404 ? client.storage({}, signal) : told;
}

/** A record that does not read is a standstill too, until somebody has ended it. */
const mayTouch = async (files: GuestFiles): Promise<boolean> => (await readStandstill(files)) === 'none';

/** Without a file it names no volumes; of one that does not read nobody knows, and whoever deploys it hears of it. */
async function stacksOf(files: GuestFiles): Promise<readonly Stack[]> {
  const found: Stack[] = [];
  for (const { name, kind } of await files.list(guestPaths.stacks)) {
    if (kind !== 'directory') continue;
    found.push({ name, paths: await pathsOf(files, `${guestPaths.stacks}/${name}`) });
  }
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function pathsOf(files: GuestFiles, folder: string): Promise<Stack['paths']> {
  const bytes = await files.read(`${folder}/.felhom.yml`, longestFelhomFile);
  // It is not there, or no such file as we read.
  if (bytes === undefined)
    return (await files.list(folder)).some(({ name }) => name === '.felhom.yml') ? 'unknown' : [];
  const file = parseFelhomFile(new TextDecoder().decode(bytes));
  return file.is === 'ok' ? file.value.volumes.map(({ path }) => path) : 'unknown';
}
