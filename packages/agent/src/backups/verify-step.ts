/**
 * Whether a finished archive is what was written: as listed right after its end, as listed now, and as read back from
 * the device must be one size, on the declared device; its SHA-256 is what counts from now on [R8].
 */
import { reason } from '@felhom/protocol';
import type { StoreItem } from '../ports/proxmox.ts';
import type { ArchiveDigest } from '../ports/host-helper.ts';
import { parseArchivedConfig, riskReport } from '../bring-up/risk-report.ts';
import type { BackupRecord } from '../catalogue/backup-record.ts';
import { patiently } from '../guests/settle.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { BackupContext, Partly } from './backup-state.ts';
import { parseNotes } from './notes.ts';

export async function verify(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { params, state, needs } = ctx;
  const { archive, vmid } = state;
  if (archive === undefined || vmid === undefined) throw new Error('cannot verify a backup: its journal names none');
  const items = await needs.stores.contents(params.storage, { content: 'backup', vmid }, signal);
  if (items.is !== 'done') return unknown(items.why);
  const item = items.value.find(({ volid }) => volid === archive);
  if (item === undefined || parseNotes(item.notes)?.id !== state.id)
    return refused(reason('backup.not-listed', `cannot count ${archive}: it is no longer listed with its nonce`));
  ctx.progress({ text: `reading ${archive} back from its device` });
  const read = await patiently(ctx, `reading ${archive} back`, signal, () =>
    needs.helper.archiveDigest(archive, signal),
  );
  if (read.is === 'unknown') return read;
  if (read.is === 'refused')
    return refused(reason('backup.damaged', `cannot count ${archive}: it cannot be read back`, read.why.text));
  const problem = problemOf(item, state.sizeBytes, read.value, needs.tierOf(params.tier)?.device);
  if (problem !== undefined) return refused(problem);
  const config = await needs.stores.extractConfig(archive, signal);
  if (config.is === 'unknown' && !holdsNoConfig(config.why.text)) return config;
  if (config.is !== 'done')
    return refused(reason('backup.damaged', `cannot count ${archive}: it shows no config`, config.why.text));
  return done({
    sizeBytes: item.sizeBytes,
    sha256: read.value.sha256,
    device: read.value.device,
    protected: item.protected,
    risk: riskOf(config.value),
    ...(item.encrypted === undefined ? {} : { encrypted: item.encrypted }),
  });
}

/** PVE: a die, so a 500 like any other; of an archive that was cut short and still reads to its end nothing else tells. */
export const holdsNoConfig = (text: string): boolean => text.includes('archive contains no configuration file');

/** Why an archive is not what was written; `undefined` = all that is known of it agrees. Sizes in bytes. Pure. */
export function problemOf(
  listed: Pick<StoreItem, 'volid' | 'sizeBytes'>,
  sizeAtEnd: number | undefined,
  read: ArchiveDigest,
  declaredDevice: string | undefined,
) {
  const { volid, sizeBytes } = listed;
  if (declaredDevice !== undefined && read.device !== declaredDevice)
    return reason(
      'backup.wrong-device',
      `cannot count ${volid}: it lies on ${read.device} and not on ${declaredDevice}`,
    );
  if (sizeBytes === 0 || read.sizeBytes === 0) return reason('backup.damaged', `cannot count ${volid}: it is empty`);
  if (sizeAtEnd !== undefined && sizeAtEnd !== sizeBytes)
    return reason(
      'backup.damaged',
      `cannot count ${volid}: it had ${sizeAtEnd} bytes at its end and has ${sizeBytes} now`,
    );
  // Of a PBS snapshot only its signed index is read, whose size says nothing of the archive's.
  if (read.kind === 'file' && read.sizeBytes !== sizeBytes)
    return reason(
      'backup.damaged',
      `cannot count ${volid}: ${sizeBytes} bytes are listed, ${read.sizeBytes} are there`,
    );
  return undefined;
}

/** What restoring an archive with this config would meet. Pure. */
export function riskOf(archivedConfig: string): BackupRecord['risk'] {
  const report = riskReport(archivedConfig);
  return {
    tokenCanRestore: report.tokenCanRestore,
    refusals: report.refusals.map(({ key, text }) => `${key}: ${text}`.slice(0, 300)).slice(0, 40),
    comesBackEmpty: report.comesBackEmpty.map((path) => path.slice(0, 200)).slice(0, 64),
    devices: [...parseArchivedConfig(archivedConfig).keys()].some((key) => /^dev\d+$/.test(key)),
  };
}
