/** Durations, ages and sizes as people read them. */

const steps = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const;

/** "840 ms", "12 s", "3 min 20 s", "2 h 5 min", "4 d 3 h": at most two units. Negative time reads as 0. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return '?';
  const whole = Math.max(0, Math.round(ms));
  if (whole < 1000) return `${whole} ms`;
  const parts: string[] = [];
  // Rounded to the smallest unit shown first, so that 119,999 ms is 2 min and not 1 min 60 s.
  let rest = Math.round(whole / 1000) * 1000;
  for (const [name, size] of steps) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${name}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

/** "now", "5 s ago", "3 min 20 s ago"; "never" where there is no time; a time ahead of `now` says so. */
export function formatAge(at: number | undefined, now: number): string {
  if (at === undefined) return 'never';
  if (at > now + 2000) return `in ${formatDuration(at - now)} (clocks differ)`;
  if (now - at < 1000) return 'now';
  return `${formatDuration(now - at)} ago`;
}

const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** "512 B", "1.5 GiB": binary units, three significant digits at most. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return '?';
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1023.5 && unit < sizes.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits).replace(/\.0$/, '')} ${sizes[unit]}`;
}

/** "1 guest", "3 guests". */
export function formatCount(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
