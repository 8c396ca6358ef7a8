/**
 * Local time of a zone, counted in milliseconds as if it were UTC, by the zone database of the platform (Intl). Moments are
 * milliseconds since the epoch.
 */

export interface ZoneClock {
  /** The first moment at which the local clock shows `local` or more. */
  momentOf(local: number): number;
  /** The most that the local clock has shown up to `moment`, in whole seconds: more than it shows after it was set back. */
  furthest(moment: number): number;
}

const dayMs = 86_400_000;
// No zone is further from UTC than 14 h, so this reaches to both sides of any change of the clocks that matters.
const reachMs = 26 * 3_600_000;

/** Throws on a zone that is not known. */
export function clockOf(zone: string): ZoneClock {
  const offset = offsetOf(zone);
  /** The moment from which the offset is the one at `to`. There is one change in between, zones have no two in two days. */
  const changeBetween = (from: number, to: number): number => {
    const after = offset(to);
    let [low, high] = [from, to];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (offset(middle) === after) high = middle;
      else low = middle;
    }
    return high;
  };
  return {
    momentOf(local) {
      const [from, to] = [local - reachMs, local + reachMs];
      const [before, after] = [offset(from), offset(to)];
      if (before === after) return local - before;
      const change = changeBetween(from, to);
      return local < change + before ? local - before : Math.max(change, local - after);
    },
    furthest(moment) {
      const [before, now] = [offset(moment - reachMs), offset(moment)];
      const shown = Math.floor((moment + now) / 1000) * 1000;
      return before <= now ? shown : Math.max(shown, changeBetween(moment - reachMs, moment) + before - 1000);
    },
  };
}

/** Milliseconds to add to UTC, whole seconds. */
function offsetOf(zone: string): (moment: number) => number {
  const known = zoneOf(zone);
  const read = (moment: number): number => {
    const whole = Math.floor(moment / 1000) * 1000;
    const field: Record<string, number> = {};
    for (const { type, value } of known.formatter.formatToParts(whole)) field[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = field;
    return Date.UTC(year, month - 1, day, hour, minute, second) - whole;
  };
  return (moment) => {
    const { steady } = known;
    if (moment >= steady.from && moment <= steady.to) return steady.offset;
    const [from, to] = [moment - 3 * dayMs, moment + 10 * dayMs];
    const offset = read(from);
    // No zone has changed its clocks and changed them back within two weeks.
    if (offset !== read(to)) return read(moment);
    known.steady = { from, to, offset };
    return offset;
  };
}

interface Zone {
  readonly formatter: Intl.DateTimeFormat;
  /** The last stretch of time that was seen to have one offset: asking the formatter takes 15 µs, and a search asks often. */
  steady: { readonly from: number; readonly to: number; readonly offset: number };
}

// A formatter costs some 50 µs to make and holds nothing but the rules of its zone, so it is kept; a bound, because zones
// come in from outside.
const zones = new Map<string, Zone>();

function zoneOf(name: string): Zone {
  const known = zones.get(name);
  if (known !== undefined) return known;
  const formatter = new Intl.DateTimeFormat('en-US', {
    timeZone: name,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const made: Zone = { formatter, steady: { from: 0, to: -1, offset: 0 } };
  if (zones.size >= 64) zones.clear();
  zones.set(name, made);
  return made;
}

/** Written as in the zone database: `europe/budapest` is no file there, and systemd refuses it. */
export function isZone(name: string): boolean {
  try {
    const { timeZone } = zoneOf(name).formatter.resolvedOptions();
    // Links (`Asia/Calcutta`) resolve to another name; only another case of the same one is a slip.
    return timeZone === name || timeZone.toLowerCase() !== name.toLowerCase();
  } catch {
    // RangeError: not known.
    return false;
  }
}

/** Local time as if it were UTC, for calendars of days and weeks and for windows: milliseconds, in whole seconds. */
export function localTimeIn(zone: string, moment: number): number {
  return Math.floor(moment / 1000) * 1000 + offsetOf(zone)(moment);
}
