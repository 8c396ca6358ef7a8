/** What a process of this machine takes, as Linux tells (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

export interface ProcessCost {
  readonly rssMiB: number;
  /** Of it, what is the process's own and not a file that others map too. */
  readonly anonMiB: number;
  /** CPU seconds over the time watched. */
  readonly cpuSeconds: number;
  /** The same of its children, those that have ended meanwhile and those that go on. */
  readonly childSeconds: number;
  /** What its children have of their own, together, at the end. */
  readonly childAnonMiB: number;
  readonly threads: number;
}

/** Clock ticks per second of /proc/PID/stat: 100 on every architecture that Debian runs on. */
const ticksPerSecond = 100;

/** Watches for `seconds`, then looks at the memory. Throws when the process is gone. */
export async function watchProcess(pid: number, seconds: number): Promise<ProcessCost> {
  const [before, childrenBefore] = [cpuOf(pid), childrenOf(pid)];
  await wait(seconds * 1000);
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    rssMiB: field(status, 'VmRSS') / 1024,
    anonMiB: field(status, 'RssAnon') / 1024,
    threads: field(status, 'Threads'),
    cpuSeconds: cpuOf(pid) - before,
    childSeconds: childrenOf(pid) - childrenBefore,
    childAnonMiB: liveChildren(pid).reduce((sum, { pid: child }) => sum + anonOf(child), 0),
  };
}

export function field(status: string, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status);
  if (found === null) throw new Error(`cannot read ${name} from the status of a process`);
  return Number(found[1]);
}

/** utime and stime: fields 14 and 15, counted after the name in brackets, which may hold spaces. */
export function cpuTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** cutime and cstime: the two fields behind them. */
export function childTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[13]) + Number(fields[14]);
}

const statOf = (pid: number): string => readFileSync(`/proc/${pid}/stat`, 'utf8');
const cpuOf = (pid: number): number => cpuTicks(statOf(pid)) / ticksPerSecond;
/** What those that ended took, and what those that go on took so far. */
const childrenOf = (pid: number): number =>
  childTicks(statOf(pid)) / ticksPerSecond +
  liveChildren(pid).reduce((sum, { stat }) => sum + (cpuTicks(stat) + childTicks(stat)) / ticksPerSecond, 0);

interface LiveChild {
  readonly pid: number;
  readonly stat: string;
  readonly state: string;
}

function liveChildren(of: number): readonly LiveChild[] {
  return readdirSync('/proc').flatMap((entry): LiveChild[] => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const stat = statOf(Number(entry));
      const { state, parent } = stateAndParent(stat);
      return parent === of ? [{ pid: Number(entry), stat, state }] : [];
    } catch {
      // It ended meanwhile.
      return [];
    }
  });
}

/** 0 where it has ended. */
function anonOf(pid: number): number {
  try {
    return field(readFileSync(`/proc/${pid}/status`, 'utf8'), 'RssAnon') / 1024;
  } catch {
    return 0;
  }
}

export interface ProcessNow {
  readonly rssMiB: number;
  readonly children: number;
  /** Of them those that wait in the kernel and that nothing can kill (`D`). */
  readonly stuck: number;
}

/** Throws when the process is gone. */
export function processNow(pid: number): ProcessNow {
  const children = liveChildren(pid);
  return {
    rssMiB: field(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS') / 1024,
    children: children.length,
    stuck: children.filter(({ state }) => state === 'D').length,
  };
}

/** The two fields behind the name. */
export function stateAndParent(stat: string): { readonly state: string; readonly parent: number } {
  const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state, parent: Number(parent) };
}
