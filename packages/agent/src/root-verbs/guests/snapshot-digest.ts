/**
 * `archive-digest` of a snapshot on Proxmox Backup Server: what its index says, which names each of its files with size and
 * checksum. The server may write into the `unprotected` part of an index at any time (notes, its own verification), and
 * the signature of an encrypted one leaves it out too, so the digest does.
 * PBS: pbs-datastore manifest.rs.
 */
import { canonicalDigest } from '@felhom/protocol';
import type { CanonicalValue, VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { HostCommand } from '../../ports/host-command.ts';
import type { ArchiveDigest } from '../../ports/host-helper.ts';
import { said } from './answer.ts';
import type { NodePlaces } from './node-guests.ts';
import { pbsSnapshot } from './pbs-client.ts';

export type SnapshotAnswer =
  | { readonly is: 'done'; readonly archive: ArchiveDigest }
  | { readonly is: 'refused' | 'busy' | 'absent'; readonly text: string };

/**
 * `absent` only where the server shows others of the same group: groups belong to the token that made them, so one that is
 * empty may as well be one that this token does not see.
 */
export async function snapshotDigest(places: NodePlaces, env: HostCommand, archive: VolumeId): Promise<SnapshotAnswer> {
  const say = said(`cannot read ${archive}`);
  const found = say.proof(() => pbsSnapshot(places, env, archive));
  if (found.is !== 'found') return say.not(found);
  const { snapshot, group, takenAt, repository, key, client } = found.pbs;
  try {
    const listed = await client('snapshot', 'list', group, '--output-format', 'json');
    if (listed.code !== 0) return say.not({ is: 'busy', why: listed.stderr });
    const others = snapshots.parse(JSON.parse(listed.stdout));
    if (!others.some((one) => one['backup-time'] === takenAt))
      return others.length === 0
        ? say.not({ is: 'busy', why: `the server shows nothing of ${group}` })
        : { is: 'absent', text: `cannot read ${archive}: the server has no such snapshot of ${group}` };
    // With a key the client checks the signature and that it is the key of this snapshot.
    const read = await client(
      'restore',
      snapshot,
      'index.json',
      '-',
      ...(key === undefined ? [] : ['--keyfile', key.file]),
    );
    if (read.code !== 0) return say.not({ is: 'busy', why: read.stderr });
    const { unprotected: _, ...protectedPart } = index.parse(JSON.parse(read.stdout));
    return {
      is: 'done',
      archive: {
        kind: 'pbs-index',
        sizeBytes: protectedPart.files.reduce((sum, { size }) => sum + size, 0),
        sha256: canonicalDigest(protectedPart as CanonicalValue),
        device: repository.slice(0, 200),
      },
    };
  } catch (error) {
    // Words of a parser would show what is in an index.
    const unreadable = error instanceof SyntaxError || error instanceof z.ZodError;
    return say.not({ is: 'busy', why: unreadable ? 'the client answered something else' : String(error) });
  }
}

const snapshots = z.array(z.object({ 'backup-time': z.number().int() })).max(100_000);

const index = z.looseObject({
  files: z
    .array(
      z.looseObject({ filename: z.string(), size: z.number().int().min(0), csum: z.string().regex(/^[0-9a-f]{64}$/) }),
    )
    .min(1),
  unprotected: z.unknown().optional(),
});
