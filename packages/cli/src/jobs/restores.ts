/** Going back: to a backup, beside it, or to a snapshot. What is lost and what is carried over is named, volume by volume. */
import { formatCount } from '@felhom/terminal';
import { timeText } from '../time-text.ts';
import type { VerifiedHost } from '../verified-host.ts';
import { backupGiven, backupOptions, backupWords, copyNotes, copyOf } from './backup-choice.ts';
import type { BackupBytes } from './backup-choice.ts';
import { otherGuest } from './backups.ts';
import { guestNamed, guestWords, jobGuest, listOption, meaning, notShown, operand } from './job-file.ts';
import { requiredOption, usage, wholeNumber } from './job-file.ts';
import type { JobFile } from './job-file.ts';
import { partsNotes, partsOf, restoreParts, undoableOf } from './restore-parts.ts';
import type { RestoreParts } from './restore-parts.ts';

const guestOperand = ['<guest>', 'name of the guest'] as const;

export const restoreOverwrite: JobFile<'restore-overwrite'> = {
  kind: 'restore-overwrite',
  commands: [
    {
      name: 'restore-overwrite',
      about: 'put a backup in the place of a guest; the guest before is kept for an undo',
      operands: [guestOperand],
      options: [...backupOptions, ['--undo-hours <hours>', 'how long it can be undone, 1 to 720']],
      params: (host, given) => {
        const name = operand(given, 0);
        return {
          guest: jobGuest(host, name),
          backup: backupGiven(host, name, given),
          ...restoreParts(host, name),
          undoHours: wholeNumber(requiredOption(given, 'undoHours'), '--undo-hours'),
        };
      },
    },
  ],
  meaning: ({ guest, backup, bulk, lossSet, undoHours }, host) =>
    meaning(`put ${guestWords(host, guest)} back to ${backupWords(host, backup)}`, {
      loses: lossOf(
        host,
        backup,
        lossSet,
        `gone for good once the ${formatCount(undoHours, 'hour')} for an undo are over`,
      ),
      notes: [
        `Until then felhom job undo brings back the guest as it is now.`,
        ...common(host, guest, backup, { bulk, lossSet }, true),
      ],
      classes: ['destroy'],
    }),
};

export const restoreInPlace: JobFile<'restore-in-place'> = {
  kind: 'restore-in-place',
  commands: [
    {
      name: 'restore-in-place',
      about: 'put a proven backup over a guest where there is no room for both; there is NO undo',
      operands: [guestOperand],
      options: backupOptions,
      params: (host, given) => {
        const name = operand(given, 0);
        const [backup, parts] = [backupGiven(host, name, given), restoreParts(host, name)];
        const other = `felhom job restore-overwrite ${host.hostId} ${name} restores with an undo`;
        if (parts.bulk.length > 0)
          throw notShown(`${name} has bulk volumes (${parts.bulk.join(', ')}), which in place cannot be kept`, other);
        if (copyOf(host, backup)?.proven === false)
          throw notShown('no restore-test has proven this copy, and in place there is no way back', other);
        return { guest: jobGuest(host, name), backup, ...parts };
      },
    },
  ],
  meaning: ({ guest, backup, bulk, lossSet }, host) =>
    meaning(`destroy ${guestWords(host, guest)} and put ${backupWords(host, backup)} in its place`, {
      loses: lossOf(host, backup, lossSet, 'gone at once and for good'),
      notes: [
        'There is NO undo: the guest as it is now is destroyed first.',
        ...(bulk.length > 0 ? ['It names bulk volumes, which in place cannot be kept: the host will refuse.'] : []),
        ...common(host, guest, backup, { bulk, lossSet }, false),
      ],
      classes: ['destroy'],
      atLeast: 2,
    }),
};

