/**
 * What the log of a vzdump task says of how it works. Never of whether it worked: the listing and the bytes tell that
 * [R48]. Words as recorded from Proxmox VE 9.2 (PVE: VZDump.pm, VZDump/LXC.pm). Pure.
 */
import type { BackupRecord } from '../catalogue/backup-record.ts';

export interface TaskWords {
  /** What it really does, which may be less than what was asked for. */
  readonly mode: BackupRecord['mode'] | undefined;
  /** The archive is being written: from here on nothing of the living guest is read any more. */
  readonly archiving: boolean;
  /** It waits for somebody else's vzdump: one per node, up to three hours. */
  readonly waitsForOther: boolean;
  /** Not each volume could be snapshot, so it copied files while the guest ran. */
  readonly fellBack: boolean;
  readonly warnings: readonly string[];
  /** Why it failed, in its own words. */
  readonly errors: readonly string[];
}

export const noWords: TaskWords = {
  mode: undefined,
  archiving: false,
  waitsForOther: false,
  fellBack: false,
  warnings: [],
  errors: [],
};

const most = 20;

/** The words so far and one more line. */
export function hear(words: TaskWords, line: string): TaskWords {
  const mode = /^INFO: backup mode: (snapshot|suspend|stop)$/.exec(line)?.[1] as BackupRecord['mode'] | undefined;
  if (mode !== undefined) return { ...words, mode, waitsForOther: false };
  if (line.startsWith('INFO: trying to get global lock')) return { ...words, waitsForOther: true };
  if (/^INFO: (?:got global lock|starting new backup job)/.test(line)) return { ...words, waitsForOther: false };
  if (line.startsWith('INFO: mode failure - ')) return { ...words, fellBack: true };
  if (/^INFO: creating (?:vzdump|Proxmox Backup Server) archive /.test(line)) return { ...words, archiving: true };
  if (line.startsWith('WARN: ') && words.warnings.length < most)
    return { ...words, warnings: [...words.warnings, line.slice('WARN: '.length, 300)] };
  if (line.startsWith('ERROR: ') && words.errors.length < most)
    return { ...words, errors: [...words.errors, line.slice('ERROR: '.length, 300)] };
  return words;
}

/** What people read in place of the line, where the line alone says too little. */
export const tellLine = (line: string): string =>
  line.startsWith('INFO: trying to get global lock') ? 'waiting for another backup job of this node to end' : line;
