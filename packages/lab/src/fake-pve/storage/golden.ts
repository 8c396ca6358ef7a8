// Puts archives and templates into a storage, as a golden build or a person with a file does.
import { fileMember, directoryMember, symlinkMember, type Member } from './disk/disk.ts';
import { archiveBase, pbsName } from './naming.ts';
import type { Storage } from './room.ts';
import { archiveMembers } from './vzdump/vzdump-tree.ts';

export interface PlacedArchive {
  /** Text of `pct.conf`. */
  readonly config: string;
  readonly firewall?: string;
  /** The root filesystem; `goldenFiles()` when absent. */
  readonly files?: readonly Member[];
  /** Replaces everything: the exact members in their order, for archives that vzdump would never write. */
  readonly rawMembers?: readonly Member[];
  readonly notes?: string;
}

/** A small root filesystem: what a golden must have for identity resets to mean something. */
export function goldenFiles(): readonly Member[] {
  return [
    directoryMember('./'),
    directoryMember('./etc'),
    fileMember('./etc/hostname', 'golden\n'),
    fileMember('./etc/machine-id', '', { mode: 0o444 }),
    fileMember('./etc/os-release', 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'),
    directoryMember('./sbin'),
    fileMember('./sbin/init', '#!/bin/sh\nexec sleep infinity\n', { mode: 0o755 }),
    directoryMember('./srv'),
    fileMember('./srv/README', 'Data of the customer goes here.\n'),
    directoryMember('./usr'),
    directoryMember('./usr/lib'),
    symlinkMember('./usr/lib/os-release', '../../etc/os-release'),
  ];
}

/** Writes a backup of `vmid` made at `atMs` and answers its volume id. */
export async function placeArchive(
  room: Storage,
  storage: string,
  vmid: number,
  atMs: number,
  archive: PlacedArchive,
): Promise<string> {
  const pbs = room.type(storage) === 'pbs';
  const file = pbs ? pbsName(vmid, atMs) : `${archiveBase(vmid, atMs, room.localOffset)}.tar.zst`;
  const trees = [{ at: '/', members: archive.files ?? goldenFiles() }];
  const members = archive.rawMembers ?? archiveMembers(archive.config, archive.firewall, trees, []);
  const free = room.freeBytes(storage);
  const path = room.archives.diskPath(storage, file);
  const written = await room.disk.writeArchive(path, members, 'zstd', free);
  if (written.is === 'no-space')
    throw new Error(`cannot place ${file} on ${storage}: no space left (${free} bytes free)`);
  room.archives.seal(storage, path);
  const volid = `${storage}:backup/${file}`;
  if (archive.notes !== undefined) room.archives.setNotes(volid, archive.notes);
  return volid;
}

/** Writes a container template `{storage}:vztmpl/{file}`. */
export async function placeTemplate(
  room: Storage,
  storage: string,
  file: string,
  files: readonly Member[] = goldenFiles(),
): Promise<string> {
  const path = room.diskPath(storage, `template/cache/${file}`);
  await room.disk.writeArchive(path, files, 'zstd', room.freeBytes(storage));
  return `${storage}:vztmpl/${file}`;
}
