/** Backup and restore jobs: their shape is known, their machinery comes later. */
import { timeText } from '../time-text.ts';
import { guestWords, jobGuest, listOption, meaning, operand, requiredOption, wholeNumber } from './job-file.ts';
import type { Given, JobFile } from './job-file.ts';

const backupOptions = [
  ['--archive <volume>', 'volume id of the archive'],
  ['--sha256 <digest>', 'SHA-256 of its bytes: a name can be given to other bytes'],
] as const;
const backupOf = (given: Given) => ({
  archive: requiredOption(given, 'archive'),
  sha256: requiredOption(given, 'sha256'),
});
const backupWords = (backup: { readonly archive: string; readonly sha256: string }): string =>
  `backup ${backup.archive} with SHA-256 ${backup.sha256}`;
const guestOperand = ['<guest>', 'name of the guest'] as const;

export const forceBackup: JobFile<'force-backup'> = {
  kind: 'force-backup',
  later: true,
  commands: [
    {
      name: 'force-backup',
      about: 'back up a guest now, beyond its quota',
      operands: [guestOperand],
      options: [['--tier <tier>', 'which tier of backups']],
      params: (host, given) => ({ guest: jobGuest(host, operand(given, 0)), tier: requiredOption(given, 'tier') }),
    },
  ],
  meaning: ({ guest, tier }, host) => meaning(`back up ${guestWords(host, guest)} now to tier ${tier}`),
};

export const restoreOverwrite: JobFile<'restore-overwrite'> = {
  kind: 'restore-overwrite',
  later: true,
  commands: [
    {
      name: 'restore-overwrite',
      about: 'put a backup in the place of a guest; the guest before is kept for an undo',
      operands: [guestOperand],
      options: [...backupOptions, ['--undo-hours <hours>', 'how long it can be undone, 1 to 720']],
      params: (host, given) => ({
        guest: jobGuest(host, operand(given, 0)),
        backup: backupOf(given),
        undoHours: wholeNumber(requiredOption(given, 'undoHours'), '--undo-hours'),
      }),
    },
  ],
  meaning: ({ guest, backup, undoHours }, host) =>
    meaning(`replace ${guestWords(host, guest)} with ${backupWords(backup)}`, {
      loses: [`what the guest holds now that is not in the backup, once the ${undoHours} hours for an undo are over`],
      notes: ['Bulk volumes have one history: files written there stay as they are, whatever is undone.'],
      classes: ['destroy'],
    }),
};

export const restoreInPlace: JobFile<'restore-in-place'> = {
  kind: 'restore-in-place',
  later: true,
  commands: [
    {
      name: 'restore-in-place',
      about: 'put a backup over a guest, without an undo',
      operands: [guestOperand],
      options: backupOptions,
      params: (host, given) => ({ guest: jobGuest(host, operand(given, 0)), backup: backupOf(given) }),
    },
  ],
  meaning: ({ guest, backup }, host) =>
    meaning(`write ${backupWords(backup)} over ${guestWords(host, guest)}`, {
      loses: ['what the guest holds now that is not in the backup, at once and for good'],
      classes: ['destroy', 'removal'],
      atLeast: 2,
    }),
};

export const restoreCopy: JobFile<'restore-copy'> = {
  kind: 'restore-copy',
  later: true,
  commands: [
    {
      name: 'restore-copy',
      about: 'restore a backup as a new guest with an identity of its own',
      operands: [['<name>', 'name of the new guest']],
      options: backupOptions,
      params: (_, given) => ({ backup: backupOf(given), name: operand(given, 0), identity: 'fresh' }),
    },
  ],
  meaning: ({ backup, name }) =>
    meaning(`restore ${backupWords(backup)} as a new guest ${name} with a fresh identity`, {
      widens: ['The data of the backup is then in a second place.'],
      classes: ['disclose'],
    }),
};

export const rollback: JobFile<'rollback'> = {
  kind: 'rollback',
  later: true,
  commands: [
    {
      name: 'rollback',
      about: 'put a guest back to a snapshot',
      operands: [guestOperand],
      options: [
        ['--snapshot <name>', 'name of the snapshot'],
        ['--taken-at <ms>', 'when it was taken, milliseconds since the epoch'],
        ['--volume <volume...>', 'volumes that are reverted'],
      ],
      params: (host, given) => ({
        guest: jobGuest(host, operand(given, 0)),
        snapshot: requiredOption(given, 'snapshot'),
        takenAt: wholeNumber(requiredOption(given, 'takenAt'), '--taken-at'),
        volumes: [...new Set(listOption(given, 'volume'))].sort(),
      }),
    },
  ],
  meaning: ({ guest, snapshot, takenAt, volumes }, host) => {
    const since = timeText(takenAt);
    return meaning(`put ${guestWords(host, guest)} back to snapshot ${snapshot}`, {
      loses: volumes.map((volume) => `what was written to ${volume} since ${since}`),
      classes: ['destroy'],
    });
  },
};

export const backupDelete: JobFile<'backup-delete'> = {
  kind: 'backup-delete',
  later: true,
  commands: [
    {
      name: 'backup-delete',
      about: 'delete a backup',
      operands: [],
      options: backupOptions,
      params: (_, given) => ({ backup: backupOf(given) }),
    },
  ],
  meaning: ({ backup }) => meaning(`delete ${backupWords(backup)}`, { loses: [backup.archive], classes: ['destroy'] }),
};

export const backupUnprotect: JobFile<'backup-unprotect'> = {
  kind: 'backup-unprotect',
  later: true,
  commands: [
    {
      name: 'backup-unprotect',
      about: 'take the protection off a backup',
      operands: [],
      options: backupOptions,
      params: (_, given) => ({ backup: backupOf(given) }),
    },
  ],
  meaning: ({ backup }) =>
    meaning(`take the protection off ${backupWords(backup)}`, {
      loses: ['its protection: ordinary pruning may then delete it'],
      classes: ['destroy'],
    }),
};
