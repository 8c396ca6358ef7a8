/** What the kernel's files say, as values. Pure; a text of another shape is `undefined`, never a wrong number. */

/** First line of /proc/stat: user nice system idle iowait irq softirq steal …; guest time is in user already. */
export function cpuOf(stat: string): { busy: number; total: number; processors: number } | undefined {
  const ticks = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.trim().split(/ +/).slice(0, 8).map(Number);
  if (ticks === undefined || ticks.length < 5) return undefined;
  const total = ticks.reduce((sum, value) => sum + value, 0);
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return { busy: total - idle, total, processors: Math.max(1, stat.match(/^cpu\d+ /gm)?.length ?? 1) };
}

export function firstNumber(text: string): number | undefined {
  const found = /^\s*(-?\d+(?:\.\d+)?)(?:\s|$)/.exec(text);
  return found === null ? undefined : Number(found[1]);
}

/**
 * `MemAvailable` does not count the cache of ZFS, which shrinks to its least size under pressure. `arcstats` is empty
 * where there is no ZFS.
 */
export function memoryOf(meminfo: string, arcstats: string): { usedBytes: number; totalBytes: number } | undefined {
  const kib = (name: string): number | undefined => {
    const found = new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo);
    return found === null ? undefined : Number(found[1]) * 1024;
  };
  const [total, available] = [kib('MemTotal'), kib('MemAvailable')];
  if (total === undefined || available === undefined) return undefined;
  const arc = (name: string): number => Number(new RegExp(`^${name} +\\d+ +(\\d+)$`, 'm').exec(arcstats)?.[1] ?? 0);
  const shrinks = Math.max(0, arc('size') - arc('c_min'));
  return { usedBytes: Math.max(0, total - Math.min(total, available + shrinks)), totalBytes: total };
}

/** `some avg10=0.00 avg60=1.50 avg300=0.40 total=123` → 1.5. */
export function pressureOf(text: string): number | undefined {
  const found = /^some .*\bavg60=(\d+(?:\.\d+)?)/m.exec(text);
  return found === null ? undefined : Math.min(100, Number(found[1]));
}

/** Millidegrees; sensors that are not there show nonsense far outside what a machine survives. */
export function degreesOf(text: string): number | undefined {
  const milli = firstNumber(text);
  return milli === undefined || milli <= 0 || milli > 150_000 ? undefined : milli / 1000;
}

/** Debian's and Proxmox's names of kernels, in the order in which they were released. */
export function newestKernel(files: readonly string[]): string | undefined {
  const releases = files.flatMap((file) => (/^vmlinuz-\d/.test(file) ? [file.slice('vmlinuz-'.length)] : []));
  return releases.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}

/** `systemctl show` prints one block of `Key=value` per unit, with an empty line between two. */
export function blocksOf(text: string): readonly ReadonlyMap<string, string>[] {
  return text
    .split(/\n\n+/)
    .map((block) => new Map(block.split('\n').flatMap((line): [string, string][] => pairOf(line))))
    .filter((block) => block.size > 0);
}

function pairOf(line: string): [string, string][] {
  const at = line.indexOf('=');
  return at <= 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
}
