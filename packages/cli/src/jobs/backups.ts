/** Jobs about backups: one more, one deleted, one without its protection. By their bytes [R8]. */
import { timeText } from '../time-text.ts';
import type { VerifiedHost } from '../verified-host.ts';
import { backupGiven, backupOptions, backupWords, copyNotes, copyOf } from './backup-choice.ts';
import type { BackupBytes } from './backup-choice.ts';
import { guestWords, jobGuest, meaning, operand, requiredOption } from './job-file.ts';
import type { Given, JobFile } from './job-file.ts';

const guestOperand = ['<guest>', 'name of the guest'] as const;

export const forceBackup: JobFile<'force-backup'> = {
  kind: 'force-backup',
  commands: [
    {
      name: 'force-backup',
      about: 'back up a guest now, beyond its quota',
      operands: [guestOperand],
      options: [['--tier <tier>', 'which tier of backups']],
      params: (host, given) => ({ guest: jobGuest(host, operand(given, 0)), tier: requiredOption(given, 'tier') }),
    },
  ],
  meaning: ({ guest, tier }, host) => {
    const line = host.report.backups.find((one) => one.uid === guest.uid && one.tier === tier);
    return meaning(`back up ${guestWords(host, guest)} now to tier ${tier}`, {
      notes: [
        line === undefined
          ? `The host reports no tier ${tier} for this guest: it may refuse.`
          : `The newest copy there: ${line.newest === undefined ? 'none' : `of ${timeText(line.newest.at)} UTC`}.`,
        'It waits for its turn: one heavy piece of work at a time on a storage, and one backup on a node.',
      ],
    });
  },
};

const chosen = (host: VerifiedHost, given: Given) => {
  const name = operand(given, 0);
  return { guest: jobGuest(host, name), backup: backupGiven(host, name, given) };
};

export const backupDelete: JobFile<'backup-delete'> = {
  kind: 'backup-delete',
  commands: [
    {
      name: 'backup-delete',
      about: 'delete a backup of a guest for good',
      operands: [guestOperand],
      options: backupOptions,
      params: chosen,
    },
  ],
  meaning: ({ guest, backup }, host) =>
    meaning(`delete ${backupWords(host, backup)}, of ${guestWords(host, guest)}`, {
      loses: [`${backup.archive}: this copy, for good`],
      notes: [...otherGuest(host, guest, backup), ...left(host, guest, backup), ...copyNotes(host, backup)],
      classes: ['destroy'],
    }),
};

export const backupUnprotect: JobFile<'backup-unprotect'> = {
  kind: 'backup-unprotect',
  commands: [
    {
      name: 'backup-unprotect',
      about: 'take the protection off a backup of a guest',
      operands: [guestOperand],
      options: backupOptions,
      params: chosen,
    },
  ],
  meaning: ({ guest, backup }, host) =>
    meaning(`take the protection off ${backupWords(host, backup)}, of ${guestWords(host, guest)}`, {
      loses: [`${backup.archive}: its protection; ordinary pruning may then delete it`],
      notes: [
        ...otherGuest(host, guest, backup),
        ...(copyOf(host, backup)?.protected === false ? ['The host reports it as not protected already.'] : []),
        ...copyNotes(host, backup),
      ],
      classes: ['destroy'],
    }),
};

/** A warning where the bytes are reported as a copy of somebody else. */
export function otherGuest(host: VerifiedHost, guest: { readonly uid: string }, backup: BackupBytes): string[] {
  const copy = copyOf(host, backup);
  return copy === undefined || copy.uid === guest.uid
    ? []
    : [`The host reports it as a copy of guest ${copy.guest} (uid ${copy.uid}): it will refuse.`];
}

function left(host: VerifiedHost, guest: { readonly uid: string }, backup: BackupBytes): string[] {
  const copy = copyOf(host, backup);
  const others = host.report.copies.filter((one) => one.uid === guest.uid && one.archive !== backup.archive);
  const proven = others.filter((one) => one.proven).length;
  return [
    ...(copy?.protected === true ? ['It is protected: the host refuses until felhom job backup-unprotect.'] : []),
    others.length === 0
      ? 'It is the ONLY copy of this guest that the host reports.'
      : proven === 0
        ? `None of the ${others.length} others that the host reports was ever PROVEN.`
        : `${others.length} others are reported, ${proven} of them proven.`,
  ];
}
