/** What people are told of single copies: those that are not good any more, and those that were not taken as planned. */
import type { Finding, GuestName, GuestUid } from '@felhom/protocol';
import { findingOfIntegrity, findingOfMode } from '../backups/index.ts';
import type { BackupRecord } from '../catalogue/index.ts';

/** `nameOf`: of guests on record; of the others nobody asks. */
export const copyFindings = (
  records: readonly BackupRecord[],
  nameOf: (guest: GuestUid) => GuestName | undefined,
): readonly Finding[] =>
  records.flatMap((record) => {
    const name = nameOf(record.guest);
    if (name === undefined) return [];
    return [findingOfIntegrity(record), findingOfMode(record)].flatMap((why): readonly Finding[] =>
      why === undefined
        ? []
        : [
            {
              key: why.code,
              severity: why.code === 'backup.fell-back' ? 'info' : 'critical',
              subject: `${name} ${record.archive}`.slice(0, 120),
              text: why.text.slice(0, 1000),
              advice: {
                text: 'The next backup is taken as planned; felhom backups shows what is left to restore from.',
              },
              since: record.integrity?.at ?? record.takenAt,
            },
          ],
    );
  });
