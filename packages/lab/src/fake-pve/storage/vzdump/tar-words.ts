// Numbers as GNU tar and vzdump print them.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** GNU tar rounds up: one decimal below ten, none above. */
function humanBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const shown = value < 10 && unit > 0 ? (Math.ceil(value * 10) / 10).toFixed(1) : String(Math.ceil(value));
  return `${shown}${units[unit]}`;
}

/** `2457600 (2.4MiB, 62MiB/s)`, as in `Total bytes written: …`. */
export function tarAmount(bytes: number, elapsedMs: number): string {
  return `${bytes} (${humanBytes(bytes)}, ${humanBytes((bytes * 1000) / Math.max(elapsedMs, 1))}/s)`;
}

/** `1MB`: vzdump rounds down. */
export function vzdumpSize(bytes: number): string {
  const kib = bytes / 1024;
  if (kib < 1024) return `${Math.floor(kib)}KB`;
  const mib = kib / 1024;
  if (mib < 1024) return `${Math.floor(mib)}MB`;
  return `${(mib / 1024).toFixed(2)}GB`;
}
