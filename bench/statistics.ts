/** The few numbers that a table of measurements needs. Pure. */

/** The value below which the part `share` (0..1) of the values lies; linear between neighbours. Throws on no values. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new Error('cannot take a quantile of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const place = Math.min(1, Math.max(0, share)) * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Half the distance between the quartiles, as a part of the median: how much a figure on a shared machine wobbles. */
export function wobble(values: readonly number[]): number {
  const middle = median(values);
  return middle === 0 ? 0 : (quantile(values, 0.75) - quantile(values, 0.25)) / 2 / Math.abs(middle);
}

/** Three significant digits, without an exponent: 0.0123, 1.23, 12.3, 123, 12346. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(6, digits));
}

/** How many times as much `value` is as its peer; "–" where the peer is nothing. */
export const ratio = (value: number, peer: number): string => (peer === 0 ? '–' : `${figure(value / peer)} ×`);

/** "12.3 ±4 %": the median and its wobble. */
export const withWobble = (values: readonly number[]): string =>
  `${figure(median(values))} ±${Math.round(wobble(values) * 100)} %`;
