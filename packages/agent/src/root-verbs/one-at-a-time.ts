/**
 * One verb of root at a time. Each process puts down a file of its own name first and looks at the others then, so of two
 * at least one sees the other, whatever the order; a file whose process is gone was left by a kill and names nobody again.
 */
import { closeSync, constants, openSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ownFolder } from './root-files.ts';

export type Turn = { readonly is: 'mine'; end(): void } | { readonly is: 'taken'; readonly pid: number };

export interface TurnOptions {
  /** Below /run: what lies there does not outlive the processes it names. */
  readonly folder: string;
  readonly pid?: number;
  readonly proc?: string;
}

/** Throws what the disk throws. Two that come in the same moment may both be told that it is taken. */
export function takeTurn({ folder, pid = process.pid, proc = '/proc' }: TurnOptions): Turn {
  ownFolder(folder);
  const startedAt = startOfProcess(proc, String(pid));
  if (startedAt === undefined) throw new Error(`cannot take a turn: ${proc} does not know process ${pid}`);
  const mine = `${pid}.${startedAt}`;
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
  closeSync(openSync(join(folder, mine), flags, 0o600));
  const end = (): void => rmSync(join(folder, mine), { force: true });
  for (const name of readdirSync(folder)) {
    const [, other = '', itsStart] = /^([1-9]\d*)\.(\d+)$/.exec(name) ?? [];
    if (name === mine || itsStart === undefined) continue;
    if (startOfProcess(proc, other) === itsStart) {
      end();
      return { is: 'taken', pid: Number(other) };
    }
    rmSync(join(folder, name), { force: true });
  }
  return { is: 'mine', end };
}

/** `undefined`: no such process, or one that has ended. proc(5): field 22 of stat, in clock ticks since boot. The name in field 2 may hold anything, brackets included. */
export function startOfProcess(proc: string, pid: string): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(join(proc, pid, 'stat'), 'utf8');
  } catch (error) {
    // ESRCH: it ended between opening and reading.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? undefined : rest[18];
}
