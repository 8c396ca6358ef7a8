/**
 * Two children that speak when something happens. `findmnt --poll` tells of mounts within 0.1 ms; `udevadm monitor`
 * tells of a pulled disk a quarter of a second before systemd has unmounted it. `fs.watch` on mountinfo never fires.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { watch } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

interface Source {
  readonly command: readonly [string, ...string[]];
  /** Whether a line is news. */
  readonly tells: (line: string) => boolean;
}

/** Only where targets are mounted: guests mount and unmount all day. */
const ofTargets = / \/mnt\/(?:felhom|pve)\//;

export const eventSources: readonly Source[] = [
  {
    // Line by line, because into a pipe it would write when 4 KiB have come together.
    command: ['stdbuf', '-oL', 'findmnt', '--poll', '--noheadings', '--raw', '--output', 'ACTION,TARGET'],
    tells: (line) => ofTargets.test(line),
  },
  {
    command: ['stdbuf', '-oL', 'udevadm', 'monitor', '--kernel', '--udev', '--subsystem-match=block'],
    tells: (line) => /^(?:KERNEL|UDEV) *\[/.test(line),
  },
];

const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/** A child that dies is started again; what it missed meanwhile its start tells, by one event too many. */
export async function follow(source: Source, onEvent: () => void, signal: AbortSignal): Promise<void> {
  let pauseMs = firstPauseMs;
  while (!signal.aborted) {
    const began = process.uptime();
    await listen(source, onEvent, signal);
    if (signal.aborted) return;
    if (process.uptime() - began > 60) pauseMs = firstPauseMs;
    // Without the program there is the slow look alone, and trying again costs little.
    await wait(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
    pauseMs = Math.min(longestPauseMs, pauseMs * 2);
    if (!signal.aborted) onEvent();
  }
}

/** Of a lab, whose mounts and disks are files. A folder that is not there is nothing to watch. */
export function watchFiles(folders: readonly string[], onEvent: () => void, signal: AbortSignal): void {
  for (const folder of folders)
    try {
      watch(folder, { signal, persistent: false }, () => onEvent()).on('error', () => undefined);
    } catch {
      // The slow look is left.
    }
}

function listen(
  { command: [program, ...args], tells }: Source,
  onEvent: () => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const child: ChildProcess = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    });
    const end = (): void => {
      signal.removeEventListener('abort', end);
      child.kill('SIGKILL');
      resolve();
    };
    signal.addEventListener('abort', end, { once: true });
    child.once('error', end);
    child.once('close', end);
    child.unref();
    let rest = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      // A line is never that long; whoever writes one shall not fill the memory.
      rest = (lines.pop() ?? '').slice(-4096);
      if (lines.some(tells)) onEvent();
    });
  });
}
