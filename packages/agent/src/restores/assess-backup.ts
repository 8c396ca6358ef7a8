/**
 * Whether an archive is the one that was signed for, and can be restored at all: it is listed with the size that it
 * had, its bytes are those of the digest, read back now, and its own config carries nothing that no guest may have [R8].
 * Reads only.
 */
import { reason } from '@felhom/protocol';
import type { Digest, GuestUid, VolumeId } from '@felhom/protocol';
import { riskReport } from '../bring-up/index.ts';
import type { BackupRecord } from '../catalogue/index.ts';
import { storageOf } from '../guests/pve-config.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, StepContext } from '../kernel/saga.ts';
import type { RestoreNeeds } from './needs.ts';

type Reading = Pick<StepContext<unknown, object, RestoreNeeds>, 'needs' | 'progress'>;

export interface SoundBackup {
  readonly archivedConfig: string;
  /** As the catalogue has it; a signed job may name bytes that it does not know. */
  readonly record: BackupRecord | undefined;
  readonly pveVersion: string;
}

export async function assessBackup(
  ctx: Reading,
  guest: { readonly uid: GuestUid; readonly name: string },
  { archive, sha256 }: { readonly archive: VolumeId; readonly sha256: Digest },
  signal: AbortSignal,
): Promise<Outcome<SoundBackup>> {
  const { needs } = ctx;
  const cannot = `cannot restore guest ${guest.name}`;
  const record = needs.catalogue.byArchive(archive);
  if (record !== undefined && record.guest !== guest.uid)
    return refused(reason('restore.refused', `${cannot}: ${archive} is a backup of another guest`));
  if (record !== undefined && record.sha256 !== sha256)
    return refused(
      reason('job.changed', `${cannot}: ${archive} on record has other bytes than those that were signed for`),
    );
  ctx.progress({ text: `reading ${archive} back` });
  const listed = await needs.stores.contents(storageOf(archive), { content: 'backup' }, signal);
  if (listed.is !== 'done') return listed;
  const item = listed.value.find(({ volid }) => volid === archive);
  if (item === undefined)
    return refused(
      reason('guest.backup-absent', `${cannot}: ${archive} is not listed; it is gone, or may not be seen`),
    );
  if (record !== undefined && item.sizeBytes !== record.sizeBytes)
    return refused(
      reason(
        'guest.backup-changed',
        `${cannot}: ${archive} has ${item.sizeBytes} bytes, ${record.sizeBytes} when it was taken`,
      ),
    );
  const bytes = await needs.helper.archiveDigest(archive, signal);
  if (bytes.is !== 'done') return bytes;
  if (bytes.value.sha256 !== sha256)
    return refused(
      reason('guest.backup-changed', `${cannot}: the bytes of ${archive} are not those that were signed for`),
    );
  const archived = await needs.stores.extractConfig(archive, signal);
  if (archived.is !== 'done') return archived;
  const { refusals } = riskReport(archived.value);
  if (refusals.length > 0)
    return refused(
      reason(
        'guest.archive-refused',
        `${cannot}: ${archive} carries what no guest may have`,
        refusals.map(({ text }) => text).join('\n'),
      ),
    );
  const version = await needs.node.version(signal);
  if (version.is !== 'done') return version;
  return done({ archivedConfig: archived.value, record, pveVersion: version.value.version });
}
