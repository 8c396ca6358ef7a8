/**
 * systemd calendar expressions (systemd.time(7)) with time zones: `Mon..Fri 22:30`, `*-*-1..7 03:00 Europe/Budapest`,
 * `*-*~1`, `daily`. Understood as systemd 252 does, compared with `systemd-analyze calendar`, but for three things:
 *
 *   - A local time that the clocks jump over (02:30 in the night of the change to summer time) elapses at the moment after
 *     the gap. systemd skips it, and a backup must not miss a day because of the clocks. Several in one gap elapse once.
 *   - Seconds are whole, and `@` moments are refused: nothing here is that fine, and a schedule that runs once is none.
 *   - Years are written with four digits.
 *
 * A local time that occurs twice elapses once, the first time, as with systemd. All moments are milliseconds since the
 * epoch. Every search is bounded: what never elapses (2026-02-30) gives `undefined`.
 */
import type { Parsed } from './parse.ts';
import { clockOf, isZone } from './time-zone.ts';

interface Years {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

export interface Calendar {
  readonly text: string;
  /** Sunday is 0; empty: every day. */
  readonly weekdays: readonly number[];
  /** Empty: every year. */
  readonly years: readonly Years[];
  /** 1 to 12, ascending, as all that follow. */
  readonly months: readonly number[];
  readonly days: readonly number[];
  /** Counted from the end of the month, 1 is its last day. Either these or `days`. */
  readonly lastDays: readonly number[];
  readonly hours: readonly number[];
  readonly minutes: readonly number[];
  readonly seconds: readonly number[];
  /** IANA name. Absent: whoever asks says which. */
  readonly zone?: string;
}

const firstYear = 1970;
const lastYear = 2199;
const weekdayNames = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;

const shorthands: Readonly<Record<string, string>> = {
  minutely: '*-*-* *:*:00',
  hourly: '*-*-* *:00:00',
  daily: '*-*-* 00:00:00',
  weekly: 'Mon *-*-* 00:00:00',
  monthly: '*-*-01 00:00:00',
  quarterly: '*-01,04,07,10-01 00:00:00',
  semiannually: '*-01,07-01 00:00:00',
  yearly: '*-01-01 00:00:00',
  annually: '*-01-01 00:00:00',
};

/** Where in the text it goes wrong, and why. */
interface Fault {
  readonly at: number;
  readonly what: string;
}
type Read<T> = { readonly is: 'ok'; readonly value: T } | { readonly is: 'fault'; readonly fault: Fault };
const ok = <T>(value: T): Read<T> => ({ is: 'ok', value });
const fault = (at: number, what: string): { readonly is: 'fault'; readonly fault: Fault } => ({
  is: 'fault',
  fault: { at, what },
});

interface Word {
  readonly text: string;
  /** Of its first character in the expression, from 0. */
  readonly at: number;
}

/** `invalid` names the character, counted from 1, and what is wrong there. */
export function parseCalendar(text: string): Parsed<Calendar> {
  const read = readCalendar(text);
  if (read.is === 'ok') return { is: 'ok', value: read.value };
  const { at, what } = read.fault;
  return {
    is: 'invalid',
    text: `cannot read the calendar expression ${JSON.stringify(text)}: character ${at + 1}: ${what}`,
  };
}

function readCalendar(text: string): Read<Calendar> {
  if (text.length > 200) return fault(200, 'longer than 200 characters');
  const words: Word[] = [...text.matchAll(/\S+/g)].map((match) => ({ text: match[0], at: match.index }));
  let zone: string | undefined;
  const last = words.at(-1);
  if (last !== undefined && isZoneShaped(last.text)) {
    if (!isZone(last.text))
      return fault(last.at, `${quoted(last.text)} is neither a weekday, nor a word like daily, nor a known time zone`);
    zone = last.text;
    words.pop();
  }
  const [first] = words;
  if (first === undefined) return fault(0, 'nothing that elapses; write for example daily, or Mon..Fri 03:00');
  const shorthand = Object.hasOwn(shorthands, first.text.toLowerCase())
    ? shorthands[first.text.toLowerCase()]
    : undefined;
  if (shorthand !== undefined) {
    const next = words[1];
    if (next !== undefined) return fault(next.at, `${first.text} stands alone, only a time zone may follow`);
    const expanded = readCalendar(shorthand);
    return expanded.is === 'ok' ? ok(complete(text, expanded.value, zone)) : expanded;
  }

  let weekdays: readonly number[] = [];
  if (/^[A-Za-z]/.test(first.text)) {
    const read = readWeekdays(first);
    if (read.is === 'fault') return read;
    weekdays = read.value;
    words.shift();
  }
  let date: DateFields = { years: [], months: every(1, 12), days: every(1, 31), lastDays: [] };
  if (words[0] !== undefined && !words[0].text.includes(':')) {
    const read = readDate(words[0]);
    if (read.is === 'fault') return read;
    date = read.value;
    words.shift();
  }
  let time: TimeFields = { hours: [0], minutes: [0], seconds: [0] };
  if (words[0] !== undefined) {
    const read = readTime(words[0]);
    if (read.is === 'fault') return read;
    time = read.value;
    words.shift();
  }
  if (words[0] !== undefined)
    return fault(words[0].at, `${quoted(words[0].text)} is one too many: weekdays, date, time, time zone, each once`);
  return ok(complete(text, { text, weekdays, ...date, ...time }, zone));
}

const complete = (text: string, calendar: Calendar, zone: string | undefined): Calendar => ({
  ...calendar,
  text,
  ...(zone === undefined ? {} : { zone }),
});
const quoted = (text: string): string => JSON.stringify(text.slice(0, 40));
const every = (from: number, to: number, step = 1): number[] =>
  Array.from({ length: Math.max(0, Math.floor((to - from) / step) + 1) }, (_, i) => from + i * step);
const ascending = (numbers: readonly number[]): number[] => [...new Set(numbers)].toSorted((a, b) => a - b);

function weekdayOf(name: string): number | undefined {
  const lower = name.toLowerCase();
  const at = weekdayNames.findIndex((day) => day === lower || day.slice(0, 3) === lower);
  return at < 0 ? undefined : at;
}

/** `Mon`, `mon..fri`, `Mon-Fri`, `Mon,Wed,`; a range goes forward within the week that begins on Monday, as systemd has it. */
function readWeekdays(word: Word): Read<readonly number[]> {
  const days: number[] = [];
  let at = word.at;
  for (const part of word.text.replace(/,$/, '').split(',')) {
    const [from = '', to, ...rest] = part.split(/\.\.|-/);
    const [first, last] = [weekdayOf(from), to === undefined ? weekdayOf(from) : weekdayOf(to)];
    if (first === undefined || last === undefined || rest.length > 0)
      return fault(at, `${quoted(part)} is neither a weekday like Mon nor a range like Mon..Fri`);
    const [begin, end] = [first === 0 ? 7 : first, last === 0 ? 7 : last];
    if (begin > end) return fault(at, `${quoted(part)} goes backwards, the week begins on Monday`);
    days.push(...every(begin, end).map((day) => day % 7));
    at += part.length + 1;
  }
  return ok(ascending(days));
}

interface DateFields {
  readonly years: readonly Years[];
  readonly months: readonly number[];
  readonly days: readonly number[];
  readonly lastDays: readonly number[];
}

/** `year-month-day`, `month-day`; `~` instead of the last `-` counts from the end of the month. */
function readDate(word: Word): Read<DateFields> {
  const parts = splitAt(word, /[-~]/);
  const [dayPart, monthPart, yearPart] = parts.toReversed();
  if (dayPart === undefined || monthPart === undefined || parts.length > 3)
    return fault(word.at, `${quoted(word.text)} is neither a date like *-*-1 nor a time like 03:00`);
  const fromEnd = word.text.charAt(dayPart.at - word.at - 1) === '~';
  const tilde = word.text.indexOf('~');
  if (tilde >= 0 && (!fromEnd || tilde !== word.text.lastIndexOf('~')))
    return fault(word.at + tilde, '~ stands before the day only');

  const years: Years[] = [];
  if (yearPart !== undefined && yearPart.text !== '*') {
    const ranges = readRanges(yearPart, { what: 'a year', from: firstYear, to: lastYear });
    if (ranges.is === 'fault') return ranges;
    for (const { from, to, step } of ranges.value)
      years.push({ from, to: to ?? (step === undefined ? from : lastYear), step: step ?? 1 });
  }
  const months = readNumbers(monthPart, { what: 'a month', from: 1, to: 12 });
  if (months.is === 'fault') return months;
  if (!fromEnd) {
    const days = readNumbers(dayPart, { what: 'a day', from: 1, to: 31 });
    return days.is === 'fault' ? days : ok({ years, months: months.value, days: days.value, lastDays: [] });
  }
  if (dayPart.text === '*') return ok({ years, months: months.value, days: every(1, 31), lastDays: [] });
  // systemd has no ~ further back than 28 days, for that is no day of every month.
  const ranges = readRanges(dayPart, { what: 'a day before the end of the month', from: 1, to: 28, backwards: true });
  if (ranges.is === 'fault') return ranges;
  // The dates go up while the distance from the end goes down: ~7/2 is the 7th last, the 5th last, …
  const lastDays = ranges.value.flatMap(({ from, to, step }) => {
    const farthest = to ?? from;
    const nearest = to === undefined ? (step === undefined ? from : 1) : from;
    return every(0, farthest - nearest, step ?? 1).map((nearer) => farthest - nearer);
  });
  return ok({ years, months: months.value, days: [], lastDays: ascending(lastDays) });
}

interface TimeFields {
  readonly hours: readonly number[];
  readonly minutes: readonly number[];
  readonly seconds: readonly number[];
}

function readTime(word: Word): Read<TimeFields> {
  const [hourPart, minutePart, secondPart, ...rest] = splitAt(word, /:/);
  if (hourPart === undefined || minutePart === undefined || rest.length > 0)
    return fault(word.at, `${quoted(word.text)} is not a time like 03:00 or 03:00:00`);
  const hours = readNumbers(hourPart, { what: 'an hour', from: 0, to: 23 });
  if (hours.is === 'fault') return hours;
  const minutes = readNumbers(minutePart, { what: 'a minute', from: 0, to: 59 });
  if (minutes.is === 'fault') return minutes;
  if (secondPart === undefined) return ok({ hours: hours.value, minutes: minutes.value, seconds: [0] });
  const seconds = readNumbers(secondPart, { what: 'a second', from: 0, to: 59 });
  if (seconds.is === 'fault') return seconds;
  return ok({ hours: hours.value, minutes: minutes.value, seconds: seconds.value });
}

function splitAt(word: Word, separator: RegExp): Word[] {
  let at = word.at;
  return word.text.split(separator).map((text) => {
    const part = { text, at };
    at += text.length + 1;
    return part;
  });
}

interface Bounds {
  readonly what: string;
  readonly from: number;
  readonly to: number;
  /** Steps lead towards `from`. */
  readonly backwards?: true;
}
interface Range {
  readonly from: number;
  readonly to?: number;
  readonly step?: number;
}

/** `3`, `1..5`, `0/15`, `8..20/4`, and lists of them. */
function readRanges(word: Word, bounds: Bounds): Read<Range[]> {
  const ranges: Range[] = [];
  let at = word.at;
  for (const part of word.text.split(',')) {
    const match = /^(\d{1,4})(?:\.\.(\d{1,4}))?(?:\/(\d{1,4}))?$/.exec(part);
    if (match === null) return fault(at, `${quoted(part)} is not ${bounds.what}, a range 1..5 or steps 1/2`);
    const [from, to, step] = [match[1], match[2], match[3]].map((digits) =>
      digits === undefined ? undefined : Number(digits),
    );
    for (const number of [from, to])
      if (number !== undefined && (number < bounds.from || number > bounds.to))
        return fault(at, `${number} is not ${bounds.what} between ${bounds.from} and ${bounds.to}`);
    if (from === undefined || (to !== undefined && to < from)) return fault(at, `the range ${part} goes backwards`);
    if (step === 0) return fault(at, 'a step is at least 1');
    // As systemd: a step with no end that leads nowhere was most likely meant for another unit.
    if (
      step !== undefined &&
      to === undefined &&
      (bounds.backwards ? from - step < bounds.from : from + step > bounds.to)
    )
      return fault(at, `a step of ${step} from ${from} leads beyond ${bounds.backwards ? bounds.from : bounds.to}`);
    ranges.push({ from, ...(to === undefined ? {} : { to }), ...(step === undefined ? {} : { step }) });
    at += part.length + 1;
  }
  return ok(ranges);
}

function readNumbers(word: Word, bounds: Bounds): Read<number[]> {
  if (word.text === '*') return ok(every(bounds.from, bounds.to));
  const ranges = readRanges(word, bounds);
  if (ranges.is === 'fault') return ranges;
  return ok(
    ascending(
      ranges.value.flatMap(({ from, to, step }) =>
        every(from, to ?? (step === undefined ? from : bounds.to), step ?? 1),
      ),
    ),
  );
}

/** The first moment after `afterMs`. `defaultZone` is an IANA name; one that is not known throws, for it is ours to give. */
export function nextElapse(calendar: Calendar, afterMs: number, defaultZone: string): number | undefined {
  const clock = clockOf(calendar.zone ?? defaultZone);
  const local = nextLocal(calendar, clock.furthest(afterMs) + 1000);
  return local === undefined ? undefined : clock.momentOf(local);
}

/** The last moment that is not after `atOrBeforeMs`. */
export function previousElapse(calendar: Calendar, atOrBeforeMs: number, defaultZone: string): number | undefined {
  const clock = clockOf(calendar.zone ?? defaultZone);
  const local = previousLocal(calendar, clock.furthest(atOrBeforeMs));
  return local === undefined ? undefined : clock.momentOf(local);
}

const dayMs = 86_400_000;

/*
 * Local time is counted in milliseconds as if it were UTC, in whole seconds. An expression picks local times; a local time
 * elapses at the first moment when the local clock shows it or more. That one rule settles both changes of the clocks,
 * and keeps the order of local times, so that searching needs no zone.
 */

/** The first local time at or after `from` that the expression names. */
function nextLocal(calendar: Calendar, from: number): number | undefined {
  for (const { y, m, d } of datesUp(calendar, new Date(from))) {
    const midnight = Date.UTC(y, m - 1, d);
    if (midnight + dayMs <= from) continue;
    const time = timeUp(calendar, Math.max(0, from - midnight) / 1000);
    if (time !== undefined) return midnight + time * 1000;
  }
  return undefined;
}

function previousLocal(calendar: Calendar, upTo: number): number | undefined {
  for (const { y, m, d } of datesDown(calendar, new Date(upTo))) {
    const midnight = Date.UTC(y, m - 1, d);
    if (midnight > upTo) continue;
    const time = timeDown(calendar, Math.min(dayMs - 1000, upTo - midnight) / 1000);
    if (time !== undefined) return midnight + time * 1000;
  }
  return undefined;
}

const inYear = ({ years }: Calendar, y: number): boolean =>
  years.length === 0 || years.some(({ from, to, step }) => y >= from && y <= to && (y - from) % step === 0);

function daysOf(calendar: Calendar, y: number, m: number): number[] {
  const length = new Date(Date.UTC(y, m, 0)).getUTCDate();
  const days =
    calendar.lastDays.length > 0
      ? calendar.lastDays.map((back) => length + 1 - back).toSorted((a, b) => a - b)
      : calendar.days.filter((day) => day <= length);
  if (calendar.weekdays.length === 0) return days;
  const first = new Date(Date.UTC(y, m - 1, 1)).getUTCDay();
  return days.filter((day) => calendar.weekdays.includes((first + day - 1) % 7));
}

/** From the month of `from` on. */
function* datesUp(calendar: Calendar, from: Date): Generator<{ y: number; m: number; d: number }> {
  const year = from.getUTCFullYear();
  for (let y = Math.max(year, firstYear); y <= lastYear; y++) {
    if (!inYear(calendar, y)) continue;
    for (const m of calendar.months)
      if (y > year || m > from.getUTCMonth()) for (const d of daysOf(calendar, y, m)) yield { y, m, d };
  }
}

/** From the month of `upTo` back. */
function* datesDown(calendar: Calendar, upTo: Date): Generator<{ y: number; m: number; d: number }> {
  const year = upTo.getUTCFullYear();
  for (let y = Math.min(year, lastYear); y >= firstYear; y--) {
    if (!inYear(calendar, y)) continue;
    for (const m of calendar.months.toReversed())
      if (y < year || m <= upTo.getUTCMonth() + 1)
        for (const d of daysOf(calendar, y, m).toReversed()) yield { y, m, d };
  }
}

/** Seconds of the day: the first of the expression at or after `from`. */
function timeUp({ hours, minutes, seconds }: Calendar, from: number): number | undefined {
  for (const h of hours) {
    if (h * 3600 + 3599 < from) continue;
    for (const m of minutes) {
      const minute = h * 3600 + m * 60;
      if (minute + 59 < from) continue;
      const second = seconds.find((s) => minute + s >= from);
      if (second !== undefined) return minute + second;
    }
  }
  return undefined;
}

function timeDown({ hours, minutes, seconds }: Calendar, upTo: number): number | undefined {
  for (const h of hours.toReversed()) {
    if (h * 3600 > upTo) continue;
    for (const m of minutes.toReversed()) {
      const minute = h * 3600 + m * 60;
      if (minute > upTo) continue;
      const second = seconds.findLast((s) => minute + s <= upTo);
      if (second !== undefined) return minute + second;
    }
  }
  return undefined;
}

const isZoneShaped = (text: string): boolean =>
  /^[A-Za-z][A-Za-z0-9_+-]*(?:\/[A-Za-z0-9_+-]+){0,2}$/.test(text) &&
  !Object.hasOwn(shorthands, text.toLowerCase()) &&
  text.split('-').some((part) => weekdayOf(part) === undefined);