export const restoreCopy: JobFile<'restore-copy'> = {
  kind: 'restore-copy',
  commands: [
    {
      name: 'restore-copy',
      about: 'restore a backup of a guest as a new guest with an identity of its own',
      operands: [guestOperand],
      options: [['--as <name>', 'name of the new guest'], ...backupOptions],
      params: (host, given) => {
        const [source, name] = [operand(given, 0), requiredOption(given, 'as')];
        if (host.report.guests.some((guest) => guest.name === name))
          throw usage(`${host.hostId} has a guest ${name} already`);
        return {
          guest: jobGuest(host, source),
          backup: backupGiven(host, source, given),
          name,
          identity: 'fresh',
        };
      },
    },
  ],
  meaning: ({ guest, backup, name }, host) =>
    meaning(`make a new guest ${name} out of ${backupWords(host, backup)}, of ${guestWords(host, guest)}`, {
      widens: [`The data that ${nameOf(host, guest.uid)} had then is in a second place.`],
      notes: [
        `${nameOf(host, guest.uid)} itself is not touched. The copy has fresh keys, addresses and machine id, and may do nothing in its name.`,
        ...otherGuest(host, guest, backup),
        ...copyNotes(host, backup),
      ],
      classes: ['disclose'],
    }),
};

export const rollback: JobFile<'rollback'> = {
  kind: 'rollback',
  commands: [
    {
      name: 'rollback',
      about: 'put a guest back to a snapshot',
      operands: [guestOperand],
      options: [
        ['--snapshot <name>', 'name of the snapshot'],
        ['--taken-at <seconds>', 'its snaptime as Proxmox has it, seconds since the epoch'],
        ['--volume <volume...>', 'volumes that it holds, if not all of the guest'],
      ],
      params: (host, given) => {
        const name = operand(given, 0);
        const named = listOption(given, 'volume');
        const volumes = named.length > 0 ? named : guestNamed(host, name).volumes;
        if (volumes === undefined)
          throw notShown(
            `the report of ${host.hostId} does not say which volumes ${name} has`,
            'name them by --volume',
          );
        return {
          guest: jobGuest(host, name),
          snapshot: requiredOption(given, 'snapshot'),
          takenAt: wholeNumber(requiredOption(given, 'takenAt'), '--taken-at'),
          volumes: [...new Set<string>(volumes)].sort(),
        };
      },
    },
  ],
  meaning: ({ guest, snapshot, takenAt, volumes }, host) => {
    const since = `${timeText(takenAt * 1000)} UTC`;
    const bulk = partsOf(host, guest.uid)?.bulk.filter((volume) => (volumes as readonly string[]).includes(volume));
    return meaning(`put ${guestWords(host, guest)} back to snapshot ${snapshot} of ${since}`, {
      loses: volumes.map((volume) => `what was written to ${volume} since ${since}, for good`),
      notes: [
        'There is no undo: take a backup first if what is there now may be wanted again.',
        ...(bulk ?? []).map((volume) => `${volume} is bulk, of which no backup of this host holds anything.`),
      ],
      classes: ['destroy'],
    });
  },
};

/** The volumes that are freed, with what is on them that the copy does not have. */
function lossOf(host: VerifiedHost, backup: BackupBytes, lossSet: readonly string[], how: string): string[] {
  const copy = copyOf(host, backup);
  const since = copy === undefined ? 'after that backup' : `since ${timeText(copy.at)} UTC`;
  return lossSet.map((volume) => `${volume} as it is now, with what was written to it ${since}: ${how}`);
}

function common(
  host: VerifiedHost,
  guest: { readonly uid: string },
  backup: BackupBytes,
  parts: RestoreParts,
  undo: boolean,
): string[] {
  const open = undoableOf(host, guest.uid);
  return [
    ...partsNotes(host, guest.uid, parts, undo),
    ...(parts.bulk.length === 0 ? ['Nothing is carried over: the job names no bulk volume.'] : []),
    ...(open === undefined
      ? []
      : [`Restore ${open.id} of this guest can still be undone: the host refuses until that is undone or finished.`]),
    ...otherGuest(host, guest, backup),
    ...copyNotes(host, backup),
  ];
}

const nameOf = (host: VerifiedHost, uid: string): string =>
  host.report.guests.find((guest) => guest.uid === uid)?.name ?? uid;
