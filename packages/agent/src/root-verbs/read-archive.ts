/**
 * `archive-digest`: SHA-256 and size of a finished archive, read back whole, and what lies under its path [R8]. Takes
 * volume ids of backups only, so that nobody learns by it what is in another file. Archives in files; of snapshots on PBS see
 * `guests/snapshot-digest.ts`.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { Digest, VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { ArchiveDigest } from '../ports/host-helper.ts';
import type { HostCommand } from '../ports/host-command.ts';

export interface ArchiveCommands {
  readonly pvesm: HostCommand;
  readonly findmnt: HostCommand;
  readonly dd: HostCommand;
}

export type ArchiveAnswer =
  { readonly is: 'done'; readonly archive: ArchiveDigest } | { readonly is: Not; readonly text: string };

type Not = 'refused' | 'busy' | 'absent';

/** A backup of a container or of a machine, as vzdump names them, in a file. */
const backupId = /^([A-Za-z][A-Za-z0-9_.-]*):backup\/(vzdump-(?:lxc|qemu)-\d+-[A-Za-z0-9_.-]+)$/;

const pieceBytes = 4 * 1024 * 1024;

/** `absent` where there is no such archive on a storage that is active; `busy` for whatever may be otherwise later. */
export async function archiveDigest(
  commands: ArchiveCommands,
  archive: VolumeId,
  signal: AbortSignal,
): Promise<ArchiveAnswer> {
  const say = (is: Not, why: string): ArchiveAnswer => ({
    is,
    text: `cannot read ${archive}: ${why.trim().slice(0, 500)}`,
  });
  const [, storage, file] = backupId.exec(archive) ?? [];
  if (storage === undefined || file === undefined) return say('refused', 'it is not the volume id of a backup');
  try {
    // What is not mounted shows an empty folder, and nothing in an empty folder is gone.
    const standing = await commands.pvesm(['status', '--storage', storage]);
    if (standing.code !== 0) return say('busy', standing.stderr);
    if (!isActive(standing.stdout, storage)) return say('busy', `storage ${storage} is not active`);
    const named = await commands.pvesm(['path', archive]);
    if (named.code !== 0) return say('busy', named.stderr);
    const path = named.stdout.trim();
    if (!isAbsolute(path) || !path.endsWith(`/${file}`)) return say('busy', 'Proxmox names no file for it');
    const mounted = await commands.findmnt(['--json', '--target', path, '--output', 'SOURCE,UUID,FSTYPE']);
    const device = mounted.code === 0 ? deviceOf(mounted.stdout) : undefined;
    if (device === undefined) return say('busy', `what lies under ${path} cannot be told: ${mounted.stderr}`);
    const read = await readBack(path, commands.dd, signal);
    return read.is === 'read'
      ? { is: 'done', archive: { kind: 'file', sizeBytes: read.sizeBytes, sha256: read.sha256, device } }
      : say(read.is, read.why);
  } catch (error) {
    return say('busy', error instanceof Error ? error.message : String(error));
  }
}

/** `Name Type Status …`, a line for each storage. PVE: CLI/pvesm.pm print_storage_status. */
function isActive(table: string, storage: string): boolean {
  return table.split('\n').some((line) => {
    const [name, , status] = line.trim().split(/\s+/);
    return name === storage && status === 'active';
  });
}

const findmnt = z.object({
  filesystems: z
    .array(z.object({ source: z.string().min(1), uuid: z.string().nullish(), fstype: z.string().min(1) }))
    .min(1),
});

/** By UUID, because names of devices change with the order in which disks are found. */
function deviceOf(json: string): string | undefined {
  const [found] = findmnt.parse(JSON.parse(json)).filesystems.slice(-1);
  if (found === undefined) return undefined;
  const uuid = found.uuid ?? '';
  return `${found.fstype}:${uuid === '' ? found.source : uuid}`.slice(0, 200);
}

type ReadBack =
  | { readonly is: 'read'; readonly sizeBytes: number; readonly sha256: Digest }
  | { readonly is: Not; readonly why: string };

async function readBack(path: string, dd: HostCommand, signal: AbortSignal): Promise<ReadBack> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOENT') return { is: 'absent', why: 'there is no such archive' };
    return code === 'ELOOP' ? { is: 'refused', why: 'it is a link' } : { is: 'busy', why: String(error) };
  }
  try {
    const before = await file.stat();
    if (!before.isFile()) return { is: 'refused', why: 'it is no file' };
    // From the device and not from memory: written out first, because only clean pages can be let go.
    await file.sync();
    await dd([`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
    const hash = createHash('sha256');
    const piece = Buffer.allocUnsafe(pieceBytes);
    let sizeBytes = 0;
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(piece, 0, pieceBytes, sizeBytes);
      if (bytesRead === 0) break;
      hash.update(piece.subarray(0, bytesRead));
      sizeBytes += bytesRead;
    }
    const after = await file.stat();
    if (sizeBytes !== before.size || after.size !== before.size || after.mtimeMs !== before.mtimeMs)
      return { is: 'busy', why: 'it was written while it was read' };
    return { is: 'read', sizeBytes, sha256: hash.digest('hex') as Digest };
  } finally {
    await file.close();
  }
}
