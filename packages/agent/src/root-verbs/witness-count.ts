/**
 * How long the audit log of the agent was when it last carried out a job, remembered where the agent cannot forget it: a
 * journal that is shorter than that, or of an epoch that the host has left, was put back from a copy and has forgotten
 * jobs [R11]. Only ever raised.
 */
import { renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { placeFile } from './durable-file.ts';
import { ownFolder, ownText } from './root-files.ts';

export interface WitnessCount {
  /**
   * Remembers the larger count of this epoch, on disk when it returns, and answers the one before: 0 for a new epoch,
   * more than any log can have for one that was left. Throws what the disk throws, and where no more epochs fit: one that
   * was forgotten would be right again.
   */
  raise(epoch: string, count: number): number;
}

/** A host begins a new epoch once in years. */
const mostEpochs = 1000;
export const epochWasLeft = 999_999_999_999;

export function witnessIn(file: string): WitnessCount {
  return {
    raise: (epoch, count) => {
      const known = read(file);
      const current = known.at(-1);
      if (current?.epoch !== epoch && known.some((each) => each.epoch === epoch)) return epochWasLeft;
      const before = current?.epoch === epoch ? current.count : 0;
      if (current?.epoch === epoch && count <= before) return before;
      const others = known.filter((each) => each.epoch !== epoch);
      if (others.length >= mostEpochs)
        throw new Error(`cannot use ${file}: ${mostEpochs} epochs of the host stand in it; look at who began them`);
      const text = [...others, { epoch, count }].map((each) => `${each.epoch} ${each.count}\n`);
      ownFolder(dirname(file));
      placeFile(file, text.join(''), 0o600, (draft) => renameSync(draft, file));
      return before;
    },
  };
}

interface Remembered {
  readonly epoch: string;
  readonly count: number;
}

/** In the order in which they began. */
function read(file: string): readonly Remembered[] {
  return ownText(file)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, epoch, count] = /^([0-9a-f]{32}) (\d{1,12})$/.exec(line) ?? [];
      if (epoch === undefined) throw new Error(`cannot use ${file}: a line of it does not read`);
      return { epoch, count: Number(count) };
    });
}
