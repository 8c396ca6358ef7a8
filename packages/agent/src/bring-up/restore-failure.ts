/** Why a restore task failed, in words that lead somewhere. Pure. */
import { reason } from '@felhom/protocol';
import type { ErrorCode, Reason } from '@felhom/protocol';
import type { RestoreWords } from './restore-state.ts';

/**
 * From the texts that Proxmox and its tools print into the task. Space comes first, because tar reports
 * a full disk and a damaged archive with the same exit code.
 */
export function restoreFailure(
  { guest, source }: Pick<RestoreWords, 'guest' | 'source'>,
  exitStatus: string,
  logTail: readonly string[],
): Reason {
  const text = [exitStatus, ...logTail].join('\n');
  const said = (code: ErrorCode, why: string): Reason =>
    reason(code, `cannot restore ${guest}: ${why}`, [exitStatus, ...logTail].slice(-8).join('\n').slice(0, 1500));
  if (/no space left|not enough (?:free )?space|out of space|insufficient free space/i.test(text))
    return said('pve.no-space', 'the storage ran full while unpacking; free space on it or choose another');
  if (/permission check failed/i.test(text))
    return said('pve.forbidden', 'Proxmox refuses it to this token; run felhom-agent doctor');
  if (/only possible for root|privileged container/i.test(text))
    return said('guest.archive-refused', 'the archive needs root to restore');
  if (/unable to activate storage|storage '[^']*' (?:does not exist|is not online|is disabled)/i.test(text))
    return said('pve.storage-offline', 'a storage it needs is not available');
  if (/volume '[^']*' does not exist|no such (?:volume|file)/i.test(text))
    return source === 'golden'
      ? said('guest.golden-absent', 'the archive is gone; place the golden again')
      : said('guest.backup-absent', 'the archive is gone; take another backup of this guest');
  if (/received interrupt|interrupted by signal/i.test(text))
    return said('guest.restore-died', 'somebody stopped the task');
  if (/zstd|gzip|lzop|unexpected e(?:nd|of)|corrupt|checksum|\btar\b/i.test(text))
    return said(
      'guest.archive-corrupt',
      `the archive cannot be unpacked; ${source === 'golden' ? 'place the golden again from a good copy' : 'use another backup'}`,
    );
  return said('guest.restore-failed', 'the task failed');
}
