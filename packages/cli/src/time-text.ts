/** Times for people, in UTC. A document from elsewhere may name one that no calendar has; it is shown as the last there is. */
const lastTime = 8_640_000_000_000_000;

/** "2026-01-31 12:00:00" */
export function timeText(at: number): string {
  return new Date(Math.min(at, lastTime))
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, '');
}

/** "2026-01-31" */
export function dayText(at: number): string {
  return timeText(at).replace(/ .*$/, '');
}
