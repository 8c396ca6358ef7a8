/**
 * The own backup of a bulk volume: no backup of the guest holds it, so the controller copies it to a target of its own and
 * looks whether the copy is the same [R25]. A copy is made beside the older ones and gets its name when it is whole.
 * Apps go on meanwhile: a file that changes while it is copied is copied as it was found and named in the report.
 */
import type { LocalInput } from '../client/client.ts';
import type { Clock, GuestFiles } from '../ports.ts';
import { paddedJson } from '../record.ts';
import type { DueBackup, DutyNeeds } from './backup-duty.ts';
import { mountOf } from './placement.ts';
import type { StorageView } from './placement.ts';

const keptCopies = 3;
const maxEntries = 5_000_000;
const partial = '.partial';

interface Copied {
  files: number;
  bytes: number;
  /** Files whose copy is not what lies there now. */
  differing: number;
}

/** `target`: folder on a mount of its own, from the controller's configuration. Always reports, also what failed. */
export async function doBulkBackup(
  needs: DutyNeeds,
  due: DueBackup,
  target: string | undefined,
  signal: AbortSignal,
): Promise<LocalInput<'bulk'>> {
  const at = needs.clock.now();
  const name = due.volume ?? '';
  const report = { volume: name, due: due.id, at, snapshot: snapshotName(at), sizeBytes: 0, files: 0 };
  const storage = await needs.client.storage({}, signal);
  const source = storage.is === 'ok' ? storage.value.volumes.find((one) => one.name === name) : undefined;
  const objection =
    source === undefined
      ? `the host knows no volume ${name}`
      : objectionTo(source.path, target, storage.is === 'ok' ? storage.value.volumes : []);
  const done =
    objection !== undefined || source === undefined || target === undefined
      ? { ...report, failed: objection ?? 'there is nothing to copy' }
      : { ...report, ...(await copyAside(needs, source.path, `${target}/${name}`, report.snapshot, signal)) };
  const told = await needs.client.bulk(done, signal, { idempotencyKey: `bulk-${due.id}` });
  if (told.is !== 'ok') needs.say(`cannot report the backup of ${name}`);
  return done;
}

/** Pure. A copy on the disk that it protects against, or inside what it copies, is none. */
export function objectionTo(
  source: string,
  target: string | undefined,
  volumes: StorageView['volumes'],
): string | undefined {
  if (target === undefined) return 'no target is configured: set bulk_target to a folder on a mount of its own';
  if (target === source || target.startsWith(`${source}/`)) return 'its target lies inside the volume itself';
  const mount = mountOf(target, volumes);
  if (mount === undefined || mount.path === '/') return `its target ${target} is not on a mount of its own`;
  return mount.path === source ? 'its target lies inside the volume itself' : undefined;
}

async function copyAside(
  { files, clock }: { readonly files: GuestFiles; readonly clock: Clock },
  source: string,
  folder: string,
  snapshot: string,
  signal: AbortSignal,
): Promise<Partial<LocalInput<'bulk'>>> {
  const unfinished = `${folder}/${snapshot}${partial}`;
  // Left by a copy that nobody finished.
  for (const { name } of await files.list(folder)) if (name.endsWith(partial)) await files.remove(`${folder}/${name}`);
  await files.makeFolder(unfinished);
  const copied: Copied = { files: 0, bytes: 0, differing: 0 };
  const failed = await copyTree(files, source, `${unfinished}/data`, copied, signal);
  if (failed !== undefined) {
    await files.remove(unfinished);
    return { failed };
  }
  await files.write(`${unfinished}/manifest.json`, paddedJson({ v: 1, source, ...copied, at: clock.now() }), 0o600);
  await files.rename(unfinished, `${folder}/${snapshot}`);
  await dropOldest(files, folder);
  const result = { sizeBytes: copied.bytes, files: copied.files, checkedAt: clock.now() };
  return copied.differing === 0
    ? result
    : {
        sizeBytes: copied.bytes,
        files: copied.files,
        failed: `${copied.differing} files changed while they were copied`,
      };
}

async function copyTree(
  files: GuestFiles,
  from: string,
  to: string,
  copied: Copied,
  signal: AbortSignal,
): Promise<string | undefined> {
  let entries = 0;
  const open = [''];
  await files.makeFolder(to);
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    for (const { name, kind, mount } of await files.list(`${from}${folder}`)) {
      signal.throwIfAborted();
      entries += 1;
      if (entries > maxEntries) return `it holds more than ${maxEntries} entries`;
      const path = `${folder}/${name}`;
      if (kind === 'directory' && !mount) {
        await files.makeFolder(`${to}${path}`);
        open.push(path);
      }
      if (kind === 'link') await files.copyLink(`${from}${path}`, `${to}${path}`);
      if (kind === 'file') await copyChecked(files, `${from}${path}`, `${to}${path}`, copied);
    }
  }
  return undefined;
}

async function copyChecked(files: GuestFiles, from: string, to: string, copied: Copied): Promise<void> {
  await files.copyFile(from, to);
  const [was, is] = [await files.digest(from), await files.digest(to)];
  copied.files += 1;
  copied.bytes += is?.sizeBytes ?? 0;
  if (is === undefined || was?.sha256 !== is.sha256) copied.differing += 1;
}

async function dropOldest(files: GuestFiles, folder: string): Promise<void> {
  const names = (await files.list(folder)).map(({ name }) => name).filter((name) => /^\d{8}T\d{6}Z$/.test(name));
  for (const name of names.toSorted().slice(0, -keptCopies)) await files.remove(`${folder}/${name}`);
}

/** `20261124T031500Z` */
const snapshotName = (at: number): string => new Date(at).toISOString().replaceAll(/[-:]|\.\d{3}/g, '');
