/**
 * Apps on a volume that cannot be relied on stand still: its disk is away, or is back and the guest still has the one that
 * was pulled. What is stopped is on record before it is touched, so that a crash forgets nothing; only what is on record
 * is started again, so what people stopped stays stopped.
 */
import { z } from 'zod';
import type { LocalClient } from '../client/client.ts';
import { guestPaths } from '../paths.ts';
import type { Apps, GuestFiles } from '../ports.ts';
import { readRecord, writeRecord } from '../record.ts';
import type { RecordKind } from '../record.ts';
import { longestFelhomFile, parseFelhomFile } from './felhom-file.ts';
import { mountOf } from './placement.ts';
import type { StorageView } from './placement.ts';

export interface VolumeNeeds {
  readonly client: LocalClient;
  readonly files: GuestFiles;
  readonly apps: Apps;
}

const record: RecordKind<{ v: 1; stacks: string[] }> = {
  path: guestPaths.withoutVolume,
  schema: z.object({ v: z.literal(1), stacks: z.array(z.string()) }),
};

export interface Stack {
  readonly name: string;
  /** Paths of its `.felhom.yml`. */
  readonly paths: readonly string[];
}

export interface StackPlan {
  readonly stop: readonly string[];
  readonly start: readonly string[];
  /** For people, one line per stack that has to stand still. */
  readonly texts: readonly string[];
}

/** Pure. `stopped`: what this duty stopped earlier. */
export function planStacks(
  stacks: readonly Stack[],
  volumes: StorageView['volumes'],
  { running, stopped }: { readonly running: readonly string[]; readonly stopped: readonly string[] },
): StackPlan {
  const [stop, start, texts]: [string[], string[], string[]] = [[], [], []];
  for (const { name, paths } of stacks) {
    const bad = paths.flatMap((path) => {
      const mount = mountOf(path, volumes);
      return mount === undefined || mount.state === 'attached' ? [] : [mount];
    });
    if (bad.length === 0) {
      if (stopped.includes(name)) start.push(name);
      continue;
    }
    if (running.includes(name)) stop.push(name);
    if (!running.includes(name) && !stopped.includes(name)) continue;
    const what = [...new Set(bad.map((one) => `${one.name} is ${words[one.state]}`))].join(', ');
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
  /** `texts`: for people, empty where all apps have what they need. */
  | { readonly is: 'looked'; readonly texts: readonly string[]; readonly usesVolumes: boolean }
  /** Nobody said how the volumes are: everything stays as it is. */
  | { readonly is: 'not-told' };

export async function lookAfterVolumes(needs: VolumeNeeds, signal: AbortSignal): Promise<VolumeLook> {
  const { client, files, apps } = needs;
  const stacks = await stacksOf(files);
  const held = await readRecord(files, record);
  // Of what cannot be read nobody knows what people had stopped.
  const before = held.is === 'held' ? held.value.stacks : [];
  const usesVolumes = stacks.some(({ paths }) => paths.length > 0);
  if (!usesVolumes && before.length === 0) return { is: 'looked', texts: [], usesVolumes };
  const storage = await client.storage({}, signal);
  if (storage.is !== 'ok') return { is: 'not-told' };
  const stopped = before.filter((name) => stacks.some((stack) => stack.name === name));
  const plan = planStacks(stacks, storage.value.volumes, { running: await apps.running(), stopped });
  const texts = [...plan.texts];
  const noted = [...new Set([...stopped, ...plan.stop])];
  const keep = async (names: readonly string[], was: readonly string[]): Promise<void> => {
    if (names.join() !== was.join()) await writeRecord(files, record, { v: 1, stacks: [...names] });
  };
  await keep(noted, before);
  for (const name of plan.stop) {
    const ended = await apps.stop(name);
    if (ended.is === 'failed') texts.push(`cannot stop ${name}: ${ended.text}`);
  }
  const gone: string[] = [];
  for (const name of plan.start) {
    const begun = await apps.start(name);
    // On record still: it is tried again.
    if (begun.is === 'failed') texts.push(`cannot start ${name}: ${begun.text}`);
    else gone.push(name);
  }
  await keep(
    noted.filter((name) => !gone.includes(name)),
    noted,
  );
  return { is: 'looked', texts, usesVolumes };
}

/** A file that does not read names no volumes; whoever deploys it hears of it. */
async function stacksOf(files: GuestFiles): Promise<readonly Stack[]> {
  const found: Stack[] = [];
  for (const { name, kind } of await files.list(guestPaths.stacks)) {
    if (kind !== 'directory') continue;
    const bytes = await files.read(`${guestPaths.stacks}/${name}/.felhom.yml`, longestFelhomFile);
    const file = bytes === undefined ? undefined : parseFelhomFile(new TextDecoder().decode(bytes));
    found.push({ name, paths: file?.is === 'ok' ? file.value.volumes.map(({ path }) => path) : [] });
  }
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
